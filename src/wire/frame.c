/*
 * frame.c
 *		Headers of WebSocket frames from server to client.
 */
#include "frame.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define FIN_BIT		0x80
#define CONTROL_BIT	0x08

/* The header of an unmasked frame that is a whole message. */
void
frame_write_header(Writer *w, FrameOpcode opcode, uint64_t payload_len)
{
	unsigned char header[FRAME_MAX_HEADER];
	size_t		size = frame_header_size(payload_len);

	if (payload_len > INT64_MAX || ((opcode & CONTROL_BIT) && payload_len > FRAME_MAX_CONTROL))
	{
		w->failed = true;
		return;
	}
	header[0] = (unsigned char) (FIN_BIT | opcode);
	header[1] = size == 2 ? (unsigned char) payload_len : size == 4 ? 126 : 127;
	for (size_t i = size; i > 2; i--)
	{
		header[i - 1] = (unsigned char) (payload_len & 0xFF);
		payload_len >>= 8;
	}
	writer_bytes(w, header, size);
}

/* What a close frame carries. */
void
frame_write_close_payload(Writer *w, uint16_t code, Slice reason)
{
	writer_char(w, (char) (code >> 8));
	writer_char(w, (char) (code & 0xFF));
	writer_slice(w, slice_cut_text(reason, FRAME_MAX_CLOSE_REASON));
}

/* A close frame, ready to be sent. */
void
frame_write_close(Writer *w, uint16_t code, Slice reason)
{
	frame_write_header(w, FRAME_CLOSE, 2 + slice_cut_text(reason, FRAME_MAX_CLOSE_REASON).len);
	frame_write_close_payload(w, code, reason);
}
