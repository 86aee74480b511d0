/*
 * history.c
 *	  The last broadcasts of each topic, and their numbers.
 *
 * Records lie in chains of blocks, so that no memory is lost between them and any record can go at any time. A record is
 * named by its first block, which also links it to the next of its topic and to its neighbours in the order of all. Number
 * 0 stands for no block and no topic: memory that was never used is never touched.
 */
#include "postgres.h"

#include "common/hashfn.h"
#include "miscadmin.h"
#include "port/pg_bitutils.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "shared/counters.h"
#include "shared/history.h"
#include "shared/settings.h"
#include "shared/shmem.h"

#define BLOCK_SIZE		512
#define NONE			0

/* A record takes at most this part of the memory. */
#define LARGEST_PART	4

/* So many records that are too old, of whatever topic, go for each that comes. */
#define EXPIRE_AT_ONCE	4

/* The first block of a record. */
typedef struct Kept
{
	uint32		next_block;
	uint32		length;			/* of the record */
	uint32		topic;
	uint32		next;			/* of the same topic */
	uint32		older;			/* of all */
	uint32		newer;
	TimestampTz at;
	uint64		seq;
	bool		has_id;
	uint8		id[16];
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} Kept;

/* The others. */
typedef struct Rest
{
	uint32		next_block;
	char		bytes[BLOCK_SIZE - sizeof(uint32)];
} Rest;

#define FIRST_BYTES		(BLOCK_SIZE - offsetof(Kept, bytes))
#define REST_BYTES		sizeof(((Rest *) 0)->bytes)

typedef struct KnownTopic
{
	uint64		hash;
	uint64		check;			/* by another seed */
	HistoryMark mark;
	uint32		next_in_bucket; /* or in the list of those that are free */
	uint32		quieter;		/* neighbours in the order of the last message */
	uint32		busier;
	uint32		first;			/* records, oldest first */
	uint32		last;
	uint32		count;
} KnownTopic;

typedef struct History
{
	uint64		seeds[2];
	uint64		epoch;			/* the last that was given out */
	uint64		era;			/* epochs before this are over */
	uint32		buckets;		/* a power of two */
	uint32		topics;			/* places in the table */
	uint32		topics_used;	/* places that were ever used */
	uint32		quietest;
	uint32		busiest;
	uint32		blocks;
	uint32		blocks_used;	/* that were ever used */
	uint32		free_block;		/* first of those that are free again */
	uint32		free_blocks;
	uint32		oldest;			/* record of all */
	uint32		newest;
} History;

static History *history;
static uint32 *bucket_heads;
static KnownTopic *topic_table;	/* place 0 is not used */
static char *block_memory;		/* nor is block 0 */

/* bus_append: the topic that was numbered last. */
static uint32 numbered;

static uint32
bucket_count(void)
{
	return pg_nextpower2_32(realtime_max_topics);
}

static uint32
block_count(void)
{
	return (uint32) ((Size) realtime_history_memory * 1024 * 1024 / BLOCK_SIZE);
}

Size
history_shmem_size(void)
{
	Size		size = MAXALIGN(sizeof(History));

	size = add_size(size, MAXALIGN(mul_size(sizeof(uint32), bucket_count())));
	size = add_size(size, MAXALIGN(mul_size(sizeof(KnownTopic), realtime_max_topics + 1)));
	return add_size(size, mul_size(BLOCK_SIZE, block_count() + 1));
}

void
history_shmem_init(void)
{
	bool		found;

	history = ShmemInitStruct("realtime history", history_shmem_size(), &found);
	bucket_heads = (uint32 *) ((char *) history + MAXALIGN(sizeof(History)));
	topic_table = (KnownTopic *) ((char *) bucket_heads + MAXALIGN(sizeof(uint32) * bucket_count()));
	block_memory = (char *) topic_table + MAXALIGN(sizeof(KnownTopic) * (realtime_max_topics + 1));
	if (found)
		return;
	memset(history, 0, sizeof(History));
	memset(bucket_heads, 0, sizeof(uint32) * bucket_count());
	if (!pg_strong_random(history->seeds, sizeof(history->seeds)) ||
		!pg_strong_random(&history->epoch, sizeof(history->epoch)))
		ereport(ERROR, (errcode(ERRCODE_INTERNAL_ERROR), errmsg("could not generate random values")));
	history->era = history->epoch;
	history->buckets = bucket_count();
	history->topics = realtime_max_topics;
	history->blocks = block_count();
}

