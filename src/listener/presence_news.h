/*
 * presence_news.h
 *	  Presence as the bus tells it: applied to the state, and told to the members. Used by presence.c only, beside presence.h.
 *
 * A listener that starts asks the others; each says again what its own clients track, and then that this was all. Until
 * all that run have done so, or for NEWS_PATIENCE, channels that join wait for their presence_state.
 */
#ifndef REALTIME_LISTENER_PRESENCE_NEWS_H
#define REALTIME_LISTENER_PRESENCE_NEWS_H

extern void presence_news_init(int listener);

#endif							/* REALTIME_LISTENER_PRESENCE_NEWS_H */
