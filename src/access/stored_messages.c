/*
 * stored_messages.c
 *	  Replay of realtime.messages.
 *
 * Rows tell what there is, the shared history tells the order in which they were committed, as far as it reaches. What it no
 * longer holds comes before that, in the order of inserted_at, and of position inside a transaction.
 *
 * The replay ends at a mark in the history, and what comes after it is delivered live. A snapshot is taken, then the decoder
 * gets time to deliver what it shows, then the history is read, then the rows of the snapshot: so rows that the history does
 * not hold are older than it. What it holds and the snapshot does not show was committed after it: the mark is moved back.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"
#include "utils/wait_event.h"

#include "access/stored_messages.h"
#include "shared/bus.h"
#include "shared/registry.h"
#include "shared/server_text.h"
#include "shared/settings.h"
#include "shared/wakeup.h"

/* Messages from the database in the history that are looked at: the newest. */
#define MAX_IDS			256

/* How long the decoder is waited for, and the listeners, in ms. */
#define WAIT_FOR_DECODER	100
#define WAIT_FOR_READERS	200

/* A commit of this age, in ms, is visible to everybody. */
#define SURELY_VISIBLE	1000

/* The text of a jsonb is never longer than this many times the jsonb (control characters become \u0000). */
#define JSONB_GROWTH	6

typedef enum Column
{
	COLUMN_ID = 1,
	COLUMN_INSERTED_AT,
	COLUMN_POSITION,
	COLUMN_EVENT,
	COLUMN_PAYLOAD,
	COLUMN_BINARY_PAYLOAD,
	COLUMN_WANTED
} Column;

/* The second part finds rows by their ids, also those that are not wanted: they exist. */
#define COLUMNS_SQL "id, inserted_at, position, event, payload, binary_payload"
#define WANTED_SQL \
	"extension = 'broadcast' and private is true and inserted_at >= $2 and inserted_at < $3 and event is not null " \
	"and (payload is not null or binary_payload is not null)"
static const char *const query =
	"(select " COLUMNS_SQL ", true from realtime.messages where topic = $1 and " WANTED_SQL
	" order by inserted_at desc, position desc limit $4) "
	"union all "
	"select " COLUMNS_SQL ", " WANTED_SQL " from realtime.messages where topic = $1 and id = any ($5)";

typedef struct Row
{
	uint64		tuple;			/* index in SPI_tuptable */
	const uint8 *id;
	Timestamp	inserted_at;
	int64		position;
	uint64		seq;			/* 0: the history does not hold it */
	bool		wanted;
} Row;

typedef struct Replay
{
	const Question *question;
	HistoryId	known[MAX_IDS];	/* in the history */
	int			known_count;
	HistoryMark before;			/* of the snapshot, which shows all up to it */
	HistoryMark mark;
	Row		   *rows;
	int			count;
} Replay;

static const HistoryId *
find_id(const HistoryId *ids, int count, const uint8 *id)
{
	for (int i = 0; i < count; i++)
		if (memcmp(ids[i].id, id, UUID_LEN) == 0)
			return &ids[i];
	return NULL;
}

/* The decoder has put on the bus what was committed before now, or does not get there in time. */
static void
wait_for_decoder(void)
{
	XLogRecPtr	commit = wakeup_commit_lsn();
	WorkerInfo	decoder;

	for (int i = 0; i < WAIT_FOR_DECODER; i++)
	{
		if (bus_progress().done >= commit ||
			!registry_get(WORKER_MESSAGE_DECODER, 0, &decoder) || decoder.state != WORKER_RUNNING ||
			decoder.position >= commit)
			return;
		(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 1, PG_WAIT_EXTENSION);
		CHECK_FOR_INTERRUPTS();
	}
}

/* ------------------------------------------------ reading ------------------------------------------------ */

static Datum
ids_array(const Replay *replay)
{
	Datum		ids[MAX_IDS];

	for (int i = 0; i < replay->known_count; i++)
		ids[i] = UUIDPGetDatum((pg_uuid_t *) replay->known[i].id);
	return PointerGetDatum(construct_array(ids, replay->known_count, UUIDOID, UUID_LEN, false, 'c'));
}

