/*
 * subscription.h
 *	  What the channels of this listener subscribe of Postgres Changes, and what the changes worker is still to be told of it.
 *
 * A subscription is known by a number that is never used twice; it is made before its channel, whose join is held until
 * the worker has answered, and lives at most as long as it, but for the moment until the worker knows that it has ended.
 *
 *		ASKED ----> LIVE <----> REFUSED		(a new token of a refused one: ASKED again)
 *		  any of them ----> ENDED			until the worker is told; then freed
 *
 * Everything here runs in the listener, and none of it throws.
 */
#ifndef REALTIME_LISTENER_SUBSCRIPTION_H
#define REALTIME_LISTENER_SUBSCRIPTION_H

#include "lib/ilist.h"

#include "listener/channel.h"

/* All entries of the channels of one connection together: so many bytes. */
#define SUBSCRIPTION_MAX_BYTES	(4 * 1024 * 1024)

typedef enum SubscriptionState
{
	SUBSCRIPTION_ASKED,			/* the worker has not answered yet */
	SUBSCRIPTION_LIVE,
	SUBSCRIPTION_REFUSED,
	SUBSCRIPTION_ENDED
} SubscriptionState;

/* A frame for a channel that does not exist yet. */
typedef struct EarlyFrame
{
	struct EarlyFrame *next;
	Frame	   *frame;
} EarlyFrame;

typedef struct Subscription
{
	struct Subscription *next;	/* of the same bucket */
	uint32		number;
	uint32		version;		/* of the latest request; what answers an earlier one is not listened to */
	SubscriptionState state;
	Connection *connection;		/* NULL once ENDED */
	Channel    *channel;		/* NULL: the join is held, or it is ENDED */
	uint32		slot;			/* of the connection */
	uint32		generation;
	Token	   *token;			/* with whose claims it is asked for */
	TimestampTz since;
	bool		legacy;			/* changes are sent as PROTOCOL 3.9 says of legacy joins */

	bool		sent;			/* the worker may know of it */
	bool		to_send;		/* on the list of what it is to be told */
	dlist_node	sending;

	/* While the join is held: changes.c */
	struct Asking *asking;		/* NULL: not held any longer */
	bool		judged;			/* a private channel: this is what it may */
	Answer		rights;
	bool		ready;			/* on the list of joins that go on */
	dlist_node	going_on;
	Timer		timer;
	char	   *text;			/* what there is to tell of it after the reply */
	EarlyFrame *early;			/* changes that come after the answer, and before the channel */
	EarlyFrame *last_early;
	Size		early_bytes;

	bool		told_trouble;	/* the client was told that changes are missing */
	uint32		topic_len;
	uint32		entries_len;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];	/* name of the topic without prefix, entries */
} Subscription;

static inline Slice
channel_subscription_topic(const Subscription *subscription)
{
	return slice_make(subscription->bytes, subscription->topic_len);
}

/* The postgres_changes of the join, a JSON array. */
static inline Slice
channel_subscription_entries(const Subscription *subscription)
{
	return slice_make(subscription->bytes + subscription->topic_len, subscription->entries_len);
}

/* At start. May end the process. */
extern void channel_subscriptions_init(int listener);

/*
 * A new one, which the worker is asked for. NULL: there is no memory, or *too_large. The token is referenced.
 */
extern Subscription *channel_subscription_new(Connection *connection, Slice topic, Slice entries, Token *token,
									  bool legacy, bool *too_large);

/* NULL: there is none with this number, or it has ended. */
extern Subscription *channel_subscription_find(uint32 number);

/* Ask for it once more; with another token unless that is NULL. */
extern void channel_subscription_ask_again(Subscription *subscription, Token *token);

/* The worker has answered this. */
extern void channel_subscription_is_live(Subscription *subscription);
extern void channel_subscription_is_refused(Subscription *subscription);

/* Its channel ends, or the join was refused: not to be used any more. */
extern void channel_subscription_end(Subscription *subscription);

/* Call for each that has not ended; the function must not end any. */
extern void channel_subscriptions_each(void (*function) (Subscription *subscription, void *arg), void *arg);

/* The worker has started and wants to know them all. */
extern void channel_subscriptions_ask_all(void);

/*
 * Outside of callbacks: tell the worker, as much as it takes. How long may the loop sleep until the next call? In ms; -1:
 * until something happens.
 */
extern void channel_subscriptions_send(void);
extern int64 channel_subscriptions_wait(void);

#endif							/* REALTIME_LISTENER_SUBSCRIPTION_H */
