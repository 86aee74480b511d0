/*
 * claims_policy.c
 *	  Row level security of a table on a committed row version, for a role with the claims of a token.
 *
 * Conditions are prepared once per table and role. What in them depends on nothing but the claims
 * is taken out as parameters (claims_fold.h), so that a user is no more than their values, and all
 * users of a role share one expression. A user for whom one of these parts raises shares the
 * expression as it was, which is evaluated with his claims set.
 */
#include "postgres.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "common/hashfn.h"
#include "nodes/nodeFuncs.h"
#include "nodes/primnodes.h"
#include "nodes/parsenodes.h"
#include "rewrite/rewriteManip.h"
#include "utils/guc.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "access/claims_fold.h"
#include "access/claims_policy.h"
#include "access/policy_clauses.h"
#include "access/policy_conditions.h"
#include "access/policy_dependencies.h"
#include "access/policy_test.h"
#include "access/privileges.h"
#include "access/role.h"
#include "shared/settings.h"

/* How often a policy is made anew because it was invalidated while its locks were taken. */
#define MAX_ATTEMPTS	10

/* For all users of a role. In a memory context of its own. */
typedef struct RolePolicy
{
	bool		permitted;		/* a column may be read */
	bool		open;			/* no row level security */
	Bitmapset  *columns;
	List	   *clauses;
	List	   *parts;			/* of the clauses, that depend on the claims */
	List	   *tested;			/* the clauses with parameters for these parts */
	PolicyTest *test;			/* of that */
	ClaimsNeeds needs;			/* likewise */
	PolicyTest *whole;			/* of the clauses as they are; NULL: not made yet */
} RolePolicy;

typedef struct RoleKey
{
	Oid			table;
	Oid			role;
} RoleKey;

typedef struct RoleEntry
{
	RoleKey		key;
	RolePolicy *policy;
} RoleEntry;

/* What is kept of a user. */
typedef struct UserEntry
{
	uint32		number;
	char	   *claims;
	ClaimsPolicy *policies;		/* linked by next_of_user */
} UserEntry;

typedef enum Verdict
{
	VERDICT_TESTED,				/* depends on the row */
	VERDICT_ALWAYS,
	VERDICT_NEVER
} Verdict;

struct ClaimsPolicy
{
	Oid			table;
	Oid			role;
	const RolePolicy *shared;
	Verdict		verdict;
	bool		settings;		/* the claims have to be set */
	bool		limit;
	PolicyTest *test;
	ParamListInfo values;		/* of the parts; NULL: there are none */
	const char *claims;			/* of the user */
	uint32		user;
	ClaimsPolicy *next_of_user;
};

typedef struct PolicyKey
{
	Oid			table;
	uint32		user;
} PolicyKey;

typedef struct PolicyEntry
{
	PolicyKey	key;
	ClaimsPolicy *policy;
} PolicyEntry;

/*
 * Everything of one generation lives in kept; what is out of date may be in use until the end of
 * the transaction, in dropped.
 */
static MemoryContext kept;
static MemoryContext dropped;
static uint64 generation;
static HTAB *role_policies;
static HTAB *users;
static HTAB *policies;

