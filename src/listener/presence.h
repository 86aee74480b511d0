/*
 * presence.h
 *	  Presence: what clients say about themselves, and what they are told of others (PROTOCOL 5).
 *
 * A track or untrack goes onto the bus, and every listener, this one too, applies it to its state when it reads it back
 * (presence_state.h): all hold the same state, and whoever asks any of them sees the same.
 */
#ifndef REALTIME_LISTENER_PRESENCE_H
#define REALTIME_LISTENER_PRESENCE_H

#include "listener/channel.h"
#include "shared/bus.h"

/* At start: memory, and a request to the other listeners to tell what they know. May end the process. */
extern void presence_init(int listener);

/* A channel pushes a `presence` event. */
extern void presence_push(Channel *channel, const Incoming *incoming);

/*
 * Read back who of this listener has come and gone: whoever joins again must not find himself there. Not while the bus
 * is read. It may close connections.
 */
extern void presence_settle(void);

/* presence_state for a channel that has joined; it may have to wait until the other listeners have told what they know. */
extern void presence_send_state(Channel *channel);

/* The channel ends: it is no longer present, or only for its grace time if its connection was lost. */
extern void presence_channel_ends(Channel *channel, bool lost);

/* The same for all channels of a connection that is lost. */
extern void presence_connection_lost(Connection *connection);

/* When a channel's latest payload, which was held back by presence_rate, is due; loop clock in ms, PG_UINT64_MAX: none. And sending it. */
extern uint64 presence_due(const Channel *channel);
extern void presence_send_due(Channel *channel);

/* A record of presence was read from the bus. */
extern void presence_record(const BusRecord *record);

/* Once per turn, after the bus was read: tell the members what has changed. */
extern void presence_flush(void);

/* This listener has lost records: ask the others what they know. */
extern void presence_lapped(void);

/* At exit: this listener's clients are gone. */
extern void presence_listener_ends(void);

#endif							/* REALTIME_LISTENER_PRESENCE_H */
