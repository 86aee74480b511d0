/*
 * policy_clauses.h
 *	  The conditions of a table's policies as PostgreSQL's planner would have them evaluated. Used
 *	  by policy.c and claims_policy.c.
 */
#ifndef REALTIME_POLICY_CLAUSES_H
#define REALTIME_POLICY_CLAUSES_H

#include "nodes/parsenodes.h"

/*
 * What policy_conditions gave: simplified, SQL functions inlined for the current user, split where
 * AND joins them, and for CMD_SELECT in the order in which a scan of the table by its primary key
 * would evaluate them. So an error that a clause raises comes up, or is spared by another clause,
 * as in a query. Notes what it depends on. In the current memory context.
 */
extern List *policy_clauses(List *conditions, CmdType command);

/* SELECT expression, and nothing else. */
extern bool policy_is_expression(Query *query);

#endif							/* REALTIME_POLICY_CLAUSES_H */