static HTAB *
make_table(const char *name, Size key, Size entry)
{
	HASHCTL		control = {.keysize = key,.entrysize = entry,.hcxt = kept};

	return hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
start_generation(void)
{
	generation = policy_dependencies_generation();
	if (kept != NULL)
		MemoryContextSetParent(kept, dropped);
	kept = AllocSetContextCreate(TopMemoryContext, "realtime claims policies", ALLOCSET_DEFAULT_SIZES);
	role_policies = make_table("realtime policies of roles", sizeof(RoleKey), sizeof(RoleEntry));
	users = make_table("realtime users", sizeof(uint32), sizeof(UserEntry));
	policies = make_table("realtime policies of users", sizeof(PolicyKey), sizeof(PolicyEntry));
}

static void
transaction_ended(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		MemoryContextDeleteChildren(dropped);
}

void
claims_policy_init(void)
{
	policy_dependencies_init();
	dropped = AllocSetContextCreate(TopMemoryContext, "realtime dropped policies", ALLOCSET_SMALL_SIZES);
	start_generation();
	RegisterXactCallback(transaction_ended, NULL);
}

/*
 * These two settings are all that the reference sets; of them the role is taken on instead.
 * Everything that is set from here on goes with end_settings, or with the subtransaction.
 */
static int
begin_settings(const char *claims)
{
	int			level = NewGUCNestLevel();

	(void) set_config_option("request.jwt.claims", claims, PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	return level;
}

static void
end_settings(int level)
{
	AtEOXact_GUC(false, level);
}

/* Collects the columns of range table entry 1; depth says how deep in sub-selects we are. */
typedef struct ColumnsContext
{
	Bitmapset  *columns;
	int			depth;
} ColumnsContext;

static bool
collect_columns(Node *node, void *arg)
{
	ColumnsContext *context = arg;

	if (node == NULL)
		return false;
	if (IsA(node, Var))
	{
		Var		   *var = (Var *) node;

		if (var->varno == 1 && var->varlevelsup == context->depth)
			context->columns = bms_add_member(context->columns, var->varattno - FirstLowInvalidHeapAttributeNumber);
		return false;
	}
	if (IsA(node, Query))
	{
		context->depth++;
		(void) query_tree_walker((Query *) node, collect_columns, arg, 0);
		context->depth--;
		return false;
	}
	return expression_tree_walker(node, collect_columns, arg);
}

/* A reference to the whole row is one to each column. */
static Bitmapset *
columns_of(Relation table, List *clauses)
{
	ColumnsContext context = {NULL, 0};
	TupleDesc	desc = RelationGetDescr(table);

	(void) collect_columns((Node *) clauses, &context);
	if (bms_is_member(InvalidAttrNumber - FirstLowInvalidHeapAttributeNumber, context.columns))
		for (int i = 0; i < desc->natts; i++)
			if (!TupleDescAttr(desc, i)->attisdropped)
				context.columns = bms_add_member(context.columns, i + 1 - FirstLowInvalidHeapAttributeNumber);
	return context.columns;
}

/*
 * A plan evaluates its sub-selects as PostgreSQL does; only without one is it worth while to look
 * for what the claims decide.
 */
static void
prepare(RolePolicy *policy, Relation table, List *clauses)
{
	List	   *unwrapped = claims_unwrap(clauses);

	policy->columns = columns_of(table, clauses);
	if (checkExprHasSubLink((Node *) unwrapped))
	{
		policy->clauses = policy->tested = clauses;
		policy->test = policy->whole = policy_test_make(table, clauses);
		policy->needs = (ClaimsNeeds) {true, true};
		return;
	}
	policy->clauses = unwrapped;
	policy->tested = claims_separate(unwrapped, &policy->parts);
	policy->needs = claims_needs(policy->tested);
	policy->test = policy_test_make(table, policy->tested);
	if (policy->parts == NIL)
		policy->whole = policy->test;
}

/*
 * As the role, with the claims of one of its users set, which planning may look at. Nothing is
 * kept if it raises.
 */
static RolePolicy *
make_role_policy(Relation table, Oid role)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "realtime policy", ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	RolePolicy *policy = palloc0(sizeof(RolePolicy));
	List	   *conditions;

	policy_depends_on_table(RelationGetRelid(table));
	policy->permitted = permitted_columns(table, role, ACL_SELECT) != NULL;
	if (policy->permitted)
	{
		conditions = policy_conditions(table, CMD_SELECT);
		policy->open = conditions == NIL;
		if (!policy->open)
			prepare(policy, table, policy_clauses(conditions, CMD_SELECT));
	}
	MemoryContextSwitchTo(previous);
	MemoryContextSetParent(context, kept);
	return policy;
}

static RolePolicy *
get_role_policy(Relation table, Oid role)
{
	RoleKey		key = {RelationGetRelid(table), role};
	RoleEntry  *entry = hash_search(role_policies, &key, HASH_FIND, NULL);
	RolePolicy *policy;

	if (entry != NULL)
		return entry->policy;
	policy = make_role_policy(table, role);
	entry = hash_search(role_policies, &key, HASH_ENTER, NULL);
	entry->policy = policy;
	return policy;
}

/* The expression with nothing taken out. As the role. Nothing is kept if it raises. */
static PolicyTest *
whole_test(RolePolicy *shared, Relation table)
{
	MemoryContext context;
	MemoryContext previous;

	if (shared->whole != NULL)
		return shared->whole;
	context = AllocSetContextCreate(CurrentMemoryContext, "realtime policy", ALLOCSET_SMALL_SIZES);
	previous = MemoryContextSwitchTo(context);
	shared->whole = policy_test_make(table, shared->clauses);
	MemoryContextSwitchTo(previous);
	MemoryContextSetParent(context, GetMemoryChunkContext(shared));
	return shared->whole;
}

/* What the clauses say that come before any that has to look at the row. */
static Verdict
verdict_of(List *clauses, ParamListInfo values)
{
	ListCell   *cell;

	foreach(cell, clauses)
	{
		Node	   *clause = lfirst(cell);
		bool		holds;

		if (IsA(clause, Const))
			holds = !((Const *) clause)->constisnull && DatumGetBool(((Const *) clause)->constvalue);
		else if (IsA(clause, Param) && values != NULL)
		{
			ParamExternData *value = &values->params[((Param *) clause)->paramid - 1];

			holds = !value->isnull && DatumGetBool(value->value);
		}
		else
			return VERDICT_TESTED;
		if (!holds)
			return VERDICT_NEVER;
	}
	return VERDICT_ALWAYS;
}

/*
 * As the role, with the claims set. Where all that the planner could ask for has a value there is
 * no need to ask it.
 */
static void
specialise(ClaimsPolicy *policy, RolePolicy *shared, Relation table)
{
	bool		folded;

	if (shared->needs.settings)
		policy_try_planning(table);
	if (shared->parts != NIL)
		policy->values = claims_evaluate(shared->parts, kept);
	folded = shared->parts == NIL || policy->values != NULL;
	if (!folded && !shared->needs.settings)
		policy_try_planning(table);
	policy->test = folded ? shared->test : whole_test(shared, table);
	/* A plan has privileges to check, whatever its clauses say. */
	if (folded && !policy_test_is_plan(policy->test))
		policy->verdict = verdict_of(shared->tested, policy->values);
	policy->settings = policy->verdict == VERDICT_TESTED && (!folded || shared->needs.settings);
	policy->limit = policy->verdict == VERDICT_TESTED && (!folded || shared->needs.limit);
}

static UserEntry *
get_user(const ClaimsUser *user)
{
	UserEntry  *entry = hash_search(users, &user->number, HASH_FIND, NULL);
	char	   *claims;

	if (entry != NULL)
		return entry;
	claims = MemoryContextStrdup(kept, user->claims);
	entry = hash_search(users, &user->number, HASH_ENTER, NULL);
	entry->claims = claims;
	entry->policies = NULL;
	return entry;
}

/* Nothing is kept if it raises, except for what all users of the role share. */
static ClaimsPolicy *
make_policy(Relation table, const ClaimsUser *user)
{
	PolicyKey	key = {RelationGetRelid(table), user->number};
	ClaimsPolicy made = {.table = key.table,.role = user->role,.user = user->number};
	ClaimsPolicy *policy;
	RolePolicy *shared;
	UserEntry  *owner;
	PolicyEntry *entry;
	RoleSaved	saved;
	int			level;

	role_become(user->role, &saved);
	level = begin_settings(user->claims);
	shared = get_role_policy(table, user->role);
	if (!shared->permitted || shared->open)
		made.verdict = shared->open ? VERDICT_ALWAYS : VERDICT_NEVER;
	else
		specialise(&made, shared, table);
	end_settings(level);
	role_return(&saved);
	made.shared = shared;
	owner = get_user(user);
	made.claims = owner->claims;
	made.next_of_user = owner->policies;
	policy = MemoryContextAlloc(kept, sizeof(ClaimsPolicy));
	*policy = made;
	entry = hash_search(policies, &key, HASH_ENTER, NULL);
	entry->policy = policy;
	owner->policies = policy;
	return policy;
}

/*
 * Taking the locks of a plan processes invalidations, which may say that it is out of date: it is
 * then made again. The loop ends because each round needs another change that commits right then.
 */
ClaimsPolicy *
claims_policy_get(Relation table, const ClaimsUser *user)
{
	PolicyKey	key = {RelationGetRelid(table), user->number};

	for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++)
	{
		PolicyEntry *entry;
		ClaimsPolicy *policy;

		if (generation != policy_dependencies_generation())
			start_generation();
		entry = hash_search(policies, &key, HASH_FIND, NULL);
		policy = entry != NULL ? entry->policy : make_policy(table, user);
		if (policy->test != NULL)
			policy_test_lock(policy->test);
		if (!policy_dependencies_stale())
			return policy;
	}
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("the policies of table \"%s\" changed again and again while they were prepared",
					RelationGetRelationName(table))));
}

