/*
 * channel.c
 *	  What clients say about topics, and what they are answered (PROTOCOL 2.5, 2.6 and 3).
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "listener/asking.h"
#include "listener/broadcast.h"
#include "listener/changes.h"
#include "listener/channel.h"
#include "listener/expiry.h"
#include "listener/output.h"
#include "listener/presence.h"
#include "listener/tally.h"
#include "shared/settings.h"
#include "wire/join.h"

#define SERVER_REQUESTED	SLICE_LITERAL("Server requested disconnect")

#define EVENT(name)		slice_equal(message->event_text, SLICE_LITERAL(name))

static char scratch[JWT_MAX_TOKEN];

/* Signatures that are checked in one turn when keys have changed: some milliseconds of it. */
#define RECHECK_BATCH		32

static bool ending;				/* the clients are being told that we go */
static uint32 recheck_at = PG_UINT32_MAX;	/* the connections from this slot on are still to be checked */

/* Frame what is written; replies are short. */
#define REPLY_BOUND(channel, texts) \
	phx_bound((channel)->join_ref.len + PHX_MAX_REF, (channel)->topic->full_len * 2 + (texts), 0)

void
channel_reply(Channel *channel, Slice ref, bool ok, Slice response)
{
	Writer	   *w = frame_begin(REPLY_BOUND(channel, 0) + response.len);

	phx_write_reply(w, channel->connection->vsn, channel->join_ref, ref, phx_topic_text(topic_full(channel->topic)),
					ok, response);
	output_send(channel->connection, frame_finish(FRAME_TEXT));
}

void
channel_reply_error(Channel *channel, Slice ref, Slice reason)
{
	Writer	   *w = frame_begin(REPLY_BOUND(channel, reason.len));

	phx_write_error_reply(w, channel->connection->vsn, channel->join_ref, ref,
						  phx_topic_text(topic_full(channel->topic)), reason);
	output_send(channel->connection, frame_finish(FRAME_TEXT));
}

void
channel_system(Channel *channel, Slice extension, bool ok, Slice message)
{
	Writer	   *w = frame_begin(REPLY_BOUND(channel, extension.len + message.len));

	phx_write_system(w, channel->connection->vsn, channel->join_ref, phx_topic_text(topic_full(channel->topic)),
					 extension, ok, message, topic_name(channel->topic));
	output_send(channel->connection, frame_finish(FRAME_TEXT));
}

/* Replies that no channel stands behind echo the topic as it came. */
void
connection_reply_error(Connection *connection, const PhxMessage *message, Slice join_ref, Slice reason)
{
	Writer	   *w = frame_begin(phx_bound(join_ref.len + message->ref.len, message->topic.len + reason.len, 0));

	phx_write_error_reply(w, connection->vsn, join_ref, message->ref, phx_topic_token(message->topic), reason);
	output_send(connection, frame_finish(FRAME_TEXT));
}

static void
connection_reply_ok(Connection *connection, const PhxMessage *message, Slice join_ref)
{
	Writer	   *w = frame_begin(phx_bound(join_ref.len + message->ref.len, message->topic.len, 0));

	phx_write_reply(w, connection->vsn, join_ref, message->ref, phx_topic_token(message->topic), true,
					SLICE_LITERAL("{}"));
	output_send(connection, frame_finish(FRAME_TEXT));
}

Channel *
channel_find(Connection *connection, Slice name)
{
	for (Channel *channel = connection->channels; channel != NULL; channel = channel->next)
		if (slice_equal(topic_name(channel->topic), name))
			return channel;
	return NULL;
}

void
channel_drop(Channel *channel)
{
	Channel   **link = &channel->connection->channels;

	presence_channel_ends(channel, channel->connection->state != CONNECTION_OPEN);
	changes_channel_ends(channel);
	while (*link != channel)
		link = &(*link)->next;
	*link = channel->next;
	channel->connection->channel_count--;
	tally(COUNTER_CHANNELS, -1);
	if (channel->topic->is_private)
		tally(COUNTER_PRIVATE_CHANNELS, -1);
	topic_leave(channel);
	wheel_cancel(&channel->timer);
	token_unref(channel->token);
	free(channel->replayed);
	free(channel);
}

void
channels_drop(Connection *connection)
{
	while (connection->channels != NULL)
		channel_drop(connection->channels);
}

void
channel_close(Channel *channel)
{
	Writer	   *w = frame_begin(REPLY_BOUND(channel, 0));

	phx_write_close(w, channel->connection->vsn, channel->join_ref, phx_topic_text(topic_full(channel->topic)));
	output_send(channel->connection, frame_finish(FRAME_TEXT));
	channel_drop(channel);
}

void
channel_shutdown(Channel *channel, Slice message)
{
	broadcast_settle(channel);
	channel_system(channel, SLICE_LITERAL("system"), false, message);
	channel_close(channel);
}

