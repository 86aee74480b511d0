/*
 * server.h
 *	  libwebsockets: sockets on our libuv loop. The only file that knows it is server.c.
 *
 * It carries bytes (and later TLS). HTTP and WebSocket from clients are read by http_head.c and ws_reader.c, and frames
 * to them are written by ourselves anyway; README.md says why.
 */
#ifndef REALTIME_LISTENER_SERVER_H
#define REALTIME_LISTENER_SERVER_H

#include "listener/connection.h"

struct uv_loop_s;

/* Make the context; false, with a line in the log, if that is not possible. Once per process. */
extern bool server_start(struct uv_loop_s *loop);

/*
 * Hand an accepted socket to libwebsockets, which owns it from then on, whatever comes of it. The connection is given
 * back by connection_gone.
 */
extern void server_adopt(Connection *connection, int fd);

/* Send what the socket takes: bytes sent, 0 if it is full, -1 if it is broken. */
extern ssize_t server_send(Connection *connection, const unsigned char *data, Size length);

/* Call output_writeable once the socket takes more. Takes effect when libuv runs next. */
extern void server_want_writeable(Connection *connection);

/* The connection breaks once what was sent has not been acknowledged for so many ms: TCP_USER_TIMEOUT. */
extern void server_limit_unacknowledged(Connection *connection, int ms);

/* shutdown(2). */
extern void server_shutdown(Connection *connection, int how);

#endif							/* REALTIME_LISTENER_SERVER_H */
