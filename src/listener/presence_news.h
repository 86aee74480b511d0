/*
 * presence_news.h
 *	  Presence as the bus tells it: applied to the state, and told to the members. Used by presence.c only, beside presence.h.
 *
 * A listener that starts asks the others; each says again what its own clients track, and then that this was all. Until
 * all that run have done so, or for NEWS_PATIENCE, channels that join wait for their presence_state.
 */
#ifndef REALTIME_LISTENER_PRESENCE_NEWS_H
#define REALTIME_LISTENER_PRESENCE_NEWS_H

#include "listener/presence_state.h"
#include "shared/bus.h"

extern void presence_news_init(int listener);

/* presence.c: a track of this owner has been applied. */
extern void presence_track_was_read(const BusRecord *read, PresenceOwner owner);

/* presence.c: an untrack of this listener was read back. */
extern void presence_untrack_was_read(const BusRecord *read);

/* presence.c: put on the bus once more what this listener's own clients track. */
extern void presence_tell(void);

#endif							/* REALTIME_LISTENER_PRESENCE_NEWS_H */