/* The server ends a channel whose token is no longer good. */
static void
shutdown_for_token(Channel *channel, const TokenRefusal *refusal)
{
	char		text[JWT_TEXT_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));

	jwt_write_shutdown(&w, refusal->status, &refusal->claims, refusal->now);
	channel_shutdown(channel, writer_written(&w));
}

/* A new token for the channel. It is never answered; a bad one ends the channel (PROTOCOL 3.9). */
static void
push_access_token(Channel *channel, const Incoming *incoming)
{
	const PhxMessage *message = incoming->message;
	TokenRefusal refusal;
	Slice		raw;
	Token	   *token;

	if (!message->payload_is_json ||
		join_token_push(message->payload, scratch, sizeof(scratch), &raw) != JOIN_TOKEN_GIVEN ||
		token_is(channel->token, raw))
		return;
	token = token_verify(raw, channel->connection->token, &refusal);
	if (token == NULL)
	{
		shutdown_for_token(channel, &refusal);
		return;
	}
	if (channel->topic->is_private && !channel_judge_token(channel, token, incoming))
	{
		token_unref(token);
		return;
	}
	token_unref(channel->token);
	channel->token = token;
	changes_token(channel);
	expiry_renewed(channel);
	channel_schedule(channel);
}

/* With another join_ref than the channel's own it is meant for an earlier one, and ignored. */
static void
push_leave(Channel *channel, const PhxMessage *message)
{
	if (wjson_type(message->join_ref) != WJSON_NULL && !slice_equal(message->join_ref, channel->join_ref))
		return;
	broadcast_settle(channel);
	channel_reply(channel, message->ref, true, SLICE_LITERAL("{}"));
	channel_close(channel);
}

/* A push on a channel. Unknown events are not answered. */
static void
channel_push(Channel *channel, const Incoming *incoming)
{
	const PhxMessage *message = incoming->message;

	if (EVENT("broadcast"))
	{
		if (!expiry_refuses(channel, message, channel->ack))
			broadcast_push(channel, incoming);
	}
	else if (EVENT("phx_leave"))
		push_leave(channel, message);
	else if (EVENT("access_token"))
		push_access_token(channel, incoming);
	else if (EVENT("presence"))
	{
		broadcast_settle(channel);
		if (!expiry_refuses(channel, message, true))
			presence_push(channel, incoming);
	}
}

void
channel_message(Connection *connection, const Incoming *incoming)
{
	const PhxMessage *message = incoming->message;
	Channel    *channel = NULL;
	bool		ours = message->has_topic_text && slice_starts_with(message->topic_text, TOPIC_PREFIX);

	if (message->has_topic_text && message->has_event_text && EVENT("heartbeat") &&
		slice_equal(message->topic_text, SLICE_LITERAL("phoenix")))
	{
		connection_reply_ok(connection, message, SLICE_EMPTY);
		return;
	}
	if (ours && incoming->answer == NULL && incoming->subscription == NULL && connection->askings != NULL &&
		asking_keeps(connection, slice_skip(message->topic_text, TOPIC_PREFIX.len), incoming))
		return;
	if (ours && message->has_event_text && EVENT("phx_join"))
	{
		channel_join(connection, incoming);
		return;
	}
	if (ours)
		channel = channel_find(connection, slice_skip(message->topic_text, TOPIC_PREFIX.len));
	if (channel != NULL && message->has_event_text)
		channel_push(channel, incoming);
	else if (channel != NULL)
		return;
	else if (message->has_event_text && EVENT("phx_leave"))
		connection_reply_ok(connection, message, message->join_ref);
	else
		connection_reply_error(connection, message, SLICE_EMPTY, SLICE_LITERAL("unmatched topic"));
}

void
channel_schedule(Channel *channel)
{
	uint64		due = expiry_due(channel);

	if (channel->awaits_ready)
		due = Min(due, channel->ready_deadline);
	if (channel->judge_at != 0)
		due = Min(due, channel->judge_at);
	due = Min(due, broadcast_refusals_due(channel));
	due = Min(due, presence_due(channel));
	wheel_set(&connection_wheel, &channel->timer, due);
}

/* One timer for all that a channel waits for. */
static void
channel_timer_fired(Timer *timer)
{
	Channel    *channel = (Channel *) ((char *) timer - offsetof(Channel, timer));
	uint64		now = connection_clock();

	if (!expiry_turn(channel))
		return;
	if (channel->awaits_ready && now >= channel->ready_deadline)
	{
		channel_shutdown(channel, SLICE_LITERAL("Replication connection was not established in time"));
		return;
	}
	if (now >= broadcast_refusals_due(channel))
		broadcast_tell_refusals(channel);
	if (now >= presence_due(channel))
		presence_send_due(channel);
	if (channel->judge_at != 0 && now >= channel->judge_at)
		channel_judge_due(channel);
	channel_schedule(channel);
}

