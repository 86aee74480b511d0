/*
 * join.c
 *	  phx_join: checks, replies, and what follows a join (PROTOCOL 3.2 to 3.6).
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "listener/asking.h"
#include "listener/broadcast.h"
#include "listener/changes.h"
#include "listener/channel.h"
#include "listener/limits.h"
#include "listener/output.h"
#include "listener/presence.h"
#include "listener/readiness.h"
#include "listener/replay.h"
#include "listener/resume.h"
#include "listener/tally.h"
#include "shared/bus.h"
#include "shared/settings.h"
#include "wire/join.h"

/* What a join came to. */
typedef struct Join
{
	Connection *connection;
	const Incoming *incoming;
	const PhxMessage *message;
	Slice		name;			/* of the topic, without prefix */
	Channel    *old;			/* the same topic is joined already */
	JoinConfig	config;
	Token	   *token;
	char		refusal[128 + REALTIME_MAX_TOPIC];
	int			retry_ms;		/* it was refused for now; 0: it was not */
	bool		waits;			/* for an authorizer or the changes worker: it is handled again */
	bool		too_large;		/* what it subscribes can't be asked for */
} Join;

static uint32 numbers;			/* channels made so far */

/* The scratch of the join parser: as long as the longest payload of this kind needs to be. */
static char *
join_scratch(Size size)
{
	static char *scratch;
	static Size scratch_size;

	if (size > scratch_size)
	{
		free(scratch);
		scratch_size = Max(size, 8192);
		scratch = malloc(scratch_size);
		if (scratch == NULL)
			scratch_size = 0;
	}
	return scratch;
}

/* Read the payload. NULL: fine; else why the join is refused. */
static const char *
read_config(Join *join)
{
	Slice		payload = join->message->payload;
	char	   *scratch = join_scratch(payload.len);

	if (!join->message->payload_is_json)
		return "InvalidJoinPayload: expected JSON";
	if (scratch == NULL)
		return "Unknown Error on Channel";
	return join_parse(payload, scratch, payload.len, &join->config);
}

/* The token of the join, or that of the connect, verified again. */
static const char *
check_token(Join *join)
{
	Token	   *connect_token = join->connection->token;
	TokenRefusal refusal;
	Writer		w = writer_fixed(join->refusal, sizeof(join->refusal) - 1);

	if (join->config.has_token)
		join->token = token_verify(join->config.token, connect_token, &refusal);
	else if (token_still_good(connect_token, &refusal))
		join->token = token_ref(connect_token);
	if (join->token != NULL)
		return NULL;
	jwt_write_join_refusal(&w, refusal.status, &refusal.claims, refusal.now);
	join->refusal[w.len] = '\0';
	return join->refusal;
}

/* A refusal that names something. */
static const char *
refusal_with(Join *join, const char *text, Slice name)
{
	Writer		w = writer_fixed(join->refusal, sizeof(join->refusal) - 1);

	writer_cstring(&w, text);
	writer_slice(&w, name);
	join->refusal[w.len] = '\0';
	return join->refusal;
}

/* Who may read a private topic is asked of the policies; the join is handled again when the answer is there. */
static const char *
check_policies(Join *join)
{
	const Answer *answer = join->incoming->answer;
	char		text[TOO_MANY_BOUND];
	int			retry_ms;

	if (answer == NULL)
	{
		AskingWants wants = {.presence = join->config.presence_enabled || realtime_presence_enabled};

		replay_ask(&join->config, &wants);
		join->waits = asking_begin(join->connection, join->name, ASKING_JOIN, wants, join->token, join->incoming, &retry_ms);
		if (join->waits)
			return NULL;
		join->retry_ms = retry_ms;
		return refusal_with(join, "", too_many_requests(text, retry_ms));
	}
	switch (answer->status)
	{
		case ANSWER_BUSY:
			join->retry_ms = answer->retry_ms;
			return refusal_with(join, "", too_many_requests(text, answer->retry_ms));
		case ANSWER_CANCELED:
			return "QueryCanceled: The policies of this topic took longer than realtime.policy_timeout";
		default:
			break;
	}
	if (!answer->broadcast && !answer->presence)
		return refusal_with(join, "Unauthorized: You do not have permissions to read from this Channel topic: ", join->name);
	if (join->config.has_replay && !answer->broadcast)
		return refusal_with(join, "Unauthorized: You do not have permissions to read from this Channel topic: ", join->name);
	return replay_refusal(&join->config, answer);
}

