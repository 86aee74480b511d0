/*
 * history.h
 *	  The last broadcasts of each topic, in shared memory, and their numbers.
 *
 * A topic (its name, public or private) has an epoch and a sequence number; each broadcast that enters the bus gets the
 * next one. Its last realtime.history_size records, at most realtime.history_ttl old, are kept, all topics together in
 * realtime.history_memory: past it the oldest of all go first. So the records that are kept of a topic always have
 * numbers without a hole that end with its newest, and who knows the number of the last message that he got can be given
 * all that came after it, or be told that this is not possible.
 *
 * The table of topics has realtime.max_topics places. The topic that was quiet for longest loses its place, and gets
 * another epoch when it comes back. Epochs never come again, not after a restart or a crash either: they begin at random.
 *
 * Everything is guarded by LOCK_BUS; numbering and keeping is a part of bus_append, nothing else may do it. Nothing
 * throws or allocates.
 */
#ifndef REALTIME_HISTORY_H
#define REALTIME_HISTORY_H

#include "datatype/timestamp.h"

#include "wire/slice.h"

/* A place in the messages of a topic: after number seq of this epoch. Epochs of one topic rise with time (modulo 2^64). */
typedef struct HistoryMark
{
	uint64		epoch;
	uint64		seq;
} HistoryMark;

/* A message from the database that is kept. */
typedef struct HistoryId
{
	uint8		id[16];
	uint64		seq;
	TimestampTz at;				/* when it entered the bus */
} HistoryId;

/* Is the first of these two places of one topic before the second, or the same? */
static inline bool
history_not_after(HistoryMark a, HistoryMark b)
{
	return a.epoch == b.epoch ? a.seq <= b.seq : (int64) (a.epoch - b.epoch) < 0;
}

extern Size history_shmem_size(void);
extern void history_shmem_init(void);

/*
 * bus_append, under the lock: the number of a broadcast that comes now; and keep its bytes (id: 16 bytes, or NULL), right
 * after it was numbered.
 */
extern HistoryMark history_number(Slice topic, bool is_private);
extern void history_keep(const char *bytes, Size length, const uint8 *id, TimestampTz now);

/* bus_append, under the lock: messages of this topic were lost (empty: of every topic). Nobody can be given the whole any more. */
extern void history_break(Slice topic);

/*
 * Copy the records after a mark into buffer, one after the other, to be walked over with bus_next; *now is the mark of the
 * last message of the topic. False: some are not kept any more, or they are longer than the buffer, and nothing was copied.
 * Takes the lock itself. The topic of each record is to be compared: names are told apart by hashes here.
 */
extern bool history_since(Slice topic, bool is_private, HistoryMark from, char *buffer, Size size, Size *length,
						  HistoryMark *now);

/* The mark of the last message of a topic. Takes the lock itself. */
extern HistoryMark history_now(Slice topic, bool is_private);

/* For stats: topics that are known, and bytes of realtime.history_memory that are in use. Takes the lock itself. */
extern void history_load(uint64 *topics, uint64 *bytes);

/* The newest messages from the database that are kept, at most max, in no particular order; returns how many. Takes the lock itself. */
extern int	history_ids(Slice topic, bool is_private, HistoryId *ids, int max, HistoryMark *now);

#endif							/* REALTIME_HISTORY_H */
