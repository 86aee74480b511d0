/*
 * ws_reader.h
 *	  WebSocket frames from a client (RFC 6455), from bytes to pieces of messages. Pure C, no allocation.
 *
 * Feed it what has come and it says what is in it, one thing at a time:
 *
 *		while (length > 0 && ok)
 *		{
 *			event = ws_read(&reader, data, length, &used);
 *			... event, reader.piece ...
 *			data += used; length -= used;
 *		}
 *
 * The payload is unmasked where it lies. A data frame gives at least one piece, the first as soon as its header is
 * there, so that a frame that is too long is known before its payload comes.
 */
#ifndef REALTIME_WIRE_WS_READER_H
#define REALTIME_WIRE_WS_READER_H

#include "slice.h"

#define WS_MAX_CONTROL		125	/* bytes */

typedef enum WsEvent
{
	WS_NOTHING,					/* all was used, nothing to report */
	WS_PIECE,					/* of a text or binary message */
	WS_PING,					/* piece is the whole payload, also of the next two */
	WS_PONG,
	WS_CLOSE,
	WS_ERROR					/* not RFC 6455: close with 1002; so is everything from here on */
} WsEvent;

typedef struct WsReader
{
	/* results of the last call */
	Slice		piece;			/* valid until the next call */
	uint64_t	piece_remaining;	/* bytes of this frame still to come */
	bool		piece_final;	/* the frame is the last of its message */
	bool		piece_binary;

	/* state */
	unsigned char header[14];
	uint8_t		header_len;		/* bytes of the header that have come; 0 between frames */
	bool		failed;			/* WS_ERROR was returned */
	bool		in_payload;
	bool		in_message;		/* a fragmented message is under way */
	bool		message_binary;
	uint8_t		opcode;
	bool		fin;
	unsigned char mask[4];
	uint8_t		mask_at;
	uint64_t	remaining;
	uint8_t		control_len;
	char		control[WS_MAX_CONTROL];
} WsReader;

/* A reader of all zero bytes is at the beginning. */
WsEvent ws_read(WsReader *reader, char *data, size_t length, size_t *used) WIRE_MUST_CHECK;

/* May a client close with this code (RFC 6455, 7.4)? */
bool ws_close_code_valid(unsigned code);

#endif							/* REALTIME_WIRE_WS_READER_H */