bool
claims_policy_is_open(const ClaimsPolicy *policy)
{
	return policy->shared->open;
}

bool
claims_policy_is_plain(const ClaimsPolicy *policy)
{
	return !policy->limit;
}

const Bitmapset *
claims_policy_columns(const ClaimsPolicy *policy)
{
	return policy->shared->columns;
}

bool
claims_policy_judge(ClaimsPolicy *policy, TupleTableSlot *slot)
{
	RoleSaved	saved;
	bool		allowed;
	int			level;

	if (policy->verdict != VERDICT_TESTED)
		return policy->verdict == VERDICT_ALWAYS;
	role_become(policy->role, &saved);
	level = policy->settings ? begin_settings(policy->claims) : 0;
	allowed = policy_test_run(policy->test, slot, policy->values);
	if (policy->settings)
		end_settings(level);
	role_return(&saved);
	return allowed;
}

static void
free_policy(ClaimsPolicy *policy)
{
	PolicyKey	key = {policy->table, policy->user};

	hash_search(policies, &key, HASH_REMOVE, NULL);
	if (policy->values != NULL)
		claims_free(policy->values);
	pfree(policy);
}

/* Take a policy out of its user's list. */
static void
unlink_policy(ClaimsPolicy *policy)
{
	UserEntry  *owner = hash_search(users, &policy->user, HASH_FIND, NULL);
	ClaimsPolicy **link = &owner->policies;

	while (*link != policy)
		link = &(*link)->next_of_user;
	*link = policy->next_of_user;
}

