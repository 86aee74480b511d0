/*
 * url.h
 *		Paths, query strings and the `vsn` parameter of a connect request.
 */
#ifndef REALTIME_WIRE_URL_H
#define REALTIME_WIRE_URL_H

#include "slice.h"

typedef enum UrlRoute
{
	URL_UNKNOWN,				/* 404 */
	URL_WEBSOCKET,				/* /socket/websocket, /realtime/v1/websocket */
	URL_HEALTHCHECK,			/* /healthcheck */
	URL_PING,					/* /api/ping, /realtime/v1/api/ping */
	URL_BROADCAST,				/* /api/broadcast, /realtime/v1/api/broadcast */
	URL_BROADCAST_EVENT			/* the same and /TOPIC/events/EVENT */
} UrlRoute;

/*
 * What a path (without its query string) means.  Empty segments don't count:
 * `//socket/websocket/` is the same as `/socket/websocket`.
 */
UrlRoute	url_route(Slice path);

/* The topic and the event of a URL_BROADCAST_EVENT, still percent-encoded. */
void		url_broadcast_event(Slice path, Slice *topic, Slice *event);

/*
 * Percent-decode into a buffer, which needs at most text.len bytes; '+' becomes
 * a blank if plus_is_blank (forms and query strings, not paths).  False if an
 * escape is no escape (`%`, `%4`, `%zz`) or the buffer is too small.
 */
bool		url_decode(Slice text, bool plus_is_blank, char *buffer, size_t size,
					   Slice *decoded) WIRE_MUST_CHECK;

typedef enum UrlParam
{
	URL_PARAM_ABSENT,
	URL_PARAM_TEXT,				/* *value is the decoded text, perhaps empty */
	URL_PARAM_NOT_TEXT,			/* `name[]=x` or `name[k]=x`: a list or a map */
	URL_PARAM_INVALID			/* a bad escape, or a value too long for the buffer */
} UrlParam;

/*
 * Look up a parameter in a query string that is still percent-encoded.  Of
 * several of the same name the last wins, also over another form
 * (`a=1&a[]=2` is a list).  A name without '=' has the empty text.
 */
UrlParam	url_query_param(Slice query, Slice name, char *buffer, size_t size, Slice *value);

/*
 * The same for one `name=value` pair that somebody else has cut out and decoded
 * already (libwebsockets does); *value points into the pair.  The caller goes
 * over all pairs and keeps the last answer other than URL_PARAM_ABSENT.
 */
UrlParam	url_pair_param(Slice pair, Slice name, Slice *value);

/*
 * The protocol version that a `vsn` asks for: PHX_V1 (1), PHX_V2 (2), or 0: to
 * be refused with 403 and an empty body.  The text must be a semantic version
 * (major.minor.patch, perhaps -pre and +build); 1.0.x is V1, 2.0.x is V2, and a
 * pre-release of x.0.0 comes before it and is neither.  No parameter at all is
 * not for this function: it means V1.
 */
int			vsn_parse(Slice text);

#endif							/* REALTIME_WIRE_URL_H */