/* Who joins with another role than it has connected with may have as many as either allows. */
static bool
too_many_channels(const Join *join)
{
	uint32		count = join->connection->channel_count + join->connection->held_joins - (join->old != NULL ? 1 : 0);

	return count >= (uint32) limits_of_connection(join->connection, LIMIT_CHANNELS) &&
		(join->token == NULL || count >= (uint32) limit_of(token_role(join->token), LIMIT_CHANNELS));
}

/* All checks, in the order of PROTOCOL 3.4. NULL: the join may go on, or waits; else its refusal. */
static const char *
check_join(Join *join)
{
	const char *refusal;

	if (channels_are_ending())
		return "RealtimeRestarting: Realtime is restarting, please standby";
	if (join->incoming->answer == NULL && join->incoming->subscription == NULL &&
		!limits_join(join->connection, &join->retry_ms))
		return "ClientJoinRateLimitReached: Too many joins per second";
	if (join->name.len == 0)
		return "TopicNameRequired: You must provide a topic name";
	if (join->name.len > REALTIME_MAX_TOPIC)
		return "InvalidTopic: The topic is longer than " CppAsString2(REALTIME_MAX_TOPIC) " bytes";
	refusal = read_config(join);
	if (refusal != NULL)
		return refusal;
	if (realtime_private_only && !join->config.is_private)
		return "PrivateOnly: This project only allows private channels";
	refusal = check_token(join);
	if (too_many_channels(join))
		return "ChannelRateLimitReached: Too many channels";
	if (refusal != NULL)
		return refusal;
	if (join->config.is_private)
		return check_policies(join);
	if (join->config.has_replay)
		return "UnableToReplayMessages: Replay is not allowed for public channels";
	return NULL;
}

/* From where on the bus broadcasts are for the channel. One that takes the place of another goes on where that was. */
static uint64
since_of(const Join *join)
{
	bool		goes_on = join->old != NULL && join->old->topic->is_private == join->config.is_private;

	return goes_on ? join->old->since : bus_position();
}

/* Make the channel and enter its topic; NULL if there is no memory. Takes over the token. */
static Channel *
make_channel(Join *join)
{
	Slice		join_ref = join->message->join_ref;
	Slice		key = join->config.has_presence_key ? join->config.presence_key : SLICE_EMPTY;
	Channel    *channel = malloc(offsetof(Channel, bytes) + join_ref.len + key.len);

	if (channel == NULL)
		return NULL;
	memset(channel, 0, offsetof(Channel, bytes));
	channel->connection = join->connection;
	channel->number = ++numbers;
	channel->joined_at = GetCurrentTimestamp();
	channel->since = since_of(join);
	channel->read_broadcast = !join->config.is_private || join->incoming->answer->broadcast;
	channel->read_presence = !join->config.is_private || join->incoming->answer->presence;
	channel->write_broadcast = channel->write_presence = join->config.is_private ? RIGHT_UNKNOWN : RIGHT_YES;
	channel->self = join->config.broadcast_self;
	channel->ack = join->config.broadcast_ack;
	channel->presence_enabled = join->config.presence_enabled || realtime_presence_enabled;
	channel->presence_gated = join->config.is_private && !channel->presence_enabled;
	channel->awaits_state = channel->presence_enabled && channel->read_presence;
	channel->presence_grace = join->config.presence_grace_ms;
	channel->subscriptions = join->config.legacy ? 1 : join->config.changes_count;
	channel->join_ref = slice_make(channel->bytes, join_ref.len);
	channel->presence_key = slice_make(channel->bytes + join_ref.len, key.len);
	memcpy(channel->bytes, join_ref.data, join_ref.len);
	if (key.len > 0)
		memcpy(channel->bytes + join_ref.len, key.data, key.len);
	if (!topic_enter(channel, join->name, join->config.is_private))
	{
		free(channel);
		return NULL;
	}
	channel->token = join->token;
	join->token = NULL;
	channel->next = join->connection->channels;
	join->connection->channels = channel;
	join->connection->channel_count++;
	return channel;
}

/* The entries of the join, or the one that a topic without any config stands for. Empty: none. */
static Slice
changes_of(const Join *join)
{
	static char legacy[256 + WRITER_JSON_STRING_BOUND(REALTIME_MAX_TOPIC)];
	Writer		w = writer_fixed(legacy, sizeof(legacy));

	if (!join->config.legacy)
		return join->config.changes_count > 0 ? join->config.postgres_changes : SLICE_EMPTY;
	join_write_legacy_changes(&w, join->name);
	return writer_written(&w);
}

