/*
 * messages.c
 *	  Output plugin callbacks of the message decoder.
 *
 * Rows of a transaction are counted as they come, whether they are delivered or refused: their order is that of
 * the WAL, so the count names the same row for each decoder.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "replication/reorderbuffer.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "shared/bus.h"
#include "shared/compat.h"
#include "shared/counters.h"
#include "shared/elapsed.h"
#include "shared/registry.h"
#include "shared/worker.h"
#include "wal/message_row.h"
#include "wal/messages.h"
#include "wal/reader.h"
#include "wal/wal_shared.h"

/*
 * A batch is put on the bus when it has so many records or bytes, or takes so much memory: rows that are refused
 * leave what they were read into, and may add no record.
 */
#define BATCH_RECORDS	128
#define BATCH_BYTES		(128 * 1024)
#define BATCH_MEMORY	(1024 * 1024)

/* How long a batch waits for listeners that are behind, in milliseconds. */
#define WAIT_FOR_READERS	1000

/* Refusals: one line in the log and one announcement per topic in so many milliseconds. */
#define REFUSAL_INTERVAL	1000
#define REFUSAL_TOPICS		64

typedef struct Batch
{
	MemoryContext context;		/* holds all that the records point to */
	int			n;
	Size		bytes;
	int			broadcasts;
	BusRecord	records[BATCH_RECORDS];
} Batch;

static Batch batch;
static BusProgress progress;	/* what is collected reaches so far */
static bool progress_moved;

/* The transaction that is being decoded. */
static bool delivered_before;	/* all of it, by an earlier process */
static uint32 rows_before;		/* so many of its rows were */
static uint32 row;

static void
batch_reset(void)
{
	if (batch.context == NULL)
		batch.context = AllocSetContextCreate(TopMemoryContext, "realtime message batch", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(batch.context);
	batch.n = 0;
	batch.bytes = 0;
	batch.broadcasts = 0;
}

void
messages_begin(void)
{
	batch_reset();
	progress = bus_progress();
	progress_moved = false;
}

bool
messages_pending(void)
{
	return progress_moved || batch.n > 0;
}

/* Nothing between bus_begin and bus_end may throw, and nothing may come between the records and the progress. */
void
messages_flush(void)
{
	int			refused = 0;

	if (!messages_pending())
		return;
	if (batch.n > 0)
		(void) bus_wait_for_readers(WAIT_FOR_READERS);
	bus_begin();
	for (int i = 0; i < batch.n; i++)
		if (!bus_append(&batch.records[i]))
			refused++;
	bus_set_progress(progress);
	bus_end();
	counter_add(COUNTER_BROADCASTS_FROM_DATABASE, batch.broadcasts - refused);
	progress_moved = false;
	batch_reset();
}

/* The record's bytes are in the batch's context already. */
static void
batch_add(const BusRecord *record)
{
	batch.records[batch.n++] = *record;
	batch.bytes += bus_record_size(record);
	if (record->kind == BUS_BROADCAST)
		batch.broadcasts++;
}

/* A batch that is full goes out in mid-transaction, with the number of its rows so far. */
static void
flush_if_full(void)
{
	if (batch.n < BATCH_RECORDS && batch.bytes < BATCH_BYTES &&
		MemoryContextMemAllocated(batch.context, true) < BATCH_MEMORY)
		return;
	messages_flush();

	/* A long transaction must not keep DROP EXTENSION's workers from leaving. */
	if (!registry_wanted())
		worker_leave();
}

void
messages_gap(XLogRecPtr position, const char *text)
{
	if (text != NULL)
	{
		BusRecord	record = {.kind = BUS_GAP, .origin.listener = -1};

		record.payload = slice_cstring(MemoryContextStrdup(batch.context, text));
		batch_add(&record);
		counter_add(COUNTER_GAPS, 1);
	}
	progress.done = Max(progress.done, position);
	progress.commit = InvalidXLogRecPtr;
	progress.rows = 0;
	progress_moved = true;
	messages_flush();
}

static void
begin_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	row = 0;
	delivered_before = txn->end_lsn <= progress.done;
	rows_before = txn->final_lsn == progress.commit ? progress.rows : 0;
	if (!delivered_before)
		wal_shared_attempt(txn->final_lsn, rows_before);
}

