/*
 * presence.c
 *	  What clients push about themselves: tracks and untracks, the rights to them, and their limits.
 */
#include "postgres.h"

#include "listener/asking.h"
#include "listener/limits.h"
#include "listener/presence.h"
#include "listener/presence_news.h"
#include "listener/presence_own.h"
#include "listener/presence_state.h"
#include "listener/rights.h"
#include "shared/settings.h"
#include "wire/json.h"

#define NO_MEMORY	SLICE_LITERAL("OutOfMemory: the server has no memory for this payload, try again later")

void
presence_init(int index)
{
	presence_own_init(index);
	presence_news_init(index);
}

static void
reply_ok(Channel *channel, Slice ref)
{
	channel_reply(channel, ref, true, SLICE_LITERAL("{}"));
}

static bool
keep_payload(ChannelPresence *presence, Slice payload)
{
	char	   *copy = malloc(payload.len);

	if (copy == NULL)
		return false;
	memcpy(copy, payload.data, payload.len);
	presence_release(&presence->payload);
	presence->payload = slice_make(copy, payload.len);
	return true;
}

/* Is the channel within presence_rate? Counts; if not, it is known when it will be. */
static bool
within_rate(Channel *channel)
{
	int			retry_ms;

	if (limits_presence_change(channel, &channel->presence->bucket, &retry_ms))
		return true;
	channel->presence->due = connection_clock() + retry_ms;
	return false;
}

/* Over the rate only the latest counts, and is sent when that allows it. */
static void
hold_back(Channel *channel, Slice ref)
{
	channel->presence->held_back = true;
	channel_schedule(channel);
	reply_ok(channel, ref);
}

/* Does the channel take the place of a client that was lost, and so add nobody to those who are present? */
static bool
takes_over(const Channel *channel)
{
	return channel->presence_key.len > 0 &&
		presence_state_lingering(topic_name(channel->topic), channel->topic->is_private, channel->presence_key) != NULL;
}

/* Are so many present, with so many more on their way, that the channel may not join them? Says why; empty: it may. */
static Slice
full(const Channel *channel, uint32 more)
{
	uint32		here = presence_state_count(topic_name(channel->topic), channel->topic->is_private);
	Slice		reason = SLICE_EMPTY;

	if (channel->presence != NULL && channel->presence->tracked)
		return SLICE_EMPTY;
	if (here + more >= (uint32) limits_of_channel(channel, LIMIT_PRESENT_ON_TOPIC))
		reason = SLICE_LITERAL("TooManyPresences: as many clients as realtime.max_presence_per_topic "
							   "allows are present on this topic, try again later");
	else if (presence_state_total() + more >= (uint32) limits_of_channel(channel, LIMIT_PRESENT))
		reason = SLICE_LITERAL("TooManyPresences: as many clients as realtime.max_presence "
							   "allows are present, try again later");
	return reason.len > 0 && takes_over(channel) ? SLICE_EMPTY : reason;
}

/* Those who have just come or gone count, too. False: the connection was closed meanwhile. */
static bool
count_all(Channel *channel)
{
	if (full(channel, presence_on_the_way()).len > 0)
		presence_settle();
	return channel->connection->state == CONNECTION_OPEN;
}

static void
track(Channel *channel, Slice payload, Slice ref)
{
	ChannelPresence *presence = channel->presence;
	Slice		refusal;

	if (presence->payload.data != NULL && wjson_equal(presence->payload, payload))
	{
		reply_ok(channel, ref);
		return;
	}
	refusal = full(channel, 0);
	if (refusal.len > 0)
		channel_reply_error(channel, ref, refusal);
	else if (!keep_payload(presence, payload))
		channel_reply_error(channel, ref, NO_MEMORY);
	else if (!within_rate(channel))
		hold_back(channel, ref);
	else if (!presence_publish_track(channel, ref))
	{
		/* the same payload must not be taken for one that is tracked */
		presence_release(&presence->payload);
		channel_reply_error(channel, ref, NO_MEMORY);
	}
}

static void
untrack(Channel *channel, Slice ref)
{
	ChannelPresence *presence = channel->presence;

	if (presence != NULL)
		presence_release(&presence->payload);
	if (presence == NULL || (!presence->tracked && !presence->held_back))
		reply_ok(channel, ref);
	else if (!within_rate(channel))
		hold_back(channel, ref);
	else
	{
		presence->held_back = false;
		if (presence->tracked)
			presence_publish_untrack(channel, BUS_PRESENCE_UNTRACK, ref);
		else
			reply_ok(channel, ref);
	}
}

/* Refuse a track; what the policies say of it is not explained, as in the reference. */
static void
refuse_track(Channel *channel, Slice ref, RefusalCause cause, Slice reason, int retry_ms)
{
	if (retry_ms > 0)
		limits_reply(channel, ref, reason, retry_ms);
	else if (cause == REFUSED_BUSY)
		channel_reply_error(channel, ref, reason);
	else
		channel_reply(channel, ref, false, SLICE_LITERAL("{}"));
}