/*
 * The last of the checks: nothing else stands against the join, but it waits until the changes worker knows what it
 * subscribes.
 */
static const char *
subscribe(Join *join)
{
	Slice		changes = changes_of(join);

	if (changes.len == 0 || join->incoming->subscription != NULL)
		return NULL;
	switch (changes_begin(join->connection, join->name, changes, join->token, join->config.legacy, join->incoming))
	{
		case CHANGES_HELD:
			join->waits = true;
			return NULL;
		case CHANGES_TOO_LARGE:
			join->too_large = true;
			return NULL;
		default:
			return "TooManyRequests: too many joins of this client wait for their subscription to changes";
	}
}

/* The entries with their ids, as an ok reply. */
static void
reply_joined(Channel *channel, Join *join)
{
	Slice		changes = changes_of(join);
	Writer		measure = writer_measuring();
	Writer		response;
	char	   *buffer;

	join_write_response(&measure, changes);
	measure.len += RESUME_REPLY_BOUND;
	buffer = malloc(measure.len);
	response = writer_fixed(buffer, measure.len);
	join_write_response(&response, changes);
	resume_write_reply(channel, &response);
	if (response.failed)
		output_queue(channel->connection, NULL);
	else
		channel_reply(channel, join->message->ref, true, writer_written(&response));
	free(buffer);
}

/* A member of the config had a bad value and took its default. */
static void
warn_of_config(Channel *channel, unsigned warnings)
{
	char		text[JOIN_WARNING_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));

	if (warnings == 0)
		return;
	join_write_warning(&w, warnings);
	channel_system(channel, SLICE_LITERAL("system"), false, writer_written(&w));
}

/*
 * What follows the ok reply, in the order of PROTOCOL 3.6. Only now the subscription gets its channel: what it was sent
 * until here, also while the old channel's end was read back, is kept and comes first.
 */
static void
after_join(Channel *channel, Join *join)
{
	warn_of_config(channel, join->config.warnings);
	if (join->incoming->subscription != NULL)
	{
		changes_joined(channel, join->incoming->subscription);
		changes_tell(channel);
	}
	else if (join->too_large)
		changes_tell_too_large(channel);
	readiness_joined(channel, join->config.replication_ready);
	if (channel->awaits_state)
		presence_send_state(channel);
	channel_start_timer(channel);
}

static void
refuse(Join *join, const char *reason)
{
	tally(COUNTER_JOINS_REFUSED, 1);
	if (join->retry_ms > 0)
		limits_reply_join(join->connection, join->message, slice_cstring(reason), join->retry_ms);
	else
		connection_reply_error(join->connection, join->message, join->message->join_ref, slice_cstring(reason));
}

/*
 * The topic may be joined already on this connection: then the old channel ends, whether the new one is let in or not,
 * and its phx_close comes after the new reply, as in the reference. Clients that have no join_ref would take it for that
 * of the new channel, so they don't get it (PROTOCOL 3.9).
 */
void
channel_join(Connection *connection, const Incoming *incoming)
{
	Join		join = {
		.connection = connection,
		.incoming = incoming,
		.message = incoming->message,
		.name = slice_skip(incoming->message->topic_text, TOPIC_PREFIX.len)
	};
	const char *refusal;
	Channel    *channel;

	join.old = channel_find(connection, join.name);
	if (join.old != NULL)
		broadcast_settle(join.old);

	refusal = check_join(&join);
	if (refusal == NULL && !join.waits)
		refusal = subscribe(&join);
	if (join.waits)
	{
		token_unref(join.token);
		return;
	}
	channel = refusal == NULL ? make_channel(&join) : NULL;
	if (channel == NULL)
		refuse(&join, refusal != NULL ? refusal : "Unknown Error on Channel");
	else
	{
		tally(COUNTER_JOINS, 1);
		tally(COUNTER_CHANNELS, 1);
		if (channel->topic->is_private)
			tally(COUNTER_PRIVATE_CHANNELS, 1);
		connection_joined(connection);
		resume_begin(channel, &join.config, incoming->answer);
		reply_joined(channel, &join);
		resume_send(channel);
	}
	token_unref(join.token);
	if (join.old != NULL && wjson_type(join.old->join_ref) != WJSON_NULL)
	{
		channel_close(join.old);
		presence_settle();
	}
	else if (join.old != NULL)
		channel_drop(join.old);
	if (channel != NULL)
		after_join(channel, &join);
}
