/*
 * rights.h
 *	  What a channel may write, which for a private one is asked when it first wants to (PROTOCOL 7.4).
 *
 * Listener only. Nothing here throws. What a private channel may read is in channel.h.
 */
#ifndef REALTIME_LISTENER_RIGHTS_H
#define REALTIME_LISTENER_RIGHTS_H

#include "listener/channel.h"

/*
 * Refuse the push with this ref. The reason is there for REFUSED_BUSY only, during the call; it may be used in a reply, and
 * so may the time after which to try again (0: that would not help).
 */
typedef void (*RefusePush) (Channel *channel, Slice ref, RefusalCause cause, Slice reason, int retry_ms);

/*
 * Has the channel this right, &channel->write_broadcast or &channel->write_presence (that only once presence is enabled)?
 * If not known yet it is asked, and known from then on. False: it has not and the push has been refused, or the push
 * waits for the answer.
 */
extern bool channel_may_write(Channel *channel, const Right *right, const Incoming *incoming, RefusePush refuse);

#endif							/* REALTIME_LISTENER_RIGHTS_H */