static void
run_query(const Replay *replay, const char *topic)
{
	static SPIPlanPtr plan;
	Oid			types[] = {TEXTOID, TIMESTAMPOID, TIMESTAMPOID, INT8OID, UUIDARRAYOID};
	int64		epoch_ms = (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * (USECS_PER_DAY / 1000);
	Datum		values[] = {
		CStringGetTextDatum(topic),
		TimestampGetDatum((replay->question->replay_since - epoch_ms) * 1000),
		TimestampGetDatum(GetCurrentTimestamp() + USECS_PER_MINUTE),
		Int64GetDatum(replay->question->replay_limit),
		ids_array(replay)
	};

	/* Whatever the policies that were just evaluated have left behind: names mean what they say. */
	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET, PGC_S_SESSION, GUC_ACTION_LOCAL, true, 0, false);
	if (plan == NULL)
	{
		/* Planned for each limit and since: a plan for all of them might sort whole partitions. */
		SPIPlanPtr	made = SPI_prepare_cursor(query, lengthof(types), types, CURSOR_OPT_CUSTOM_PLAN);

		if (made == NULL || SPI_keepplan(made) != 0)
			elog(ERROR, "could not prepare the query for stored messages: %s", SPI_result_code_string(SPI_result));
		plan = made;
	}
	if (SPI_execute_plan(plan, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not read stored messages");
}

static Datum
column_of(const Row *row, Column column, bool *is_null)
{
	return SPI_getbinval(SPI_tuptable->vals[row->tuple], SPI_tuptable->tupdesc, column, is_null);
}

static void
collect_rows(Replay *replay)
{
	bool		is_null;

	replay->rows = palloc(sizeof(Row) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		Row		   *row = &replay->rows[replay->count++];
		const HistoryId *known;

		row->tuple = i;
		row->id = DatumGetUUIDP(column_of(row, COLUMN_ID, &is_null))->data;
		row->inserted_at = DatumGetTimestamp(column_of(row, COLUMN_INSERTED_AT, &is_null));
		row->position = DatumGetInt64(column_of(row, COLUMN_POSITION, &is_null));
		row->wanted = DatumGetBool(column_of(row, COLUMN_WANTED, &is_null)) && !is_null;
		known = find_id(replay->known, replay->known_count, row->id);
		row->seq = known == NULL ? 0 : known->seq;
	}
}

/* ------------------------------------------------ choosing ------------------------------------------------ */

/* Has so much come since the snapshot that the history has lost some of it? */
static bool
is_overtaken(const Replay *replay)
{
	if (replay->mark.epoch == replay->before.epoch && replay->mark.seq == replay->before.seq)
		return false;
	if (replay->mark.epoch == replay->before.epoch)
		for (int i = 0; i < replay->known_count; i++)
			if (replay->known[i].seq <= replay->before.seq + 1)
				return false;
	return true;
}

/* A message that the history holds and that no row was found for was deleted, or committed after the snapshot: it comes live, with all that follow. */
static void
move_mark_back(Replay *replay)
{
	TimestampTz now = GetCurrentTimestamp();

	if (is_overtaken(replay))
	{
		replay->mark = replay->before;
		return;
	}
	for (int i = 0; i < replay->known_count; i++)
	{
		bool		found = false;

		if (TimestampDifferenceExceeds(replay->known[i].at, now, SURELY_VISIBLE))
			continue;
		for (int r = 0; r < replay->count && !found; r++)
			found = replay->rows[r].seq == replay->known[i].seq;
		if (!found)
			replay->mark.seq = Min(replay->mark.seq, replay->known[i].seq - 1);
	}
}

static int
compare_rows(const void *a, const void *b)
{
	const Row  *left = a;
	const Row  *right = b;

	if (left->seq != right->seq)
		return left->seq < right->seq ? -1 : 1;
	if (left->inserted_at != right->inserted_at)
		return left->inserted_at < right->inserted_at ? -1 : 1;
	if (left->position != right->position)
		return left->position < right->position ? -1 : 1;
	return memcmp(left->id, right->id, UUID_LEN);
}

static bool
is_for_replay(const Replay *replay, const Row *row)
{
	return row->wanted && row->seq <= replay->mark.seq;
}

/* Leave the rows that are to be replayed, each once, in their order, and not more than were asked for. */
static void
choose_rows(Replay *replay)
{
	int			kept = 0;
	int			limit = replay->question->replay_limit;

	qsort(replay->rows, replay->count, sizeof(Row), compare_rows);
	for (int i = 0; i < replay->count; i++)
	{
		Row		   *row = &replay->rows[i];

		if (is_for_replay(replay, row) &&
			(kept == 0 || memcmp(replay->rows[kept - 1].id, row->id, UUID_LEN) != 0))
			replay->rows[kept++] = *row;
	}
	replay->count = Min(kept, limit);
	replay->rows += kept - replay->count;
}

/* ------------------------------------------------ publishing ------------------------------------------------ */

static Slice
varlena_slice(Datum value)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);

	return slice_make(VARDATA_ANY(bytes), VARSIZE_ANY_EXHDR(bytes));
}

