/*
 * policy.c
 *	  Row level security of one table for one role and command.
 */
#include "postgres.h"

#include "access/table.h"
#include "executor/executor.h"
#include "nodes/plannodes.h"
#include "optimizer/optimizer.h"
#include "utils/acl.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "access/policy.h"
#include "access/policy_conditions.h"
#include "access/policy_plan.h"
#include "shared/compat.h"

/* How often a check is made anew because it was invalidated while its locks were taken. */
#define MAX_ATTEMPTS	10

#define MAX_TABLES		256
#define MAX_TYPES		64

typedef struct CheckKey
{
	Oid			table;
	Oid			role;
	int			command;		/* CmdType */
} CheckKey;

typedef struct Check
{
	CheckKey	key;
	MemoryContext context;		/* holds all of the below; NULL: not made yet */
	bool		permitted;		/* by the privileges of table and schema */
	bool		secured;		/* row level security has conditions */
	ExprState  *expression;		/* policies without sub-selects */
	ExprContext *econtext;
	PolicyPlan *plan;			/* policies with sub-selects */
} Check;

static MemoryContext policy_context;	/* lives as long as the process */
static HTAB *checks;
static bool stale;				/* something changed: drop all checks before the next judgement */

/* Tables that the checks depend on. If there are too many, each table counts as one of them. */
static Oid	tables[MAX_TABLES];
static int	table_count;
static bool all_tables;

/* Types likewise, by the hash of their key. */
static uint32 types[MAX_TYPES];
static int	type_count;
static bool all_types;

static void
depend_on(Oid table)
{
	for (int i = 0; i < table_count; i++)
		if (tables[i] == table)
			return;
	if (table_count == MAX_TABLES)
		all_tables = true;
	else
		tables[table_count++] = table;
}

static void
depend_on_type(uint32 hash)
{
	for (int i = 0; i < type_count; i++)
		if (types[i] == hash)
			return;
	if (type_count == MAX_TYPES)
		all_types = true;
	else
		types[type_count++] = hash;
}

/* Of system caches only types are of interest, for the constraints of domains: all changes of the others count anyway. */
static void
depend_on_all(List *relations, List *items)
{
	ListCell   *cell;

	foreach(cell, relations)
		depend_on(lfirst_oid(cell));
	foreach(cell, items)
		if (lfirst_node(PlanInvalItem, cell)->cacheId == TYPEOID)
			depend_on_type(lfirst_node(PlanInvalItem, cell)->hashValue);
}

/* Every table that is made has a type: only those that a check uses make it stale. */
static void
type_changed(Datum argument, int cache, uint32 hash)
{
	if (hash == 0 || all_types)
		stale = true;
	for (int i = 0; i < type_count && !stale; i++)
		stale = types[i] == hash;
}

static void
table_changed(Datum argument, Oid table)
{
	if (table == InvalidOid || all_tables)
		stale = true;
	for (int i = 0; i < table_count && !stale; i++)
		stale = tables[i] == table;
}

static void
catalog_changed(Datum argument, int cache, uint32 hash)
{
	stale = true;
}

void
policy_init(void)
{
	HASHCTL		control = {0};

	policy_context = AllocSetContextCreate(TopMemoryContext, "realtime policies", ALLOCSET_DEFAULT_SIZES);
	control.keysize = sizeof(CheckKey);
	control.entrysize = sizeof(Check);
	control.hcxt = policy_context;
	checks = hash_create("realtime policy checks", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMMEMROLE, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, type_changed, (Datum) 0);
}

void
policy_forget_all(void)
{
	HASH_SEQ_STATUS status;
	Check	   *check;

	hash_seq_init(&status, checks);
	while ((check = hash_seq_search(&status)) != NULL)
	{
		if (check->context != NULL)
			MemoryContextDelete(check->context);
		hash_search(checks, &check->key, HASH_REMOVE, NULL);
	}
	table_count = 0;
	all_tables = false;
	type_count = 0;
	all_types = false;
	stale = false;
}

