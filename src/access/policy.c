/*
 * policy.c
 *	  Row level security of one table for one role and command.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "access/policy.h"
#include "access/policy_clauses.h"
#include "access/policy_conditions.h"
#include "access/policy_dependencies.h"
#include "access/policy_test.h"
#include "access/privileges.h"

/* How often a check is made anew because it was invalidated while its locks were taken. */
#define MAX_ATTEMPTS	10

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
	PolicyTest *test;			/* what row level security asks; NULL if nothing, or if it is not permitted anyway */
} Check;

static MemoryContext policy_context;	/* lives as long as the process */
static HTAB *checks;
static uint64 generation;		/* that all checks were made in */

void
policy_init(void)
{
	HASHCTL		control = {0};

	policy_context = AllocSetContextCreate(TopMemoryContext, "realtime policies", ALLOCSET_DEFAULT_SIZES);
	control.keysize = sizeof(CheckKey);
	control.entrysize = sizeof(Check);
	control.hcxt = policy_context;
	checks = hash_create("realtime policy checks", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	policy_dependencies_init();
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
	policy_test_forget_run();
}

/* What the executor checks before it touches a row: the schema, and the table or each column that the command names. */
static bool
privileges_suffice(Relation table, Oid role, CmdType command, List *columns)
{
	Bitmapset  *permitted = permitted_columns(table, role, command == CMD_SELECT ? ACL_SELECT : ACL_INSERT);
	ListCell   *cell;

	foreach(cell, columns)
		if (!bms_is_member(lfirst_int(cell) - FirstLowInvalidHeapAttributeNumber, permitted))
			return false;
	return permitted != NULL;
}

static void
make_check(Check *check, Relation table, List *columns)
{
	MemoryContext previous;
	List	   *conditions;

	policy_depends_on_table(check->key.table);
	check->context = AllocSetContextCreate(policy_context, "realtime policy check", ALLOCSET_SMALL_SIZES);
	previous = MemoryContextSwitchTo(check->context);
	check->permitted = privileges_suffice(table, check->key.role, check->key.command, columns);
	conditions = policy_conditions(table, check->key.command);
	if (check->permitted && conditions != NIL)
		check->test = policy_test_make(table, policy_clauses(conditions, check->key.command));
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
		if (generation != policy_dependencies_generation())
			policy_forget_all();
		generation = policy_dependencies_generation();
		check = get_check(table, role, command, columns);
		if (check->test != NULL)
			policy_test_lock(check->test);
		if (!policy_dependencies_stale())
			break;
		check = NULL;
	}
	if (check == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("the policies of table \"%s\" changed again and again while they were prepared",
						RelationGetRelationName(table))));
	allowed = check->test != NULL ? policy_test_run(check->test, slot, NULL) : check->permitted;
	table_close(table, AccessShareLock);
	return allowed;
}
