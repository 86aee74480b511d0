/*
 * start.c
 *	  How the message decoder comes to a slot and a place in the WAL to start from.
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
#include "pgstat.h"
#include "replication/slot.h"
#include "replication/snapbuild.h"
#include "storage/latch.h"
#include "storage/procarray.h"
#include "storage/spin.h"
#include "storage/standbydefs.h"
#include "utils/memutils.h"
#include "utils/wait_event.h"

#include "shared/bus.h"
#include "shared/compat.h"
#include "shared/registry.h"
#include "shared/replication.h"
#include "shared/worker.h"
#include "wal/messages.h"
#include "wal/reader.h"
#include "wal/slot.h"
#include "wal/start.h"
#include "wal/wal_shared.h"

/* Milliseconds between two looks whether a transaction has ended, or WAL that was promised has been flushed. */
#define LOOK_FOR_END	50
#define LOOK_FOR_WAL	10

static LogicalDecodingContext *starting;
static bool starting_is_fresh;
static bool too_much_wal;
static bool gap_announced;
static TransactionId next_phase_at;

const char *
start_slot_name(void)
{
	static char name[NAMEDATALEN];

	snprintf(name, sizeof(name), "realtime_messages_%d", MyProcPid);
	return name;
}

void
start_announce_gap(XLogRecPtr position)
{
	bool		delivered = bus_progress().done != InvalidXLogRecPtr;

	messages_gap(position, delivered && !gap_announced ?
				 "Messages from the database may have been lost: delivery was interrupted" : NULL);
	gap_announced = true;
}

/* Has a decoder left a snapshot at this record, so that the server takes that and does not wait? */
static bool
has_saved_snapshot(XLogRecPtr lsn)
{
	char		path[MAXPGPATH];
	struct stat status;

	snprintf(path, sizeof(path), "pg_logical/snapshots/%X-%X.snap", LSN_FORMAT_ARGS(lsn));
	return stat(path, &status) == 0;
}

/* The slot is not needed yet, so it need not keep WAL: see create_slot. */
static bool
keeps_too_much(void)
{
	return wal_shared_retained() > wal_shared_bound() / 2 || wal_shared_is_given_up(reader_position());
}

static void
wait_for_transaction(TransactionId xid)
{
	if (!TransactionIdIsInProgress(xid))
		return;
	if (starting_is_fresh)
		start_announce_gap(InvalidXLogRecPtr);
	wal_shared_set_waiting_for(xid);
	registry_wake(WORKER_LAUNCHER, 0);
	while (TransactionIdIsInProgress(xid) && !too_much_wal)
	{
		worker_nap(LOOK_FOR_END);
		too_much_wal = starting_is_fresh && keeps_too_much();
	}
	wal_shared_set_waiting_for(InvalidTransactionId);
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
				wal_shared_set_reading(reader_position(), InvalidTransactionId);
				worker_nap(LOOK_FOR_WAL);
				too_much_wal = is_fresh && keeps_too_much();
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
create_slot(void)
{
	const char *name = start_slot_name();
	bool		ready = false;

	while (!ready)
	{
		LogicalDecodingContext *context;

		MemoryContextSwitchTo(TopMemoryContext);
		create_temporary_slot(name);
		wal_shared_set_slot(name, InvalidXLogRecPtr);
		context = CreateInitDecodingContext(OUTPUT_PLUGIN_NAME, NIL, false, InvalidXLogRecPtr, reader_routine(),
											NULL, NULL, NULL);
		wal_shared_give_up(InvalidXLogRecPtr);
		wal_shared_set_slot(name, context->slot->data.restart_lsn);
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

/* Can the anchor be copied? Not if what it stands for has been given up. */
static bool
anchor_is_usable(void)
{
	SlotPoint	anchor;
	WalInfo		info;
	WorkerInfo	launcher;

	wal_shared_get(&info);
	return slot_look(ANCHOR_SLOT_NAME, &anchor) && registry_get(WORKER_LAUNCHER, 0, &launcher) &&
		anchor.owner == launcher.pid && anchor.confirmed != InvalidXLogRecPtr && anchor.restart > info.given_up;
}

static bool
copy_anchor(void)
{
	const char *name = start_slot_name();

	if (!anchor_is_usable() || !slot_copy(ANCHOR_SLOT_NAME, name))
		return false;
	acquire_slot(name);
	wal_shared_set_slot(name, MyReplicationSlot->data.restart_lsn);
	return true;
}

/*
 * A copied slot leads to a saved snapshot, or is so young that the way to its starting point is read again.
 * Should the snapshot be missing, the way to the starting point may lead past transactions that should have
 * been delivered.
 */
Start
start_decoding(void)
{
	Start		start;
	IncompleteXacts none = {0};

	gap_announced = false;
	messages_begin();
	start.is_fresh = !copy_anchor();
	if (start.is_fresh)
	{
		wal_shared_set_incomplete(&none);
		if (replication_get(NULL) != REPLICATION_STARTING)
			replication_set(REPLICATION_STARTING, NULL);
		create_slot();
	}
	MemoryContextSwitchTo(TopMemoryContext);
	start.confirmed = MyReplicationSlot->data.confirmed_flush;
	start.context = CreateDecodingContext(InvalidXLogRecPtr, NIL, false, reader_routine(), NULL, NULL, NULL);
	if (!read_until_ready(start.context, false))
		elog(ERROR, "no starting point for the message decoder");
	if (reader_position() > start.confirmed)
	{
		start.is_fresh = true;
		start.confirmed = reader_position();
	}
	return start;
}
