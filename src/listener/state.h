/*
 * state.h
 *	  What realtime.workers and health() say of this listener, put together from all that may be wrong with it.
 *
 * The sockets say whether it serves. What else fails does not keep it from serving, and is told beside that. Called in
 * the listener, never throws.
 */
#ifndef REALTIME_LISTENER_STATE_H
#define REALTIME_LISTENER_STATE_H

#include "shared/registry.h"

/* Who may have trouble besides the sockets. */
typedef enum StateSource
{
	STATE_TLS,
	STATE_KEYS,
	STATE_SOURCES				/* how many there are */
} StateSource;

/* The state of the sockets. hint NULL: nothing is wrong with them. */
extern void state_set(WorkerState state, const char *detail, const char *hint);

/* Trouble of one source, until it is told otherwise; detail NULL: none. */
extern void state_set_trouble(StateSource source, const char *detail, const char *hint);

/* Is this the first of the listeners? What all of them meet at once is logged by it alone. */
extern bool state_is_first(void);

/* Does another listener tell of this trouble already? Then it is in the log. */
extern bool state_known_to_sibling(const char *detail);

#endif							/* REALTIME_LISTENER_STATE_H */
