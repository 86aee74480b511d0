/*
 * policy.h
 *	  Row level security of one table for one role and command, judged on a row that is in no table.
 *
 * Policies without sub-selects become one prepared expression, those with sub-selects a plan over the row as
 * parameters. Both are kept until something that they depend on changes. Authorizers (and later the changes worker) only; inside a
 * transaction with an active snapshot.
 */
#ifndef REALTIME_POLICY_H
#define REALTIME_POLICY_H

#include "executor/tuptable.h"
#include "nodes/nodes.h"
#include "nodes/pg_list.h"

/* Once per process, before the first judgement: memory, and the callbacks that tell of changes. */
extern void policy_init(void);

/*
 * May the role, which must have been taken on (role_become), see (CMD_SELECT) or insert (CMD_INSERT) this row of the table?
 * The slot has the table's descriptor; columns are the attribute numbers that the command names, for column
 * privileges. A table or schema privilege that is missing is a plain no. Raises whatever the policies raise; nothing is
 * kept of a judgement that raised, if the caller then calls policy_forget_all.
 */
extern bool policy_judge(Oid table, Oid role, CmdType command, List *columns, TupleTableSlot *slot);

/* Drop what is kept for all tables and roles: after an error, when half-run state may be in it. */
extern void policy_forget_all(void);

#endif							/* REALTIME_POLICY_H */
