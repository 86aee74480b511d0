/*
 * policy.c
 *	  Row level security of one table for one role and command.
 */
#include "postgres.h"

#include "access/table.h"
#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "executor/executor.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "parser/parse_relation.h"
#include "rewrite/rowsecurity.h"
#include "utils/acl.h"
#include "utils/catcache.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "access/policy.h"
#include "access/policy_plan.h"
#include "shared/compat.h"

/* How often a check is made anew because it was invalidated while its locks were taken. */
#define MAX_ATTEMPTS	10

#define MAX_TABLES		256

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
	bool		secured;		/* row level security applies */
	ExprState  *expression;		/* policies without sub-selects */
	ExprContext *econtext;
	PolicyPlan *plan;			/* policies with sub-selects */
} Check;

static MemoryContext policy_context;	/* lives as long as the process */
static HTAB *checks;
static bool stale;				/* something changed: drop all checks before the next judgement */
static uint64 world_changes;	/* functions, roles, memberships, schemas */

/* Tables that the checks depend on. If there are too many, each table counts as one of them. */
static Oid	tables[MAX_TABLES];
static int	table_count;
static bool all_tables;

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
	world_changes++;
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

/*
 * The conditions that the rewriter would add to a query of this command on the table, for the current user. They refer
 * to the row as range table entry 1. Asking for the command's own privilege alone keeps SELECT policies out of INSERT.
 */
static List *
policy_conditions(Relation table, CmdType command, bool *secured, bool *sublinks)
{
	Query	   *query = makeNode(Query);
	RangeTblEntry *entry = makeNode(RangeTblEntry);
	List	   *quals;
	List	   *checks_on_new;
	List	   *conditions = NIL;
	ListCell   *cell;

	entry->rtekind = RTE_RELATION;
	entry->relid = RelationGetRelid(table);
	entry->relkind = table->rd_rel->relkind;
	entry->rellockmode = AccessShareLock;
	query->commandType = command;
	query->rtable = list_make1(entry);
	query->resultRelation = command == CMD_SELECT ? 0 : 1;
	require_permission(query, entry, command == CMD_SELECT ? ACL_SELECT : ACL_INSERT);
	get_row_security_policies(query, entry, 1, &quals, &checks_on_new, secured, sublinks);
	if (command == CMD_SELECT)
		return quals;
	foreach(cell, checks_on_new)
		conditions = lappend(conditions, lfirst_node(WithCheckOption, cell)->qual);
	return conditions;
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
	conditions = policy_conditions(table, check->key.command, &check->secured, &sublinks);
	check->secured = conditions != NIL;
	if (check->permitted && check->secured)
	{
		if (sublinks)
		{
			ListCell   *cell;

			check->plan = policy_plan_make(table, conditions);
			foreach(cell, policy_plan_tables(check->plan))
				depend_on(lfirst_oid(cell));
		}
		else
		{
			EState	   *estate = CreateExecutorState();

			check->expression = ExecPrepareQual(conditions, estate);
			check->econtext = GetPerTupleExprContext(estate);
		}
	}
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
	}
	allowed = run_check(check, slot);
	table_close(table, AccessShareLock);
	return allowed;
}

uint64
policy_fingerprint(Oid table_id)
{
	Relation	table = table_open(table_id, AccessShareLock);
	uint64		fingerprint = world_changes;
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table_id));
	ListCell   *cell;

	/* The row of pg_class has the owner, the privileges and the switches of row level security. */
	if (HeapTupleIsValid(tuple))
	{
		Form_pg_class form = (Form_pg_class) GETSTRUCT(tuple);
		bool		null;
		Datum		acl = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relacl, &null);

		fingerprint = hash_combine64(fingerprint, form->relowner);
		fingerprint = hash_combine64(fingerprint, form->relrowsecurity * 2 + form->relforcerowsecurity);
		if (!null)
			fingerprint = hash_combine64(fingerprint,
										 hash_bytes_extended((unsigned char *) DatumGetPointer(acl),
															 VARSIZE_ANY(DatumGetPointer(acl)), 0));
		ReleaseSysCache(tuple);
	}
	if (table->rd_rsdesc != NULL)
		foreach(cell, table->rd_rsdesc->policies)
		{
			RowSecurityPolicy *policy = lfirst(cell);
			char	   *text = psprintf("%c %d %s %s", policy->polcmd, policy->permissive,
										nodeToString(policy->qual), nodeToString(policy->with_check_qual));

			fingerprint = hash_combine64(fingerprint, hash_bytes_extended((unsigned char *) text, strlen(text), 0));
			fingerprint = hash_combine64(fingerprint,
										 hash_bytes_extended((unsigned char *) policy->roles,
															 VARSIZE_ANY(policy->roles), 0));
		}
	table_close(table, AccessShareLock);
	return fingerprint;
}
