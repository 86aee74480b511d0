/*
 * http_body.h
 *		How the body of a request follows its head, and what it is.
 */
#ifndef REALTIME_WIRE_HTTP_BODY_H
#define REALTIME_WIRE_HTTP_BODY_H

#include "http_head.h"

/* How a body follows the head. */
typedef enum HttpFraming
{
	HTTP_BODY_NONE,
	HTTP_BODY_LENGTH,			/* so many bytes, not 0 */
	HTTP_BODY_CHUNKED,
	HTTP_BODY_BAD				/* not to be told for sure (400): where the next request begins is not known either */
} HttpFraming;

/* *length: bytes, if it is HTTP_BODY_LENGTH. */
HttpFraming http_framing(const HttpHead *head, uint64_t *length) WIRE_MUST_CHECK;

typedef enum MediaType
{
	MEDIA_JSON,					/* application/json */
	MEDIA_JSON_LIKE,			/* application/ANYTHING+json */
	MEDIA_BYTES,				/* application/octet-stream */
	MEDIA_FORM,					/* application/x-www-form-urlencoded */
	MEDIA_MULTIPART,			/* multipart/ANYTHING */
	MEDIA_OTHER
} MediaType;

/* The kind of a media type, in any case, whatever its parameters; MEDIA_OTHER also for what is none. */
MediaType	media_type(Slice value);

#endif							/* REALTIME_WIRE_HTTP_BODY_H */
