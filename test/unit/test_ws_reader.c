/*
 * test_ws_reader.c
 *		Frames of clients: whole, in single bytes, and those that are not RFC 6455.
 */
#include "unit.h"

#include <stdio.h>

#include "wire/ws_reader.h"

#define FIN		0x80
#define MASKED	0x80

/* Frames as a client writes them. */
typedef struct Stream
{
	char		bytes[200000];
	size_t		len;
} Stream;

static const unsigned char mask[4] = {0x37, 0xfa, 0x21, 0x3d};

static void
put(Stream *s, const void *bytes, size_t len)
{
	assert_true(s->len + len <= sizeof(s->bytes));
	if (len > 0)
		memcpy(s->bytes + s->len, bytes, len);
	s->len += len;
}

/* A header of this first byte, with the length in as many bytes as asked for: 0, 2 or 8. */
static void
put_header(Stream *s, unsigned first, int length_bytes, uint64_t length)
{
	unsigned char header[10] = {(unsigned char) first};

	header[1] = (unsigned char) (MASKED | (length_bytes == 0 ? length : length_bytes == 2 ? 126 : 127));
	for (int i = 0; i < length_bytes; i++)
		header[2 + i] = (unsigned char) (length >> 8 * (length_bytes - 1 - i));
	put(s, header, 2 + (size_t) length_bytes);
	put(s, mask, 4);
}

static void
put_payload(Stream *s, Slice payload)
{
	size_t		start = s->len;

	put(s, payload.data, payload.len);
	for (size_t i = 0; i < payload.len; i++)
		s->bytes[start + i] ^= (char) mask[i % 4];
}

/* A frame with its length as short as it can be. */
static void
put_frame(Stream *s, unsigned first, Slice payload)
{
	put_header(s, first, payload.len < 126 ? 0 : payload.len < 65536 ? 2 : 8, payload.len);
	put_payload(s, payload);
}

/* What a stream was read as: "T:text." for a final text frame, "B" binary, "+" not final, P Q C control, "!" an error. */
typedef struct Seen
{
	char		text[200000];
	size_t		len;
	bool		in_frame;
} Seen;

static void
see(Seen *seen, const void *bytes, size_t len)
{
	assert_true(seen->len + len <= sizeof(seen->text));
	if (len > 0)
		memcpy(seen->text + seen->len, bytes, len);
	seen->len += len;
}

static void
see_event(Seen *seen, const WsReader *reader, WsEvent event)
{
	switch (event)
	{
		case WS_NOTHING:
			return;
		case WS_PIECE:
			if (!seen->in_frame)
				see(seen, reader->piece_binary ? "B:" : "T:", 2);
			see(seen, reader->piece.data, reader->piece.len);
			seen->in_frame = reader->piece_remaining > 0;
			if (!seen->in_frame)
				see(seen, reader->piece_final ? "." : "+", 1);
			return;
		case WS_PING:
		case WS_PONG:
		case WS_CLOSE:
			see(seen, event == WS_PING ? "P:" : event == WS_PONG ? "Q:" : "C:", 2);
			see(seen, reader->piece.data, reader->piece.len);
			see(seen, ".", 1);
			return;
		case WS_ERROR:
			assert_true(reader->failed);
			if (seen->len == 0 || seen->text[seen->len - 1] != '!')
				see(seen, "!", 1);
			return;
	}
}

/* Read in chunks of this size, each in a block of its own, on beyond an error. */
static void
read_stream(const Stream *s, size_t chunk, Seen *seen)
{
	WsReader	reader = {0};

	seen->len = 0;
	seen->in_frame = false;
	for (size_t at = 0; at < s->len; at += chunk)
	{
		Slice		block = copy_exactly(slice_make(s->bytes + at, s->len - at < chunk ? s->len - at : chunk));
		size_t		done = 0;

		while (done < block.len)
		{
			size_t		used;
			WsEvent		event = ws_read(&reader, (char *) block.data + done, block.len - done, &used);

			assert_true(used > 0 && used <= block.len - done);
			see_event(seen, &reader, event);
			done += used;
		}
		copy_free(block);
	}
}

static Stream stream;
static Seen seen;

/* The stream says this, however it is cut; a fresh one begins. */
static void
assert_seen_at(Slice expected, const char *file, int line)
{
	static const size_t chunks[] = {1, 2, 3, 5, 7, 13, 16, sizeof(stream.bytes)};

	for (size_t i = 0; i < sizeof(chunks) / sizeof(chunks[0]); i++)
	{
		read_stream(&stream, chunks[i], &seen);
		assert_slice_at(slice_make(seen.text, seen.len), expected, file, line);
	}
	stream.len = 0;
}

#define assert_seen(literal)	assert_seen_at(SLICE_LITERAL(literal), __FILE__, __LINE__)

