/*
 * changes.c
 *	  Postgres Changes on the side of the clients.
 */
#include "postgres.h"

#include "listener/asking.h"
#include "listener/changes.h"
#include "listener/expiry.h"
#include "listener/limits.h"
#include "listener/output.h"
#include "listener/tally.h"
#include "shared/change_record.h"
#include "shared/change_stream.h"
#include "wire/join.h"

#define EXTENSION			SLICE_LITERAL("postgres_changes")
#define SUBSCRIBED			SLICE_LITERAL("Subscribed to PostgreSQL")

#define NOT_YET				"Changes are not delivered yet: "

/* Longer texts of the worker are cut. */
#define TEXT_MAX			(16 * 1024)

static int	listener;
static dlist_head going_on;		/* joins whose time has come */

void
changes_init(int index)
{
	listener = index;
	dlist_init(&going_on);
	channel_subscriptions_init(index);
}

/* ------------------------------------------------ joins ------------------------------------------------ */

/* Let the join go on in the next turn. */
static void
make_ready(Subscription *subscription)
{
	if (subscription->ready || subscription->asking == NULL)
		return;
	subscription->ready = true;
	dlist_push_tail(&going_on, &subscription->going_on);
}

/* The worker takes its time. */
static void
patience_ends(Timer *timer)
{
	make_ready((Subscription *) ((char *) timer - offsetof(Subscription, timer)));
}

ChangesBegun
changes_begin(Connection *connection, Slice topic, Slice entries, Token *token, bool legacy,
			  const Incoming *incoming)
{
	ChangeStreamInfo stream;
	bool		too_large;
	Subscription *subscription = channel_subscription_new(connection, topic, entries, token, legacy, &too_large);

	if (subscription == NULL)
		return too_large ? CHANGES_TOO_LARGE : CHANGES_TOO_MANY;
	if (incoming->answer != NULL)
	{
		subscription->judged = true;
		subscription->rights = *incoming->answer;
	}
	if (!asking_hold(connection, topic, subscription, incoming))
	{
		channel_subscription_end(subscription);
		return CHANGES_TOO_MANY;
	}
	change_stream_get(&stream);
	subscription->timer.fire = patience_ends;
	wheel_set(&connection_wheel, &subscription->timer, connection_clock() +
			  (stream.state == CHANGE_STREAM_UNAVAILABLE ? CHANGES_PATIENCE_UNAVAILABLE : CHANGES_PATIENCE));
	return CHANGES_HELD;
}

/*
 * Those that become ready while others go on have to wait for the next turn, or a client that joins the same topic over and
 * over would keep us here.
 */
void
changes_go_on(void)
{
	dlist_head	now;

	dlist_init(&now);
	while (!dlist_is_empty(&going_on))
		dlist_push_tail(&now, dlist_pop_head_node(&going_on));
	while (!dlist_is_empty(&now))
	{
		Subscription *subscription = dlist_head_element(Subscription, going_on, &now);

		dlist_delete(&subscription->going_on);
		subscription->ready = false;
		wheel_cancel(&subscription->timer);
		asking_release(subscription);
	}
}

bool
changes_waiting(void)
{
	return !dlist_is_empty(&going_on);
}

void
changes_joined(Channel *channel, Subscription *subscription)
{
	channel->subscription = subscription;
	subscription->channel = channel;
}

void
changes_unjoined(uint32 number)
{
	Subscription *subscription = channel_subscription_find(number);

	if (subscription != NULL && subscription->channel == NULL)
		channel_subscription_end(subscription);
}

/* ------------------------------------------------ what the channel is told ------------------------------------------------ */

static void
say(Channel *channel, bool ok, Slice text)
{
	channel_system(channel, EXTENSION, ok, text);
}

/* What the join has waited for in vain. */
static void
say_waiting(Subscription *subscription)
{
	char		message[sizeof(NOT_YET) + CHANGE_STREAM_TEXT_SIZE];
	Writer		w = writer_fixed(message, sizeof(message));
	ChangeStreamInfo stream;

	change_stream_get(&stream);
	writer_literal(&w, NOT_YET);
	if (stream.state == CHANGE_STREAM_CLOSED)
		writer_literal(&w, "the changes worker is starting");
	else if (stream.state == CHANGE_STREAM_RUNNING)
		writer_literal(&w, "the changes worker has not answered yet");
	else if (stream.text[0] == '\0')
		writer_literal(&w, "the change decoder is starting");
	else
		writer_cstring(&w, stream.text);
	say(subscription->channel, false, writer_written(&w));
}

/* Changes that came before the channel was there. */
static void
send_early(Subscription *subscription)
{
	Connection *connection = subscription->connection;

	while (subscription->early != NULL)
	{
		EarlyFrame *early = subscription->early;

		subscription->early = early->next;
		output_send(connection, early->frame);
		free(early);
	}
	subscription->last_early = NULL;
	subscription->early_bytes = 0;
}

