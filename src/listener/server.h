/*
 * server.h
 *	  libwebsockets: sockets on our libuv loop. The only file that knows it is server.c.
 *
 * It carries bytes; what they are under TLS, tls.c knows, and plain and TLS differ nowhere else. HTTP and WebSocket from
 * clients are read by http_head.c and ws_reader.c of src/wire, and frames to them are written by ourselves anyway;
 * README.md says why.
 */
#ifndef REALTIME_LISTENER_SERVER_H
#define REALTIME_LISTENER_SERVER_H

#include "listener/connection.h"

struct uv_loop_s;

/* Make the context; false, with a line in the log, if that is not possible. Once per process. */
extern bool server_start(struct uv_loop_s *loop);

/*
 * Hand an accepted socket to libwebsockets, which owns it from then on, whatever comes of it. The connection is given
 * back by connection_gone. It is plain or TLS for all its life, as realtime.ssl says now.
 */
extern void server_adopt(Connection *connection, int fd);

/*
 * Send what the socket takes: bytes taken over, -1 if it is broken. *full: wait for output_writeable before the next
 * call, also if all has been taken.
 */
extern ssize_t server_send(Connection *connection, const unsigned char *data, Size length, bool *full);

/* Call output_writeable once the socket takes more. Takes effect when libuv runs next. */
extern void server_want_writeable(Connection *connection);

/* The connection breaks once what was sent has not been acknowledged for so many ms: TCP_USER_TIMEOUT. 0: as the system does it. */
extern void server_limit_unacknowledged(Connection *connection, int ms);

/* shutdown(2); under TLS the client is told first. */
extern void server_shutdown(Connection *connection, int how);

#endif							/* REALTIME_LISTENER_SERVER_H */
