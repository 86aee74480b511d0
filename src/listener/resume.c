/*
 * resume.c
 *	  Where a channel begins in the messages of its topic.
 *
 * What is read from the history at a join reaches to the newest message of the topic, also to those that this listener has
 * not read from the bus yet: they are sent now, and kept back when they come by. So it does not matter how far the listener
 * is behind, and every message comes exactly once, in its order.
 */
#include "postgres.h"

#include "listener/fanout.h"
#include "listener/limits.h"
#include "listener/output.h"
#include "listener/replay.h"
#include "listener/resume.h"
#include "listener/tally.h"
#include "shared/history.h"

/* The join that is being answered. */
typedef struct Beginning
{
	bool		asked;			/* epoch and seq go into the reply */
	bool		came_back;		/* it says where it was */
	bool		recovered;
	bool		replay;
	bool		hole;			/* some messages after the replay are lost */
	HistoryMark from;			/* messages follow from here */
	HistoryMark now;			/* and come from the bus from here */
	Slice		gap;			/* the messages in between, or some before them, too */
} Beginning;

static Beginning beginning;
static char *buffer;
static Size buffer_size;

/* Room for what the client may have queued; a part of it is left for the frames' headers and what else comes. */
static Size
room_for(const Connection *connection)
{
	Size		size = (Size) limits_of_connection(connection, LIMIT_QUEUE) * 1024 / 4 * 3;

	if (size > buffer_size)
	{
		free(buffer);
		buffer = malloc(size);
		buffer_size = buffer == NULL ? 0 : size;
	}
	size = Min(size, buffer_size);
	return size > connection->queued_bytes ? size - connection->queued_bytes : 0;
}

/* Topics are told apart by their hashes in the history; here by their names. */
static bool
is_all_of(const Channel *channel, Slice records)
{
	Size		offset = 0;
	BusRecord	record;

	while (bus_next(records.data, records.len, &offset, &record))
		if (record.is_private != channel->topic->is_private || !slice_equal(record.topic, topic_name(channel->topic)))
			return false;
	return true;
}

static bool
read_gap(const Channel *channel, HistoryMark from)
{
	Size		length;
	bool		whole = history_since(topic_name(channel->topic), channel->topic->is_private, from,
									  buffer, room_for(channel->connection), &length, &beginning.now);

	whole = whole && is_all_of(channel, slice_make(buffer, length));
	beginning.gap = slice_make(buffer, whole ? length : 0);
	return whole;
}

/*
 * What has come since the stored messages were read: this listener has read it from the bus, or, before the question was
 * asked, from the history. Then what is still to be read from the bus follows.
 */
static bool
read_after_replay(const Channel *channel, HistoryMark mark)
{
	Size		offset = 0;
	BusRecord	record;

	if (!asked_replay_live_since(asking_replay(), mark, &beginning.gap))
		return read_gap(channel, mark);
	beginning.now = mark;
	while (bus_next(beginning.gap.data, beginning.gap.len, &offset, &record))
		if (history_not_after(beginning.now, record.mark))
			beginning.now = record.mark;
	return true;
}

void
resume_begin(Channel *channel, const JoinConfig *config, const Answer *answer)
{
	HistoryMark place = {config->resume.epoch, config->resume.seq};

	memset(&beginning, 0, sizeof(beginning));
	beginning.asked = config->resume.asked;
	beginning.came_back = config->resume.has_mark;
	channel->marked = config->resume.asked && channel->read_broadcast;
	if (!channel->read_broadcast)
		return;
	if (beginning.came_back && read_gap(channel, place))
	{
		beginning.recovered = true;
		beginning.from = place;
	}
	else if (answer != NULL && answer->replay == REPLAY_DONE)
	{
		beginning.replay = true;
		beginning.from = answer->mark;
		beginning.hole = !read_after_replay(channel, answer->mark);
	}
	else if (beginning.asked)
	{
		beginning.now = history_now(topic_name(channel->topic), channel->topic->is_private);
		beginning.from = beginning.now;
	}
	if (beginning.came_back)
		tally(beginning.recovered ? COUNTER_RESUMED : COUNTER_RESUMES_REFUSED, 1);
}

void
resume_write_reply(const Channel *channel, Writer *response)
{
	if (!beginning.asked || response->failed)
		return;
	response->len--;			/* the closing brace */
	writer_literal(response, ",\"resume\":{");
	if (beginning.came_back)
		writer_slice(response, beginning.recovered ? SLICE_LITERAL("\"recovered\":true") : SLICE_LITERAL("\"recovered\":false"));
	if (channel->marked)
	{
		if (beginning.came_back)
			writer_char(response, ',');
		resume_write_mark(response, beginning.from.epoch, beginning.from.seq);
	}
	writer_literal(response, "}}");
}

void
resume_send(Channel *channel)
{
	Size		offset = 0;
	BusRecord	record;

	if (beginning.replay)
		replay_send(channel);
	if (beginning.hole)
		channel_system(channel, SLICE_LITERAL("system"), false,
					   SLICE_LITERAL("Messages were lost: those that came between the replay and the join"));
	while (bus_next(beginning.gap.data, beginning.gap.len, &offset, &record))
		if (!history_not_after(record.mark, beginning.from))
			fanout_to(channel, &record);
	channel->begins = channel->read_broadcast && (beginning.asked || beginning.replay);
	channel->begin = beginning.now;
	if (channel->begins)
		channel->since = 0;		/* its place is known better than by when it joined */
}

bool
resume_keeps_back(const Channel *channel, const BusRecord *record)
{
	if (channel->begins && history_not_after(record->mark, channel->begin))
		return true;
	if (!record->has_id)
		return false;
	for (uint32 i = 0; i < channel->replayed_count; i++)
		if (memcmp(channel->replayed[i], record->id, sizeof(record->id)) == 0)
			return true;
	return false;
}

Slice
resume_payload(const BusRecord *record)
{
	static char *text;
	static Size size;
	Size		needed = record->payload.len + RESUME_META_BOUND;
	Writer		w;

	if (needed > size)
	{
		free(text);
		text = malloc(needed);
		size = text == NULL ? 0 : needed;
	}
	w = writer_fixed(text, size);
	resume_write_payload(&w, record->payload, record->mark.epoch, record->mark.seq);
	return w.failed ? SLICE_EMPTY : writer_written(&w);
}
