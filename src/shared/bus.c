/*
 * bus.c
 *	  The ring that carries every message to every listener.
 *
 * A record never wraps: if it does not fit before the end of the memory, a BUS_PAD fills the rest and the record starts
 * at offset 0. All of this, but for the position that bus_has_news reads, is guarded by LOCK_BUS.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "shared/bus.h"
#include "shared/elapsed.h"
#include "shared/histograms.h"
#include "shared/registry.h"
#include "shared/settings.h"
#include "shared/shmem.h"

#define NOT_STALLED		PG_UINT64_MAX

/* What stands in the ring before the bytes of a record. A pad has only the first eight bytes. */
typedef struct RingRecord
{
	uint32		length;			/* of the whole, a multiple of 8 */
	uint8		kind;
	uint8		form;
	uint8		flags;
	uint8		unused;
	uint16		node;
	int16		listener;
	uint32		connection;
	uint32		connection_generation;
	uint32		channel;
	uint64		commit_lsn;
	int64		committed_at;
	uint64		epoch;
	uint64		seq;
	uint64		position;
	uint32		topic;			/* lengths, in the order of the bytes that follow */
	uint32		event;
	uint32		ref;
	uint32		join_ref;
	uint32		payload;
	uint8		id[16];
} RingRecord;

#define FLAG_PRIVATE	0x01
#define FLAG_ID			0x02
#define FLAG_SELF		0x04
#define FLAG_ACK		0x08

typedef struct ReaderSlot
{
	pg_atomic_uint32 attached;
	pg_atomic_uint64 position;
} ReaderSlot;

typedef struct Bus
{
	pg_atomic_uint64 end;		/* after the last whole record */
	uint64		oldest;			/* the first record that is left */
	uint64		size;
	BusProgress progress;
	ReaderSlot	readers[REALTIME_MAX_LISTENERS];
	char		ring[FLEXIBLE_ARRAY_MEMBER];
} Bus;

static Bus *bus;

/* Producer, between bus_begin and bus_end: where the next record goes. */
static uint64 producing_at;
static TimestampTz producing_since;
static bool produced;

/* Decoder: position at which each reader was when waiting for it was given up. */
static uint64 stalled_at[REALTIME_MAX_LISTENERS];

static Size
ring_size(void)
{
	return (Size) realtime_bus_size * 1024 * 1024;
}

Size
bus_shmem_size(void)
{
	return add_size(offsetof(Bus, ring), ring_size());
}

void
bus_shmem_init(void)
{
	bool		found;

	bus = ShmemInitStruct("realtime bus", bus_shmem_size(), &found);
	for (int i = 0; i < REALTIME_MAX_LISTENERS; i++)
		stalled_at[i] = NOT_STALLED;
	if (found)
		return;
	memset(bus, 0, offsetof(Bus, ring));
	bus->size = ring_size();
	pg_atomic_init_u64(&bus->end, 0);
	for (int i = 0; i < REALTIME_MAX_LISTENERS; i++)
	{
		pg_atomic_init_u32(&bus->readers[i].attached, 0);
		pg_atomic_init_u64(&bus->readers[i].position, 0);
	}
}

Size
bus_max_record(void)
{
	return ring_size() / 4;
}

Size
bus_record_size(const BusRecord *record)
{
	return TYPEALIGN(8, sizeof(RingRecord) + record->topic.len + record->event.len + record->ref.len +
					 record->join_ref.len + record->payload.len);
}

static RingRecord *
record_at(uint64 position)
{
	return (RingRecord *) (bus->ring + position % bus->size);
}

/* Give up the oldest records until this many bytes from producing_at on are free. */
static void
make_room(Size length)
{
	while (producing_at + length - bus->oldest > bus->size)
		bus->oldest += record_at(bus->oldest)->length;
}

static char *
put(char *to, Slice bytes)
{
	if (bytes.len > 0)
		memcpy(to, bytes.data, bytes.len);
	return to + bytes.len;
}

void
bus_begin(void)
{
	LWLockAcquire(realtime_lock(LOCK_BUS), LW_EXCLUSIVE);
	producing_at = pg_atomic_read_u64(&bus->end);
	producing_since = GetCurrentTimestamp();
	produced = false;
}

