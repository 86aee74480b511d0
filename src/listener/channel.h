/*
 * channel.h
 *	  Channels: one topic joined by one connection, and the conversation about it (PROTOCOL 3).
 */
#ifndef REALTIME_LISTENER_CHANNEL_H
#define REALTIME_LISTENER_CHANNEL_H

#include "listener/connection.h"
#include "listener/topic.h"
#include "wire/phoenix.h"

/* Why a push without ack was refused; the text is in broadcast.c. */
typedef enum RefusalCause
{
	REFUSED_SIZE,
	REFUSED_PAYLOAD
} RefusalCause;

typedef struct Channel
{
	Connection *connection;
	Topic	   *topic;
	uint32		member_index;	/* in topic->members */
	uint32		number;			/* unique in this listener; origin of what it broadcasts */
	struct Channel *next;		/* of the same connection */
	Token	   *token;			/* holds until exp; access_token replaces it */
	TimestampTz joined_at;

	bool		self;
	bool		ack;
	bool		presence_enabled;
	bool		told_waiting;	/* was told that the database's messages don't come yet */
	bool		awaits_ready;	/* asked for replication_ready and has not got it */
	uint32		subscriptions;	/* entries of postgres_changes */

	/* Broadcasts that are on the bus and have not come back yet. */
	uint32		in_flight;

	/* Refused pushes that the client has not been told of. */
	uint32		refused;
	RefusalCause refused_cause;
	uint64		refused_told;	/* loop clock, ms; 0: never */

	Timer		timer;
	uint64		ready_deadline; /* loop clock, ms; while awaits_ready */

	Slice		presence_key;	/* in bytes; empty: none given */
	Slice		join_ref;		/* JSON token; in bytes */
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} Channel;

/* A message of a client has come. */
extern void channel_message(Connection *connection, const PhxMessage *message, PhxResult result);

/* The channel of this connection on a topic (name without prefix); NULL if it has not joined it. */
extern Channel *channel_find(Connection *connection, Slice name);

/* Take it away without a word. */
extern void channel_drop(Channel *channel);

/* All channels of a connection that is gone. */
extern void channels_drop(Connection *connection);

/* phx_close, then away. */
extern void channel_close(Channel *channel);

/* The server ends the channel: `system` error, phx_close, away (PROTOCOL 3.8). */
extern void channel_shutdown(Channel *channel, Slice message);

/* A `system` message to one channel. */
extern void channel_system(Channel *channel, Slice extension, bool ok, Slice message);

/* Replies with this ref, a JSON token. */
extern void channel_reply(Channel *channel, Slice ref, bool ok, Slice response);
extern void channel_reply_error(Channel *channel, Slice ref, Slice reason);

/* Reply about a topic that is not joined. */
extern void connection_reply_error(Connection *connection, const PhxMessage *message, Slice join_ref, Slice reason);

/* Look again at when the channel's timer has to fire. */
extern void channel_schedule(Channel *channel);

/* join.c: phx_join; and are there too many joins in this second, over all listeners? */
extern void channel_join(Connection *connection, const PhxMessage *message);
extern bool join_rate_reached(void);

/* A channel that was made: its timer starts. */
extern void channel_start_timer(Channel *channel);

/* Call for each channel of this listener; the function must not drop channels. */
extern void channels_each(void (*function) (Channel *channel, void *arg), void *arg);

/* A setting that tokens are verified with has changed: who would not get in any more has to go. */
extern void channels_recheck_tokens(void);

/* Tell every channel that the server asks it to go, and close every connection. */
extern void channels_disconnect_all(void);

#endif							/* REALTIME_LISTENER_CHANNEL_H */
