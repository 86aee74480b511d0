/*
 * policy_watch.h
 *	  Have the policies of a table, or what they depend on, changed? Authorizers only.
 */
#ifndef REALTIME_POLICY_WATCH_H
#define REALTIME_POLICY_WATCH_H

/*
 * Once per process. Functions, roles, memberships, schemas and realtime.allowed_roles are watched by one process only (all), which has to
 * look often: one that has slept would tell of changes that everybody has forgotten.
 */
extern void policy_watch_init(bool all);

/*
 * May verdicts on the rows of this table have changed because of DDL, since an authorizer has last looked? Its policies, owner and
 * privileges, those of the tables and views in their sub-selects, any function, role, membership or schema, and realtime.allowed_roles
 * count; the contents of tables don't. Inside a transaction that has just begun; does not wait for locks. May throw.
 */
extern bool policy_watch(Oid table);

/*
 * Has this process heard of a change since its last look, so that what was judged meanwhile may be older or newer than that? Not said
 * while a relation can't be looked at: then policy_watch says so, once it can.
 */
extern bool policy_watch_moved(void);

#endif							/* REALTIME_POLICY_WATCH_H */
