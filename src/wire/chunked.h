/*
 * chunked.h
 *		Bodies in the chunked transfer coding (RFC 9112, 7.1), read as they come.
 */
#ifndef REALTIME_WIRE_CHUNKED_H
#define REALTIME_WIRE_CHUNKED_H

#include "slice.h"

/* Longest extension of a chunk, and all trailers together, in bytes; nothing of either is used. */
#define CHUNKED_MAX_EXTENSION	256
#define CHUNKED_MAX_TRAILERS	4096

typedef enum ChunkedState
{
	CHUNKED_SIZE,				/* at the first digit of a size */
	CHUNKED_SIZE_MORE,			/* behind a digit */
	CHUNKED_EXTENSION,
	CHUNKED_SIZE_END,			/* its LF is due */
	CHUNKED_BYTES,
	CHUNKED_BYTES_CR,			/* behind the bytes of a chunk */
	CHUNKED_BYTES_LF,
	CHUNKED_TRAILER,			/* at the beginning of a line */
	CHUNKED_TRAILER_MORE,
	CHUNKED_TRAILER_LF,
	CHUNKED_LAST_LF,
	CHUNKED_DONE
} ChunkedState;

/* A reader begins with all bytes 0. */
typedef struct ChunkedReader
{
	ChunkedState state;
	uint32_t	digits;			/* of the size so far */
	uint32_t	skipped;		/* bytes of the extension, or of the trailers */
	uint64_t	left;			/* bytes of this chunk that are still to come */
} ChunkedReader;

typedef enum ChunkedEvent
{
	CHUNKED_MORE,				/* all input is used */
	CHUNKED_PIECE,				/* *piece is a piece of the body */
	CHUNKED_END,				/* the body is complete; what is left of the input is not of it */
	CHUNKED_BAD					/* not the chunked coding; the reader must not be used any more */
} ChunkedEvent;

/* Read on; *used is how much of the input is done with, *piece points into it. To be called until CHUNKED_MORE. */
ChunkedEvent chunked_read(ChunkedReader *reader, Slice input, size_t *used, Slice *piece) WIRE_MUST_CHECK;

#endif							/* REALTIME_WIRE_CHUNKED_H */
