/*
 * policy_plan.h
 *	  Conditions with sub-selects as a plan: one row in as parameters, one boolean out. Used by
 *	  policy_test.c only.
 */
#ifndef REALTIME_POLICY_PLAN_H
#define REALTIME_POLICY_PLAN_H

#include "executor/tuptable.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

typedef struct PolicyPlan PolicyPlan;

/*
 * Plan conditions that were rewritten and refer to a row of the table as range table entry 1, for
 * the current user; in the current memory context.
 */
extern PolicyPlan *policy_plan_make(Relation table, List *conditions);

/* What it depends on: tables and views as OIDs, and entries of system caches as PlanInvalItem. */
extern List *policy_plan_tables(PolicyPlan *plan);
extern List *policy_plan_items(PolicyPlan *plan);

/* Take the locks that running it needs. Processes invalidations. */
extern void policy_plan_lock(PolicyPlan *plan);

/*
 * Are all conditions true of the row? Privileges on the tables of sub-selects are checked for the
 * current user. The active snapshot is the caller's own, pushed and registered by nobody else: its command is set.
 */
extern bool policy_plan_run(PolicyPlan *plan, TupleTableSlot *slot);

#endif							/* REALTIME_POLICY_PLAN_H */