void
bus_write_record(char *memory, const BusRecord *record)
{
	RingRecord *to = (RingRecord *) memory;
	char	   *bytes;

	to->length = bus_record_size(record);
	to->kind = record->kind;
	to->form = record->form;
	to->flags = (record->is_private ? FLAG_PRIVATE : 0) | (record->has_id ? FLAG_ID : 0) |
		(record->origin.self ? FLAG_SELF : 0) | (record->origin.ack ? FLAG_ACK : 0);
	to->node = record->node;
	to->listener = record->origin.listener;
	to->connection = record->origin.connection;
	to->connection_generation = record->origin.connection_generation;
	to->channel = record->origin.channel;
	to->commit_lsn = record->commit_lsn;
	to->committed_at = record->committed_at;
	to->epoch = record->mark.epoch;
	to->seq = record->mark.seq;
	to->position = record->position;
	to->topic = record->topic.len;
	to->event = record->event.len;
	to->ref = record->ref.len;
	to->join_ref = record->join_ref.len;
	to->payload = record->payload.len;
	memcpy(to->id, record->id, sizeof(to->id));
	bytes = put((char *) (to + 1), record->topic);
	bytes = put(bytes, record->event);
	bytes = put(bytes, record->ref);
	bytes = put(bytes, record->join_ref);
	put(bytes, record->payload);
}

/* Broadcasts get their number here, and are kept; after a gap nobody can be given all that came. */
static void
append_broadcast(RingRecord *to, const BusRecord *record)
{
	HistoryMark mark = history_number(record->topic, record->is_private);

	to->epoch = mark.epoch;
	to->seq = mark.seq;
	history_keep((const char *) to, to->length, record->has_id ? record->id : NULL, producing_since);
}

bool
bus_append(const BusRecord *record)
{
	Size		length = bus_record_size(record);
	Size		left = bus->size - producing_at % bus->size;
	RingRecord *to;

	if (length > bus_max_record())
		return false;
	if (record->kind == BUS_BROADCAST)
		histogram_add(HISTOGRAM_BROADCAST_SIZE, record->payload.len);
	if (left < length)
	{
		make_room(left);
		record_at(producing_at)->length = left;
		record_at(producing_at)->kind = BUS_PAD;
		producing_at += left;
	}
	make_room(length);
	to = record_at(producing_at);
	bus_write_record((char *) to, record);
	to->position = producing_at;
	if (record->kind == BUS_BROADCAST)
		append_broadcast(to, record);
	else if (record->kind == BUS_GAP)
		history_break(record->topic);
	producing_at += length;
	produced = true;
	return true;
}

void
bus_end(void)
{
	pg_atomic_write_u64(&bus->end, producing_at);
	LWLockRelease(realtime_lock(LOCK_BUS));
	if (!produced)
		return;
	for (int i = 0; i < realtime_listeners; i++)
		registry_wake(WORKER_LISTENER, i);
}

bool
bus_publish(const BusRecord *record)
{
	bool		fits;

	bus_begin();
	fits = bus_append(record);
	bus_end();
	return fits;
}

BusProgress
bus_progress(void)
{
	BusProgress progress;

	LWLockAcquire(realtime_lock(LOCK_BUS), LW_SHARED);
	progress = bus->progress;
	LWLockRelease(realtime_lock(LOCK_BUS));
	return progress;
}

void
bus_set_progress(BusProgress progress)
{
	bus->progress = progress;
}

/* Bytes between a reader and the end, which was read first: the reader may have gone past it since. */
static uint64
distance(uint64 position, uint64 end)
{
	return position >= end ? 0 : end - position;
}

/* Has every reader that still moves read all but half of the ring? */
static bool
readers_near(void)
{
	uint64		end = pg_atomic_read_u64(&bus->end);

	for (int i = 0; i < REALTIME_MAX_LISTENERS; i++)
	{
		ReaderSlot *reader = &bus->readers[i];
		uint64		position = pg_atomic_read_u64(&reader->position);

		if (pg_atomic_read_u32(&reader->attached) == 0 || position == stalled_at[i])
			continue;
		stalled_at[i] = NOT_STALLED;
		if (distance(position, end) > bus->size / 2)
			return false;
	}
	return true;
}

/* Whoever was waited for in vain is not waited for again until it has moved: one stopped listener must not hold up the others. */
static void
note_stalled(void)
{
	uint64		end = pg_atomic_read_u64(&bus->end);

	for (int i = 0; i < REALTIME_MAX_LISTENERS; i++)
	{
		uint64		position = pg_atomic_read_u64(&bus->readers[i].position);

		if (distance(position, end) > bus->size / 2)
			stalled_at[i] = position;
	}
}

