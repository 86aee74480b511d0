/*
 * http_head.h
 *	  The head of an HTTP/1.x request: request line and headers. Pure C, no allocation, nothing is copied.
 *
 * Strict where leniency helps attackers: no control characters, no folded headers, no blank before a colon.
 */
#ifndef REALTIME_WIRE_HTTP_HEAD_H
#define REALTIME_WIRE_HTTP_HEAD_H

#include "slice.h"

/* Longest head that is read, in bytes; a longer one gets 431. */
#define HTTP_HEAD_MAX		16384

typedef struct HttpHead
{
	Slice		method;
	Slice		path;			/* percent-encoded, as it came */
	Slice		query;			/* without '?', percent-encoded */
	int			minor_version;	/* of HTTP/1 */
	Slice		headers;		/* all header lines; see http_header() */
	size_t		length;			/* bytes of the whole head */
} HttpHead;

typedef enum HttpHeadResult
{
	HTTP_HEAD_OK,
	HTTP_HEAD_INCOMPLETE,		/* read on */
	HTTP_HEAD_BAD,				/* 400 */
	HTTP_HEAD_TOO_LONG			/* 431 */
} HttpHeadResult;

/* Read a head from the beginning of bytes. The slices of *head point into it. */
HttpHeadResult http_head_parse(Slice bytes, HttpHead *head) WIRE_MUST_CHECK;

/* The value of the first header of this name (any case), without blanks around it; false if there is none. */
bool http_header(const HttpHead *head, Slice name, Slice *value);

/* Walk over all headers: *at begins as head->headers. False at the end. */
bool http_header_next(Slice *at, Slice *name, Slice *value);

/* Does a header that is a comma-separated list hold this word, in any case? Several of one name count as one list. */
bool http_header_holds(const HttpHead *head, Slice name, Slice word);

#endif							/* REALTIME_WIRE_HTTP_HEAD_H */
