/*
 * broadcast.c
 *	  Broadcasts: from a client to the bus, and what is read from the bus.
 *
 * A push goes onto the bus and is delivered, also to its sender and on its own listener, only when it is read back
 * from there: so every member of a topic sees the same order, whoever sent what.
 */
#include "postgres.h"

#include "listener/asked_replay.h"
#include "listener/asking.h"
#include "listener/broadcast.h"
#include "listener/changes.h"
#include "listener/fanout.h"
#include "listener/limits.h"
#include "listener/output.h"
#include "listener/presence.h"
#include "listener/readiness.h"
#include "listener/rights.h"
#include "listener/tally.h"
#include "shared/bus.h"
#include "shared/settings.h"
#include "wire/json.h"

/* A channel without ack is told at most so often that its pushes are refused, in ms. */
#define REFUSALS_PAUSE		1000

/* Bytes of the bus that are read at a time, unless a record is larger. */
#define READ_CHUNK			(256 * 1024)

static BusReader reader;
static char *buffer;
static Size buffer_size;

void
broadcast_init(int listener)
{
	buffer_size = bus_max_record();
	buffer = malloc(buffer_size);
	if (buffer == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory"),
				 errdetail("Failed on a buffer of %zu bytes for messages.", buffer_size)));
	bus_reader_attach(&reader, listener);
	fanout_init(listener);
}

/* ------------------------------------------------ from a client ------------------------------------------------ */

static Slice
refusal_text(RefusalCause cause)
{
	switch (cause)
	{
		case REFUSED_SIZE:
			return SLICE_LITERAL("payload_size_exceeded");
		case REFUSED_RIGHT:
			return SLICE_LITERAL("Unauthorized: You do not have permissions to write to this Channel topic");
		case REFUSED_SLOW:
			return SLICE_LITERAL("QueryCanceled: The policies of this topic took longer than realtime.policy_timeout");
		case REFUSED_BUSY:
			return SLICE_LITERAL("TooManyRequests: The policies of too many topics wait to be evaluated");
		case REFUSED_RATE:
			return SLICE_LITERAL("Too many messages per second");
		case REFUSED_EXPIRED:
			return SLICE_LITERAL("InvalidJWTToken: Token has expired");
		default:
			return SLICE_LITERAL("InvalidPayload: expected a JSON object");
	}
}

/*
 * Refuse a push: with ack by a reply, without by a note that is not sent more than once a second. Without a reason it is
 * the cause's usual one.
 */
static void
refuse_push(Channel *channel, Slice ref, RefusalCause cause, Slice reason, int retry_ms)
{
	if (reason.len == 0)
		reason = refusal_text(cause);
	broadcast_settle(channel);
	tally(COUNTER_MESSAGES_REFUSED, 1);
	if (!channel->ack)
		broadcast_refused(channel, cause);
	else if (cause == REFUSED_SIZE)
		channel_reply(channel, ref, false, SLICE_LITERAL("\"payload_size_exceeded\""));
	else if (retry_ms > 0)
		limits_reply(channel, ref, reason, retry_ms);
	else
		channel_reply_error(channel, ref, reason);
}

/* What kind of record does the push make? False: it is refused. */
static bool
classify(const PhxMessage *message, PhxResult result, BusRecord *record, Slice *reason)
{
	record->payload = message->payload;
	*reason = SLICE_LITERAL("InvalidPayload: expected a JSON object");
	if (message->kind == PHX_USER_BROADCAST)
	{
		record->form = message->raw ? BUS_FORM_BINARY : BUS_FORM_JSON;
		record->event = message->user_event;
		*reason = SLICE_LITERAL("InvalidPayload: expected JSON");
		return result == PHX_OK;
	}
	record->form = BUS_FORM_TEXT;
	return message->payload_is_json && wjson_type(message->payload) == WJSON_OBJECT;
}

void
broadcast_push(Channel *channel, const Incoming *incoming)
{
	const PhxMessage *message = incoming->message;
	BusRecord	record = {
		.kind = BUS_BROADCAST,
		.is_private = channel->topic->is_private,
		.topic = topic_name(channel->topic),
		.origin = {
			.listener = reader.listener,
			.self = channel->self,
			.ack = channel->ack,
			.connection = channel->connection->slot,
			.connection_generation = channel->connection->generation,
			.channel = channel->number
		}
	};
	Slice		reason;
	int			retry_ms;

	if (incoming->answer == NULL && !limits_broadcast(channel, &retry_ms))
	{
		refuse_push(channel, message->ref, REFUSED_RATE, SLICE_EMPTY, retry_ms);
		return;
	}
	if (message->payload.len > limits_payload(channel->token))
	{
		refuse_push(channel, message->ref, REFUSED_SIZE, SLICE_EMPTY, 0);
		return;
	}
	if (!classify(message, incoming->result, &record, &reason))
	{
		refuse_push(channel, message->ref, REFUSED_PAYLOAD, reason, 0);
		return;
	}
	if (!channel_may_write(channel, &channel->write_broadcast, incoming, refuse_push))
		return;
	if (channel->ack)
		record.ref = message->ref;
	if (!bus_publish(&record))
	{
		refuse_push(channel, message->ref, REFUSED_SIZE, SLICE_EMPTY, 0);
		return;
	}
	channel->in_flight++;
	tally(COUNTER_BROADCASTS_FROM_CLIENTS, 1);
}

void
broadcast_refused(Channel *channel, RefusalCause cause)
{
	channel->refused++;
	channel->refused_cause = cause;
	if (connection_clock() >= broadcast_refusals_due(channel))
		broadcast_tell_refusals(channel);
	else
		channel_schedule(channel);
}

