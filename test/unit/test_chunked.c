/*
 * test_chunked.c
 *		Chunked bodies, cut in every place.
 */
#include "unit.h"

#include "wire/chunked.h"

typedef enum Outcome
{
	COMPLETE,
	INCOMPLETE,
	BAD
} Outcome;

/* Read the input in pieces of at most this size; the body goes to w. */
static Outcome
read_in_pieces(Slice input, size_t size, Writer *w, size_t *used_in_all)
{
	ChunkedReader reader = {0};

	*used_in_all = 0;
	while (input.len > 0)
	{
		Slice		piece = copy_exactly(slice_make(input.data, input.len < size ? input.len : size));
		Slice		rest = piece;
		ChunkedEvent event;

		do
		{
			size_t		used;
			Slice		body;

			event = chunked_read(&reader, rest, &used, &body);
			assert_true(used <= rest.len);
			*used_in_all += used;
			rest = slice_skip(rest, used);
			if (event == CHUNKED_PIECE)
			{
				assert_true(body.len > 0 && body.data >= piece.data && body.data + body.len <= piece.data + piece.len);
				writer_slice(w, body);
			}
		} while (event == CHUNKED_PIECE);
		input = slice_skip(input, piece.len);
		copy_free(piece);
		if (event == CHUNKED_END)
			return COMPLETE;
		if (event == CHUNKED_BAD)
			return BAD;
		assert_int_equal(rest.len, 0);
	}
	return INCOMPLETE;
}

/* The same outcome and the same body, however it is cut. */
static void
check(const char *input, Outcome outcome, const char *body, size_t used)
{
	Slice		text = slice_cstring(input);

	for (size_t size = 1; size <= text.len + 1; size++)
	{
		char		buffer[8192];
		Writer		w = writer_fixed(buffer, sizeof(buffer));
		size_t		used_in_all;
		Outcome		found = read_in_pieces(text, size, &w, &used_in_all);

		if (found != outcome)
			fail_msg("%s in pieces of %zu: %d", input, size, found);
		if (outcome == COMPLETE)
		{
			assert_slice(writer_written(&w), slice_cstring(body));
			assert_int_equal(used_in_all, used == 0 ? text.len : used);
		}
	}
}

static void
test_good(void **state)
{
	(void) state;
	check("0\r\n\r\n", COMPLETE, "", 0);
	check("3\r\nabc\r\n0\r\n\r\n", COMPLETE, "abc", 0);
	check("3\r\nabc\r\n00a\r\n0123456789\r\n0\r\n\r\n", COMPLETE, "abc0123456789", 0);
	check("A;name=value\r\n0123\r\n6789\r\n0;x\r\n\r\n", COMPLETE, "0123\r\n6789", 0);
	check("1 \r\nx\r\n0\r\nTrailer: 1\r\nOther: 2\r\n\r\n", COMPLETE, "x", 0);
	check("00000001\r\nx\r\n00000000\r\n\r\n", COMPLETE, "x", 0);
	check("1\r\nx\r\n0\r\n\r\nPOST / HTTP/1.1\r\n", COMPLETE, "x", 11);
}

static void
test_incomplete(void **state)
{
	static const char whole[] = "5;e\r\nabcde\r\n0\r\nT: 1\r\n\r\n";
	char		part[sizeof(whole)];

	(void) state;
	for (size_t len = 0; len < sizeof(whole) - 1; len++)
	{
		memcpy(part, whole, len);
		part[len] = '\0';
		check(part, INCOMPLETE, "", 0);
	}
}

static void
test_bad(void **state)
{
	static const char *const inputs[] = {
		"\r\n", "x\r\n", ";\r\n", " 3\r\nabc\r\n", "-1\r\n", "0x3\r\nabc\r\n", "3\nabc\n0\n\n", "3\r\r\nabc", "3\r\nabcd\r\n",
		"3\r\nabc\n0\r\n\r\n", "3\r\nabc0\r\n\r\n", "000000003\r\nabc\r\n", "fffffffff\r\n", "3;\x01\r\nabc\r\n", "3;a\nabc\r\n",
		"0\r\nT: 1\n\r\n", "0\r\n\n", "0\r\nT: \x7f\r\n\r\n", "0\r\n\rx", "3\r\nabc\r\n\r\n"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(inputs) / sizeof(inputs[0]); i++)
		check(inputs[i], BAD, "", 0);
}

/* Extensions and trailers are bounded. */
static void
test_bounds(void **state)
{
	char		text[2 * CHUNKED_MAX_TRAILERS];
	char		buffer[16];
	size_t		used;

	(void) state;
	for (int over = 0; over < 2; over++)
	{
		Writer		w = writer_fixed(text, sizeof(text));
		Writer		body = writer_fixed(buffer, sizeof(buffer));

		writer_literal(&w, "1;");
		for (int i = 0; i < CHUNKED_MAX_EXTENSION + over; i++)
			writer_char(&w, 'e');
		writer_literal(&w, "\r\nx\r\n0\r\n\r\n");
		assert_int_equal(read_in_pieces(writer_written(&w), 7, &body, &used), over ? BAD : COMPLETE);

		w = writer_fixed(text, sizeof(text));
		writer_literal(&w, "0\r\n");
		for (int i = 0; i < CHUNKED_MAX_TRAILERS / 16; i++)
			writer_literal(&w, "0123456789: abcd\r\n");
		if (over)
			writer_literal(&w, "x\r\n");
		writer_literal(&w, "\r\n");
		assert_int_equal(read_in_pieces(writer_written(&w), 1000, &body, &used), over ? BAD : COMPLETE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_incomplete),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_bounds),
	};

	return cmocka_run_group_tests_name("chunked", tests, NULL, NULL);
}
