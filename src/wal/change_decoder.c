/*
 * change_decoder.c
 *	  The change decoder: a loop that reads what is flushed, sends it to the changes worker and sleeps until there is more.
 *
 * It has nothing, neither database nor slot, until somebody subscribes, and goes back to that when nobody does. Its slot
 * begins at the present and is read once: a decoder that ends, for whatever reason, is followed by one that begins at the
 * present again and says so (CHANGE_MESSAGE_START), and the worker tells subscribers what they have missed. So a
 * transaction that can't be decoded ends one decoder and no more.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/logical.h"
#include "replication/slot.h"
#include "storage/ipc.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

#include "shared/change_stream.h"
#include "shared/registry.h"
#include "shared/settings.h"
#include "shared/wakeup.h"
#include "shared/worker.h"
#include "wal/change_decoder.h"
#include "wal/learned_filter.h"
#include "wal/change_output.h"
#include "wal/change_relation.h"
#include "wal/change_sender.h"
#include "wal/decoding.h"
#include "wal/plugin.h"
#include "wal/reader.h"
#include "wal/slot.h"
#include "wal/start.h"

/* Milliseconds of sleep when there is nothing to wait for. */
#define IDLE			1000

/* The restart point is moved when it is so many bytes behind what has been read. */
#define MOVE_AFTER		(1024 * 1024)

static char slot_name[NAMEDATALEN];

/* ------------------------------------------------------- start ------------------------------------------------------ */

/* The worker waits for us to leave before it opens the stream anew. */
static void
unavailable(const char *detail)
{
	if (!change_stream_is_received())
		worker_leave();
	change_stream_set(CHANGE_STREAM_UNAVAILABLE, detail);
}

/* Sleep until somebody subscribes and the worker has opened the stream. */
static shm_mq_handle *
wait_for_stream(void)
{
	shm_mq_handle *queue;

	registry_set_state(WORKER_SLEEPING, NULL, NULL);
	while (!change_stream_wanted() || (queue = change_stream_attach()) == NULL)
	{
		(void) worker_sleep(-1);
		if (registry_wanted())
			continue;
		worker_wait_until_wanted();
		registry_set_state(WORKER_SLEEPING, NULL, NULL);
	}
	registry_set_state(WORKER_STARTING, NULL, NULL);
	change_stream_set(CHANGE_STREAM_STARTING, NULL);
	return queue;
}

/* Values are shown in these forms whatever the settings of server, database and role say. */
static void
set_formats(void)
{
	static const char *const formats[][2] = {
		{"DateStyle", "ISO, MDY"},
		{"IntervalStyle", "postgres"},
		{"TimeZone", "UTC"},
		{"bytea_output", "hex"},
		{"extra_float_digits", "1"},
		{"xmlbinary", "base64"}
	};

	for (int i = 0; i < lengthof(formats); i++)
		SetConfigOption(formats[i][0], formats[i][1], PGC_USERSET, PGC_S_OVERRIDE);
}

static void
slot_made(const char *name, XLogRecPtr reading)
{
	change_stream_set_reading(reading);
}

static void
waits_for(TransactionId xid, bool is_fresh)
{
	change_stream_set_waiting_for(xid);
	if (TransactionIdIsValid(xid))
		registry_wake(WORKER_LAUNCHER, 0);
}

/* The slot keeps no WAL that is of use yet: it is made anew. */
static bool
keeps_too_much(void)
{
	XLogRecPtr	restart = MyReplicationSlot->data.restart_lsn;

	if (!change_stream_wanted() || !change_stream_is_received())
		worker_leave();
	return restart != InvalidXLogRecPtr && GetXLogInsertRecPtr() - restart > change_sender_bound();
}

static const StartObserver observer = {
	.slot_made = slot_made,
	.waits_for = waits_for,
	.has_read = change_stream_set_reading,
	.keeps_too_much = keeps_too_much
};

static void
want_no_commits(int code, Datum argument)
{
	wakeup_want_all(false);
}

static void
begin(shm_mq_handle *queue)
{
	snprintf(slot_name, sizeof(slot_name), "realtime_changes_%d", MyProcPid);
	before_shmem_exit(want_no_commits, (Datum) 0);
	wakeup_want_all(true);
	start_create_slot(slot_name, &observer);
	(void) start_from_slot(&observer);
	change_sender_begin(queue);
	change_output_mark(CHANGE_MESSAGE_START, InvalidTransactionId, reader_position(), GetCurrentTimestamp());
	registry_set_state(WORKER_RUNNING, NULL, NULL);
	change_stream_set(CHANGE_STREAM_RUNNING, NULL);
}

/* ------------------------------------------------------- loop ------------------------------------------------------- */

/* Nobody reads from the slot again, so it need not keep what open transactions have written. */
static void
confirm(XLogRecPtr position)
{
	LogicalConfirmReceivedLocation(position);
	if (position - MyReplicationSlot->data.restart_lsn >= MOVE_AFTER)
		(void) slot_move_restart(slot_name, position);
}

/* Everything read so far has been sent: say so to the slot and the views. */
static void
settle(void)
{
	static XLogRecPtr settled;
	XLogRecPtr	position = reader_position();

	change_sender_look();
	if (position == settled)
		return;
	settled = position;
	confirm(position);
	change_stream_set_reading(position);
	registry_set_position(position, GetFlushRecPtr(NULL) - position);
}

/* After a reload another publication may be the one that counts. */
static void
notice_publication(void)
{
	static char publication[NAMEDATALEN];

	(void) worker_reload_if_asked();
	if (strncmp(publication, realtime_publication, NAMEDATALEN - 1) == 0)
		return;
	strlcpy(publication, realtime_publication, sizeof(publication));
	change_relations_forget();
	learned_filter_reset();
}

static void
lose(void)
{
	ereport(WARNING,
			(errmsg("Postgres Changes start over at the present: WAL that had not been read yet was removed"),
			 errhint("Subscribers are told which time is missing.")));
	worker_leave();
}

static void
end_round(void)
{
	settle();
	notice_publication();
}

static const DecodingSteps steps = {
	.round = end_round,
	.lost = lose
};

void
realtime_change_decoder_main(Datum argument)
{
	shm_mq_handle *queue;

	worker_start(WORKER_CHANGE_DECODER, 0);
	worker_wait_until_wanted();
	queue = wait_for_stream();
	decoding_check_server("changes", unavailable);
	worker_connect(true);
	set_formats();
	slot_allow_plugin();
	plugin_set_callbacks(change_output_plugin_init);
	reader_set_filter(&learned_filter);
	decoding_wait_for_free_slot("changes", unavailable);
	change_stream_set(CHANGE_STREAM_STARTING, NULL);
	begin(queue);
	for (;;)
	{
		decoding_read_on(&steps);
		end_round();
		decoding_sleep(wakeup_any_commit_lsn(), IDLE);
	}
}