/* What the executor checks before it touches a row: the schema, and the table or each column that the command names. */
static bool
privileges_suffice(Oid table, Oid role, CmdType command, List *columns)
{
	AclMode		needed = command == CMD_SELECT ? ACL_SELECT : ACL_INSERT;
	ListCell   *cell;

	if (schema_aclcheck(get_rel_namespace(table), role, ACL_USAGE) != ACLCHECK_OK)
		return false;
	if (pg_class_aclcheck(table, role, needed) == ACLCHECK_OK)
		return true;
	foreach(cell, columns)
		if (pg_attribute_aclcheck(table, lfirst_int(cell), role, needed) != ACLCHECK_OK)
			return false;
	return columns != NIL;
}

/* For conditions without sub-selects, in the current memory context. EXECUTE on functions is checked here, for the current user. */
static void
prepare_expression(Check *check, List *conditions)
{
	EState	   *estate = CreateExecutorState();
	List	   *relations = NIL;
	List	   *items = NIL;
	Expr	   *planned = expression_planner_with_deps((Expr *) conditions, &relations, &items);
	MemoryContext previous = MemoryContextSwitchTo(estate->es_query_cxt);

	check->expression = ExecInitQual((List *) planned, NULL);
	MemoryContextSwitchTo(previous);
	check->econtext = GetPerTupleExprContext(estate);
	depend_on_all(relations, items);
}

static void
make_check(Check *check, Relation table, List *columns)
{
	MemoryContext previous;
	List	   *conditions;
	bool		sublinks;

	depend_on(check->key.table);
	check->context = AllocSetContextCreate(policy_context, "realtime policy check", ALLOCSET_SMALL_SIZES);
	previous = MemoryContextSwitchTo(check->context);
	check->permitted = privileges_suffice(check->key.table, check->key.role, check->key.command, columns);
	conditions = policy_conditions(table, check->key.command, &sublinks);
	check->secured = conditions != NIL;
	if (check->permitted && check->secured && sublinks)
	{
		check->plan = policy_plan_make(table, conditions);
		depend_on_all(policy_plan_tables(check->plan), policy_plan_items(check->plan));
	}
	else if (check->permitted && check->secured)
		prepare_expression(check, conditions);
	MemoryContextSwitchTo(previous);
}

/* The check of this key, made if there is none. */
static Check *
get_check(Relation table, Oid role, CmdType command, List *columns)
{
	CheckKey	key = {RelationGetRelid(table), role, command};
	bool		found;
	Check	   *check = hash_search(checks, &key, HASH_ENTER, &found);

	if (!found)
	{
		memset((char *) check + sizeof(CheckKey), 0, sizeof(Check) - sizeof(CheckKey));
		make_check(check, table, columns);
	}
	return check;
}

static bool
run_check(Check *check, TupleTableSlot *slot)
{
	bool		allowed;

	if (!check->permitted || !check->secured)
		return check->permitted;
	if (check->plan != NULL)
		return policy_plan_run(check->plan, slot);
	ResetExprContext(check->econtext);
	check->econtext->ecxt_scantuple = slot;
	allowed = ExecQual(check->expression, check->econtext);
	check->econtext->ecxt_scantuple = NULL;
	return allowed;
}

/*
 * Taking the locks of a plan processes invalidations, which may say that it is out of date: it is then made again. The loop ends
 * because each round needs another change that commits right then.
 */
bool
policy_judge(Oid table_id, Oid role, CmdType command, List *columns, TupleTableSlot *slot)
{
	Relation	table = table_open(table_id, AccessShareLock);
	Check	   *check = NULL;
	bool		allowed;

	for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++)
	{
		if (stale)
			policy_forget_all();
		check = get_check(table, role, command, columns);
		if (check->plan != NULL)
			policy_plan_lock(check->plan);
		if (!stale)
			break;
		check = NULL;
	}
	if (check == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the policies of table \"%s\" changed again and again while they were prepared",
						RelationGetRelationName(table))));
	allowed = run_check(check, slot);
	table_close(table, AccessShareLock);
	return allowed;
}