static Slice
jsonb_text(Datum value)
{
	Jsonb	   *jsonb = DatumGetJsonbP(value);
	StringInfoData text;

	initStringInfo(&text);
	JsonbToCString(&text, &jsonb->root, VARSIZE(jsonb));
	return slice_make(text.data, text.len);
}

/* What a row came to. */
typedef enum Filled
{
	FILLED,
	FILLED_TOO_LONG,			/* for the room, or for any message */
	FILLED_NOT_UTF8				/* it was refused when it was sent */
} Filled;

/* Make the record of a row. */
static Filled
fill_record(const Replay *replay, const Row *row, Size room, BusRecord *record)
{
	Size		most = Min(room, settings_max_payload());
	bool		is_null;
	Datum		event = column_of(row, COLUMN_EVENT, &is_null);
	Datum		payload = column_of(row, COLUMN_BINARY_PAYLOAD, &is_null);
	bool		binary = !is_null;
	Size		stored;

	if (!binary)
		payload = column_of(row, COLUMN_PAYLOAD, &is_null);
	stored = toast_raw_datum_size(payload) - VARHDRSZ;

	/* A jsonb is at most about five times as long as its text. */
	if (toast_raw_datum_size(event) > most || (binary ? stored : stored / 8) > most || stored > MaxAllocSize / JSONB_GROWTH)
		return FILLED_TOO_LONG;
	memset(record, 0, sizeof(BusRecord));
	record->kind = BUS_REPLAY;
	record->form = binary ? BUS_FORM_BINARY : BUS_FORM_JSON;
	record->is_private = true;
	record->has_id = true;
	memcpy(record->id, row->id, UUID_LEN);
	record->origin.listener = replay->question->listener;
	record->commit_lsn = replay->question->number;
	record->event = varlena_slice(event);
	record->payload = binary ? varlena_slice(payload) : jsonb_text(payload);
	if (!utf8_of_server_text(&record->event) || (!binary && !utf8_of_server_text(&record->payload)))
		return FILLED_NOT_UTF8;
	return record->payload.len <= settings_max_payload() && bus_record_size(record) <= room ? FILLED : FILLED_TOO_LONG;
}

/*
 * The newest that fit are taken: into what a client may have queued, and into a part of the bus. They are in the records from
 * *first to the end; returns how many rows are left out, the oldest.
 */
static int
make_records(const Replay *replay, BusRecord *records, int *first)
{
	Size		room = Min(replay->question->replay_room, (Size) realtime_bus_size * 1024 * 1024 / 8);
	int			left = replay->count;

	*first = replay->count;
	for (; left > 0; left--)
	{
		BusRecord  *record = &records[*first - 1];
		Filled		filled = fill_record(replay, &replay->rows[left - 1], room, record);

		if (filled == FILLED_TOO_LONG)
			break;
		if (filled == FILLED)
		{
			(*first)--;
			room -= bus_record_size(record);
		}
	}
	return left;
}

static void
publish(const Replay *replay, Answer *answer)
{
	BusRecord  *records = palloc(sizeof(BusRecord) * Max(replay->count, 1));
	int			first;
	int			left = make_records(replay, records, &first);

	(void) bus_wait_for_readers(WAIT_FOR_READERS);
	if (first < replay->count)
	{
		records[first].origin.self = true;	/* the first of them */
		bus_begin();
		for (int i = first; i < replay->count; i++)
			(void) bus_append(&records[i]);
		bus_end();
	}
	answer->bus_position = bus_position();
	answer->replayed = replay->count - first;
	answer->left_out = left;
	answer->mark = replay->mark;
	answer->replay = REPLAY_DONE;
}

void
stored_messages_publish(const Question *question, const char *topic, Answer *answer)
{
	Replay	   *replay = palloc0(sizeof(Replay));

	replay->question = question;
	wait_for_decoder();
	replay->before = history_now(question->topic, true);
	PushActiveSnapshot(GetLatestSnapshot());
	wait_for_decoder();
	replay->known_count = history_ids(question->topic, true, replay->known, MAX_IDS, &replay->mark);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	run_query(replay, topic);
	collect_rows(replay);
	move_mark_back(replay);
	choose_rows(replay);
	publish(replay, answer);
	SPI_finish();
	PopActiveSnapshot();
}
