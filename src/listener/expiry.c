/*
 * expiry.c
 *	  The end of a channel's token.
 */
#include "postgres.h"

#include <time.h>

#include "listener/asking.h"
#include "listener/broadcast.h"
#include "listener/expiry.h"
#include "listener/presence.h"
#include "listener/tally.h"
#include "shared/settings.h"

/* Timers are late by a tick at most: so long before exp a channel is near it. */
#define NEAR				(2 * WHEEL_TICK)

/* A token that came in time may wait for the policies: then it is looked again after so many ms. */
#define REFRESH_PAUSE		100

/* The clock may be set: so often, in ms, a token is looked at anyway (PROTOCOL 3.3). */
#define RECHECK				(5 * 60 * 1000)

/* Times further away than this are all the same, in seconds; sums with it can't overflow. */
#define FAR_AWAY			(INT64CONST(86400) * 365 * 10)

#define NS_PER_S			INT64CONST(1000000000)
#define NS_PER_MS			INT64CONST(1000000)

/* Nanoseconds until the token expires; negative: since then. */
static int64
left_ns(const Channel *channel)
{
	struct timespec now;
	int64		seconds;

	clock_gettime(CLOCK_REALTIME, &now);
	if (channel->token->exp > (int64) now.tv_sec + FAR_AWAY)
		seconds = FAR_AWAY;
	else
		seconds = Max(channel->token->exp - (int64) now.tv_sec, -FAR_AWAY);
	return seconds * NS_PER_S - now.tv_nsec;
}

/* In milliseconds, upwards. */
static int64
left_of(const Channel *channel)
{
	int64		left = left_ns(channel);

	return left > 0 ? (left + NS_PER_MS - 1) / NS_PER_MS : left / NS_PER_MS;
}

/*
 * When it expires, loop clock in ms; may be negative. Counted from now and not from the loop's clock, which stands still during
 * a turn: channels with the same exp then expire in the order in which their timers were set.
 */
static int64
over_at(const Channel *channel)
{
	struct timespec now;
	int64		left = left_ns(channel);

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec * NS_PER_S + now.tv_nsec + left + NS_PER_MS - 1) / NS_PER_MS;
}

/* The same in whole seconds, as texts count them. */
static int64
seconds_since(const Channel *channel)
{
	return Max(token_clock() - channel->token->exp, 0);
}

uint64
expiry_due(const Channel *channel)
{
	int64		over;
	int64		due;

	if (channel->expiry_look_at != 0)
		return channel->expiry_look_at;
	over = over_at(channel);
	if (channel->expiry == EXPIRY_OVER)
		due = over + realtime_token_grace;
	else if (channel->expiry == EXPIRY_NEAR)
		due = over;
	else if (realtime_token_warning > 0 && !channel->expiry_told)
		due = Min(over - realtime_token_warning, over - NEAR);
	else
		due = over - NEAR;
	if (!channel->token->opaque)
		due = Min(due, (int64) connection_clock() + RECHECK);
	return Max(due, (int64) connection_clock());
}

static void
tell(Channel *channel, bool ok, const char *before, int64 n, const char *after)
{
	char		text[192];
	Writer		w = writer_fixed(text, sizeof(text));

	writer_cstring(&w, before);
	writer_int(&w, n);
	writer_cstring(&w, after);
	channel_system(channel, SLICE_LITERAL("system"), ok, writer_written(&w));
}

/* It is said whole seconds ahead, upwards. */
static void
warn(Channel *channel, int64 left)
{
	channel->expiry_told = true;
	tell(channel, true, "Token expires in ", (left + 999) / 1000, " seconds, send a fresh access_token");
}

/* From now on the channel waits. */
static void
begin_grace(Channel *channel)
{
	broadcast_settle(channel);
	channel->expiry_told = true;
	tell(channel, false, "Token has expired ", seconds_since(channel),
		 " seconds ago: nothing is delivered or accepted until a fresh access_token comes");
}

/* The text of PROTOCOL 3.8, and the end. */
static void
end(Channel *channel)
{
	char		text[JWT_TEXT_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));
	JwtClaims	claims = {.exp = channel->token->exp};

	jwt_write_shutdown(&w, JWT_EXPIRED, &claims, token_clock());
	channel_shutdown(channel, writer_written(&w));
}

/* Diffs that were missed can't be made up for one by one: the whole state is sent. */
static void
go_on(Channel *channel, Slice why)
{
	bool		was_over = channel->expiry == EXPIRY_OVER;
	uint64		withheld = channel->withheld;

	channel->expiry = EXPIRY_FAR;
	channel->expiry_told = false;
	channel->expiry_look_at = 0;
	channel->withheld = 0;
	if (withheld > 0)
		tell(channel, false, "Messages were lost: ", withheld,
			 withheld == 1 ? " message was not delivered while the token had expired" :
			 " messages were not delivered while the token had expired");
	if (was_over)
		channel_system(channel, SLICE_LITERAL("system"), true, why);
	if (channel->presence_enabled && channel->read_presence && (withheld > 0 || channel->awaits_state))
		presence_send_state(channel);
}

/* A time that was over may lie ahead again when the clock was set back, or the setting has changed. */
bool
expiry_turn(Channel *channel)
{
	int64		left = left_of(channel);

	channel->expiry_look_at = 0;
	if (left > 0)
	{
		if (channel->expiry == EXPIRY_OVER)
			go_on(channel, SLICE_LITERAL("The token is good again: the channel goes on"));
		channel->expiry = left <= NEAR ? EXPIRY_NEAR : EXPIRY_FAR;
		if (realtime_token_warning > 0 && !channel->expiry_told && left <= realtime_token_warning)
			warn(channel, left);
		return true;
	}
	if (left + realtime_token_grace <= 0)
	{
		if (!asking_refreshes(channel->connection, topic_name(channel->topic)))
		{
			end(channel);
			return false;
		}
		channel->expiry_look_at = connection_clock() + REFRESH_PAUSE;
	}
	if (channel->expiry != EXPIRY_OVER)
	{
		channel->expiry = EXPIRY_OVER;
		if (realtime_token_grace > 0)
			begin_grace(channel);
	}
	return true;
}

bool
expiry_withholds_now(Channel *channel)
{
	if (channel->expiry == EXPIRY_NEAR && left_of(channel) > 0)
		return false;
	channel->withheld++;
	return true;
}

bool
expiry_refuses(Channel *channel, const PhxMessage *message, bool wants_reply)
{
	char		text[JWT_TEXT_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));
	JwtClaims	claims = {.exp = channel->token->exp};

	if (channel->expiry == EXPIRY_FAR || (channel->expiry == EXPIRY_NEAR && left_of(channel) > 0))
		return false;
	broadcast_settle(channel);
	tally(COUNTER_MESSAGES_REFUSED, 1);
	jwt_write_join_refusal(&w, JWT_EXPIRED, &claims, token_clock());
	if (wants_reply)
		channel_reply_error(channel, message->ref, writer_written(&w));
	else
		broadcast_refused(channel, REFUSED_EXPIRED);
	return true;
}

void
expiry_renewed(Channel *channel)
{
	go_on(channel, SLICE_LITERAL("The token was renewed: the channel goes on"));
}

void
expiry_reloaded(Channel *channel, void *arg)
{
	channel_schedule(channel);
}
