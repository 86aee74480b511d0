/*
 * asked_replay.c
 *	  The messages of a join that wants stored ones, until it has them.
 */
#include "postgres.h"

#include "listener/asked_replay.h"
#include "listener/limits.h"
#include "shared/history.h"

/* Records one after the other, as bus_next reads them. */
typedef struct Records
{
	char	   *bytes;
	Size		len;
	Size		size;
	uint32		count;
} Records;

struct AskedReplay
{
	struct AskedReplay *next;	/* of all */
	Slice		topic;
	Records		rows;			/* stored ones, that have come with the answer */
	Records		live;			/* what comes meanwhile: all after this mark */
	HistoryMark after;
	bool		overflown;		/* not all, there were too many */
};

static AskedReplay *replays;

AskedReplay *
asked_replay_begin(Slice topic)
{
	AskedReplay *replay = calloc(1, sizeof(AskedReplay));

	if (replay == NULL)
		return NULL;
	replay->topic = topic;
	replay->after = history_now(replay->topic, true);
	replay->next = replays;
	replays = replay;
	return replay;
}

void
asked_replay_refer(AskedReplay *replay, Slice topic)
{
	replay->topic = topic;
}

void
asked_replay_forget(AskedReplay *replay)
{
	AskedReplay **link = &replays;

	if (replay == NULL)
		return;
	while (*link != replay)
		link = &(*link)->next;
	*link = replay->next;
	free(replay->rows.bytes);
	free(replay->live.bytes);
	free(replay);
}

/* False: there is no memory. */
static bool
add_record(Records *records, const BusRecord *record)
{
	Size		length = bus_record_size(record);

	if (records->len + length > records->size)
	{
		Size		size = Max(records->len + length, 2 * records->size);
		char	   *bytes = realloc(records->bytes, size);

		if (bytes == NULL)
			return false;
		records->bytes = bytes;
		records->size = size;
	}
	bus_write_record(records->bytes + records->len, record);
	records->len += length;
	records->count++;
	return true;
}

/* An authorizer that ended in the middle of them is followed by another, which begins anew: origin.self says so. */
void
asked_replay_row(AskedReplay *replay, const BusRecord *record)
{
	if (record->origin.self)
		replay->rows.len = replay->rows.count = 0;
	(void) add_record(&replay->rows, record);
}

Slice
asked_replay_rows(const AskedReplay *replay)
{
	return replay != NULL ? slice_make(replay->rows.bytes, replay->rows.len) : SLICE_EMPTY;
}

uint32
asked_replay_count(const AskedReplay *replay)
{
	return replay != NULL ? replay->rows.count : 0;
}

bool
asked_replay_live_since(const AskedReplay *replay, HistoryMark mark, Slice *records)
{
	if (replay == NULL || replay->overflown || !history_not_after(replay->after, mark))
		return false;
	*records = slice_make(replay->live.bytes, replay->live.len);
	return true;
}

/* Most of these were asked for just now, so there are few. */
void
asked_replays_broadcast(const BusRecord *record)
{
	for (AskedReplay *replay = replays; replay != NULL; replay = replay->next)
	{
		if (!record->is_private || replay->overflown || !slice_equal(replay->topic, record->topic))
			continue;
		replay->overflown = replay->live.len + bus_record_size(record) > (Size) limit_least(LIMIT_QUEUE) * 1024 / 4 ||
			!add_record(&replay->live, record);
	}
}

/* The history may have them nevertheless. */
void
asked_replays_lost(Slice topic)
{
	for (AskedReplay *replay = replays; replay != NULL; replay = replay->next)
		if (topic.len == 0 || slice_equal(replay->topic, topic))
			replay->overflown = true;
}