/* What else the latch is set for meanwhile is the caller's affair: it finds it set. */
bool
bus_wait_for_readers(int timeout_ms)
{
	TimestampTz begin;
	bool		caught_up;

	if (readers_near())
		return true;
	begin = GetCurrentTimestamp();
	do
	{
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 2, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
		caught_up = readers_near();
	} while (!caught_up && !elapsed(begin, GetCurrentTimestamp(), timeout_ms));
	SetLatch(MyLatch);
	if (!caught_up)
		note_stalled();
	return caught_up;
}

static void
reader_detach(int code, Datum listener)
{
	pg_atomic_write_u32(&bus->readers[DatumGetInt32(listener)].attached, 0);
}

void
bus_reader_attach(BusReader *reader, int listener)
{
	ReaderSlot *slot = &bus->readers[listener];

	reader->listener = listener;
	LWLockAcquire(realtime_lock(LOCK_BUS), LW_SHARED);
	reader->position = pg_atomic_read_u64(&bus->end);
	LWLockRelease(realtime_lock(LOCK_BUS));
	pg_atomic_write_u64(&slot->position, reader->position);
	pg_atomic_write_u32(&slot->attached, 1);
	on_shmem_exit(reader_detach, Int32GetDatum(listener));
}

Size
bus_read(BusReader *reader, char *buffer, Size size, uint64 *lapped)
{
	Size		copied = 0;
	uint64		end;

	*lapped = 0;
	LWLockAcquire(realtime_lock(LOCK_BUS), LW_SHARED);
	end = pg_atomic_read_u64(&bus->end);
	if (reader->position < bus->oldest)
	{
		*lapped = bus->oldest - reader->position;
		reader->position = bus->oldest;
	}
	while (reader->position < end)
	{
		RingRecord *record = record_at(reader->position);

		if (record->kind != BUS_PAD)
		{
			if (record->length > size - copied)
				break;
			memcpy(buffer + copied, record, record->length);
			copied += record->length;
		}
		reader->position += record->length;
	}
	LWLockRelease(realtime_lock(LOCK_BUS));
	pg_atomic_write_u64(&bus->readers[reader->listener].position, reader->position);
	return copied;
}

uint64
bus_position(void)
{
	return pg_atomic_read_u64(&bus->end);
}

bool
bus_has_news(const BusReader *reader)
{
	return pg_atomic_read_u64(&bus->end) != reader->position;
}

static Slice
take(const char **from, uint32 length)
{
	Slice		bytes = {*from, length};

	*from += length;
	return bytes;
}

bool
bus_next(const char *buffer, Size length, Size *offset, BusRecord *record)
{
	const RingRecord *from = (const RingRecord *) (buffer + *offset);
	const char *bytes = (const char *) (from + 1);

	if (*offset >= length)
		return false;
	record->kind = from->kind;
	record->form = from->form;
	record->is_private = (from->flags & FLAG_PRIVATE) != 0;
	record->has_id = (from->flags & FLAG_ID) != 0;
	record->node = from->node;
	memcpy(record->id, from->id, sizeof(record->id));
	record->origin.listener = from->listener;
	record->origin.self = (from->flags & FLAG_SELF) != 0;
	record->origin.ack = (from->flags & FLAG_ACK) != 0;
	record->origin.connection = from->connection;
	record->origin.connection_generation = from->connection_generation;
	record->origin.channel = from->channel;
	record->commit_lsn = from->commit_lsn;
	record->committed_at = from->committed_at;
	record->mark = (HistoryMark) {from->epoch, from->seq};
	record->position = from->position;
	record->topic = take(&bytes, from->topic);
	record->event = take(&bytes, from->event);
	record->ref = take(&bytes, from->ref);
	record->join_ref = take(&bytes, from->join_ref);
	record->payload = take(&bytes, from->payload);
	*offset += from->length;
	return true;
}

uint64
bus_reader_lag(int listener)
{
	ReaderSlot *reader = &bus->readers[listener];
	uint64		end = pg_atomic_read_u64(&bus->end);

	if (pg_atomic_read_u32(&reader->attached) == 0)
		return 0;
	return distance(pg_atomic_read_u64(&reader->position), end);
}
