/*
 * decoder.c
 *	  The message decoder: a loop that reads what is flushed, puts it on the bus and sleeps until there is more.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "pgstat.h"
#include "replication/slot.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "utils/wait_event.h"

#include "shared/bus.h"
#include "shared/compat.h"
#include "shared/registry.h"
#include "shared/replication.h"
#include "shared/wakeup.h"
#include "shared/worker.h"
#include "wal/decoder.h"
#include "wal/decoding.h"
#include "wal/message_filter.h"
#include "wal/message_start.h"
#include "wal/messages.h"
#include "wal/plugin.h"
#include "wal/reader.h"
#include "wal/restart_point.h"
#include "wal/slot.h"
#include "wal/wal_shared.h"

/* Milliseconds of sleep when there is nothing to wait for. */
#define IDLE			5000

/* A batch that is not full waits at most for so many records. */
#define RECORDS_PER_BATCH	64

static LogicalDecodingContext *context;
static int	records_in_batch;

static void
unavailable(const char *detail)
{
	replication_set(REPLICATION_UNAVAILABLE, detail);
}

/*
 * A transaction has committed of which a part of the WAL was given up, or in which decoders have ended again
 * and again. If it was delivered nevertheless, by a decoder before this one, there is nothing to tell.
 */
static void
transaction_lost(TransactionId xid, XLogRecPtr commit_end)
{
	XLogRecPtr	hopeless_commit = wal_shared_hopeless();
	bool		hopeless = hopeless_commit != InvalidXLogRecPtr && hopeless_commit < commit_end;

	wal_shared_passed(commit_end);
	if (commit_end <= bus_progress().done)
		return;
	ereport(WARNING,
			(errmsg("messages of transaction %u are not delivered", xid),
			 hopeless ?
			 errdetail("It could not be decoded in %d attempts; the errors are in this log.", HOPELESS_ATTEMPTS) :
			 errdetail("It was open so long that the beginning of its WAL was given up.")));
	messages_gap(commit_end, hopeless ? "Messages from the database were lost: a transaction could not be decoded" :
				 "Messages from the database were lost: a transaction was open for too long");
}

static void
begin(void)
{
	Start		start = start_decoding();
	IncompleteXacts incomplete;

	context = start.context;
	wal_shared_get_incomplete(&incomplete);
	reader_set_incomplete(&incomplete, transaction_lost);
	reader_set_hopeless(wal_shared_hopeless());
	restart_point_begin(context);
	if (start.is_fresh)
		start_announce_gap(start.confirmed);
	wal_shared_set_decoding();
	wal_shared_set_reading(reader_position(), InvalidTransactionId);
	registry_set_state(WORKER_RUNNING, NULL, NULL);
	replication_set(REPLICATION_READY, NULL);
	registry_wake(WORKER_LAUNCHER, 0);
}

static void
lose(void)
{
	ereport(WARNING,
			(errmsg("message decoder starts over: WAL that it had not read yet was given up"),
			 errhint("Clients are told of the gap. realtime.max_wal_retained says how much WAL is kept for it.")));
	proc_exit(1);
}

static void
flush_batch(void)
{
	messages_flush();
	records_in_batch = 0;
}

/* Everything read so far is on the bus: say so to the slot, the launcher and the views. */
static void
settle(void)
{
	XLogRecPtr	position = reader_position();
	static XLogRecPtr settled;

	flush_batch();
	if (wal_shared_is_given_up(position))
		lose();
	if (position == settled)
		return;
	settled = position;
	restart_point_confirm(context, position);
	wal_shared_set_reading(position, restart_point_pinned_by(context));
	registry_set_position(position, GetFlushRecPtr(NULL) - position);
}

/* After a record: a batch that is not full waits for so many more, and then goes nevertheless. */
static void
age_batch(void)
{
	records_in_batch = messages_pending() ? records_in_batch + 1 : 0;
	if (records_in_batch >= RECORDS_PER_BATCH)
		flush_batch();
}

/* Bulk loads make it read for long without a sleep, in which settings are read again otherwise. */
static void
end_round(void)
{
	settle();
	worker_reload_if_asked();
}

static const DecodingSteps steps = {
	.record = age_batch,
	.round = end_round,
	.lost = lose
};

void
realtime_message_decoder_main(Datum argument)
{
	worker_start(WORKER_MESSAGE_DECODER, 0);
	worker_wait_until_wanted();
	decoding_check_server("messages from the database", unavailable);
	worker_connect(true);
	slot_allow_plugin();
	plugin_set_callbacks(messages_plugin_init);
	reader_set_filter(&message_filter);
	decoding_wait_for_free_slot("messages from the database", unavailable);
	begin();
	for (;;)
	{
		decoding_read_on(&steps);
		settle();
		decoding_sleep(wakeup_commit_lsn(), IDLE);
	}
}
