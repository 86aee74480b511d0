/*
 * policy_conditions.h
 *	  What row level security asks of a row, as PostgreSQL's own rewriter puts it. Used by policy.c
 *	  and claims_policy.c.
 */
#ifndef REALTIME_POLICY_CONDITIONS_H
#define REALTIME_POLICY_CONDITIONS_H

#include "nodes/nodes.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/*
 * The conditions that the rewriter adds to a SELECT from, or an INSERT into, this table for the
 * current user: all must be true. They refer to the row as range table entry 1; sub-selects in them
 * are rewritten, have their own row level security, and their tables are locked. NIL: none apply.
 * Raises what the rewriter raises, infinite recursion for one. In the current memory context.
 */
extern List *policy_conditions(Relation table, CmdType command);

/*
 * Plan a SELECT from this table for the current user, and throw the plan away. The planner
 * estimates with the values of what doesn't depend on the row, so it raises when one of them can't
 * be had, whether or not a row would have asked for it: claims that are no UUID, for one.
 */
extern void policy_try_planning(Relation table);

#endif							/* REALTIME_POLICY_CONDITIONS_H */
