/*
 * channel.h
 *	  Channels: one topic joined by one connection, and the conversation about it (PROTOCOL 3).
 */
#ifndef REALTIME_LISTENER_CHANNEL_H
#define REALTIME_LISTENER_CHANNEL_H

#include "listener/connection.h"
#include "listener/topic.h"
#include "shared/questions.h"
#include "wire/phoenix.h"

/* A message of a client, and what it was read from. */
typedef struct Incoming
{
	const PhxMessage *message;
	PhxResult	result;
	Slice		frame;			/* the whole, as it came */
	bool		binary;
	const Answer *answer;		/* it has waited for this; NULL: not, or not yet */
	struct Subscription *subscription;	/* a join that has waited for this; NULL: not, or not yet */
} Incoming;

/* Why a push without ack was refused; the text is in broadcast.c. */
typedef enum RefusalCause
{
	REFUSED_SIZE,
	REFUSED_PAYLOAD,
	REFUSED_RIGHT,				/* the policies don't let it write */
	REFUSED_SLOW,				/* a policy took too long */
	REFUSED_BUSY,				/* too many questions wait */
	REFUSED_RATE,				/* too many messages per second */
	REFUSED_EXPIRED				/* the token has expired */
} RefusalCause;

/* What the policies say of a private channel; of a public one everything is allowed. */
typedef enum Right
{
	RIGHT_UNKNOWN,				/* not asked yet */
	RIGHT_YES,
	RIGHT_NO
} Right;

typedef struct Channel
{
	Connection *connection;
	Topic	   *topic;
	uint32		member_index;	/* in topic->members */
	uint32		number;			/* unique in this listener; origin of what it broadcasts */
	struct Channel *next;		/* of the same connection */
	Token	   *token;			/* holds until exp; access_token replaces it */
	TimestampTz joined_at;
	uint64		since;			/* broadcasts before this position of the bus are not for it: they are older than the join */

	bool		read_broadcast;
	bool		read_presence;
	uint8		expiry;			/* Expiry, of the token; expiry.c */
	Right		write_broadcast;	/* until the token changes, or the policies do */
	Right		write_presence;
	uint64		judge_at;		/* loop clock, ms: when to judge what it may read again; 0: not */
	int			judge_failures; /* in a row */

	bool		sends;			/* something of what is being delivered; fanout.c */
	bool		self;
	bool		ack;
	bool		marked;			/* gets epoch and seq in the meta of messages */
	bool		begins;			/* what is not after begin was sent before it, or was sent to it already; resume.c */
	HistoryMark begin;
	uint8		(*replayed)[16];	/* ids of stored messages that it has got */
	uint32		replayed_count;
	bool		presence_enabled;
	bool		presence_gated; /* private, and joined without presence: its diffs are pushes of its own (PROTOCOL 2.2) */
	bool		awaits_state;	/* is to get presence_state, and has not yet: no diffs until then */
	int			presence_grace; /* ms that it stays present when its connection is lost */
	struct ChannelPresence *presence;	/* presence.c; NULL: has never tracked */
	bool		told_waiting;	/* was told that the database's messages don't come yet */
	bool		awaits_ready;	/* asked for replication_ready and has not got it */
	uint32		subscriptions;	/* entries of postgres_changes */
	struct Subscription *subscription;	/* to them; NULL: none */

	/* Broadcasts that are on the bus and have not come back yet. */
	uint32		in_flight;

	/* Refused pushes that the client has not been told of. */
	uint32		refused;
	RefusalCause refused_cause;
	uint64		refused_told;	/* loop clock, ms; 0: never */

	/* The end of its token; expiry.c. */
	bool		expiry_told;	/* it was warned of it, or told of it */
	uint64		expiry_look_at; /* loop clock, ms: when to look again, while a fresh token is judged; 0: not */
	uint64		withheld;		/* messages that were not delivered because it has expired */

	Timer		timer;
	uint64		ready_deadline; /* loop clock, ms; while awaits_ready */

	Slice		presence_key;	/* in bytes; empty: none given */
	Slice		join_ref;		/* JSON token; in bytes */
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} Channel;

/* A message of a client has come, or its answer has. */
extern void channel_message(Connection *connection, const Incoming *incoming);

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

/* rights.c: ask when it is due what a private channel may read, and what to do with the answer. */
extern void channel_judge_again(Channel *channel);
extern void channel_judge_due(Channel *channel);
extern void channel_judged_again(Channel *channel, const Answer *answer);

/* rights.c: a new token for a private channel; true: it may stay, false: it is gone or waits for an answer. */
extern bool channel_judge_token(Channel *channel, Token *token, const Incoming *incoming);

/* rights.c: the text of a question that was not judged, for a reply; TOO_MANY_BOUND bytes. */
#define TOO_MANY_BOUND		128
extern Slice too_many_requests(char *buffer, int retry_ms);

/* join.c: phx_join. */
extern void channel_join(Connection *connection, const Incoming *incoming);

/* A channel that was made: its timer starts. */
extern void channel_start_timer(Channel *channel);

/* Call for each channel of this listener; the function must not drop channels. */
extern void channels_each(void (*function) (Channel *channel, void *arg), void *arg);

/*
 * What tokens are verified with has changed: who would not get in any more has to go. The work is spread over the
 * following turns, outside of callbacks, so that thousands of signatures don't keep the others waiting.
 */
extern void channels_recheck_tokens(void);
extern void channels_recheck_turn(void);
extern bool channels_recheck_waits(void);

/* Public channels are no longer allowed: end the connections that have one. */
extern void channels_disconnect_public(void);

/*
 * End the connections with a channel on this topic and with this sub in their token (no data: whatever they have), and tell
 * them the reason (no data: the usual one). Returns how many.
 */
extern int	channels_disconnect(Slice topic, Slice sub, Slice reason);

/*
 * We go: tell every channel of the connections in the slots below this one that the server asks it to go, and close these
 * connections. Those without a WebSocket are cut unless an answer is due to them. From now on all joins are refused.
 */
extern void channels_say_goodbye(uint32 slots);
extern bool channels_are_ending(void);

#endif							/* REALTIME_LISTENER_CHANNEL_H */
