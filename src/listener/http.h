/*
 * http.h
 *	  HTTP requests, among them those that want to become a WebSocket (PROTOCOL 1).
 */
#ifndef REALTIME_LISTENER_HTTP_H
#define REALTIME_LISTENER_HTTP_H

#include "listener/connection.h"
#include "wire/http_head.h"

/*
 * Answer a request. Afterwards the connection is in CONNECTION_HTTP (another one may come), CONNECTION_OPEN (upgraded)
 * or CONNECTION_CLOSING.
 */
extern void http_request(Connection *connection, const HttpHead *head);

/* Answer one that could not be read. */
extern void http_bad_request(Connection *connection, HttpHeadResult result);

#endif							/* REALTIME_LISTENER_HTTP_H */
