/*
 * expiry.h
 *	  The end of a channel's token: a warning before it, a time of grace after it.
 *
 *		 far ------------> near ---------> over -----------------> the channel ends
 *		      just before          at exp   |  after token_grace
 *		      exp                           |
 *		  ^                                 |
 *		  +--------- a fresh token ---------+
 *
 * From exp on nothing is delivered to the channel or accepted from it. What it has missed when it goes on is counted and
 * told; it is not kept.
 */
#ifndef REALTIME_LISTENER_EXPIRY_H
#define REALTIME_LISTENER_EXPIRY_H

#include "listener/channel.h"

typedef enum Expiry
{
	EXPIRY_FAR,
	EXPIRY_NEAR,				/* so close that the clock is looked at for each message */
	EXPIRY_OVER
} Expiry;

/* When the channel's timer has to call expiry_turn, loop clock in ms. */
extern uint64 expiry_due(const Channel *channel);

/* The timer has fired: do what is due. False: the channel has ended. */
extern bool expiry_turn(Channel *channel);

/* The channel has a fresh token: it goes on where it was. */
extern void expiry_renewed(Channel *channel);

/* Is the message, which would be delivered to the channel now, withheld? Then it is counted. Drops no channels. */
extern bool expiry_withholds_now(Channel *channel);

static inline bool
expiry_withholds(Channel *channel)
{
	return channel->expiry != EXPIRY_FAR && expiry_withholds_now(channel);
}

/* Is this push of the channel refused? Then it has been answered. */
extern bool expiry_refuses(Channel *channel, const PhxMessage *message, bool wants_reply);

/* token_warning and token_grace may have changed. For channels_each. */
extern void expiry_reloaded(Channel *channel, void *arg);

#endif							/* REALTIME_LISTENER_EXPIRY_H */
