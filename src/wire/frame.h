/*
 * frame.h
 *		Headers of WebSocket frames from server to client (RFC 6455).
 *
 * Such frames are not masked, so all subscribers get the same bytes.  Every
 * message is one frame (FIN set).
 */
#ifndef REALTIME_WIRE_FRAME_H
#define REALTIME_WIRE_FRAME_H

#include "slice.h"

typedef enum FrameOpcode
{
	FRAME_TEXT = 0x1,
	FRAME_BINARY = 0x2,
	FRAME_CLOSE = 0x8,
	FRAME_PING = 0x9,
	FRAME_PONG = 0xA
} FrameOpcode;

#define FRAME_MAX_HEADER		10	/* bytes */
#define FRAME_MAX_CONTROL		125	/* payload of close, ping, pong, in bytes */
#define FRAME_MAX_CLOSE_REASON	123

/* Size of the header of a frame with a payload of this many bytes: 2, 4 or 10. */
static inline size_t
frame_header_size(uint64_t payload_len)
{
	return payload_len < 126 ? 2 : payload_len <= 0xFFFF ? 4 : FRAME_MAX_HEADER;
}

/*
 * Write a header.  payload_len below 2^63; at most FRAME_MAX_CONTROL for the
 * control opcodes (the writer fails otherwise).
 */
void		frame_write_header(Writer *w, FrameOpcode opcode, uint64_t payload_len);

/*
 * The payload of a close frame: the code and the reason, which must be UTF-8
 * and is cut to FRAME_MAX_CLOSE_REASON bytes, never inside a character.
 */
void		frame_write_close_payload(Writer *w, uint16_t code, Slice reason);

/* A whole close frame, at most 2 + FRAME_MAX_CONTROL bytes. */
void		frame_write_close(Writer *w, uint16_t code, Slice reason);

#endif							/* REALTIME_WIRE_FRAME_H */
