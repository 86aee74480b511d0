/*
 * changes.h
 *	  Postgres Changes on the side of the clients: joins that wait for their subscription, and the changes themselves (PROTOCOL 6).
 *
 * A join with postgres_changes is held until the changes worker has answered, at most CHANGES_PATIENCE: so a row that is
 * inserted after the reply is always delivered. What comes for a held join between the answer and its reply is kept.
 */
#ifndef REALTIME_LISTENER_CHANGES_H
#define REALTIME_LISTENER_CHANGES_H

#include "listener/subscription.h"
#include "shared/bus.h"

/* How long a join is held, in ms; and while it is known that nothing can be subscribed. */
#define CHANGES_PATIENCE	5000
#define CHANGES_PATIENCE_UNAVAILABLE	1000

typedef enum ChangesBegun
{
	CHANGES_HELD,				/* the join is handled again later */
	CHANGES_TOO_MANY,			/* nothing was begun: too much waits already, or there is no memory */
	CHANGES_TOO_LARGE			/* nothing was begun: the join goes on without */
} ChangesBegun;

/* A join that has passed its checks: subscribe to these entries, a JSON array, and hold it. answer: what incoming has. */
extern ChangesBegun changes_begin(Connection *connection, Slice topic, Slice entries, Token *token, bool legacy,
								  const Incoming *incoming);

/* The channel of a join that was held is there: it has the subscription now. */
extern void changes_joined(Channel *channel, Subscription *subscription);

/* Tell it what has become of its subscription, and what came meanwhile. After the reply. */
extern void changes_tell(Channel *channel);

/* The entries were too large to be asked for. */
extern void changes_tell_too_large(Channel *channel);

/* The channel has got another token, and may keep it. */
extern void changes_token(Channel *channel);

/* The channel ends. */
extern void changes_channel_ends(Channel *channel);

/* The join was refused, or the connection is gone, before there was a channel. */
extern void changes_unjoined(uint32 number);

/* A record of the bus that has to do with changes. Only queues frames. */
extern void changes_record(const BusRecord *record);

/*
 * Records of the bus were lost, as the text says; among them may be answers of the worker, or that it has started and asks:
 * it is asked for all subscriptions again.
 */
extern void changes_lapped(Slice text);

/* At start. May end the process. */
extern void changes_init(int listener);

/* Outside of callbacks: let joins go on whose answer has come. */
extern void changes_go_on(void);

/* Is there one? */
extern bool changes_waiting(void);

#endif							/* REALTIME_LISTENER_CHANGES_H */