/* ------------------------------------------------ blocks and records ------------------------------------------------ */

static Kept *
record_at(uint32 block)
{
	return (Kept *) (block_memory + (Size) block * BLOCK_SIZE);
}

static Rest *
rest_at(uint32 block)
{
	return (Rest *) (block_memory + (Size) block * BLOCK_SIZE);
}

static uint32
blocks_for(Size length)
{
	return length <= FIRST_BYTES ? 1 : 1 + (uint32) ((length - FIRST_BYTES + REST_BYTES - 1) / REST_BYTES);
}

static uint32
blocks_left(void)
{
	return history->free_blocks + history->blocks - history->blocks_used;
}

/* The caller knows that there is one. */
static uint32
take_block(void)
{
	uint32		block = history->free_block;

	if (block == NONE)
		return ++history->blocks_used;
	history->free_block = rest_at(block)->next_block;
	history->free_blocks--;
	return block;
}

static void
free_chain(uint32 block)
{
	uint32		last = block;
	uint32		n = 1;

	while (rest_at(last)->next_block != NONE)
	{
		last = rest_at(last)->next_block;
		n++;
	}
	rest_at(last)->next_block = history->free_block;
	history->free_block = block;
	history->free_blocks += n;
}

/* Forget the oldest record of a topic that has one. */
static void
drop_first(KnownTopic *topic)
{
	uint32		block = topic->first;
	Kept	   *record = record_at(block);

	topic->first = record->next;
	if (topic->first == NONE)
		topic->last = NONE;
	topic->count--;
	if (record->older == NONE)
		history->oldest = record->newer;
	else
		record_at(record->older)->newer = record->newer;
	if (record->newer == NONE)
		history->newest = record->older;
	else
		record_at(record->newer)->older = record->older;
	free_chain(block);
}

static void
drop_all(KnownTopic *topic)
{
	while (topic->first != NONE)
		drop_first(topic);
}

/* The oldest record of all is the oldest of its topic, too. */
static void
drop_oldest(void)
{
	drop_first(&topic_table[record_at(history->oldest)->topic]);
}

static bool
is_too_old(const Kept *record, TimestampTz now)
{
	return now - record->at > (int64) realtime_history_ttl * 1000;
}

/* Make it the newest record of its topic and of all. */
static void
link_record(uint32 block, uint32 topic)
{
	Kept	   *record = record_at(block);
	KnownTopic *known = &topic_table[topic];

	record->topic = topic;
	record->next = NONE;
	if (known->last == NONE)
		known->first = block;
	else
		record_at(known->last)->next = block;
	known->last = block;
	known->count++;

	record->older = history->newest;
	record->newer = NONE;
	if (history->newest == NONE)
		history->oldest = block;
	else
		record_at(history->newest)->newer = block;
	history->newest = block;
}

/* Copy the bytes into a chain of blocks, of which there are enough. Returns the first. */
static uint32
store(const char *bytes, Size length)
{
	uint32		first = take_block();
	Kept	   *record = record_at(first);
	Size		n = Min(length, FIRST_BYTES);
	uint32	   *link = &record->next_block;

	record->length = length;
	memcpy(record->bytes, bytes, n);
	while (n < length)
	{
		uint32		block = take_block();
		Size		part = Min(length - n, REST_BYTES);

		memcpy(rest_at(block)->bytes, bytes + n, part);
		*link = block;
		link = &rest_at(block)->next_block;
		n += part;
	}
	*link = NONE;
	return first;
}

static void
fetch(const Kept *record, char *to)
{
	Size		left = record->length;
	Size		n = Min(left, FIRST_BYTES);
	uint32		block = record->next_block;

	memcpy(to, record->bytes, n);
	for (left -= n; left > 0; left -= n)
	{
		to += n;
		n = Min(left, REST_BYTES);
		memcpy(to, rest_at(block)->bytes, n);
		block = rest_at(block)->next_block;
	}
}

/* ------------------------------------------------ topics ------------------------------------------------ */

