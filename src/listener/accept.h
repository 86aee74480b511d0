/*
 * accept.h
 *	  Connections that come to a listening socket: who is let in, and who is turned away.
 */
#ifndef REALTIME_LISTENER_ACCEPT_H
#define REALTIME_LISTENER_ACCEPT_H

/*
 * Take connections from a listening socket, at most a batch. 0: what is left can be taken in the next turn; otherwise the
 * milliseconds for which none should be taken, from no socket, for want of room or of descriptors. The latter is logged.
 * Outside of callbacks of libwebsockets; never throws.
 */
extern uint64 accept_some(int listening);

#endif							/* REALTIME_LISTENER_ACCEPT_H */
