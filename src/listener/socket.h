/*
 * socket.h
 *	  The listening sockets: one for each address, shared by all listeners of this server, and accepting from them.
 */
#ifndef REALTIME_LISTENER_SOCKET_H
#define REALTIME_LISTENER_SOCKET_H

struct uv_loop_s;

/*
 * Bind and listen on realtime.listen_addresses. True if at least one address is served; then connections are accepted
 * by the loop from its next turn on. A failure is logged, once until it changes, and shown by health(). May be called
 * again to try what failed. Resolves names, so it may take time. May throw.
 */
extern bool sockets_open(struct uv_loop_s *loop, int listener);

/* Is there an address, or a certificate, that could not be used yet? */
extern bool sockets_incomplete(void);

/*
 * Settings were reloaded: read the certificate again, for new connections. If it can't be used, the one that was
 * loaded before is kept; if there is none, connections are refused and sockets_incomplete is true.
 */
extern void sockets_reloaded(int listener);

/* No more connections. */
extern void sockets_close(void);

/* The loop, each turn: accept again after a pause that a lack of descriptors, or of room, has made. */
extern void sockets_resume(void);

/* Milliseconds until that has something to do; -1: nothing. */
extern int64 sockets_wait(void);

#endif							/* REALTIME_LISTENER_SOCKET_H */