/* The hashes of a topic. Two topics with equal ones would share their numbers; no message goes to the wrong one. */
static void
hashes_of(Slice topic, bool is_private, uint64 *hash, uint64 *check)
{
	const unsigned char *bytes = (const unsigned char *) topic.data;

	*hash = hash_bytes_extended(bytes, topic.len, history->seeds[0] ^ (is_private ? 1 : 0));
	*check = hash_bytes_extended(bytes, topic.len, history->seeds[1] ^ (is_private ? 1 : 0));
}

static uint32
find_topic(uint64 hash, uint64 check)
{
	uint32		topic = bucket_heads[hash & (history->buckets - 1)];

	while (topic != NONE && (topic_table[topic].hash != hash || topic_table[topic].check != check))
		topic = topic_table[topic].next_in_bucket;
	return topic;
}

static void
unlink_from_order(KnownTopic *topic)
{
	if (topic->quieter == NONE)
		history->quietest = topic->busier;
	else
		topic_table[topic->quieter].busier = topic->busier;
	if (topic->busier == NONE)
		history->busiest = topic->quieter;
	else
		topic_table[topic->busier].quieter = topic->quieter;
}

static void
link_as_busiest(uint32 topic)
{
	topic_table[topic].quieter = history->busiest;
	topic_table[topic].busier = NONE;
	if (history->busiest == NONE)
		history->quietest = topic;
	else
		topic_table[history->busiest].busier = topic;
	history->busiest = topic;
}

/* The place of the topic that was quiet for longest. */
static uint32
take_quietest(void)
{
	uint32		topic = history->quietest;
	KnownTopic *known = &topic_table[topic];
	uint32	   *link = &bucket_heads[known->hash & (history->buckets - 1)];

	drop_all(known);
	unlink_from_order(known);
	while (*link != topic)
		link = &topic_table[*link].next_in_bucket;
	*link = known->next_in_bucket;
	counter_add(COUNTER_TOPICS_EVICTED, 1);
	return topic;
}

static void
begin_epoch(KnownTopic *topic)
{
	drop_all(topic);
	topic->mark.epoch = ++history->epoch;
	topic->mark.seq = 0;
}

static uint32
make_topic(uint64 hash, uint64 check)
{
	uint32		topic = history->topics_used < history->topics ? ++history->topics_used : take_quietest();
	KnownTopic *known = &topic_table[topic];
	uint32	   *head = &bucket_heads[hash & (history->buckets - 1)];

	memset(known, 0, sizeof(KnownTopic));
	known->hash = hash;
	known->check = check;
	known->next_in_bucket = *head;
	*head = topic;
	link_as_busiest(topic);
	begin_epoch(known);
	return topic;
}

/* Was its epoch ended with all others? */
static bool
is_over(const KnownTopic *topic)
{
	return (int64) (topic->mark.epoch - history->era) < 0;
}

/* Find it or make it. Needs the lock for writing. */
static uint32
get_topic(Slice name, bool is_private)
{
	uint64		hash;
	uint64		check;
	uint32		topic;

	hashes_of(name, is_private, &hash, &check);
	topic = find_topic(hash, check);
	if (topic == NONE)
		return make_topic(hash, check);
	if (is_over(&topic_table[topic]))
		begin_epoch(&topic_table[topic]);
	return topic;
}

/* ------------------------------------------------ for bus_append ------------------------------------------------ */

HistoryMark
history_number(Slice topic, bool is_private)
{
	KnownTopic *known;

	numbered = get_topic(topic, is_private);
	known = &topic_table[numbered];
	if (history->busiest != numbered)
	{
		unlink_from_order(known);
		link_as_busiest(numbered);
	}
	known->mark.seq++;
	return known->mark;
}

void
history_keep(const char *bytes, Size length, const uint8 *id, TimestampTz now)
{
	KnownTopic *topic = &topic_table[numbered];
	uint32		needed = blocks_for(length);
	uint32		block;

	if (realtime_history_size == 0 || needed > history->blocks / LARGEST_PART)
	{
		/* A hole in the numbers makes those before it useless. */
		drop_all(topic);
		return;
	}
	while (topic->count >= (uint32) realtime_history_size)
		drop_first(topic);
	for (int i = 0; i < EXPIRE_AT_ONCE && history->oldest != NONE && is_too_old(record_at(history->oldest), now); i++)
		drop_oldest();
	while (blocks_left() < needed)
		drop_oldest();
	block = store(bytes, length);
	record_at(block)->at = now;
	record_at(block)->seq = topic->mark.seq;
	record_at(block)->has_id = id != NULL;
	if (id != NULL)
		memcpy(record_at(block)->id, id, 16);
	link_record(block, numbered);
}

