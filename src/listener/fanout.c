/*
 * fanout.c
 *	  From the bus to the members of a topic.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "listener/expiry.h"
#include "listener/fanout.h"
#include "listener/output.h"
#include "listener/resume.h"
#include "listener/tally.h"
#include "shared/histograms.h"
#include "wire/join.h"

/*
 * What is delivered together, in bytes of the bus. It is less than the least client_queue_size, and a client that is closed
 * amid such a frame has not much left to take before its close frame.
 */
#define RUN_RECORDS			128
#define RUN_BYTES			(32 * 1024)

/* Members between two steps of fetch_ahead. */
#define FETCH_STEP			4

/* Frames differ by the version of the protocol and by whether they carry their mark: vsn - PHX_V1, + 2 with it. */
#define VARIANTS			4

/* Longest metadata of a message. */
#define METADATA_BOUND		(64 + RESUME_META_BOUND)

/* A record, framed for those who need it. */
typedef struct Fanout
{
	BusRecord	record;
	Channel    *sender;			/* NULL: not one of ours */
	bool		made[VARIANTS];
	bool		failed[VARIANTS];	/* no memory */
	Frame	   *frames[VARIANTS];	/* NULL: failed, or the variant can't carry this record */
} Fanout;

/* Records that follow each other on one topic. */
typedef struct Run
{
	uint32		count;
	Size		bytes;
	bool		has_ids;		/* some are rows of realtime.messages */
	Topic	   *topic;			/* while it is delivered */
	bool		joined[VARIANTS];
	Frame	   *frames[VARIANTS];	/* all of it as one; NULL: it can't be */
	Fanout		fanouts[RUN_RECORDS];
} Run;

static Run	run;
static int	own_listener;

void
fanout_init(int listener)
{
	own_listener = listener;
}

/* ------------------------------------------------ frames ------------------------------------------------ */

void
fanout_write_id(Writer *w, const BusRecord *record)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			writer_char(w, '-');
		writer_char(w, hex[record->id[i] >> 4]);
		writer_char(w, hex[record->id[i] & 0xF]);
	}
}

/* The metadata of a row of realtime.messages, {"id":UUID}, and of a message with its mark. */
static Slice
metadata(const BusRecord *record, bool marked, char *text, Size size)
{
	Writer		w = writer_fixed(text, size);

	if (!record->has_id && !marked)
		return SLICE_EMPTY;
	writer_char(&w, '{');
	if (record->has_id)
	{
		writer_literal(&w, "\"id\":\"");
		fanout_write_id(&w, record);
		writer_char(&w, '"');
	}
	if (record->has_id && marked)
		writer_char(&w, ',');
	if (marked)
		resume_write_mark(&w, record->mark.epoch, record->mark.seq);
	writer_char(&w, '}');
	return writer_written(&w);
}

/* Write the record for one protocol version. */
static PhxForm
write_record(Writer *w, int vsn, bool marked, const BusRecord *record, const Topic *topic)
{
	char		text[METADATA_BOUND];

	if (record->form == BUS_FORM_TEXT)
	{
		Slice		payload = marked ? resume_payload(record) : record->payload;

		w->failed = w->failed || payload.len == 0;
		phx_write_push(w, vsn, SLICE_EMPTY, phx_topic_text(topic_full(topic)), SLICE_LITERAL("broadcast"), payload);
		return PHX_FORM_TEXT;
	}
	return phx_write_user_broadcast(w, vsn, topic_full(topic), record->event,
									metadata(record, marked, text, sizeof(text)), record->form == BUS_FORM_BINARY,
									record->payload);
}

/* The frame of one variant, made when the first member needs it. */
static Frame *
frame_of(Fanout *fanout, int variant, const Topic *topic)
{
	const BusRecord *record = &fanout->record;
	Writer	   *w;
	PhxForm		form;

	if (fanout->made[variant])
		return fanout->frames[variant];
	fanout->made[variant] = true;
	w = frame_begin(phx_bound(0, topic->full_len + record->event.len, record->payload.len + METADATA_BOUND));
	form = write_record(w, PHX_V1 + variant % 2, variant >= 2, record, topic);
	if (form != PHX_FORM_NONE)
	{
		fanout->frames[variant] = frame_finish(form == PHX_FORM_TEXT ? FRAME_TEXT : FRAME_BINARY);
		fanout->failed[variant] = fanout->frames[variant] == NULL;
	}
	return fanout->frames[variant];
}

