/*
 * start.c
 *	  How a decoder comes to a slot and a place in the WAL to start from.
 *
 * The server builds a snapshot of the catalogs from records of running transactions, and on the way blocks
 * until those have ended. We wait for them ourselves before it sees such a record, so that we can say what we
 * wait for, leave when we are told to, and move the slot on when it begins to keep too much WAL.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/transam.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "replication/snapbuild.h"
#include "storage/procarray.h"
#include "storage/spin.h"
#include "storage/standbydefs.h"
#include "utils/memutils.h"

#include "shared/compat.h"
#include "shared/worker.h"
#include "wal/reader.h"
#include "wal/slot.h"
#include "wal/start.h"

/* Milliseconds between two looks whether a transaction has ended, or WAL that was promised has been flushed. */
#define LOOK_FOR_END	50
#define LOOK_FOR_WAL	10

static const StartObserver *observer;
static LogicalDecodingContext *starting;
static bool starting_is_fresh;
static bool too_much_wal;
static TransactionId next_phase_at;

/* Has a decoder left a snapshot at this record, so that the server takes that and does not wait? */
static bool
has_saved_snapshot(XLogRecPtr lsn)
{
	char		path[MAXPGPATH];
	struct stat status;

	snprintf(path, sizeof(path), "pg_logical/snapshots/%X-%X.snap", LSN_FORMAT_ARGS(lsn));
	return stat(path, &status) == 0;
}

static void
wait_for_transaction(TransactionId xid)
{
	if (!TransactionIdIsInProgress(xid))
		return;
	observer->waits_for(xid, starting_is_fresh);
	while (TransactionIdIsInProgress(xid) && !too_much_wal)
	{
		worker_nap(LOOK_FOR_END);
		too_much_wal = starting_is_fresh && observer->keeps_too_much();
	}
	observer->waits_for(InvalidTransactionId, starting_is_fresh);
}

/*
 * The server is about to look at a record of running transactions: wait for those that it would wait for. It
 * does so on its way from one state to the next, and from the second state only if those of the first have
 * ended.
 */
static void
before_running_xacts(XLogReaderState *record)
{
	xl_running_xacts *running = (xl_running_xacts *) XLogRecGetData(record);
	SnapBuildState state = SnapBuildCurrentState(starting->snapshot_builder);
	bool		waits;

	if (running->oldestRunningXid == running->nextXid ||
		(!starting_is_fresh && has_saved_snapshot(record->ReadRecPtr)))
		return;
	waits = state == SNAPBUILD_START ||
		(state == SNAPBUILD_BUILDING_SNAPSHOT &&
		 TransactionIdPrecedesOrEquals(next_phase_at, running->oldestRunningXid));
	if (!waits)
		return;
	next_phase_at = running->nextXid;
	for (int i = 0; i < running->xcnt && !too_much_wal; i++)
		wait_for_transaction(running->xids[i]);
}

/* Read until the context can decode everything that comes; false if the slot keeps too much WAL meanwhile. */
static bool
read_until_ready(LogicalDecodingContext *context, bool is_fresh)
{
	starting = context;
	starting_is_fresh = is_fresh;
	too_much_wal = false;
	next_phase_at = InvalidTransactionId;
	reader_begin(context, context->slot->data.restart_lsn);
	reader_set_running_callback(before_running_xacts);
	while (!DecodingContextReady(context) && !too_much_wal)
	{
		CHECK_FOR_INTERRUPTS();
		switch (reader_next())
		{
			case READER_RECORD:
				break;
			case READER_NOTHING:
				observer->has_read(reader_position());
				worker_nap(LOOK_FOR_WAL);
				too_much_wal = is_fresh && observer->keeps_too_much();
				break;
			case READER_LOST:
				ereport(ERROR,
						(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						 errmsg("WAL at %X/%X has been removed", LSN_FORMAT_ARGS(reader_position()))));
		}
	}
	reader_set_running_callback(NULL);
	return DecodingContextReady(context);
}

/*
 * A slot of our own, from the present on. If it keeps too much WAL while we wait it is given up and made anew:
 * nothing was promised yet.
 */
static void
create_slot(const char *name)
{
	bool		ready = false;

	while (!ready)
	{
		LogicalDecodingContext *context;

		MemoryContextSwitchTo(TopMemoryContext);
		create_temporary_slot(name);
		observer->slot_made(name, InvalidXLogRecPtr);
		context = CreateInitDecodingContext(OUTPUT_PLUGIN_NAME, NIL, false, InvalidXLogRecPtr, reader_routine(),
											NULL, NULL, NULL);
		observer->slot_made(name, context->slot->data.restart_lsn);
		ready = read_until_ready(context, true);
		if (ready)
		{
			SpinLockAcquire(&MyReplicationSlot->mutex);
			MyReplicationSlot->data.confirmed_flush = reader_position();
			SpinLockRelease(&MyReplicationSlot->mutex);
		}
		FreeDecodingContext(context);
		if (!ready)
			slot_drop(name);
	}
}

/*
 * The slot leads to a saved snapshot, or is so young that the way to its starting point is read again.
 */
LogicalDecodingContext *
start_from_slot(const StartObserver *who)
{
	LogicalDecodingContext *context;

	observer = who;
	MemoryContextSwitchTo(TopMemoryContext);
	context = CreateDecodingContext(InvalidXLogRecPtr, NIL, false, reader_routine(), NULL, NULL, NULL);
	if (!read_until_ready(context, false))
		elog(ERROR, "no starting point for the decoder");
	return context;
}

void
start_create_slot(const char *name, const StartObserver *who)
{
	observer = who;
	create_slot(name);
}
