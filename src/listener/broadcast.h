/*
 * broadcast.h
 *	  Broadcasts: from a client to the bus, and what is read from the bus (PROTOCOL 4).
 */
#ifndef REALTIME_LISTENER_BROADCAST_H
#define REALTIME_LISTENER_BROADCAST_H

#include "listener/channel.h"
#include "shared/bus.h"

/* At start: memory, and the place in the ring from which this listener reads. May throw. */
extern void broadcast_init(int listener);

/* A client pushes on a channel. */
extern void broadcast_push(Channel *channel, const Incoming *incoming);

/*
 * Deliver some of what is on the bus; false if there was nothing. Only queues frames, so it may be called in callbacks
 * too.
 */
extern bool broadcast_read_bus(void);
extern bool broadcast_bus_has_news(void);

/*
 * Before a channel gets a reply, or ends: let what it has broadcast come back first, so that own copies, acks and
 * replies keep the order of the pushes.
 */
extern void broadcast_settle(Channel *channel);

/* Read on until all that was published before this position has been read. */
extern void broadcast_read_until(uint64 position);

/* A push was refused and wants no ack: tell the channel, at most once a second. */
extern void broadcast_refused(Channel *channel, RefusalCause cause);

/* When the channel has to be told of refusals, loop clock in ms; PG_UINT64_MAX: not. And telling it. */
extern uint64 broadcast_refusals_due(const Channel *channel);
extern void broadcast_tell_refusals(Channel *channel);

#endif							/* REALTIME_LISTENER_BROADCAST_H */