static void
commit_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	if (delivered_before)
		return;
	wal_shared_passed(txn->end_lsn);
	if (row == 0)
		return;
	progress.done = txn->end_lsn;
	progress.commit = InvalidXLogRecPtr;
	progress.rows = 0;
	progress_moved = true;
}

/* Has this topic been told of a refusal just now? */
static bool
was_told(Slice topic)
{
	static TimestampTz told_at[REFUSAL_TOPICS];
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz *at = &told_at[hash_bytes((const unsigned char *) topic.data, topic.len) % REFUSAL_TOPICS];

	if (!elapsed(*at, now, REFUSAL_INTERVAL))
		return true;
	*at = now;
	return false;
}

static void
log_refusal(const BusRecord *record, const char *wrong)
{
	static TimestampTz logged_at;
	static int	unlogged;
	TimestampTz now = GetCurrentTimestamp();

	if (!elapsed(logged_at, now, REFUSAL_INTERVAL))
	{
		unlogged++;
		return;
	}
	ereport(WARNING,
			(errcode(ERRCODE_DATA_EXCEPTION),
			 errmsg("UnableToBroadcastChanges: %s", wrong),
			 errdetail("Topic \"%.*s\"; %d more rows of realtime.messages could not be broadcast since the last "
					   "such line.",
					   (int) Min(record->topic.len, 200), record->topic.len > 0 ? record->topic.data : "", unlogged)));
	logged_at = now;
	unlogged = 0;
}

/* Members of the topic are told, so that a message does not go missing in silence. */
static void
refuse(const BusRecord *message, const char *wrong)
{
	BusRecord	record = {.kind = BUS_GAP, .origin.listener = -1};

	counter_add(COUNTER_BROADCASTS_FROM_DATABASE_REFUSED, 1);
	log_refusal(message, wrong);
	if (message->topic.len == 0 || was_told(message->topic))
		return;
	record.topic = message->topic;
	record.is_private = message->is_private;
	record.payload = slice_cstring(psprintf("UnableToBroadcastChanges: %s", wrong));
	batch_add(&record);
}

static void
collect(ReorderBufferTXN *txn, Relation relation, HeapTuple tuple)
{
	MemoryContext before = MemoryContextSwitchTo(batch.context);
	BusRecord	record = {0};
	const char *wrong = message_row_fill(relation, tuple, &record);

	if (wrong != NULL)
		refuse(&record, wrong);
	else
	{
		record.commit_lsn = txn->final_lsn;
		record.committed_at = txn->xact_time.commit_time;
		batch_add(&record);
	}
	MemoryContextSwitchTo(before);
}

static void
change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation, ReorderBufferChange *change)
{
	if (delivered_before || change->action != REORDER_BUFFER_CHANGE_INSERT || !message_row_is_of(relation) ||
		change->data.tp.newtuple == NULL)
		return;
	row++;
	if (row <= rows_before)
		return;
	collect(txn, relation, CHANGE_TUPLE(change->data.tp.newtuple));
	progress.commit = txn->final_lsn;
	progress.rows = row;
	progress_moved = true;
	flush_if_full();
}

/* Rows that the launcher moves between partitions say so by their origin, and some the reader has found out about. */
static bool
refuse_origin(LogicalDecodingContext *ctx, RepOriginId origin)
{
	return origin == DoNotReplicateId || reader_refuses();
}

static void
startup(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	options->receive_rewrites = false;
}

void
messages_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = startup;
	callbacks->begin_cb = begin_transaction;
	callbacks->change_cb = change;
	callbacks->commit_cb = commit_transaction;
	callbacks->filter_by_origin_cb = refuse_origin;
}