/* The frame of the whole run, the same way. NULL: it has to go record by record, where failures are told. */
static Frame *
frame_of_run(int variant)
{
	Frame	   *frames[RUN_RECORDS];
	uint32		n = 0;

	if (run.joined[variant])
		return run.frames[variant];
	run.joined[variant] = true;
	for (uint32 i = 0; i < run.count; i++)
	{
		Frame	   *frame = frame_of(&run.fanouts[i], variant, run.topic);

		if (run.fanouts[i].failed[variant])
			return NULL;
		if (frame != NULL)
			frames[n++] = frame;
	}
	if (n > 0)
		run.frames[variant] = frame_join(frames, n);
	return run.frames[variant];
}

static void
forget_frames(Fanout *fanout)
{
	for (int i = 0; i < VARIANTS; i++)
		frame_unref(fanout->frames[i]);
}

/* ------------------------------------------------ members ------------------------------------------------ */

static int
variant_of(const Channel *channel)
{
	return channel->connection->vsn - PHX_V1 + (channel->marked ? 2 : 0);
}

static bool
listens(const Channel *channel)
{
	return channel->connection->state == CONNECTION_OPEN && channel->read_broadcast;
}

/* Queue a frame, or close the connection for want of memory: what was queued is counted. */
static void
give(Connection *connection, Frame *frame)
{
	uint64		before = connection->sent;

	output_queue(connection, frame);
	tally(COUNTER_DELIVERIES, connection->sent - before);
}

/* One record for one member. */
static void
deliver(Fanout *fanout, Channel *channel)
{
	int			variant = variant_of(channel);
	Frame	   *frame;

	if (!listens(channel) || expiry_withholds(channel))
		return;
	if ((channel->begins || channel->replayed_count > 0) && resume_keeps_back(channel, &fanout->record))
		return;
	frame = frame_of(fanout, variant, channel->topic);
	if (frame != NULL || fanout->failed[variant])
		give(channel->connection, frame);
}

void
fanout_to(Channel *channel, const BusRecord *record)
{
	Fanout		fanout = {.record = *record};

	deliver(&fanout, channel);
	forget_frames(&fanout);
}

Channel *
fanout_sender(const BusRecord *record)
{
	Connection *connection;

	if (record->origin.listener != own_listener)
		return NULL;
	connection = connection_find(record->origin.connection, record->origin.connection_generation);
	if (connection == NULL)
		return NULL;
	for (Channel *channel = connection->channels; channel != NULL; channel = channel->next)
		if (channel->number == record->origin.channel)
			return channel;
	return NULL;
}

/* The run record by record; its sender's own copy, if it wants one, comes before its ack. */
static void
deliver_each(Channel *member)
{
	for (uint32 i = 0; i < run.count; i++)
	{
		Fanout	   *fanout = &run.fanouts[i];
		bool		own = fanout->sender == member;

		/* A client that comes back to a listener that is behind must not get again what it has had from another one. */
		if (fanout->record.position >= member->since && (!own || fanout->record.origin.self))
			deliver(fanout, member);
		if (own && member->in_flight > 0)
			member->in_flight--;
		if (own && fanout->record.origin.ack)
			channel_reply(member, fanout->record.ref, true, SLICE_LITERAL("{}"));
	}
}

/* May the member get all of the run, whatever is in it? Numbers of a topic only grow, so the first stands for all. */
static bool
gets_all(const Channel *member)
{
	const BusRecord *first = &run.fanouts[0].record;

	return !member->sends && member->expiry == EXPIRY_FAR && first->position >= member->since &&
		!(member->begins && history_not_after(first->mark, member->begin)) &&
		!(run.has_ids && member->replayed_count > 0);
}

