/*
 * keys.h
 *	  What tokens are verified with: the secret, the keys of realtime.jwks_file, the claims that they must have; and the
 *	  opaque keys, which stand for a role.
 *
 * The file is looked at after SIGHUP, and at most once a second when a token is verified or while clients are connected;
 * without clients nothing wakes the listener for it. When it can't be read, or is no set of keys, those that were read
 * before stay in use, and log and realtime.workers say so. When what tokens are verified with has changed, the clients
 * whose token is no longer good are sent away (PROTOCOL 1.5).
 *
 * Everything here runs in the listener, and none of it throws.
 */
#ifndef REALTIME_LISTENER_KEYS_H
#define REALTIME_LISTENER_KEYS_H

#include "wire/jwt.h"

/* The settings were read, or read again: at the start, and after SIGHUP. Not inside callbacks. */
extern void keys_reload(void);

/*
 * What tokens are verified with now; looks at the file if it is time. Valid until the next call of a function here. May
 * be called inside callbacks of libwebsockets.
 */
extern JwtKeys keys_now(void);

/* Once per turn, outside of callbacks: look at the file if it is time, and do what follows from a change. */
extern void keys_turn(void);

/* How long the loop may sleep before the next keys_turn(), in ms; -1: as long as it likes. */
extern int64 keys_wait(void);

#endif							/* REALTIME_LISTENER_KEYS_H */
