/*
 * rest.h
 *	  Broadcasts by HTTP: POST /api/broadcast and /api/broadcast/TOPIC/events/EVENT (PROTOCOL 4.3 to 4.5).
 *
 * A connection has at most one such request at a time, connection->rest: from the end of its head until it is answered.
 * First its body comes in; then, if it has messages for private topics, it waits for the authorizers, and meanwhile the
 * connection reads no further request.
 */
#ifndef REALTIME_LISTENER_REST_H
#define REALTIME_LISTENER_REST_H

#include "listener/connection.h"
#include "wire/http_head.h"

/* The head of such a request has come; without a body it is answered, or waits, when this returns. */
extern void rest_begin(Connection *connection, const HttpHead *head, bool single, bool keep_alive);

/* Some of the body has come. Returns the bytes that were used: the rest is the next request's. */
extern Size rest_body_received(Connection *connection, Slice bytes);

/* Does a request wait for the authorizers? */
extern bool rest_waits(const Connection *connection);

/* Of one that does: may another request follow it, and from now on none may. */
extern bool rest_keeps_alive(const Connection *connection);
extern void rest_is_last(Connection *connection);

/* The deadline is over: a request that waits is answered (true); one that is still coming in is not. */
extern bool rest_too_late(Connection *connection);

/* The connection is gone. */
extern void rest_drop(Connection *connection);

#endif							/* REALTIME_LISTENER_REST_H */
