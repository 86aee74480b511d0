/*
 * test_frame.c
 *		WebSocket frame headers and close frames.
 */
#include "unit.h"

#include "wire/frame.h"

/* Read a header back as RFC 6455 says; its size, or 0 if it is wrong. */
static size_t
read_header(Slice frame, unsigned *first, uint64_t *len)
{
	const unsigned char *p = (const unsigned char *) frame.data;
	size_t		extra;

	if (frame.len < 2 || (p[1] & 0x80))
		return 0;				/* a server never masks */
	*first = p[0];
	extra = p[1] == 126 ? 2 : p[1] == 127 ? 8 : 0;
	if (frame.len < 2 + extra)
		return 0;
	*len = extra == 0 ? p[1] : 0;
	for (size_t i = 0; i < extra; i++)
		*len = *len << 8 | p[2 + i];
	return 2 + extra;
}

static void
test_headers(void **state)
{
	static const struct
	{
		uint64_t	len;
		size_t		size;
	}			cases[] = {
		{0, 2}, {1, 2}, {125, 2}, {126, 4}, {127, 4}, {0xFFFF, 4}, {0x10000, 10},
		{5000000, 10}, {UINT64_C(0x123456789ABCDE), 10}, {INT64_MAX, 10},
	};
	static const FrameOpcode opcodes[] = {FRAME_TEXT, FRAME_BINARY};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		for (size_t k = 0; k < 2; k++)
		{
			char		buffer[FRAME_MAX_HEADER];
			Writer		w = writer_fixed(buffer, sizeof(buffer));
			unsigned	first;
			uint64_t	len;

			frame_write_header(&w, opcodes[k], cases[i].len);
			assert_false(w.failed);
			assert_int_equal(frame_header_size(cases[i].len), cases[i].size);
			assert_int_equal(w.len, cases[i].size);
			assert_int_equal(read_header(writer_written(&w), &first, &len), cases[i].size);
			assert_int_equal(first, 0x80 | opcodes[k]);
			assert_true(len == cases[i].len);
			w = writer_fixed(buffer, cases[i].size - 1);
			frame_write_header(&w, opcodes[k], cases[i].len);
			assert_true(w.failed);
		}
	}
}

/* The examples of RFC 6455, section 5.7, that are not masked. */
static void
test_rfc_examples(void **state)
{
	char		buffer[32];
	Writer		w = writer_fixed(buffer, sizeof(buffer));

	(void) state;
	frame_write_header(&w, FRAME_TEXT, 5);
	writer_cstring(&w, "Hello");
	assert_text(writer_written(&w), "\x81\x05Hello");
	w = writer_fixed(buffer, sizeof(buffer));
	frame_write_header(&w, FRAME_PING, 5);
	writer_cstring(&w, "Hello");
	assert_text(writer_written(&w), "\x89\x05Hello");
	w = writer_fixed(buffer, sizeof(buffer));
	frame_write_header(&w, FRAME_BINARY, 256);
	assert_text(writer_written(&w), "\x82\x7e\x01\x00");
	w = writer_fixed(buffer, sizeof(buffer));
	frame_write_header(&w, FRAME_BINARY, 65536);
	assert_text(writer_written(&w), "\x82\x7f\0\0\0\0\0\x01\0\0");
}

static void
test_control(void **state)
{
	static const FrameOpcode opcodes[] = {FRAME_CLOSE, FRAME_PING, FRAME_PONG};
	char		buffer[FRAME_MAX_HEADER];

	(void) state;
	for (size_t i = 0; i < 3; i++)
	{
		Writer		w = writer_fixed(buffer, sizeof(buffer));

		frame_write_header(&w, opcodes[i], FRAME_MAX_CONTROL);
		assert_false(w.failed);
		frame_write_header(&w, opcodes[i], FRAME_MAX_CONTROL + 1);
		assert_true(w.failed);
	}
	{
		Writer		w = writer_fixed(buffer, sizeof(buffer));

		frame_write_header(&w, FRAME_TEXT, (uint64_t) INT64_MAX + 1);
		assert_true(w.failed);
	}
}

static void
encode_close(Writer *w, const void *argument)
{
	frame_write_close(w, 1012, *(const Slice *) argument);
}

static void
test_close(void **state)
{
	Slice		reason = SLICE_LITERAL("Server requested disconnect");
	Slice		empty = SLICE_EMPTY;
	char		text[200];

	(void) state;
	check_encoder(encode_close, &reason, SLICE_LITERAL("\x88\x1d\x03\xf4Server requested disconnect"));
	check_encoder(encode_close, &empty, SLICE_LITERAL("\x88\x02\x03\xf4"));

	/* "é" is two bytes: 123 bytes would cut the 62nd in two. */
	for (size_t i = 0; i < sizeof(text); i += 2)
		memcpy(text + i, "é", 2);
	for (size_t len = 0; len <= sizeof(text); len += 2)
	{
		char		buffer[2 + FRAME_MAX_CONTROL];
		Writer		w = writer_fixed(buffer, sizeof(buffer));
		Slice		frame;

		frame_write_close(&w, 1000, slice_make(text, len));
		frame = writer_written(&w);
		assert_false(w.failed);
		assert_int_equal(frame.len, 4 + (len > FRAME_MAX_CLOSE_REASON ? 122 : len));
		assert_int_equal((unsigned char) frame.data[1], frame.len - 2);
		assert_true(slice_is_utf8(slice_skip(frame, 4)));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_rfc_examples),
		cmocka_unit_test(test_control),
		cmocka_unit_test(test_close),
	};

	return cmocka_run_group_tests_name("frame", tests, NULL, NULL);
}
