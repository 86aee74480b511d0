/*
 * anchor.c
 *	  The anchor, and the launcher's eye on the WAL that our slots make the server keep.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "shared/elapsed.h"
#include "shared/registry.h"
#include "wal/anchor.h"
#include "wal/slot.h"
#include "wal/wal_shared.h"

/* How often to look, in milliseconds, and how much WAL may be written meanwhile. */
#define LOOK_AGAIN		1000
#define LOOK_CLOSELY	10
#define WAL_PER_MS		(512 * 1024)

/* What may come often is logged once in so many milliseconds. */
#define LOG_INTERVAL	60000

/* After a failure to make the anchor the next try comes so many milliseconds later. */
#define NEXT_TRY		5000

static bool plugin_allowed;
static bool complained;
static TimestampTz tried_at;

static bool
anchor_exists(SlotPoint *anchor)
{
	return slot_look(ANCHOR_SLOT_NAME, anchor) && anchor->owner == MyProcPid;
}

static void
make(const WalInfo *info)
{
	SlotPoint	foreign;

	if (!elapsed(tried_at, GetCurrentTimestamp(), NEXT_TRY))
		return;
	tried_at = GetCurrentTimestamp();
	if (slot_look(ANCHOR_SLOT_NAME, &foreign))
	{
		if (!complained)
			ereport(WARNING,
					(errcode(ERRCODE_DUPLICATE_OBJECT),
					 errmsg("replication slot \"%s\" exists and is not ours", ANCHOR_SLOT_NAME),
					 errdetail("If the message decoder ends, messages may be lost."),
					 errhint("Drop that slot: select pg_drop_replication_slot('%s')", ANCHOR_SLOT_NAME)));
		complained = true;
		return;
	}
	if (slot_count_free() == 0)
	{
		if (!complained)
			ereport(WARNING,
					(errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
					 errmsg("no replication slot is free for \"%s\"", ANCHOR_SLOT_NAME),
					 errdetail("If the message decoder ends, messages may be lost."),
					 errhint("Increase max_replication_slots and restart the server, or drop a slot that is not "
							 "used.")));
		complained = true;
		return;
	}
	if (!plugin_allowed)
	{
		slot_allow_plugin();
		plugin_allowed = true;
	}
	if (slot_copy(info->slot, ANCHOR_SLOT_NAME))
	{
		complained = false;
		tried_at = 0;
	}
}

static void
log_cut_off(void)
{
	static TimestampTz logged_at;
	TimestampTz now = GetCurrentTimestamp();

	if (!elapsed(logged_at, now, LOG_INTERVAL))
		return;
	logged_at = now;
	ereport(LOG,
			(errmsg("message decoder can't go on where it is if it has to start again now"),
			 errdetail("Its replication slot kept three quarters of realtime.max_wal_retained and was moved to where "
					   "it reads."),
			 errhint("If this comes often, raise realtime.max_wal_retained.")));
}

/*
 * The decoder lets its restart point fall behind by half of what is allowed, and moves it then. If it has not
 * moved at three quarters, it is stopped, or busy with one transaction: take from it what it does not need in
 * order to go on, and if even that is too much, everything. A decoder that starts after that can't go on where
 * this one was. The same if there is no decoder, because none comes to its feet.
 */
static void
give_up(const WalInfo *info, bool has_decoder)
{
	XLogRecPtr	now = GetXLogInsertRecPtr();
	XLogRecPtr	position = has_decoder && now - info->reading < wal_shared_bound() / 2 ? info->reading : now;

	bool		already_lost = info->reading < info->given_up;

	if (position <= info->given_up)
		return;
	wal_shared_give_up(position);
	anchor_drop();
	(void) slot_move_restart(info->slot, position);
	if (position < now)
		log_cut_off();
	else if (!already_lost)
		ereport(WARNING,
				(errmsg("message decoder does not keep up: WAL that it has not read yet is given up"),
				 errdetail("It reads at %X/%X, WAL is written at %X/%X, and realtime.max_wal_retained allows %llu MB.",
						   LSN_FORMAT_ARGS(info->reading), LSN_FORMAT_ARGS(now),
						   (unsigned long long) (wal_shared_bound() / (1024 * 1024))),
				 errhint("Look whether it is stopped, or busy with one large transaction. Clients are told of the gap "
						 "once it goes on.")));
}

static int
watch_retained(const WalInfo *info, bool has_decoder)
{
	uint64		retained = wal_shared_retained();
	uint64		bound = wal_shared_bound();

	if (retained > bound / 2)
		registry_wake(WORKER_MESSAGE_DECODER, 0);
	if (retained >= bound / 4 * 3)
	{
		give_up(info, has_decoder);
		return LOOK_CLOSELY;
	}
	return Max(LOOK_CLOSELY, Min(LOOK_AGAIN, (bound / 4 * 3 - retained) / WAL_PER_MS));
}

int
anchor_keep(void)
{
	WalInfo		info;
	SlotPoint	decoder;
	SlotPoint	anchor;
	bool		has_decoder;

	wal_shared_get(&info);
	has_decoder = info.slot[0] != '\0' && slot_look(info.slot, &decoder);
	if (has_decoder && info.decoding && decoder.confirmed != InvalidXLogRecPtr && decoder.restart > info.given_up)
	{
		if (!anchor_exists(&anchor))
			make(&info);
		else if (decoder.restart > anchor.restart ||
				 (decoder.restart == anchor.restart &&
				  decoder.effective_catalog_xmin != anchor.effective_catalog_xmin))
			slot_stand_at(ANCHOR_SLOT_NAME, &decoder);
	}
	if (!has_decoder && !anchor_exists(&anchor))
		return -1;
	return watch_retained(&info, has_decoder);
}

void
anchor_drop(void)
{
	slot_drop(ANCHOR_SLOT_NAME);
}
