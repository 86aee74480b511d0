/*
 * policy_dependencies.h
 *	  What prepared policies depend on, and whether it has changed. Authorizers and the changes worker only.
 *
 * All that is prepared in a process shares one set of dependencies and one generation: when
 * anything in the set changes, everything that was prepared before is out of date.
 */
#ifndef REALTIME_POLICY_DEPENDENCIES_H
#define REALTIME_POLICY_DEPENDENCIES_H

#include "nodes/pg_list.h"

/* Registers the callbacks that tell of changes. May be called again. */
extern void policy_dependencies_init(void);

/*
 * The generation of what may be prepared now. What was prepared in another one has to be dropped by
 * its owner. Ends the present generation if something has changed.
 */
extern uint64 policy_dependencies_generation(void);

/* Has something changed since policy_dependencies_generation was last called? */
extern bool policy_dependencies_stale(void);

/*
 * What is being prepared depends on this table; on these tables, and on these entries of system
 * caches (PlanInvalItem). Functions, roles, memberships and schemas need not be named: any change
 * of them counts.
 */
extern void policy_depends_on_table(Oid table);
extern void policy_depends_on(List *tables, List *items);

/* Counts changes to roles, memberships and schemas. */
extern uint64 policy_dependencies_roles(void);

#endif							/* REALTIME_POLICY_DEPENDENCIES_H */