static void
test_messages(void **state)
{
	(void) state;
	put_frame(&stream, FIN | 1, SLICE_LITERAL("hello"));
	put_frame(&stream, FIN | 2, SLICE_LITERAL("\0\xff"));
	put_frame(&stream, FIN | 1, SLICE_EMPTY);
	put_frame(&stream, FIN | 1, SLICE_LITERAL("a longer one, so that it is unmasked in words of eight bytes"));
	assert_seen("T:hello." "B:\0\xff." "T:." "T:a longer one, so that it is unmasked in words of eight bytes.");
}

static void
test_example_of_the_rfc(void **state)
{
	(void) state;
	put(&stream, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58", 11);
	assert_seen("T:Hello.");
}

static void
test_fragments(void **state)
{
	(void) state;
	put_frame(&stream, 1, SLICE_LITERAL("ab"));
	put_frame(&stream, FIN | 9, SLICE_LITERAL("ping"));
	put_frame(&stream, 0, SLICE_EMPTY);
	put_frame(&stream, 0, SLICE_LITERAL("cd"));
	put_frame(&stream, FIN | 10, SLICE_EMPTY);
	put_frame(&stream, FIN | 0, SLICE_LITERAL("ef"));
	put_frame(&stream, 2, SLICE_EMPTY);
	put_frame(&stream, FIN | 0, SLICE_EMPTY);
	put_frame(&stream, FIN | 8, SLICE_LITERAL("\x03\xe8"));
	assert_seen("T:ab+" "P:ping." "T:+" "T:cd+" "Q:." "T:ef." "B:+" "B:." "C:\x03\xe8.");

	put_frame(&stream, FIN | 0, SLICE_LITERAL("nothing to continue"));
	assert_seen("!");
	put_frame(&stream, FIN | 1, SLICE_LITERAL("a"));
	put_frame(&stream, 0, SLICE_LITERAL("b"));
	assert_seen("T:a.!");
	put_frame(&stream, 1, SLICE_LITERAL("a"));
	put_frame(&stream, FIN | 1, SLICE_LITERAL("b"));
	assert_seen("T:a+!");
	put_frame(&stream, 2, SLICE_LITERAL("a"));
	put_frame(&stream, 2, SLICE_LITERAL("b"));
	assert_seen("B:a+!");
}

static void
test_opcodes(void **state)
{
	(void) state;
	for (unsigned opcode = 0; opcode < 16; opcode++)
	{
		put_frame(&stream, FIN | opcode, SLICE_LITERAL("x"));
		switch (opcode)
		{
			case 1:
				assert_seen("T:x.");
				break;
			case 2:
				assert_seen("B:x.");
				break;
			case 8:
				assert_seen("C:x.");
				break;
			case 9:
				assert_seen("P:x.");
				break;
			case 10:
				assert_seen("Q:x.");
				break;
			default:
				assert_seen("!");
				break;
		}
	}
}

static void
test_reserved_bits(void **state)
{
	(void) state;
	for (unsigned bits = 1; bits < 8; bits++)
	{
		put_frame(&stream, FIN | bits << 4 | 1, SLICE_LITERAL("x"));
		assert_seen("!");
		put_frame(&stream, FIN | bits << 4 | 9, SLICE_EMPTY);
		assert_seen("!");
	}
}

static void
test_unmasked(void **state)
{
	(void) state;
	put(&stream, "\x81\x05hello", 7);
	assert_seen("!");
	put(&stream, "\x89\x00", 2);
	assert_seen("!");
	put(&stream, "\x82\x7e\x01\x00", 4);
	assert_seen("!");
}

static void
test_control_frames(void **state)
{
	char		longest[WS_MAX_CONTROL + 1];

	(void) state;
	memset(longest, 'x', sizeof(longest));
	for (unsigned opcode = 8; opcode <= 10; opcode++)
	{
		char		expected[WS_MAX_CONTROL + 3];

		put_frame(&stream, FIN | opcode, slice_make(longest, WS_MAX_CONTROL));
		(void) snprintf(expected, sizeof(expected), "%c:", "CPQ"[opcode - 8]);
		memset(expected + 2, 'x', WS_MAX_CONTROL);
		expected[WS_MAX_CONTROL + 2] = '.';
		assert_seen_at(slice_make(expected, sizeof(expected)), __FILE__, __LINE__);

		put_frame(&stream, FIN | opcode, slice_make(longest, WS_MAX_CONTROL + 1));
		assert_seen("!");
		put_frame(&stream, opcode, SLICE_LITERAL("fragment"));
		assert_seen("!");
	}
}

/* Lengths of 7, 16 and 64 bits at their bounds. */
static void
test_lengths(void **state)
{
	static const size_t lengths[] = {0, 1, 124, 125, 126, 127, 128, 65534, 65535, 65536, 65537};
	static char payload[70000];
	static char expected[70000];

	(void) state;
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (char) (i * 7);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
	{
		put_frame(&stream, FIN | 2, slice_make(payload, lengths[i]));
		memcpy(expected, "B:", 2);
		memcpy(expected + 2, payload, lengths[i]);
		expected[2 + lengths[i]] = '.';
		assert_seen_at(slice_make(expected, lengths[i] + 3), __FILE__, __LINE__);
	}
}

/* A length has to be written as short as it can be, and is below 2^63. */
static void
test_bad_lengths(void **state)
{
	static const struct
	{
		int			bytes;
		uint64_t	length;
	}			bad[] = {
		{2, 0}, {2, 1}, {2, 125}, {8, 0}, {8, 125}, {8, 126}, {8, 65535},
		{8, UINT64_C(1) << 63}, {8, (UINT64_C(1) << 63) + 5}, {8, UINT64_MAX},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		put_header(&stream, FIN | 1, bad[i].bytes, bad[i].length);
		put_payload(&stream, SLICE_LITERAL("abc"));
		assert_seen("!");
	}
	put_header(&stream, FIN | 9, 2, 126);
	assert_seen("!");
}

/* How long a frame is, is known before its payload. */
static void
test_length_is_told_first(void **state)
{
	WsReader	reader = {0};
	size_t		used;

	(void) state;
	stream.len = 0;
	put_header(&stream, FIN | 1, 8, (UINT64_C(1) << 63) - 1);
	for (size_t i = 0; i < stream.len - 1; i++)
		assert_int_equal(ws_read(&reader, stream.bytes + i, 1, &used), WS_NOTHING);
	assert_int_equal(ws_read(&reader, stream.bytes + stream.len - 1, 1, &used), WS_PIECE);
	assert_int_equal(reader.piece.len, 0);
	assert_true(reader.piece_remaining == (UINT64_C(1) << 63) - 1);
	stream.len = 0;
}

/* A stream that ends anywhere has told exactly what came whole; no part of a header is an event. */
static void
test_truncation(void **state)
{
	static const char whole[] = "T:ab+" "P:p." "T:" "c.";
	static Stream full;
	size_t		told = 0;

	(void) state;
	full.len = 0;
	put_frame(&full, 1, SLICE_LITERAL("ab"));
	put_frame(&full, FIN | 9, SLICE_LITERAL("p"));
	put_frame(&full, FIN | 0, SLICE_LITERAL("c"));
	for (size_t len = 0; len <= full.len; len++)
	{
		Seen		bytewise;

		stream.len = 0;
		put(&stream, full.bytes, len);
		read_stream(&stream, 1, &bytewise);
		read_stream(&stream, sizeof(stream.bytes), &seen);
		assert_slice(slice_make(bytewise.text, bytewise.len), slice_make(seen.text, seen.len));
		assert_true(seen.len >= told && seen.len <= sizeof(whole) - 1);
		assert_memory_equal(seen.text, whole, seen.len);
		told = seen.len;
	}
	assert_int_equal(told, sizeof(whole) - 1);
	stream.len = 0;
}

/* An error is the end: what comes after it, good or bad, is neither read nor kept, however much it is. */
static void
test_after_an_error(void **state)
{
	char		rest[300];

	(void) state;
	memset(rest, 'x', sizeof(rest));

	/* a control frame that claims to be long, followed by as much */
	put_header(&stream, FIN | 9, 2, sizeof(rest));
	for (int i = 0; i < 100; i++)
		put_payload(&stream, slice_make(rest, sizeof(rest)));
	assert_seen("!");

	put_frame(&stream, FIN | 1, SLICE_LITERAL("a"));
	put_frame(&stream, FIN | 3, SLICE_LITERAL("b"));
	put_frame(&stream, FIN | 1, SLICE_LITERAL("c"));
	put_frame(&stream, FIN | 8, SLICE_EMPTY);
	assert_seen("T:a.!");

	/* all zero bytes: a continuation of nothing, unmasked */
	memset(rest, 0, sizeof(rest));
	put(&stream, rest, sizeof(rest));
	assert_seen("!");
	memset(rest, 0xff, sizeof(rest));
	put(&stream, rest, sizeof(rest));
	assert_seen("!");
}

static void
test_close_codes(void **state)
{
	(void) state;
	for (unsigned code = 0; code <= 0xFFFF; code++)
	{
		bool		reserved = code == 1004 || code == 1005 || code == 1006;
		bool		protocol = code >= 1000 && code <= 1014 && !reserved;

		assert_int_equal(ws_close_code_valid(code), protocol || (code >= 3000 && code < 5000));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_example_of_the_rfc),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_opcodes),
		cmocka_unit_test(test_reserved_bits),
		cmocka_unit_test(test_unmasked),
		cmocka_unit_test(test_control_frames),
		cmocka_unit_test(test_lengths),
		cmocka_unit_test(test_bad_lengths),
		cmocka_unit_test(test_length_is_told_first),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_after_an_error),
		cmocka_unit_test(test_close_codes),
	};

	return cmocka_run_group_tests_name("ws_reader", tests, NULL, NULL);
}
