/*
 * policy_test.c
 *	  Clauses made ready to judge rows.
 */
#include "postgres.h"

#include "executor/executor.h"
#include "nodes/execnodes.h"
#include "rewrite/rewriteManip.h"
#include "utils/memutils.h"

#include "access/policy_dependencies.h"
#include "access/policy_plan.h"
#include "access/policy_test.h"

struct PolicyTest
{
	MemoryContext context;		/* that it was made in */
	List	   *clauses;
	PolicyPlan *plan;			/* NULL: an expression */
	MemoryContext state_context;	/* holds expression */
	ExprState  *expression;		/* NULL: to be made */
};

/* One for all expressions: none runs inside another. */
static ExprContext *econtext;

/* Nothing is left of it if it raises. */
static void
make_expression(PolicyTest *test)
{
	MemoryContext context = AllocSetContextCreate(CurTransactionContext, "realtime policy expression", ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);

	test->expression = ExecInitQual(test->clauses, NULL);
	MemoryContextSwitchTo(previous);
	MemoryContextSetParent(context, test->context);
	test->state_context = context;
}

PolicyTest *
policy_test_make(Relation table, List *clauses)
{
	PolicyTest *test = palloc0(sizeof(PolicyTest));

	test->context = CurrentMemoryContext;
	test->clauses = clauses;
	if (checkExprHasSubLink((Node *) clauses))
	{
		test->plan = policy_plan_make(table, clauses);
		policy_depends_on(policy_plan_tables(test->plan), policy_plan_items(test->plan));
	}
	else
		make_expression(test);
	return test;
}

void
policy_test_lock(PolicyTest *test)
{
	if (test->plan != NULL)
		policy_plan_lock(test->plan);
}

static ExprContext *
shared_econtext(void)
{
	MemoryContext previous = MemoryContextSwitchTo(TopMemoryContext);

	econtext = CreateStandaloneExprContext();
	MemoryContextSwitchTo(previous);
	return econtext;
}

bool
policy_test_run(PolicyTest *test, TupleTableSlot *slot, ParamListInfo params)
{
	ExprContext *context = econtext != NULL ? econtext : shared_econtext();
	bool		allowed;

	if (test->plan != NULL)
		return policy_plan_run(test->plan, slot);
	if (test->state_context == NULL)
		make_expression(test);
	ResetExprContext(context);
	context->ecxt_scantuple = slot;
	context->ecxt_param_list_info = params;
	/* No clause is left: NULL, which is true. */
	allowed = ExecQual(test->expression, context);
	context->ecxt_scantuple = NULL;
	context->ecxt_param_list_info = NULL;
	return allowed;
}

void
policy_test_forget_run(void)
{
	if (econtext != NULL)
		FreeExprContext(econtext, false);
	econtext = NULL;
}

void
policy_test_reset(PolicyTest *test)
{
	policy_test_forget_run();
	if (test->state_context != NULL)
		MemoryContextDelete(test->state_context);
	test->state_context = NULL;
	test->expression = NULL;
}

bool
policy_test_is_plan(const PolicyTest *test)
{
	return test->plan != NULL;
}
