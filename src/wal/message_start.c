/*
 * message_start.c
 *	  How the message decoder comes to a slot: by copying the anchor, else by creating one.
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "replication/slot.h"

#include "shared/bus.h"
#include "shared/compat.h"
#include "shared/registry.h"
#include "shared/replication.h"
#include "wal/message_start.h"
#include "wal/messages.h"
#include "wal/reader.h"
#include "wal/slot.h"
#include "wal/start.h"
#include "wal/wal_shared.h"

static bool gap_foretold;

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

	messages_gap(position, delivered ? "Messages from the database may have been lost: delivery was interrupted" : NULL);
}

static void
slot_made(const char *name, XLogRecPtr reading)
{
	if (reading != InvalidXLogRecPtr)
		wal_shared_give_up(InvalidXLogRecPtr);
	wal_shared_set_slot(name, reading);
}

static void
waits_for(TransactionId xid, bool is_fresh)
{
	/* It may take long: tell at once that messages are missing. What is lost from here on is told when decoding begins. */
	if (TransactionIdIsValid(xid) && is_fresh && !gap_foretold)
	{
		start_announce_gap(InvalidXLogRecPtr);
		gap_foretold = true;
	}
	wal_shared_set_waiting_for(xid);
	if (TransactionIdIsValid(xid))
		registry_wake(WORKER_LAUNCHER, 0);
}

static void
has_read(XLogRecPtr position)
{
	wal_shared_set_reading(position, InvalidTransactionId);
}

/* The slot is not needed yet, so it need not keep WAL: see create_slot. */
static bool
keeps_too_much(void)
{
	return wal_shared_retained() > wal_shared_bound() / 2 || wal_shared_is_given_up(reader_position());
}

static const StartObserver observer = {
	.slot_made = slot_made,
	.waits_for = waits_for,
	.has_read = has_read,
	.keeps_too_much = keeps_too_much
};

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
 * Should the snapshot of a copied slot be missing, the way to the starting point may lead past transactions that should
 * have been delivered.
 */
Start
start_decoding(void)
{
	Start		start;
	IncompleteXacts none = {0};

	gap_foretold = false;
	messages_begin();
	start.is_fresh = !copy_anchor();
	if (start.is_fresh)
	{
		wal_shared_set_incomplete(&none);
		if (replication_get(NULL) != REPLICATION_STARTING)
			replication_set(REPLICATION_STARTING, NULL);
		start_create_slot(start_slot_name(), &observer);
	}
	start.confirmed = MyReplicationSlot->data.confirmed_flush;
	start.context = start_from_slot(&observer);
	if (reader_position() > start.confirmed)
	{
		start.is_fresh = true;
		start.confirmed = reader_position();
	}
	return start;
}
