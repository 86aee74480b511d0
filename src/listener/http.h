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

/* An answer to a request below /api. */
typedef struct HttpReply
{
	int			status;
	Slice		body;			/* JSON; empty: none */
	const char *headers;		/* further ones, each with its line end; may be NULL */
	bool		with_rate;		/* and the headers that tell of the rate (PROTOCOL 4.5) */
	const Token *token;			/* whose rate that is; NULL: that of all */
	bool		keep_alive;		/* false: the connection ends with it */
} HttpReply;

extern void http_reply(Connection *connection, const HttpReply *reply);

/* Count a request below /api, with this token (NULL: none); false: there are too many, and it may come again in *retry_ms. */
extern bool http_count_request(const Token *token, int *retry_ms);

/* The header retry-after, for answers with 429; 64 bytes. */
extern void http_write_retry(char *header, Size size, int retry_ms);

/*
 * The headers that policies may read, as a JSON object in memory that the caller frees: all, or those whose name begins
 * with x-. Empty if there are none, or no memory for them.
 */
extern Slice http_policy_headers(const HttpHead *head, bool all);

/* Answer one that could not be read. */
extern void http_bad_request(Connection *connection, HttpHeadResult result);

#endif							/* REALTIME_LISTENER_HTTP_H */
