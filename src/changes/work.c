/*
 * work.c
 *	  The transaction in which the changes worker judges.
 */
#include "postgres.h"

#include "access/xact.h"
#include "commands/prepare.h"
#include "miscadmin.h"
#include "storage/lock.h"
#include "utils/snapmgr.h"

#include "changes/work.h"

static bool on;

bool
work_is_on(void)
{
	return on;
}

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