/*
 * Who tracks is told of others from then on; of a private topic, if the policies let it, which was not asked when it
 * joined without presence. False: it is asked now and the push waits, or the push has been answered.
 */
static bool
enable(Channel *channel, Incoming *incoming)
{
	const Answer *answer = incoming->answer;
	Slice		ref = incoming->message->ref;
	char		text[TOO_MANY_BOUND];
	int			retry_ms;

	if (channel->presence_enabled)
		return true;
	if (!channel->topic->is_private)
	{
		channel->presence_enabled = true;
		return true;
	}
	if (answer == NULL)
	{
		if (!asking_begin(channel->connection, topic_name(channel->topic), ASKING_PRESENCE, (AskingWants) {.presence = true}, channel->token,
						  incoming, &retry_ms))
			refuse_track(channel, ref, REFUSED_BUSY, too_many_requests(text, retry_ms), retry_ms);
		return false;
	}
	if (answer->status == ANSWER_BUSY)
		refuse_track(channel, ref, REFUSED_BUSY, too_many_requests(text, answer->retry_ms), answer->retry_ms);
	else if (answer->status == ANSWER_CANCELED)
		refuse_track(channel, ref, REFUSED_SLOW, SLICE_EMPTY, 0);
	else
	{
		channel->presence_enabled = true;
		channel->read_presence = answer->presence;
		incoming->answer = NULL;
	}
	return channel->presence_enabled;
}

static void
push_track(Channel *channel, const Incoming *pushed, Slice payload)
{
	Incoming	waiting = *pushed;
	Incoming   *incoming = &waiting;
	Slice		ref = incoming->message->ref;

	if (payload.len == 0)
		payload = SLICE_LITERAL("{}");
	if (wjson_type(payload) != WJSON_OBJECT)
	{
		channel_reply_error(channel, ref, SLICE_LITERAL("Presence track payload must be a map"));
		return;
	}
	if (payload.len + channel->presence_key.len > limits_payload(channel->token))
	{
		channel_reply_error(channel, ref, SLICE_LITERAL("PresencePayloadTooLarge: the payload is longer than "
														"realtime.max_payload_size, track less"));
		return;
	}
	if (!enable(channel, incoming) || !channel_may_write(channel, &channel->write_presence, incoming, refuse_track))
		return;
	if (!count_all(channel))
		return;
	if (channel->presence == NULL)
		channel->presence = calloc(1, sizeof(ChannelPresence));
	if (channel->presence == NULL)
	{
		channel_reply_error(channel, ref, NO_MEMORY);
		return;
	}
	track(channel, payload, ref);
}

void
presence_push(Channel *channel, const Incoming *incoming)
{
	static const Slice names[] = {SLICE_INIT("event"), SLICE_INIT("payload")};
	const PhxMessage *message = incoming->message;
	Slice		values[2];
	char		name[16];
	Slice		text = SLICE_EMPTY;
	int			retry_ms;

	/* reading the bus, just before, may have closed it: nobody would take back what it tracks now */
	if (channel->connection->state != CONNECTION_OPEN)
		return;
	if (!message->payload_is_json)
	{
		channel_reply_error(channel, message->ref, SLICE_LITERAL("InvalidPresencePayload: expected JSON"));
		return;
	}
	/* as in the reference, what has no event is answered and ignored */
	if (!wjson_members(message->payload, names, values, 2) || wjson_type(values[0]) == WJSON_NONE)
		reply_ok(channel, message->ref);
	else if (incoming->answer == NULL && !limits_presence(channel, &retry_ms))
		limits_reply(channel, message->ref, SLICE_LITERAL("Too many presence messages per second"), retry_ms);
	else if (wjson_type(values[0]) != WJSON_STRING || !wjson_string_text(values[0], name, sizeof(name), &text, NULL))
		channel_reply(channel, message->ref, false, SLICE_LITERAL("{}"));
	else if (slice_equal_nocase(text, SLICE_LITERAL("track")))
		push_track(channel, incoming, values[1]);
	else if (slice_equal_nocase(text, SLICE_LITERAL("untrack")))
		untrack(channel, message->ref);
	else
		channel_reply(channel, message->ref, false, SLICE_LITERAL("{}"));
}

uint64
presence_due(const Channel *channel)
{
	const ChannelPresence *presence = channel->presence;

	return presence == NULL || !presence->held_back ? PG_UINT64_MAX : presence->due;
}

void
presence_send_due(Channel *channel)
{
	ChannelPresence *presence = channel->presence;
	Slice		refusal;

	if (!within_rate(channel) || !count_all(channel))
		return;
	refusal = full(channel, 0);
	presence->held_back = false;
	if (presence->payload.data == NULL)
	{
		if (presence->tracked)
			presence_publish_untrack(channel, BUS_PRESENCE_UNTRACK, SLICE_EMPTY);
	}
	else if (refusal.len > 0 || !presence_publish_track(channel, SLICE_EMPTY))
	{
		presence_release(&presence->payload);
		channel_system(channel, SLICE_LITERAL("system"), false, refusal.len > 0 ? refusal : NO_MEMORY);
	}
}
