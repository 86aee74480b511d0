/*
 * policy_conditions.h
 *	  What row level security asks of a row, as PostgreSQL's own rewriter puts it. Used by policy.c only.
 */
#ifndef REALTIME_POLICY_CONDITIONS_H
#define REALTIME_POLICY_CONDITIONS_H

#include "nodes/nodes.h"
#include "nodes/pg_list.h"
#include "utils/relcache.h"

/*
 * The conditions that the rewriter adds to a SELECT from, or an INSERT into, this table for the current user: all must be
 * true. They refer to the row as range table entry 1; sub-selects in them are rewritten, have their own row level security, and
 * their tables are locked. NIL: none apply. *sublinks: there are sub-selects. Raises what the rewriter raises, infinite recursion for one. In the
 * current memory context.
 */
extern List *policy_conditions(Relation table, CmdType command, bool *sublinks);

#endif							/* REALTIME_POLICY_CONDITIONS_H */