void
changes_tell(Channel *channel)
{
	Subscription *subscription = channel->subscription;

	if (subscription->state == SUBSCRIPTION_LIVE)
		say(channel, true, SUBSCRIBED);
	else if (subscription->state == SUBSCRIPTION_ASKED)
		say_waiting(subscription);
	if (subscription->text != NULL)
		say(channel, false, slice_cstring(subscription->text));
	else if (subscription->state == SUBSCRIPTION_REFUSED)
		say(channel, false, SLICE_LITERAL("Unable to subscribe to changes with given parameters"));
	free(subscription->text);
	subscription->text = NULL;
	send_early(subscription);
}

void
changes_tell_too_large(Channel *channel)
{
	say(channel, false, SLICE_LITERAL("Unable to subscribe to changes with given parameters: "
									  "the entries of this connection are too large"));
}

void
changes_token(Channel *channel)
{
	if (channel->subscription != NULL)
		channel_subscription_ask_again(channel->subscription, channel->token);
}

void
changes_channel_ends(Channel *channel)
{
	if (channel->subscription != NULL)
		channel_subscription_end(channel->subscription);
}

/* ------------------------------------------------ what the worker says ------------------------------------------------ */

/* A held join has no channel yet; it is told after the reply, of several things only the latest. */
static void
say_error(Subscription *subscription, Slice text)
{
	text = slice_cut_text(text, TEXT_MAX);
	if (subscription->channel != NULL)
	{
		say(subscription->channel, false, text);
		return;
	}
	free(subscription->text);
	subscription->text = text.len > 0 ? strndup(text.data, text.len) : NULL;
}

/* Its request is answered: now, and perhaps once more if the worker could not go on meanwhile. */
static void
answered_live(Subscription *subscription)
{
	channel_subscription_is_live(subscription);
	subscription->told_trouble = false;
	free(subscription->text);
	subscription->text = NULL;
	if (subscription->channel != NULL)
		say(subscription->channel, true, SUBSCRIBED);
}

static void
answered_refused(Subscription *subscription, Slice text)
{
	channel_subscription_is_refused(subscription);
	subscription->told_trouble = false;
	say_error(subscription, text);
}

/* Of answers to other requests than the latest only errors count: the client gets the answer to the latest instead. */
static void
answer(const BusRecord *record)
{
	Subscription *subscription = channel_subscription_find(record->origin.channel);
	uint32		version;

	if (subscription == NULL)
		return;
	memcpy(&version, record->id, sizeof(version));
	if (record->form == BUS_ANSWER_ERROR)
		say_error(subscription, record->payload);
	else if (version != subscription->version)
		return;
	else if (record->form == BUS_ANSWER_LIVE)
		answered_live(subscription);
	else
		answered_refused(subscription, record->payload);
	if (record->form != BUS_ANSWER_ERROR)
		make_ready(subscription);
}

/* Changes are missing, or flow again. */
static void
state_changed(Subscription *subscription, void *arg)
{
	Slice		text = *(Slice *) arg;

	if (subscription->state != SUBSCRIPTION_LIVE)
		return;
	if (text.len > 0)
	{
		say_error(subscription, text);
		subscription->told_trouble = true;
	}
	else if (subscription->told_trouble)
		answered_live(subscription);
}

/* Channels have been told already; who is just joining has not. */
static void
tell_joining(Subscription *subscription, void *arg)
{
	if (subscription->state == SUBSCRIPTION_LIVE && subscription->channel == NULL)
		say_error(subscription, *(Slice *) arg);
}

void
changes_lapped(Slice text)
{
	channel_subscriptions_each(tell_joining, &text);
	channel_subscriptions_ask_all();
}

/* ------------------------------------------------ changes ------------------------------------------------ */

static const char *const action_names[CHANGE_ACTIONS] = {"INSERT", "UPDATE", "DELETE"};

/* A change for one group of receivers, and the frames that were made for it. */
typedef struct Delivery
{
	const BusRecord *record;
	const char *ids;			/* uint32, perhaps not aligned */
	uint32		id_count;
	struct
	{
		const Topic *topic;		/* of which frame is; NULL: none */
		Frame	   *frame;
	}			latest[2][2];	/* by vsn - PHX_V1, and legacy */
} Delivery;

/* NULL: no memory. */
static Frame *
make_frame(const Delivery *delivery, Slice topic, int vsn, bool legacy)
{
	const BusRecord *record = delivery->record;
	Writer	   *w = frame_begin(phx_bound(0, topic.len + 32, record->event.len + 32 + 11 * (Size) delivery->id_count));

	if (legacy)
		phx_write_push(w, vsn, SLICE_EMPTY, phx_topic_text(topic), slice_cstring(action_names[record->form]),
					   record->event);
	else
		phx_write_change(w, vsn, phx_topic_text(topic), delivery->ids, delivery->id_count, record->event);
	return frame_finish(FRAME_TEXT);
}

