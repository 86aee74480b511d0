/*
 * ws_reader.c
 *	  WebSocket frames from a client.
 */
#include "ws_reader.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define OPCODE_CONTINUATION	0x0
#define OPCODE_TEXT			0x1
#define OPCODE_BINARY		0x2
#define OPCODE_CLOSE		0x8
#define OPCODE_PING			0x9
#define OPCODE_PONG			0xA

/* How long is the header that begins with these bytes? The first two must be there. */
static size_t
header_size(const unsigned char *header)
{
	size_t		mask = (header[1] & 0x80) != 0 ? 4 : 0;

	switch (header[1] & 0x7F)
	{
		case 126:
			return 4 + mask;
		case 127:
			return 10 + mask;
		default:
			return 2 + mask;
	}
}

/* The length of the payload; false if it isn't written as short as it can be, or is beyond 2^63. */
static bool
payload_length(const unsigned char *header, uint64_t *length)
{
	unsigned	code = header[1] & 0x7F;

	*length = 0;
	if (code < 126)
	{
		*length = code;
		return true;
	}
	for (int i = 2; i < (code == 126 ? 4 : 10); i++)
		*length = *length << 8 | header[i];
	return code == 126 ? *length >= 126 : *length > 0xFFFF && *length >> 63 == 0;
}

/* A complete header. False: not RFC 6455. */
static bool
begin_frame(WsReader *reader)
{
	const unsigned char *header = reader->header;
	size_t		size = header_size(header);

	reader->fin = (header[0] & 0x80) != 0;
	reader->opcode = header[0] & 0x0F;
	if ((header[0] & 0x70) != 0 || (header[1] & 0x80) == 0 || !payload_length(header, &reader->remaining))
		return false;
	memcpy(reader->mask, header + size - 4, 4);
	reader->mask_at = 0;
	reader->control_len = 0;
	reader->in_payload = true;
	reader->header_len = 0;

	switch (reader->opcode)
	{
		case OPCODE_CONTINUATION:
			return reader->in_message;
		case OPCODE_TEXT:
		case OPCODE_BINARY:
			if (reader->in_message)
				return false;
			reader->message_binary = reader->opcode == OPCODE_BINARY;
			return true;
		case OPCODE_CLOSE:
		case OPCODE_PING:
		case OPCODE_PONG:
			return reader->fin && reader->remaining <= WS_MAX_CONTROL;
		default:
			return false;
	}
}

/* Unmask in place; eight bytes at a time once the mask is turned to its first byte. */
static void
unmask(WsReader *reader, char *data, size_t length)
{
	size_t		i = 0;
	unsigned char mask[8];
	uint64_t	wide;

	for (; i < length && reader->mask_at != 0; i++)
	{
		data[i] ^= reader->mask[reader->mask_at];
		reader->mask_at = (reader->mask_at + 1) & 3;
	}
	memcpy(mask, reader->mask, 4);
	memcpy(mask + 4, reader->mask, 4);
	memcpy(&wide, mask, 8);
	for (; i + 8 <= length; i += 8)
	{
		uint64_t	word;

		memcpy(&word, data + i, 8);
		word ^= wide;
		memcpy(data + i, &word, 8);
	}
	for (; i < length; i++)
	{
		data[i] ^= reader->mask[reader->mask_at];
		reader->mask_at = (reader->mask_at + 1) & 3;
	}
}

/* Payload of a text or binary frame. */
static WsEvent
data_piece(WsReader *reader, char *data, size_t length)
{
	unmask(reader, data, length);
	reader->remaining -= length;
	reader->piece = slice_make(data, length);
	reader->piece_remaining = reader->remaining;
	reader->piece_final = reader->fin;
	reader->piece_binary = reader->message_binary;
	if (reader->remaining == 0)
	{
		reader->in_payload = false;
		reader->in_message = !reader->fin;
	}
	return WS_PIECE;
}

/* Payload of a control frame, which is collected. */
static WsEvent
control_piece(WsReader *reader, char *data, size_t length)
{
	unmask(reader, data, length);
	if (length > 0)
		memcpy(reader->control + reader->control_len, data, length);
	reader->control_len += (uint8_t) length;
	reader->remaining -= length;
	if (reader->remaining > 0)
		return WS_NOTHING;
	reader->in_payload = false;
	reader->piece = slice_make(reader->control, reader->control_len);
	return reader->opcode == OPCODE_PING ? WS_PING : reader->opcode == OPCODE_PONG ? WS_PONG : WS_CLOSE;
}

/* Read on in the header; returns the bytes taken. */
static size_t
read_header(WsReader *reader, const char *data, size_t length)
{
	size_t		taken = 0;

	while (taken < length && (reader->header_len < 2 || reader->header_len < header_size(reader->header)))
		reader->header[reader->header_len++] = (unsigned char) data[taken++];
	return taken;
}

WsEvent
ws_read(WsReader *reader, char *data, size_t length, size_t *used)
{
	size_t		part;

	*used = 0;
	if (!reader->in_payload && !reader->failed)
	{
		*used = read_header(reader, data, length);
		if (reader->header_len < 2 || reader->header_len < header_size(reader->header))
			return WS_NOTHING;
		reader->failed = !begin_frame(reader);
	}
	if (reader->failed)
	{
		*used = length;
		return WS_ERROR;
	}
	part = length - *used < reader->remaining ? length - *used : (size_t) reader->remaining;
	data += *used;
	*used += part;
	return reader->opcode >= OPCODE_CLOSE ? control_piece(reader, data, part) : data_piece(reader, data, part);
}

bool
ws_close_code_valid(unsigned code)
{
	return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}
