/*
 * limits.c
 *	  Limits of clients as the listener applies them.
 */
#include "postgres.h"

#include <limits.h>

#include "listener/limits.h"
#include "listener/output.h"
#include "listener/presence_own.h"
#include "listener/tally.h"
#include "shared/rates.h"
#include "shared/settings.h"

#define NS_PER_MS			1000000

/* Longest reason of a refusal. */
#define REASON_MAX			256

static uint64
now_ns(void)
{
	return connection_clock() * NS_PER_MS;
}

static BucketRule
rule_of(int rate)
{
	return (BucketRule)
	{
		.rate = rate,.burst = (uint64) realtime_limit_burst * NS_PER_MS
	};
}

/* What was taken of a longer burst is taken back; what waits for it is looked at again. */
static void
shrink(Connection *connection, uint64 burst)
{
	connection->messages_bucket = bucket_shrink(connection->messages_bucket, burst, now_ns());
	for (Channel *channel = connection->channels; channel != NULL; channel = channel->next)
	{
		ChannelPresence *presence = channel->presence;

		if (presence == NULL)
			continue;
		presence->bucket = bucket_shrink(presence->bucket, burst, now_ns());
		presence->due = connection_clock();
		channel_schedule(channel);
	}
}

void
limits_reloaded(void)
{
	static int	known_burst;
	uint64		burst = (uint64) realtime_limit_burst * NS_PER_MS;

	if (realtime_limit_burst < known_burst)
	{
		rates_shrink(burst, now_ns());
		for (uint32 slot = 0; slot < connections_slots(); slot++)
			if (connection_at(slot) != NULL)
				shrink(connection_at(slot), burst);
	}
	known_burst = realtime_limit_burst;
}

/* Without a token the common limits hold. */
static Slice
role_of(const Token *token)
{
	return token != NULL ? token_role(token) : SLICE_EMPTY;
}

/* A wait as an answer: whole milliseconds, upwards. True: there is none. */
static bool
granted(uint64 wait, int *retry_ms)
{
	*retry_ms = (int) Min((wait + NS_PER_MS - 1) / NS_PER_MS, INT_MAX);
	if (wait > 0)
		tally(COUNTER_RATE_REFUSALS, 1);
	return wait == 0;
}

/* From the bucket that all share who have no limit of their own, or from that of the role. */
static uint64
take_shared(SharedRate rate, Slice role, Limit limit, uint32 n)
{
	BucketRule	rule = rule_of(limit_of(role, limit));

	return rule.rate == 0 ? 0 : rate_take(rate, limit_owner(role, limit), &rule, now_ns(), n);
}

static uint64
take_own(Connection *connection, Slice role)
{
	BucketRule	rule = rule_of(limit_of(role, LIMIT_MESSAGES));

	return bucket_take(&connection->messages_bucket, &rule, now_ns(), 1);
}

/* The connection first, so that one that is over its rate takes nothing from the others. */
bool
limits_broadcast(Channel *channel, int *retry_ms)
{
	Slice		role = role_of(channel->token);
	uint64		before = channel->connection->messages_bucket;
	uint64		wait = take_own(channel->connection, role);

	if (wait == 0)
		wait = take_shared(RATE_MESSAGES, role, LIMIT_MESSAGES_TOTAL, 1);
	if (wait > 0)
		channel->connection->messages_bucket = before;
	return granted(wait, retry_ms);
}

bool
limits_presence(Channel *channel, int *retry_ms)
{
	return granted(take_own(channel->connection, role_of(channel->token)), retry_ms);
}

bool
limits_join(Connection *connection, int *retry_ms)
{
	Slice		role = role_of(connection->token);
	uint64		before = connection->messages_bucket;
	uint64		wait = take_own(connection, role);

	if (wait == 0)
		wait = take_shared(RATE_JOINS, role, LIMIT_JOINS, 1);
	if (wait > 0)
		connection->messages_bucket = before;
	return granted(wait, retry_ms);
}

bool
limits_join_possible(const Token *token)
{
	Slice		role = role_of(token);
	BucketRule	rule = rule_of(limit_of(role, LIMIT_JOINS));

	return rate_wait(RATE_JOINS, limit_owner(role, LIMIT_JOINS), &rule, now_ns()) == 0;
}

bool
limits_presence_change(const Channel *channel, uint64 *bucket, int *retry_ms)
{
	BucketRule	rule = rule_of(limit_of(role_of(channel->token), LIMIT_PRESENCE));
	uint64		wait = bucket_take(bucket, &rule, now_ns(), 1);

	*retry_ms = (int) Min((wait + NS_PER_MS - 1) / NS_PER_MS, INT_MAX);
	return wait == 0;
}

bool
limits_request(const Token *token, int *retry_ms)
{
	return granted(take_shared(RATE_REQUESTS, role_of(token), LIMIT_REQUESTS, 1), retry_ms);
}

uint32
limits_requests_left(const Token *token)
{
	Slice		role = role_of(token);
	BucketRule	rule = rule_of(limit_of(role, LIMIT_REQUESTS));

	return Min(rate_left(RATE_REQUESTS, limit_owner(role, LIMIT_REQUESTS), &rule, now_ns()), rule.rate);
}

bool
limits_http_messages(const Token *token, uint32 n, int *retry_ms)
{
	return granted(take_shared(RATE_MESSAGES, role_of(token), LIMIT_MESSAGES_TOTAL, n), retry_ms);
}

int
limits_of_connection(const Connection *connection, Limit limit)
{
	return limit_of(role_of(connection->token), limit);
}

int
limits_of_channel(const Channel *channel, Limit limit)
{
	return limit_of(role_of(channel->token), limit);
}

/* Nearly all are below the lowest limit of all roles. */
bool
limits_queue_over_role(const Connection *connection, Size bytes, Limit limit)
{
	return bytes > (Size) limit_least(limit) * 1024 &&
		bytes > (Size) limits_of_connection(connection, limit) * 1024;
}

Size
limits_payload(const Token *token)
{
	return settings_fit_payload(limit_of(role_of(token), LIMIT_PAYLOAD));
}

/* The response of a refusal. */
static Slice
response_of(Slice reason, int retry_ms)
{
	static char text[64 + WRITER_JSON_STRING_BOUND(REASON_MAX)];
	Writer		w = writer_fixed(text, sizeof(text));

	writer_literal(&w, "{\"reason\":");
	writer_json_string(&w, reason);
	writer_literal(&w, ",\"retry_after_ms\":");
	writer_int(&w, retry_ms);
	writer_char(&w, '}');
	return writer_written(&w);
}

void
limits_reply(Channel *channel, Slice ref, Slice reason, int retry_ms)
{
	channel_reply(channel, ref, false, response_of(reason, retry_ms));
}

void
limits_reply_join(Connection *connection, const PhxMessage *message, Slice reason, int retry_ms)
{
	Slice		response = response_of(reason, retry_ms);
	Writer	   *w = frame_begin(phx_bound(message->join_ref.len + message->ref.len, message->topic.len + response.len, 0));

	phx_write_reply(w, connection->vsn, message->join_ref, message->ref, phx_topic_token(message->topic), false,
					response);
	output_send(connection, frame_finish(FRAME_TEXT));
}