uint64
broadcast_refusals_due(const Channel *channel)
{
	if (channel->refused == 0)
		return PG_UINT64_MAX;
	return channel->refused_told == 0 ? 0 : channel->refused_told + REFUSALS_PAUSE;
}

void
broadcast_tell_refusals(Channel *channel)
{
	char		text[128];
	Writer		w = writer_fixed(text, sizeof(text));

	writer_slice(&w, refusal_text(channel->refused_cause));
	writer_literal(&w, " (");
	writer_uint(&w, channel->refused);
	writer_cstring(&w, channel->refused == 1 ? " message refused)" : " messages refused)");
	channel->refused = 0;
	channel->refused_told = connection_clock();
	channel_system(channel, SLICE_LITERAL("system"), false, writer_written(&w));
}

/* ------------------------------------------------ from the bus ------------------------------------------------ */

static void
tell_gap(Channel *channel, void *arg)
{
	channel_system(channel, SLICE_LITERAL("system"), false, *(Slice *) arg);
}

/* Messages were lost; of one topic, public and private, or of all. */
static void
gap(const BusRecord *record)
{
	Slice		text = record->payload;

	asked_replays_lost(record->topic);
	if (record->topic.len == 0)
	{
		channels_each(tell_gap, &text);
		return;
	}
	for (int i = 0; i < 2; i++)
	{
		Topic	   *topic = topic_find(record->topic, i == 1);

		for (uint32 m = 0; topic != NULL && m < topic->member_count; m++)
			tell_gap(topic->members[m], &text);
	}
}

static void
judge_again_if_private(Channel *channel, void *arg)
{
	if (channel->topic->is_private)
		channel_judge_again(channel);
}

/* Policies may have changed; for one topic, or, without a name, for all. */
static void
reauthorize(Slice name)
{
	Topic	   *topic;

	asking_judge_again(name);
	if (name.len == 0)
	{
		channels_each(judge_again_if_private, NULL);
		return;
	}
	topic = topic_find(name, true);
	for (uint32 m = 0; topic != NULL && m < topic->member_count; m++)
		channel_judge_again(topic->members[m]);
}

/*
 * This listener was too slow: the ring has gone round. Any kind of record may be among what was overwritten, so for each
 * of them what it would have told is found out in another way.
 */
static void
lapped(uint64 bytes)
{
	char		text[128];
	Writer		w = writer_fixed(text, sizeof(text));
	Slice		message;

	tally(COUNTER_BUS_BYTES_LOST, bytes);
	tally(COUNTER_GAPS, 1);
	writer_literal(&w, "Messages were lost: the server fell behind by ");
	writer_uint(&w, bytes);
	writer_literal(&w, " bytes");
	message = writer_written(&w);
	channels_each(tell_gap, &message);
	asked_replays_lost(SLICE_EMPTY);
	changes_lapped(message);
	presence_lapped();
	readiness_lapped();
	reauthorize(SLICE_EMPTY);
}

static void
handle_record(const BusRecord *record)
{
	if (record->kind != BUS_BROADCAST)
		fanout_flush();
	switch ((BusKind) record->kind)
	{
		case BUS_BROADCAST:
			asked_replays_broadcast(record);
			fanout_add(record);
			break;
		case BUS_DATABASE_WAITING:
			readiness_waiting(record->payload);
			break;
		case BUS_DATABASE_READY:
			readiness_ready();
			break;
		case BUS_GAP:
			gap(record);
			break;
		case BUS_REPLAY:
			asking_replay_row(record);
			break;
		case BUS_REAUTHORIZE:
			reauthorize(record->topic);
			break;
		case BUS_PRESENCE_TRACK:
		case BUS_PRESENCE_UNTRACK:
		case BUS_PRESENCE_LINGER:
		case BUS_PRESENCE_GONE:
		case BUS_PRESENCE_ASK:
		case BUS_PRESENCE_TOLD:
			presence_record(record);
			break;
		case BUS_CHANGES_ASK:
		case BUS_CHANGES_ANSWER:
		case BUS_CHANGES_STATE:
		case BUS_CHANGE:
			changes_record(record);
			break;
		case BUS_PAD:
			break;
	}
}

/* Copy records from the ring: about READ_CHUNK bytes, or the next one if it is larger than that. */
static Size
read_chunk(uint64 *lost)
{
	Size		size = READ_CHUNK;

	*lost = 0;
	for (;;)
	{
		uint64		lost_now;
		Size		length = bus_read(&reader, buffer, Min(size, buffer_size), &lost_now);

		*lost += lost_now;
		if (length > 0 || size >= buffer_size || !bus_has_news(&reader))
			return length;
		size *= 2;
	}
}

/*
 * A chunk at a time, so that sockets get a chance to take what is queued before there is more of it: a client must
 * not be over its limit because we were late.
 */
bool
broadcast_read_bus(void)
{
	uint64		lost;
	Size		length = read_chunk(&lost);
	Size		offset = 0;
	BusRecord	record;

	if (lost > 0)
		lapped(lost);
	while (bus_next(buffer, length, &offset, &record))
		handle_record(&record);
	fanout_flush();
	presence_flush();
	return length > 0;
}

void
broadcast_read_until(uint64 position)
{
	while (reader.position < position && broadcast_read_bus())
		;
}

bool
broadcast_bus_has_news(void)
{
	return bus_has_news(&reader);
}

/*
 * What this channel has published is on the ring before anything that is published from now on. What is not found there
 * was overwritten, and will never be read.
 */
void
broadcast_settle(Channel *channel)
{
	while (channel->in_flight > 0 && broadcast_read_bus())
		;
	channel->in_flight = 0;
}
