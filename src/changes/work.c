/*
 * work.c
 *	  The transaction in which the changes worker judges.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/prepare.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"

#include "changes/work.h"
#include "shared/settings.h"

static bool on;
static bool timed;				/* the clock is running */

void
work_begin(void)
{
	MemoryContext context = CurrentMemoryContext;

	if (on)
		return;
	on = true;
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	MemoryContextSwitchTo(context);
}

void
work_look_again(void)
{
	PopActiveSnapshot();
	PushActiveSnapshot(GetTransactionSnapshot());
}

/* A policy may have taken advisory locks or prepared statements, which outlive a rolled-back transaction. */
void
work_end(void)
{
	MemoryContext context = CurrentMemoryContext;

	if (!on)
		return;
	AbortCurrentTransaction();
	LockReleaseAll(USER_LOCKMETHOD, true);
	DropAllPreparedStatements();
	on = false;
	MemoryContextSwitchTo(context);
}

void
work_start_clock(void)
{
	if (timed)
		return;
	timed = true;
	enable_timeout_after(STATEMENT_TIMEOUT, realtime_policy_timeout);
}

/* The timeout may have fired just before it was turned off: that must not cancel what comes next. */
void
work_stop_clock(void)
{
	if (!timed)
		return;
	disable_timeout(STATEMENT_TIMEOUT, false);
	disable_timeout(LOCK_TIMEOUT, false);
	QueryCancelPending = false;
	timed = false;
}

void
work_limit_locks(int ms)
{
	LockTimeout = ms;
}

ErrorData *
work_caught(MemoryContext context)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	work_stop_clock();
	work_end();
	work_limit_locks(0);
	return error;
}
