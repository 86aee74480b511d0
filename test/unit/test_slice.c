/*
 * test_slice.c
 *		Slices, UTF-8 and the writer.
 */
#include "unit.h"

static void
test_slices(void **state)
{
	Slice		abc = SLICE_LITERAL("abc");

	(void) state;
	assert_true(slice_equal(abc, slice_cstring("abc")));
	assert_false(slice_equal(abc, SLICE_LITERAL("abd")));
	assert_false(slice_equal(abc, SLICE_LITERAL("ab")));
	assert_true(slice_equal(SLICE_EMPTY, SLICE_LITERAL("")));
	assert_true(slice_equal(slice_cstring(NULL), SLICE_EMPTY));
	assert_true(slice_starts_with(abc, SLICE_LITERAL("ab")));
	assert_true(slice_starts_with(abc, SLICE_EMPTY));
	assert_false(slice_starts_with(abc, SLICE_LITERAL("abcd")));
	assert_text(slice_skip(abc, 1), "bc");
	assert_text(slice_skip(abc, 3), "");
	assert_text(slice_skip(abc, 9), "");
	assert_int_equal(slice_skip(SLICE_EMPTY, 1).len, 0);
	assert_true(slice_has_byte(abc, 'c'));
	assert_false(slice_has_byte(abc, 'd'));
	assert_false(slice_has_byte(SLICE_EMPTY, '\0'));
	assert_true(slice_equal_nocase(SLICE_LITERAL("TrUe[@"), SLICE_LITERAL("tRuE[@")));
	assert_false(slice_equal_nocase(SLICE_LITERAL("a"), SLICE_LITERAL("!")));
	assert_false(slice_equal_nocase(SLICE_LITERAL("{"), SLICE_LITERAL("[")));
}

static void
test_utf8(void **state)
{
	static const Slice good[] = {
		SLICE_INIT(""), SLICE_INIT("a\0b"), SLICE_INIT("\x7f"), SLICE_INIT("\xc2\x80"),
		SLICE_INIT("\xdf\xbf"), SLICE_INIT("\xe0\xa0\x80"), SLICE_INIT("\xed\x9f\xbf"),
		SLICE_INIT("\xee\x80\x80"), SLICE_INIT("\xef\xbf\xbf"), SLICE_INIT("\xf0\x90\x80\x80"),
		SLICE_INIT("\xf4\x8f\xbf\xbf"), SLICE_INIT("жарко-日本"),
	};
	static const Slice bad[] = {
		SLICE_INIT("\x80"), SLICE_INIT("\xbf"), SLICE_INIT("\xc0\x80"), SLICE_INIT("\xc1\xbf"),
		SLICE_INIT("\xe0\x80\x80"), SLICE_INIT("\xe0\x9f\xbf"), SLICE_INIT("\xed\xa0\x80"),
		SLICE_INIT("\xed\xbf\xbf"), SLICE_INIT("\xf0\x80\x80\x80"), SLICE_INIT("\xf0\x8f\xbf\xbf"),
		SLICE_INIT("\xf4\x90\x80\x80"), SLICE_INIT("\xf5\x80\x80\x80"), SLICE_INIT("\xff"),
		SLICE_INIT("\xfe"), SLICE_INIT("\xc2"), SLICE_INIT("\xc2\x41"), SLICE_INIT("\xe1\x80"),
		SLICE_INIT("\xe1\x80\x41"), SLICE_INIT("\xf1\x80\x80"), SLICE_INIT("\xf1\x80\x41\x80"),
	};

	(void) state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
	{
		Slice		copy = copy_exactly(good[i]);

		assert_true(slice_is_utf8(copy));
		copy_free(copy);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
	{
		Slice		copy = copy_exactly(bad[i]);

		assert_false(slice_is_utf8(copy));
		copy_free(copy);
	}
}

static void
test_cut(void **state)
{
	Slice		text = SLICE_LITERAL("aé日\xf0\x9f\x98\x80");	/* 1 + 2 + 3 + 4 bytes */
	static const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 10};

	(void) state;
	for (size_t max = 0; max < sizeof(expected) / sizeof(expected[0]); max++)
	{
		Slice		cut = slice_cut_text(text, max);

		assert_int_equal(cut.len, expected[max]);
		assert_true(slice_is_utf8(cut));
	}
	assert_int_equal(slice_cut_text(SLICE_EMPTY, 5).len, 0);
}

static void
test_writer(void **state)
{
	char		buffer[8];
	Writer		w = writer_fixed(buffer, sizeof(buffer));
	Writer		none = writer_fixed(NULL, 100);

	(void) state;
	writer_cstring(&w, "abc");
	writer_char(&w, '-');
	writer_uint(&w, 1234);
	assert_text(writer_written(&w), "abc-1234");
	assert_false(w.failed);

	/* What doesn't fit is not written in part, and failure stays. */
	writer_char(&w, 'x');
	assert_true(w.failed);
	assert_text(writer_written(&w), "abc-1234");
	w = writer_fixed(buffer, 4);
	writer_cstring(&w, "abcde");
	assert_true(w.failed);
	writer_char(&w, 'x');
	assert_int_equal(w.len, 0);
	writer_char(&none, 'x');
	assert_true(none.failed);
	assert_int_equal(writer_written(&none).len, 0);
}

static void
encode_numbers(Writer *w, const void *argument)
{
	(void) argument;
	writer_uint(w, 0);
	writer_char(w, ' ');
	writer_uint(w, UINT64_MAX);
	writer_char(w, ' ');
	writer_int(w, INT64_MIN);
	writer_char(w, ' ');
	writer_int(w, INT64_MAX);
	writer_char(w, ' ');
	writer_int(w, -7);
}

static void
encode_string(Writer *w, const void *argument)
{
	writer_json_string(w, *(const Slice *) argument);
}

static void
test_encoders(void **state)
{
	Slice		plain = SLICE_LITERAL("жарко /");
	Slice		escapes = SLICE_LITERAL("\"\\\b\f\n\r\t\x01\x1f\0\x7f");
	Slice		broken = SLICE_LITERAL("a\xff\xc3z\xed\xa0\x80");
	Slice		empty = SLICE_EMPTY;

	(void) state;
	check_encoder(encode_numbers, NULL,
				  SLICE_LITERAL("0 18446744073709551615 -9223372036854775808 9223372036854775807 -7"));
	check_encoder(encode_string, &empty, SLICE_LITERAL("\"\""));
	check_encoder(encode_string, &plain, SLICE_LITERAL("\"жарко /\""));
	check_encoder(encode_string, &escapes,
				  SLICE_LITERAL("\"\\\"\\\\\\b\\f\\n\\r\\t\\u0001\\u001f\\u0000\x7f\""));
	check_encoder(encode_string, &broken,
				  SLICE_LITERAL("\"a\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""));
}

static void
test_measuring(void **state)
{
	Writer		w = writer_measuring();

	(void) state;

	/* Too much for any buffer fails instead of wrapping around. */
	writer_bytes(&w, "x", SIZE_MAX / 2);
	assert_false(w.failed);
	writer_bytes(&w, "x", 1);
	assert_true(w.failed);
	assert_int_equal(writer_written(&w).len, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slices),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_writer),
		cmocka_unit_test(test_encoders),
		cmocka_unit_test(test_measuring),
	};

	return cmocka_run_group_tests_name("slice", tests, NULL, NULL);
}
