/*
 * chunked.c
 *		Bodies in the chunked transfer coding, read as they come.
 *
 * Strict: lines end in CR LF, sizes have at most eight digits, nothing is folded. Another server in between that
 * reads a body differently than we do is how requests are smuggled.
 */
#include "chunked.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define MAX_DIGITS	8

/* The value of a hexadecimal digit, or -1. */
static int
digit_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A character of an extension or a trailer: anything but control characters. */
static bool
is_plain(char c)
{
	return c == '\t' || ((unsigned char) c >= ' ' && c != 0x7F);
}

/* Move to the next state if this is the character that leads there. */
static bool
expect(ChunkedReader *reader, char c, char wanted, ChunkedState next)
{
	if (c == wanted)
		reader->state = next;
	return c == wanted;
}

/* In a size: another digit, or what may follow the last one. */
static bool
size_char(ChunkedReader *reader, char c)
{
	int			value = digit_value(c);

	if (value >= 0 && reader->digits < MAX_DIGITS)
	{
		reader->left = reader->left << 4 | (uint64_t) value;
		reader->digits++;
		reader->state = CHUNKED_SIZE_MORE;
		return true;
	}
	if (reader->digits == 0)
		return false;
	if (c == ';' || c == ' ' || c == '\t')
	{
		reader->skipped = 0;
		reader->state = CHUNKED_EXTENSION;
		return true;
	}
	return expect(reader, c, '\r', CHUNKED_SIZE_END);
}

/* In a text that nobody reads: another character of it, or its CR. */
static bool
skipped_char(ChunkedReader *reader, char c, uint32_t limit, ChunkedState after_cr)
{
	if (expect(reader, c, '\r', after_cr))
		return true;
	return is_plain(c) && ++reader->skipped <= limit;
}

/* The size of a chunk is known: 0 is the last one. */
static bool
size_end(ChunkedReader *reader, char c)
{
	reader->digits = 0;
	reader->skipped = 0;
	return expect(reader, c, '\n', reader->left > 0 ? CHUNKED_BYTES : CHUNKED_TRAILER);
}

/* One character outside of the bytes of a chunk; false: it may not be there. */
static bool
take(ChunkedReader *reader, char c)
{
	switch (reader->state)
	{
		case CHUNKED_SIZE:
		case CHUNKED_SIZE_MORE:
			return size_char(reader, c);
		case CHUNKED_EXTENSION:
			return skipped_char(reader, c, CHUNKED_MAX_EXTENSION, CHUNKED_SIZE_END);
		case CHUNKED_SIZE_END:
			return size_end(reader, c);
		case CHUNKED_BYTES_CR:
			return expect(reader, c, '\r', CHUNKED_BYTES_LF);
		case CHUNKED_BYTES_LF:
			return expect(reader, c, '\n', CHUNKED_SIZE);
		case CHUNKED_TRAILER:
			if (expect(reader, c, '\r', CHUNKED_LAST_LF))
				return true;
			reader->state = CHUNKED_TRAILER_MORE;
			return skipped_char(reader, c, CHUNKED_MAX_TRAILERS, CHUNKED_TRAILER_LF);
		case CHUNKED_TRAILER_MORE:
			return skipped_char(reader, c, CHUNKED_MAX_TRAILERS, CHUNKED_TRAILER_LF);
		case CHUNKED_TRAILER_LF:
			return expect(reader, c, '\n', CHUNKED_TRAILER);
		case CHUNKED_LAST_LF:
			return expect(reader, c, '\n', CHUNKED_DONE);
		case CHUNKED_BYTES:
		case CHUNKED_DONE:
			break;
	}
	return false;
}

/* Read until something has happened. */
ChunkedEvent
chunked_read(ChunkedReader *reader, Slice input, size_t *used, Slice *piece)
{
	size_t		at = 0;

	*piece = SLICE_EMPTY;
	while (at < input.len && reader->state != CHUNKED_BYTES)
	{
		bool		good = take(reader, input.data[at++]);

		*used = at;
		if (!good)
			return CHUNKED_BAD;
		if (reader->state == CHUNKED_DONE)
			return CHUNKED_END;
	}
	*used = at;
	if (at == input.len)
		return CHUNKED_MORE;
	*piece = slice_skip(input, at);
	if (piece->len >= reader->left)
	{
		piece->len = (size_t) reader->left;
		reader->state = CHUNKED_BYTES_CR;
	}
	reader->left -= piece->len;
	*used = at + piece->len;
	return CHUNKED_PIECE;
}