void
claims_policy_forget(Oid table, uint32 user)
{
	PolicyKey	key = {table, user};
	PolicyEntry *entry = hash_search(policies, &key, HASH_FIND, NULL);
	ClaimsPolicy *policy;

	policy_test_forget_run();
	if (entry == NULL)
		return;
	policy = entry->policy;
	if (policy->test != NULL)
		policy_test_reset(policy->test);
	unlink_policy(policy);
	free_policy(policy);
}

void
claims_policy_forget_user(uint32 user)
{
	UserEntry  *owner = hash_search(users, &user, HASH_FIND, NULL);
	ClaimsPolicy *next;

	if (owner == NULL)
		return;
	for (ClaimsPolicy *policy = owner->policies; policy != NULL; policy = next)
	{
		next = policy->next_of_user;
		free_policy(policy);
	}
	pfree(owner->claims);
	hash_search(users, &user, HASH_REMOVE, NULL);
}

Bitmapset *
readable_columns(Relation table, Oid role)
{
	return permitted_columns(table, role, ACL_SELECT);
}

/* The setting has no callback here: its text is compared. */
uint64
role_generation(void)
{
	static uint64 roles_seen;
	static uint64 allowed_seen;
	static uint64 role_generations;
	uint64		allowed = hash_bytes_extended((const unsigned char *) realtime_allowed_roles,
											  strlen(realtime_allowed_roles), 0);

	if (roles_seen != policy_dependencies_roles() || allowed_seen != allowed)
		role_generations++;
	roles_seen = policy_dependencies_roles();
	allowed_seen = allowed;
	return role_generations;
}
