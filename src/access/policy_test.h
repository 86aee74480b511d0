/*
 * policy_test.h
 *	  Clauses made ready to judge rows: an expression, or a plan if there are sub-selects. Used by
 *	  policy.c and claims_policy.c.
 */
#ifndef REALTIME_POLICY_TEST_H
#define REALTIME_POLICY_TEST_H

#include "executor/tuptable.h"
#include "nodes/params.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

typedef struct PolicyTest PolicyTest;

/*
 * For clauses of policy_clauses, which must live as long as the test; in the current memory
 * context. EXECUTE on functions is checked here, for the current user. Notes what it depends on.
 */
extern PolicyTest *policy_test_make(Relation table, List *clauses);

/* Take the locks that running it needs. Processes invalidations: see policy_dependencies_stale. */
extern void policy_test_lock(PolicyTest *test);

/*
 * Are all clauses true of the row? Parameters are those of an expression, as external ones; a plan
 * has none. As the role that it was made for.
 */
extern bool policy_test_run(PolicyTest *test, TupleTableSlot *slot, ParamListInfo params);

/*
 * A run has raised: drop its half-run state, outside of what was aborted. The test stays; or the
 * owner drops it himself.
 */
extern void policy_test_reset(PolicyTest *test);
extern void policy_test_forget_run(void);

extern bool policy_test_is_plan(const PolicyTest *test);

#endif							/* REALTIME_POLICY_TEST_H */