/* The timer of a new channel. */
void
channel_start_timer(Channel *channel)
{
	channel->timer.fire = channel_timer_fired;
	channel_schedule(channel);
}

void
channels_each(void (*function) (Channel *channel, void *arg), void *arg)
{
	for (uint32 slot = 0; slot < connections_slots(); slot++)
	{
		Connection *connection = connection_at(slot);

		if (connection != NULL)
			for (Channel *channel = connection->channels; channel != NULL; channel = channel->next)
				function(channel, arg);
	}
}

/* `Server requested disconnect`, or another reason, on each topic, then close (PROTOCOL 1.5, 3.7). */
static void
disconnect(Connection *connection, Slice reason)
{
	for (Channel *channel = connection->channels; channel != NULL; channel = channel->next)
	{
		Writer	   *w = frame_begin(REPLY_BOUND(channel, 64 + reason.len));

		phx_write_system(w, connection->vsn, SLICE_EMPTY, phx_topic_text(topic_full(channel->topic)),
						 SLICE_LITERAL("system"), true, reason, SLICE_EMPTY);
		output_send(connection, frame_finish(FRAME_TEXT));
	}
	connection_close(connection, CLOSE_RESTART, "Server requested disconnect", false);
}

/* Does a selection of channels_disconnect name this connection? The sub may be that of the connect or of a channel. */
static bool
selected(const Connection *connection, Slice topic, Slice sub)
{
	bool		has_topic = topic.data == NULL;
	bool		has_sub = sub.data == NULL || (connection->token->has_sub && slice_equal(token_sub(connection->token), sub));

	for (Channel *channel = connection->channels; channel != NULL; channel = channel->next)
	{
		has_topic = has_topic || slice_equal(topic_name(channel->topic), topic);
		has_sub = has_sub || (channel->token->has_sub && slice_equal(token_sub(channel->token), sub));
	}
	return has_topic && has_sub;
}

int
channels_disconnect(Slice topic, Slice sub, Slice reason)
{
	int			ended = 0;

	for (uint32 slot = 0; slot < connections_slots(); slot++)
	{
		Connection *connection = connection_at(slot);

		if (connection == NULL || connection->state != CONNECTION_OPEN || !selected(connection, topic, sub))
			continue;
		disconnect(connection, reason.data != NULL ? reason : SERVER_REQUESTED);
		ended++;
	}
	return ended;
}

void
channels_say_goodbye(uint32 slots)
{
	ending = true;
	for (uint32 slot = 0; slot < slots; slot++)
	{
		Connection *connection = connection_at(slot);

		if (connection == NULL)
			continue;
		if (connection->state == CONNECTION_OPEN)
			disconnect(connection, SERVER_REQUESTED);
		else if (connection->state == CONNECTION_HTTP && connection->rest == NULL && connection->queue_count == 0)
			connection_cut(connection);
	}
}

bool
channels_are_ending(void)
{
	return ending;
}

void
channels_disconnect_public(void)
{
	for (uint32 slot = 0; slot < connections_slots(); slot++)
	{
		Connection *connection = connection_at(slot);
		bool		is_public = false;

		if (connection == NULL || connection->state != CONNECTION_OPEN)
			continue;
		for (Channel *channel = connection->channels; channel != NULL; channel = channel->next)
			is_public = is_public || !channel->topic->is_private;
		if (is_public)
			disconnect(connection, SERVER_REQUESTED);
	}
}

/* Its own time is a matter of the timers; and one token is not verified twice. */
static bool
would_get_in(const Connection *connection, int *verified)
{
	TokenRefusal refusal;

	for (Channel *channel = connection->channels; channel != NULL; channel = channel->next)
	{
		if (channel->token == connection->token)
			continue;
		(*verified)++;
		if (!token_still_good(channel->token, &refusal) && refusal.status != JWT_EXPIRED)
			return false;
	}
	(*verified)++;
	return token_still_good(connection->token, &refusal) || refusal.status == JWT_EXPIRED ||
		refusal.status == JWT_EXPIRED_FRACTION;
}

void
channels_recheck_tokens(void)
{
	recheck_at = 0;
}

bool
channels_recheck_waits(void)
{
	return recheck_at < connections_slots();
}

void
channels_recheck_turn(void)
{
	int			verified = 0;

	while (channels_recheck_waits() && verified < RECHECK_BATCH)
	{
		Connection *connection = connection_at(recheck_at++);

		if (connection != NULL && connection->state == CONNECTION_OPEN && !would_get_in(connection, &verified))
			disconnect(connection, SERVER_REQUESTED);
	}
	if (!channels_recheck_waits())
		recheck_at = PG_UINT32_MAX;
}