static void
deliver_run(Channel *member)
{
	Frame	   *frame;

	if (!gets_all(member))
		deliver_each(member);
	else if (listens(member))
	{
		frame = frame_of_run(variant_of(member));
		if (frame == NULL)
			deliver_each(member);
		else
			give(member->connection, frame);
	}
}

/* ------------------------------------------------ runs ------------------------------------------------ */

static void
find_senders(void)
{
	for (uint32 i = 0; i < run.count; i++)
	{
		Channel    *sender = fanout_sender(&run.fanouts[i].record);

		run.fanouts[i].sender = sender;
		if (sender != NULL)
			sender->sends = true;
	}
}

static void
forget_run(void)
{
	for (uint32 i = 0; i < run.count; i++)
	{
		forget_frames(&run.fanouts[i]);
		if (run.fanouts[i].sender != NULL)
			run.fanouts[i].sender->sends = false;
	}
	for (int i = 0; i < VARIANTS; i++)
	{
		frame_unref(run.frames[i]);
		run.frames[i] = NULL;
		run.joined[i] = false;
	}
	run.topic = NULL;
	run.count = 0;
	run.bytes = 0;
	run.has_ids = false;
}

/* How long what comes from the database has been on its way. */
static void
note_latency(void)
{
	TimestampTz now = 0;

	for (uint32 i = 0; i < run.count; i++)
	{
		TimestampTz committed_at = run.fanouts[i].record.committed_at;

		if (committed_at == 0)
			continue;
		if (now == 0)
			now = GetCurrentTimestamp();
		histogram_add(HISTOGRAM_DATABASE_LATENCY, now - committed_at);
	}
}

/*
 * With many members each is a row of cache misses: its channel, then its connection, then the end of its queue. They are
 * asked for some members ahead, each when the one before has come.
 */
static inline void
fetch_ahead(const Topic *topic, uint32 i)
{
	if (i + 3 * FETCH_STEP < topic->member_count)
	{
		const char *channel = (const char *) topic->members[i + 3 * FETCH_STEP];

		__builtin_prefetch(channel);
		__builtin_prefetch(channel + PG_CACHE_LINE_SIZE / 2);
	}
	if (i + 2 * FETCH_STEP < topic->member_count)
	{
		const char *connection = (const char *) topic->members[i + 2 * FETCH_STEP]->connection;

		__builtin_prefetch(connection);
		__builtin_prefetch(connection + PG_CACHE_LINE_SIZE / 2);
	}
	if (i + FETCH_STEP < topic->member_count)
	{
		const Connection *connection = topic->members[i + FETCH_STEP]->connection;

		if (connection->queue != NULL)
			__builtin_prefetch(connection->queue + connection->queue_count, 1);
	}
}

/* Who sends is a member too, so a topic that is not here has no sender here. */
void
fanout_flush(void)
{
	const BusRecord *first = &run.fanouts[0].record;

	if (run.count == 0)
		return;
	run.topic = topic_find(first->topic, first->is_private);
	if (run.topic != NULL)
	{
		note_latency();
		find_senders();
		for (uint32 i = 0; i < run.topic->member_count; i++)
		{
			fetch_ahead(run.topic, i);
			deliver_run(run.topic->members[i]);
		}
	}
	forget_run();
}

static bool
belongs_to_run(const BusRecord *record)
{
	const BusRecord *first = &run.fanouts[0].record;

	return run.count < RUN_RECORDS && run.bytes + bus_record_size(record) <= RUN_BYTES &&
		record->is_private == first->is_private && slice_equal(record->topic, first->topic);
}

void
fanout_add(const BusRecord *record)
{
	Fanout	   *fanout;

	if (run.count > 0 && !belongs_to_run(record))
		fanout_flush();
	fanout = &run.fanouts[run.count++];
	memset(fanout, 0, sizeof(*fanout));
	fanout->record = *record;
	run.bytes += bus_record_size(record);
	run.has_ids |= record->has_id;
}
