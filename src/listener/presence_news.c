/*
 * presence_news.c
 *	  Presence as the bus tells it.
 */
#include "postgres.h"

#include "listener/expiry.h"
#include "listener/fanout.h"
#include "listener/output.h"
#include "listener/presence.h"
#include "listener/presence_news.h"
#include "listener/presence_own.h"
#include "listener/presence_state.h"
#include "listener/tally.h"
#include "shared/registry.h"

/* How long a listener waits for what the others know, in ms. */
#define NEWS_PATIENCE		1000

static int	listener;
static uint32 missing;			/* listeners that have not told yet, as bits; 0: the state is whole */
static Timer patience;

/* ------------------------------------------------- to the members --------------------------------------------------- */

/* NULL: no memory, also for the diff; who can't be told what has changed is closed, and comes back to the state as it is. */
static Frame *
diff_frame(const Topic *topic, int vsn, Slice join_ref, Slice diff)
{
	Writer	   *w;

	if (diff.len == 0)
		return NULL;
	w = frame_begin(phx_bound(join_ref.len, topic->full_len, diff.len));
	phx_write_push(w, vsn, join_ref, phx_topic_text(topic_full(topic)), SLICE_LITERAL("presence_diff"), diff);
	return frame_finish(FRAME_TEXT);
}

/* On a public topic everybody, on a private one those whom the policies let. */
static void
announce(const PresenceTopic *present, Slice diff)
{
	Topic	   *topic = topic_find(presence_topic_name(present), present->is_private);
	Frame	   *frames[2] = {NULL, NULL};

	for (uint32 i = 0; topic != NULL && i < topic->member_count; i++)
	{
		Channel    *channel = topic->members[i];
		int			vsn = channel->connection->vsn;
		Frame	  **frame = &frames[vsn - PHX_V1];

		if (channel->connection->state != CONNECTION_OPEN || !channel->read_presence || channel->awaits_state ||
			expiry_withholds(channel))
			continue;
		if (channel->presence_gated)
		{
			Frame	   *own = diff_frame(topic, vsn, channel->join_ref, diff);

			output_queue(channel->connection, own);
			frame_unref(own);
		}
		else
		{
			if (*frame == NULL)
				*frame = diff_frame(topic, vsn, SLICE_EMPTY, diff);
			output_queue(channel->connection, *frame);
		}
		tally(COUNTER_DELIVERIES, 1);
	}
	frame_unref(frames[0]);
	frame_unref(frames[1]);
}

static void
send_state(Channel *channel)
{
	Slice		name = topic_name(channel->topic);
	Writer		measure = writer_measuring();
	Writer		state;
	Writer	   *w;
	char	   *text;

	channel->awaits_state = false;
	presence_state_write(&measure, name, channel->topic->is_private);
	text = malloc(measure.len);
	state = writer_fixed(text, text == NULL ? 0 : measure.len);
	presence_state_write(&state, name, channel->topic->is_private);
	if (state.failed)
		output_queue(channel->connection, NULL);
	else
	{
		w = frame_begin(phx_bound(channel->join_ref.len, channel->topic->full_len, state.len));
		phx_write_push(w, channel->connection->vsn, channel->join_ref, phx_topic_text(topic_full(channel->topic)),
					   SLICE_LITERAL("presence_state"), writer_written(&state));
		output_send(channel->connection, frame_finish(FRAME_TEXT));
	}
	free(text);
}

void
presence_send_state(Channel *channel)
{
	if (missing == 0)
		send_state(channel);
	else
		channel->awaits_state = true;
}

static void
send_awaited_state(Channel *channel, void *arg)
{
	if (channel->awaits_state && !expiry_withholds(channel))
		send_state(channel);
}

/* ------------------------------------------------- between listeners ------------------------------------------------ */

/* All that run have told, or have had their time: what nobody has told of is gone. */
static void
state_is_whole(void)
{
	missing = 0;
	wheel_cancel(&patience);
	presence_state_drop_doubtful();
	channels_each(send_awaited_state, NULL);
}

static void
patience_is_over(Timer *timer)
{
	state_is_whole();
}

static void
publish(BusKind kind, uint32 channel)
{
	BusRecord	record = {.kind = kind,.origin = {.listener = listener,.channel = channel}};

	(void) bus_publish(&record);
}

/* Ask all others. A listener that has just started says so by form, for the others to forget what it was before. */
static void
ask(bool started)
{
	WorkerInfo	info;
	BusRecord	record = {
		.kind = BUS_PRESENCE_ASK,
		.form = started ? 1 : 0,
		.origin = {.listener = listener}
	};

	missing = 0;
	for (int i = 0; i < REALTIME_MAX_LISTENERS; i++)
		if (i != listener && registry_get(WORKER_LISTENER, i, &info) && info.state == WORKER_RUNNING)
			missing |= 1u << i;
	(void) bus_publish(&record);
	patience.fire = patience_is_over;
	if (missing != 0)
		wheel_set(&connection_wheel, &patience, connection_clock() + NEWS_PATIENCE);
}

static void
tell(int asker)
{
	presence_tell();
	publish(BUS_PRESENCE_TOLD, asker);
}

static void
asked(const BusRecord *record)
{
	if (record->form == 1)
		presence_state_drop_listener(record->origin.listener);
	if (record->origin.listener != listener)
		tell(record->origin.listener);
}

static void
told(const BusRecord *record)
{
	if (missing == 0 || record->origin.channel != (uint32) listener)
		return;
	missing &= ~(1u << record->origin.listener);
	if (missing == 0)
		state_is_whole();
}

void
presence_news_init(int index)
{
	listener = index;
	presence_state_init(announce);
	ask(true);
}

void
presence_lapped(void)
{
	presence_state_doubt(listener);
	ask(false);
	presence_tell();
	if (missing == 0)
		state_is_whole();
}

void
presence_listener_ends(void)
{
	publish(BUS_PRESENCE_GONE, 0);
}

/* --------------------------------------------------- from the bus --------------------------------------------------- */

/* The channel that said so, if it is ours, gets its reply now. */
static void
answer(const BusRecord *record)
{
	Channel    *channel = record->origin.ack ? fanout_sender(record) : NULL;

	if (channel == NULL)
		return;
	if (channel->in_flight > 0)
		channel->in_flight--;
	channel_reply(channel, record->ref, true, SLICE_LITERAL("{}"));
}

void
presence_record(const BusRecord *record)
{
	PresenceOwner owner = {
		record->origin.listener, record->origin.connection, record->origin.connection_generation, record->origin.channel
	};

	uint64		serial;

	memcpy(&serial, record->id, sizeof(serial));
	switch ((BusKind) record->kind)
	{
		case BUS_PRESENCE_TRACK:
			(void) presence_state_track(record->topic, record->is_private, owner, serial, record->event,
										record->payload, record->committed_at);
			presence_track_was_read(record, owner);
			answer(record);
			break;
		case BUS_PRESENCE_UNTRACK:
			presence_state_untrack(record->topic, record->is_private, owner);
			presence_untrack_was_read(record);
			answer(record);
			break;
		case BUS_PRESENCE_LINGER:
			presence_state_linger(record->topic, record->is_private, owner);
			presence_untrack_was_read(record);
			break;
		case BUS_PRESENCE_GONE:
			presence_state_drop_listener(record->origin.listener);
			break;
		case BUS_PRESENCE_ASK:
			asked(record);
			break;
		case BUS_PRESENCE_TOLD:
			told(record);
			break;
		default:
			break;
	}
}

void
presence_flush(void)
{
	presence_state_flush();
}