void
history_break(Slice topic)
{
	if (topic.len == 0)
	{
		history->era = ++history->epoch;
		return;
	}
	for (int i = 0; i < 2; i++)
	{
		uint64		hash;
		uint64		check;
		uint32		known;

		hashes_of(topic, i == 1, &hash, &check);
		known = find_topic(hash, check);
		if (known != NONE)
			begin_epoch(&topic_table[known]);
	}
}

/* ------------------------------------------------ for readers ------------------------------------------------ */

/*
 * Take the lock and find the topic: for reading if it is there, which is the rule, else for writing, since it gets its
 * place now.
 */
static KnownTopic *
lock_topic(Slice name, bool is_private)
{
	uint64		hash;
	uint64		check;
	uint32		topic;

	hashes_of(name, is_private, &hash, &check);
	LWLockAcquire(realtime_lock(LOCK_BUS), LW_SHARED);
	topic = find_topic(hash, check);
	if (topic != NONE && !is_over(&topic_table[topic]))
		return &topic_table[topic];
	LWLockRelease(realtime_lock(LOCK_BUS));
	LWLockAcquire(realtime_lock(LOCK_BUS), LW_EXCLUSIVE);
	return &topic_table[get_topic(name, is_private)];
}

/* The first record after a mark, if it and all that follow are there; NONE: they are not. There is at least one message after it. */
static uint32
first_after(const KnownTopic *topic, uint64 seq)
{
	uint32		block = topic->first;

	while (block != NONE && record_at(block)->seq <= seq)
		block = record_at(block)->next;
	if (block == NONE || record_at(block)->seq != seq + 1 || is_too_old(record_at(block), GetCurrentTimestamp()))
		return NONE;
	return block;
}

static bool
copy_from(uint32 block, char *buffer, Size size, Size *length)
{
	Size		sum = 0;

	for (uint32 b = block; b != NONE; b = record_at(b)->next)
		sum += record_at(b)->length;
	if (sum > size)
		return false;
	for (; block != NONE; block = record_at(block)->next)
	{
		fetch(record_at(block), buffer + *length);
		*length += record_at(block)->length;
	}
	return true;
}

bool
history_since(Slice topic, bool is_private, HistoryMark from, char *buffer, Size size, Size *length, HistoryMark *now)
{
	KnownTopic *known = lock_topic(topic, is_private);
	bool		whole = known->mark.epoch == from.epoch && from.seq <= known->mark.seq;

	*length = 0;
	*now = known->mark;
	if (whole && from.seq < known->mark.seq)
	{
		uint32		block = first_after(known, from.seq);

		whole = block != NONE && copy_from(block, buffer, size, length);
	}
	LWLockRelease(realtime_lock(LOCK_BUS));
	return whole;
}

HistoryMark
history_now(Slice topic, bool is_private)
{
	HistoryMark now = lock_topic(topic, is_private)->mark;

	LWLockRelease(realtime_lock(LOCK_BUS));
	return now;
}

int
history_ids(Slice topic, bool is_private, HistoryId *ids, int max, HistoryMark *now)
{
	KnownTopic *known = lock_topic(topic, is_private);
	int			n = 0;

	*now = known->mark;
	for (uint32 block = known->first; block != NONE; block = record_at(block)->next)
	{
		Kept	   *record = record_at(block);

		if (!record->has_id)
			continue;
		/* Past max the oldest make room: what is left is a ring. */
		memcpy(ids[n % max].id, record->id, 16);
		ids[n % max].seq = record->seq;
		ids[n % max].at = record->at;
		n++;
	}
	LWLockRelease(realtime_lock(LOCK_BUS));
	return Min(n, max);
}

void
history_load(uint64 *topics, uint64 *bytes)
{
	LWLockAcquire(realtime_lock(LOCK_BUS), LW_SHARED);
	*topics = history->topics_used;
	*bytes = (uint64) (history->blocks - blocks_left()) * BLOCK_SIZE;
	LWLockRelease(realtime_lock(LOCK_BUS));
}
