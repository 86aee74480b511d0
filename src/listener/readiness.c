/*
 * readiness.c
 *	  Are messages from the database delivered? What the channels are told about it.
 *
 * The decoder changes the state in shared memory first and puts the record on the bus after that, so a channel that is
 * joined between the two learns the new state from its join and finds nothing to be told when the record comes.
 */
#include "postgres.h"

#include "listener/readiness.h"
#include "shared/replication.h"

/* How long a client that asked for replication_ready waits (PROTOCOL 3.6), in ms. */
#define READY_TIMEOUT		60000

#define NOT_YET				"Messages from the database are not delivered yet: "

static void
say_ready(Channel *channel)
{
	channel->told_waiting = channel->awaits_ready = false;
	channel_system(channel, SLICE_LITERAL("system"), true, SLICE_LITERAL("Replication connection established"));
}

static void
say_waiting(Channel *channel, Slice text)
{
	char		message[sizeof(NOT_YET) + REPLICATION_TEXT_SIZE];
	Writer		w = writer_fixed(message, sizeof(message));

	writer_literal(&w, NOT_YET);
	writer_slice(&w, slice_cut_text(text, REPLICATION_TEXT_SIZE));
	channel->told_waiting = true;
	channel_system(channel, SLICE_LITERAL("system"), false, writer_written(&w));
}

void
readiness_joined(Channel *channel, bool wants_ready)
{
	char		text[REPLICATION_TEXT_SIZE];
	ReplicationState state = replication_get(text);

	if (state == REPLICATION_READY)
	{
		if (wants_ready)
			say_ready(channel);
		return;
	}
	if (text[0] != '\0')
		say_waiting(channel, slice_cstring(text));
	channel->awaits_ready = wants_ready;
	channel->ready_deadline = connection_clock() + READY_TIMEOUT;
}

static void
waiting_channel(Channel *channel, void *arg)
{
	if (!channel->told_waiting)
		say_waiting(channel, *(Slice *) arg);
}

void
readiness_waiting(Slice text)
{
	channels_each(waiting_channel, &text);
}

static void
ready_channel(Channel *channel, void *arg)
{
	if (channel->told_waiting || channel->awaits_ready)
		say_ready(channel);
}

void
readiness_ready(void)
{
	channels_each(ready_channel, NULL);
}

void
readiness_lapped(void)
{
	char		text[REPLICATION_TEXT_SIZE];

	if (replication_get(text) == REPLICATION_READY)
		readiness_ready();
	else if (text[0] != '\0')
		readiness_waiting(slice_cstring(text));
}
