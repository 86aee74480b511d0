/*
 * rights.c
 *	  What a joined private channel may read, when its token or the policies change (PROTOCOL 3.9, 7.5); and what it may
 *	  write, when it first wants to.
 */
#include "postgres.h"

#include "listener/asking.h"
#include "listener/broadcast.h"
#include "listener/channel.h"
#include "listener/expiry.h"
#include "listener/presence.h"
#include "listener/rights.h"
#include "shared/settings.h"

/* A policy that was too slow is tried again so often, after so many milliseconds, before the channel ends. */
#define JUDGE_TRIES			3
#define JUDGE_PAUSE			1000

/* When many channels are to be judged at once most are put off: they come back spread over so many milliseconds. */
#define JUDGE_SPREAD		500

/* Texts of PROTOCOL 3.8 that name the topic. */
#define NO_PERMISSION		"You do not have permissions to read from this Channel topic: "
#define PERMISSION_LOST		"You no longer have permission to read from this Channel topic: "

Slice
too_many_requests(char *buffer, int retry_ms)
{
	Writer		w = writer_fixed(buffer, TOO_MANY_BOUND);

	if (retry_ms == 0)
		writer_literal(&w, "TooManyRequests: token, headers and topic are too long together to be judged");
	else
	{
		writer_literal(&w, "TooManyRequests: too many policies wait to be evaluated, try again in ");
		writer_int(&w, retry_ms);
		writer_literal(&w, " ms");
	}
	return writer_written(&w);
}

static void
shutdown_with(Channel *channel, const char *text)
{
	char		message[128 + REALTIME_MAX_TOPIC];
	Writer		w = writer_fixed(message, sizeof(message));

	writer_cstring(&w, text);
	writer_slice(&w, topic_name(channel->topic));
	channel_shutdown(channel, writer_written(&w));
}

/* What it may read now; what it may write is asked anew when it wants to. False: it has lost something, and is gone. */
static bool
take_rights(Channel *channel, const Answer *answer)
{
	bool		nothing_left = !answer->broadcast && !answer->presence;
	bool		lost = (channel->read_broadcast && !answer->broadcast) ||
		(channel->presence_enabled && channel->read_presence && !answer->presence);

	if (lost || nothing_left)
	{
		shutdown_with(channel, nothing_left ? NO_PERMISSION : PERMISSION_LOST);
		return false;
	}
	/* diffs are of no use without the state that they change */
	if (channel->presence_enabled && !channel->read_presence && answer->presence)
		channel->awaits_state = true;
	channel->read_broadcast = answer->broadcast;
	channel->read_presence = answer->presence;
	channel->write_broadcast = channel->write_presence = RIGHT_UNKNOWN;
	channel->judge_failures = 0;
	return true;
}

/* At the time of judge_at, which the channel's timer keeps. */
static void
judge_in(Channel *channel, int ms)
{
	channel->judge_at = connection_clock() + Max(ms, 1);
	channel_schedule(channel);
}

void
channel_judge_again(Channel *channel)
{
	if (!asking_again_later(channel->connection, topic_name(channel->topic)))
		judge_in(channel, 0);
}

void
channel_judge_due(Channel *channel)
{
	int			retry_ms;

	channel->judge_at = 0;
	if (asking_again_later(channel->connection, topic_name(channel->topic)))
		return;
	if (!asking_begin(channel->connection, topic_name(channel->topic), ASKING_AGAIN, (AskingWants) {.presence = channel->presence_enabled},
					  channel->token, NULL, &retry_ms))
		judge_in(channel, retry_ms + channel->number % JUDGE_SPREAD);
}

void
channel_judged_again(Channel *channel, const Answer *answer)
{
	switch (answer->status)
	{
		case ANSWER_BUSY:
			judge_in(channel, answer->retry_ms);
			break;
		case ANSWER_CANCELED:
			if (++channel->judge_failures < JUDGE_TRIES)
				judge_in(channel, JUDGE_PAUSE);
			else
				channel_shutdown(channel, SLICE_LITERAL("Query was cancelled, please try again"));
			break;
		default:
			if (take_rights(channel, answer) && channel->awaits_state && !expiry_withholds(channel))
				presence_send_state(channel);
			break;
	}
}

/* What it may write, by its new token, is not known meanwhile. */
static void
judge_later(Channel *channel, int retry_ms)
{
	channel->write_broadcast = channel->write_presence = RIGHT_UNKNOWN;
	judge_in(channel, retry_ms);
}

/*
 * The frame is handled twice: once to ask, and once with the answer. While too many questions wait the token is taken
 * over with the rights of the old one, and judged as soon as that goes.
 */
bool
channel_judge_token(Channel *channel, Token *token, const Incoming *incoming)
{
	const Answer *answer = incoming->answer;
	int			retry_ms;

	if (answer == NULL)
	{
		if (asking_begin(channel->connection, topic_name(channel->topic), ASKING_REFRESH, (AskingWants) {.presence = channel->presence_enabled},
						 token, incoming, &retry_ms))
			return false;
		if (retry_ms == 0)
		{
			shutdown_with(channel, NO_PERMISSION);
			return false;
		}
		judge_later(channel, retry_ms);
		return true;
	}
	if (answer->status == ANSWER_BUSY)
	{
		judge_later(channel, answer->retry_ms);
		return true;
	}
	if (answer->status == ANSWER_CANCELED)
	{
		channel_shutdown(channel, SLICE_LITERAL("Query was cancelled, please try again"));
		return false;
	}
	return take_rights(channel, answer);
}

/* Of presence nothing was asked if the channel has none. */
static void
take_write_rights(Channel *channel, const Answer *answer)
{
	channel->write_broadcast = answer->broadcast ? RIGHT_YES : RIGHT_NO;
	if (channel->presence_enabled)
		channel->write_presence = answer->presence ? RIGHT_YES : RIGHT_NO;
}

bool
channel_may_write(Channel *channel, const Right *right, const Incoming *incoming, RefusePush refuse)
{
	const Answer *answer = incoming->answer;
	Slice		ref = incoming->message->ref;
	char		text[TOO_MANY_BOUND];
	int			retry_ms;

	if (*right == RIGHT_UNKNOWN)
	{
		if (answer == NULL)
		{
			if (!asking_begin(channel->connection, topic_name(channel->topic), ASKING_WRITE, (AskingWants) {.presence = channel->presence_enabled},
							  channel->token, incoming, &retry_ms))
				refuse(channel, ref, REFUSED_BUSY, too_many_requests(text, retry_ms), retry_ms);
			return false;
		}
		if (answer->status == ANSWER_BUSY)
		{
			refuse(channel, ref, REFUSED_BUSY, too_many_requests(text, answer->retry_ms), answer->retry_ms);
			return false;
		}
		if (answer->status == ANSWER_CANCELED)
		{
			refuse(channel, ref, REFUSED_SLOW, SLICE_EMPTY, 0);
			return false;
		}
		take_write_rights(channel, answer);
	}
	if (*right == RIGHT_YES)
		return true;
	refuse(channel, ref, REFUSED_RIGHT, SLICE_EMPTY, 0);
	return false;
}