/* Its frame is that of the receiver before it, if that had the same topic. */
static void
deliver(Delivery *delivery, const Subscription *subscription)
{
	const Channel *channel = subscription->channel;
	Connection *connection = subscription->connection;
	int			i = connection->vsn - PHX_V1;
	bool		legacy = subscription->legacy;

	if (delivery->latest[i][legacy].topic != channel->topic)
	{
		frame_unref(delivery->latest[i][legacy].frame);
		delivery->latest[i][legacy].topic = channel->topic;
		delivery->latest[i][legacy].frame = make_frame(delivery, topic_full(channel->topic), connection->vsn, legacy);
	}
	output_queue(connection, delivery->latest[i][legacy].frame);
}

/* Keep it until the channel is there; no more than a client may leave untaken. */
static void
keep_early(Delivery *delivery, Subscription *subscription)
{
	char		text[REALTIME_MAX_TOPIC + 16];
	Writer		topic = writer_fixed(text, sizeof(text));
	Connection *connection = subscription->connection;
	EarlyFrame *early;

	if (limits_queue_over(connection, subscription->early_bytes, LIMIT_QUEUE))
	{
		tally(COUNTER_SLOW_CONSUMERS_CLOSED, 1);
		connection_close(connection, CLOSE_TRY_LATER, "too slow: over client_queue_size, connect again and resume", true);
		return;
	}
	early = malloc(sizeof(EarlyFrame));
	writer_slice(&topic, TOPIC_PREFIX);
	writer_slice(&topic, channel_subscription_topic(subscription));
	if (early != NULL)
		early->frame = make_frame(delivery, writer_written(&topic), connection->vsn, subscription->legacy);
	if (early == NULL || early->frame == NULL)
	{
		free(early);
		output_queue(connection, NULL);
		return;
	}
	early->next = NULL;
	if (subscription->early == NULL)
		subscription->early = early;
	else
		subscription->last_early->next = early;
	subscription->last_early = early;
	subscription->early_bytes += early->frame->len;
}

static void
receive(Delivery *delivery, const BusReceiver *receiver)
{
	Subscription *subscription = channel_subscription_find(receiver->subscription);

	if (subscription == NULL || subscription->state != SUBSCRIPTION_LIVE ||
		subscription->slot != receiver->connection || subscription->generation != receiver->generation ||
		subscription->connection->state != CONNECTION_OPEN)
		return;
	if (subscription->channel != NULL && expiry_withholds(subscription->channel))
		return;
	if (subscription->channel != NULL)
		deliver(delivery, subscription);
	else
		keep_early(delivery, subscription);
	tally(COUNTER_DELIVERIES, 1);
	tally(COUNTER_CHANGES_DELIVERED, 1);
}

/* One group: returns the bytes that it takes, 0 if there is no whole one. */
static Size
deliver_group(const BusRecord *record, Slice groups)
{
	BusChangeGroup group;
	Delivery	delivery = {.record = record};
	const char *at = groups.data + sizeof(group);
	Size		size;

	if (groups.len < sizeof(group))
		return 0;
	memcpy(&group, groups.data, sizeof(group));
	size = sizeof(group) + group.ids * sizeof(uint32) + group.receivers * sizeof(BusReceiver);
	if (group.ids > JOIN_MAX_CHANGES || groups.len < size)
		return 0;
	delivery.ids = at;
	delivery.id_count = group.ids;
	at += group.ids * sizeof(uint32);
	for (uint32 i = 0; i < group.receivers; i++, at += sizeof(BusReceiver))
	{
		BusReceiver receiver;

		memcpy(&receiver, at, sizeof(receiver));
		receive(&delivery, &receiver);
	}
	for (int i = 0; i < 2; i++)
		for (int legacy = 0; legacy < 2; legacy++)
			frame_unref(delivery.latest[i][legacy].frame);
	return size;
}

static void
change(const BusRecord *record)
{
	Slice		groups = record->payload;
	Size		used;

	if (record->form >= CHANGE_ACTIONS)
		return;
	while ((used = deliver_group(record, groups)) > 0)
		groups = slice_skip(groups, used);
}

void
changes_record(const BusRecord *record)
{
	Slice		text = record->payload;

	switch ((BusKind) record->kind)
	{
		case BUS_CHANGES_ASK:
			channel_subscriptions_ask_all();
			break;
		case BUS_CHANGES_STATE:
			channel_subscriptions_each(state_changed, &text);
			break;
		case BUS_CHANGES_ANSWER:
			if (record->origin.listener == listener)
				answer(record);
			break;
		case BUS_CHANGE:
			if (record->origin.listener == listener)
				change(record);
			break;
		default:
			break;
	}
}
