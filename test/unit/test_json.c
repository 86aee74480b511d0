/*
 * test_json.c
 *		Validation of JSON text, and what is read from it.
 */
#include "unit.h"

#include <float.h>
#include <math.h>

#include "wire/json.h"

/* Validate a copy that ends where its block ends. */
static bool
is_valid(Slice text)
{
	Slice		copy = copy_exactly(text);
	bool		valid = wjson_validate(copy);

	copy_free(copy);
	return valid;
}

static void
test_valid(void **state)
{
	static const Slice texts[] = {
		SLICE_INIT("null"), SLICE_INIT(" \t\r\ntrue\n"), SLICE_INIT("false"), SLICE_INIT("0"),
		SLICE_INIT("-0"), SLICE_INIT("-0.0e-0"), SLICE_INIT("10"), SLICE_INIT("1.5"),
		SLICE_INIT("1e3"), SLICE_INIT("1E+3"), SLICE_INIT("1.25e-10"), SLICE_INIT("1e999"),
		SLICE_INIT("12345678901234567890"), SLICE_INIT("\"\""), SLICE_INIT("\"a\""),
		SLICE_INIT("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\""), SLICE_INIT("\"\\ud83d\\ude00\""),
		SLICE_INIT("\"\\uDBFF\\uDFFF\""), SLICE_INIT("\"\\u0000\""), SLICE_INIT("\"\x7f\""),
		SLICE_INIT("\"é\xf0\x9f\x98\x80\""), SLICE_INIT("\"\\uFFFF\""), SLICE_INIT("[]"),
		SLICE_INIT("[ ]"), SLICE_INIT("{}"), SLICE_INIT("{ }"), SLICE_INIT("[1]"),
		SLICE_INIT("[1,2 , 3]"), SLICE_INIT("{\"a\":1}"), SLICE_INIT("{\"a\" : {\"b\" : [ ] } }"),
		SLICE_INIT("{\"a\":1,\"a\":2}"), SLICE_INIT("{\"\":\"\"}"), SLICE_INIT("[[],{},[{}]]"),
		SLICE_INIT("[null,\"1\",\"phoenix\",\"heartbeat\",{}]"),
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		if (!is_valid(texts[i]))
			fail_msg("refused: %.*s", (int) texts[i].len, texts[i].data);
	}
}

static void
test_invalid(void **state)
{
	static const Slice texts[] = {
		SLICE_INIT(""), SLICE_INIT(" "), SLICE_INIT("nul"), SLICE_INIT("nulll"), SLICE_INIT("True"),
		SLICE_INIT("NaN"), SLICE_INIT("Infinity"), SLICE_INIT("-"), SLICE_INIT("+1"), SLICE_INIT("01"),
		SLICE_INIT("-01"), SLICE_INIT("1."), SLICE_INIT(".5"), SLICE_INIT("1e"), SLICE_INIT("1e+"),
		SLICE_INIT("1.e3"), SLICE_INIT("0x1"), SLICE_INIT("1 2"), SLICE_INIT("\""), SLICE_INIT("\"a"),
		SLICE_INIT("\"\\\""), SLICE_INIT("\"\\x\""), SLICE_INIT("\"\\u12\""), SLICE_INIT("\"\\u12g4\""),
		SLICE_INIT("\"\\U1234\""), SLICE_INIT("'a'"), SLICE_INIT("\"\n\""), SLICE_INIT("\"\x01\""), SLICE_INIT("\"\x1f\""),
		SLICE_INIT("\"\0\""), SLICE_INIT("null\0"), SLICE_INIT("["), SLICE_INIT("]"), SLICE_INIT("{"),
		SLICE_INIT("}"), SLICE_INIT("[1"), SLICE_INIT("[1,"), SLICE_INIT("[1,]"), SLICE_INIT("[,1]"),
		SLICE_INIT("[1 2]"), SLICE_INIT("[1}"), SLICE_INIT("{\"a\":1]"), SLICE_INIT("{\"a\"}"),
		SLICE_INIT("{\"a\":}"), SLICE_INIT("{\"a\":1,}"), SLICE_INIT("{,}"), SLICE_INIT("{a:1}"),
		SLICE_INIT("{1:1}"), SLICE_INIT("{\"a\" 1}"), SLICE_INIT("{\"a\":1 \"b\":2}"),
		SLICE_INIT("[] []"), SLICE_INIT("[]]"), SLICE_INIT("/**/1"), SLICE_INIT("\xef\xbb\xbf" "1"),
		SLICE_INIT("\xa0" "1"), SLICE_INIT("\v1"), SLICE_INIT("not json"), SLICE_INIT("{\"topic\":"),

		/* Surrogates, alone or in the wrong order, escaped or not. */
		SLICE_INIT("\"\\ud800\""), SLICE_INIT("\"\\udc00\""), SLICE_INIT("\"\\ud800x\""),
		SLICE_INIT("\"\\ud800\\n\""), SLICE_INIT("\"\\ud800\\u0041\""),
		SLICE_INIT("\"\\ud800\\ud800\""), SLICE_INIT("\"\\ude00\\ud83d\""),
		SLICE_INIT("\"\\ud800\\udbff\""),
		SLICE_INIT("\"\\ud800\\ue000\""), SLICE_INIT("\"\\ud800\\udc0\""), SLICE_INIT("\"\xed\xa0\x80\""),

		/* UTF-8 that is overlong, cut, or too large. */
		SLICE_INIT("\"\xc0\x80\""), SLICE_INIT("\"\xc3\""), SLICE_INIT("\"\xe2\x82\""),
		SLICE_INIT("\"\xf4\x90\x80\x80\""), SLICE_INIT("\"\xff\""), SLICE_INIT("[\xff\xfe]"),
		SLICE_INIT("{\"\xff\":1}"),
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		if (is_valid(texts[i]))
			fail_msg("accepted: %.*s", (int) texts[i].len, texts[i].data);
	}
	assert_false(wjson_validate(SLICE_EMPTY));
}

static void
test_cut_everywhere(void **state)
{
	static const Slice texts[] = {
		SLICE_INIT("[null,\"1\",\"realtime:\\u0416\",\"phx_join\",{\"config\":{\"a\":[1.5e-3,true]}}]"),
		SLICE_INIT("{\"a\":\"\\ud83d\\ude00\",\"b\":{\"c\":[false,null,-0.0]},\"é\":\"日本\"}"),
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		assert_true(is_valid(texts[i]));
		for (size_t len = 0; len < texts[i].len; len++)
			assert_false(is_valid(slice_make(texts[i].data, len)));
	}
}

/* Nest `depth` containers, [ and {"a": in turn. */
static Slice
nested(int depth)
{
	char	   *text = malloc((size_t) depth * 6 + 1);
	size_t		n = 0;

	assert_non_null(text);
	for (int i = 0; i < depth; i++)
	{
		const char *open = i % 2 == 0 ? "[" : "{\"a\":";

		memcpy(text + n, open, strlen(open));
		n += strlen(open);
	}
	text[n++] = '1';
	for (int i = depth - 1; i >= 0; i--)
		text[n++] = i % 2 == 0 ? ']' : '}';
	return slice_make(text, n);
}

static void
test_depth(void **state)
{
	static const int depths[] = {1, 2, WJSON_MAX_DEPTH - 1, WJSON_MAX_DEPTH, WJSON_MAX_DEPTH + 1, 100000};

	(void) state;
	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++)
	{
		Slice		text = nested(depths[i]);

		assert_int_equal(wjson_validate(text), depths[i] <= WJSON_MAX_DEPTH);
		if (depths[i] <= WJSON_MAX_DEPTH)
		{
			assert_true(wjson_equal(text, text));
			assert_true(wjson_hash(text, SLICE_EMPTY) == wjson_hash(text, SLICE_EMPTY));
		}
		copy_free(text);
	}
}

static void
test_types(void **state)
{
	Slice		token;

	(void) state;
	assert_int_equal(wjson_type(SLICE_EMPTY), WJSON_NONE);
	assert_int_equal(wjson_type(SLICE_LITERAL("null")), WJSON_NULL);
	assert_int_equal(wjson_type(SLICE_LITERAL("true")), WJSON_TRUE);
	assert_int_equal(wjson_type(SLICE_LITERAL("false")), WJSON_FALSE);
	assert_int_equal(wjson_type(SLICE_LITERAL("-1")), WJSON_NUMBER);
	assert_int_equal(wjson_type(SLICE_LITERAL("\"\"")), WJSON_STRING);
	assert_int_equal(wjson_type(SLICE_LITERAL("[]")), WJSON_ARRAY);
	assert_int_equal(wjson_type(SLICE_LITERAL("{}")), WJSON_OBJECT);
	assert_true(wjson_parse(SLICE_LITERAL(" \n [1, 2] \t"), &token));
	assert_text(token, "[1, 2]");
	assert_false(wjson_parse(SLICE_LITERAL("[1"), &token));
	assert_int_equal(token.len, 0);
}

static void
test_walk(void **state)
{
	Slice		object = SLICE_LITERAL("{ \"a\" : 1 , \"b\\\"}\":\"]},\\\\\",\"c\":{\"x\":[{}]}, \"d\": [ ],\"e\":null}");
	static const char *const keys[] = {"\"a\"", "\"b\\\"}\"", "\"c\"", "\"d\"", "\"e\""};
	static const char *const values[] = {"1", "\"]},\\\\\"", "{\"x\":[{}]}", "[ ]", "null"};
	WjsonIter	it;
	Slice		key;
	Slice		value;
	int			n = 0;

	(void) state;
	assert_true(wjson_validate(object));
	assert_true(wjson_iter_start(&it, object));
	while (wjson_iter_next(&it, &key, &value))
	{
		assert_slice(key, slice_cstring(keys[n]));
		assert_slice(value, slice_cstring(values[n]));
		n++;
	}
	assert_int_equal(n, 5);

	n = 0;
	assert_true(wjson_iter_start(&it, SLICE_LITERAL("[ 1,\"a,b\" ,[2,3],-4.5e1 ]")));
	while (wjson_iter_next(&it, &key, &value))
	{
		assert_int_equal(key.len, 0);
		n++;
	}
	assert_int_equal(n, 4);
	assert_true(wjson_iter_start(&it, SLICE_LITERAL("{}")));
	assert_false(wjson_iter_next(&it, &key, &value));
	assert_true(wjson_iter_start(&it, SLICE_LITERAL("[\n]")));
	assert_false(wjson_iter_next(&it, &key, &value));
	assert_false(wjson_iter_start(&it, SLICE_LITERAL("\"[]\"")));
	assert_false(wjson_iter_next(&it, &key, &value));
	assert_false(wjson_iter_start(&it, SLICE_EMPTY));
	assert_false(wjson_iter_next(&it, &key, &value));
}

static void
test_members(void **state)
{
	Slice		object = SLICE_LITERAL("{\"a\":1,\"b\":{\"a\":3},\"a\":2,\"\\u0063\":4}");
	static const Slice names[] = {SLICE_INIT("c"), SLICE_INIT("a"), SLICE_INIT("z")};
	Slice		values[3];
	Slice		value;

	(void) state;

	/* Of two equal keys the first counts. */
	assert_true(wjson_member(object, SLICE_LITERAL("a"), &value));
	assert_text(value, "1");
	assert_true(wjson_member(object, SLICE_LITERAL("c"), &value));
	assert_text(value, "4");
	assert_false(wjson_member(object, SLICE_LITERAL("z"), &value));
	assert_int_equal(value.len, 0);
	assert_false(wjson_member(SLICE_LITERAL("[\"a\"]"), SLICE_LITERAL("a"), &value));
	assert_false(wjson_member(SLICE_LITERAL("null"), SLICE_LITERAL("a"), &value));
	assert_false(wjson_member(SLICE_EMPTY, SLICE_LITERAL("a"), &value));
	assert_true(wjson_members(object, names, values, 3));
	assert_text(values[0], "4");
	assert_text(values[1], "1");
	assert_int_equal(values[2].len, 0);
	assert_false(wjson_members(SLICE_LITERAL("[]"), names, values, 3));
	assert_int_equal(values[0].len, 0);
}

static void
test_strings(void **state)
{
	Slice		token = SLICE_LITERAL("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude00\\u0000\"");
	Slice		expected = SLICE_LITERAL("a\"\\/\b\f\n\r\té€\xf0\x9f\x98\x80\0");
	Slice		text;
	size_t		used;
	char		none;

	(void) state;
	for (size_t size = 0; size <= expected.len; size++)
	{
		char	   *buffer = malloc(size == 0 ? 1 : size);
		bool		fits = wjson_string_text(token, buffer, size, &text, &used);

		assert_int_equal(fits, size == expected.len);
		if (fits)
		{
			assert_slice(text, expected);
			assert_int_equal(used, expected.len);
		}
		free(buffer);
	}
	assert_true(wjson_string_equals(token, expected));
	assert_false(wjson_string_equals(token, slice_make(expected.data, expected.len - 1)));
	assert_false(wjson_string_equals(token, SLICE_LITERAL("a\"\\/\b\f\n\r\té€\xf0\x9f\x98\x80\0x")));

	/* Without escapes nothing is copied. */
	assert_true(wjson_string_text(SLICE_LITERAL("\"é\""), &none, 0, &text, &used));
	assert_text(text, "é");
	assert_int_equal(used, 0);
	assert_true(wjson_string_text(SLICE_LITERAL("\"\""), NULL, 0, &text, NULL));
	assert_int_equal(text.len, 0);
	assert_false(wjson_string_text(SLICE_LITERAL("7"), &none, 1, &text, NULL));
	assert_false(wjson_string_text(SLICE_LITERAL("\""), &none, 1, &text, NULL));
	assert_false(wjson_string_text(SLICE_EMPTY, &none, 1, &text, NULL));
	assert_true(wjson_string_equals(SLICE_LITERAL("\"\\u0061\""), SLICE_LITERAL("a")));
	assert_false(wjson_string_equals(SLICE_LITERAL("\"\\u0061\""), SLICE_LITERAL("\\u0061")));
	assert_false(wjson_string_equals(SLICE_LITERAL("a"), SLICE_LITERAL("a")));
	assert_true(wjson_string_equals(SLICE_LITERAL("\"\""), SLICE_EMPTY));
}

static void
test_integers(void **state)
{
	static const struct
	{
		const char *token;
		bool		fits;
		int64_t		value;
	}			cases[] = {
		{"0", true, 0}, {"-0", true, 0}, {"7", true, 7}, {"-7", true, -7},
		{"2082758400", true, 2082758400},
		{"9223372036854775807", true, INT64_MAX}, {"9223372036854775808", false, 0},
		{"-9223372036854775808", true, INT64_MIN}, {"-9223372036854775809", false, 0},
		{"92233720368547758070", false, 0}, {"99999999999999999999999", false, 0},
		{"1.0", false, 0}, {"1e3", false, 0}, {"\"1\"", false, 0}, {"null", false, 0},
		{"", false, 0}, {"-", false, 0}, {"1x", false, 0}, {"[1]", false, 0},
	};
	int64_t		value;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		assert_int_equal(wjson_number_int64(slice_cstring(cases[i].token), &value), cases[i].fits);
		assert_true(value == cases[i].value);
	}
	assert_true(wjson_number_is_integer(SLICE_LITERAL("123456789012345678901234567890")));
	assert_false(wjson_number_is_integer(SLICE_LITERAL("1e2")));
	assert_false(wjson_number_is_integer(SLICE_LITERAL("true")));
}

static void
test_doubles(void **state)
{
	static const char *const tokens[] = {
		"0", "-0", "0.0", "1", "-1", "0.1", "2.50", "1e3", "1.5E-3", "12345678901234567890",
		"1700000000.5", "2082758400.5", "1.7976931348623157e308", "2.2250738585072014e-308",
		"4.9e-324", "1e-400", "0.000000000000000000000000000001", "123456789.000000001",
		"9007199254740993", "9007199254740993.0000000000000000000000000000001",
		"0.30000000000000004", "179769313486231570000000000000000000000e270",
		"1000000000000000000000000000000000000000000000000000000000e-57",
		"0.00000000000000000000000000000000000000000000000000000001e+56",
	};
	double		value;
	char		digits[5000];

	(void) state;
	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++)
	{
		assert_true(wjson_number_double(slice_cstring(tokens[i]), &value));
		if (value != strtod(tokens[i], NULL))
			fail_msg("%s read as %.17g", tokens[i], value);
	}
	assert_false(wjson_number_double(SLICE_LITERAL("1e999"), &value));
	assert_false(wjson_number_double(SLICE_LITERAL("-1e309"), &value));
	assert_false(wjson_number_double(SLICE_LITERAL("1e99999999999999999999"), &value));
	assert_true(wjson_number_double(SLICE_LITERAL("1e-99999999999999999999"), &value));
	assert_true(value == 0);
	assert_false(wjson_number_double(SLICE_LITERAL("\"1\""), &value));
	assert_false(wjson_number_double(SLICE_LITERAL("1.5]"), &value));
	assert_false(wjson_number_double(SLICE_EMPTY, &value));

	/* Thousands of digits before and behind the point. */
	memset(digits, '9', sizeof(digits));
	assert_false(wjson_number_double(slice_make(digits, sizeof(digits)), &value));
	digits[1] = '.';
	assert_true(wjson_number_double(slice_make(digits, sizeof(digits)), &value));
	assert_true(value == 10.0);
	memset(digits, '0', sizeof(digits));
	digits[1] = '.';
	digits[sizeof(digits) - 1] = '1';
	assert_true(wjson_number_double(slice_make(digits, sizeof(digits)), &value));
	assert_true(value == 0);
}

static void
test_equality(void **state)
{
	static const struct
	{
		const char *a;
		const char *b;
		bool		equal;
	}			cases[] = {
		{"1", "1", true}, {"1", "2", false}, {"1", "1.0", false}, {"1.0", "1e0", true},
		{"-0", "0", true}, {"0.0", "-0.0", true}, {"2.50", "2.5", true}, {"1e999", "1e999", true},
		{"1e999", "1e998", false}, {"12345678901234567890", "12345678901234567891", false},
		{"\"a\"", "\"\\u0061\"", true}, {"\"\\u0061b\"", "\"a\\u0062\"", true},
		{"\"\\u0061b\"", "\"a\\u0063\"", false}, {"\"a\"", "\"b\"", false}, {"\"1\"", "1", false},
		{"null", "null", true}, {"true", "true", true}, {"true", "false", false}, {"null", "false", false},
		{"[]", "[ ]", true}, {"[1,2]", "[1, 2]", true}, {"[1,2]", "[2,1]", false}, {"[1]", "[1,2]", false},
		{"[1,2]", "[1]", false}, {"[]", "{}", false}, {"{}", "{ }", true},
		{"{\"a\":1,\"b\":2}", "{\"b\":2, \"a\":1}", true}, {"{\"a\":1}", "{\"a\":2}", false},
		{"{\"a\":1}", "{\"b\":1}", false}, {"{\"a\":1}", "{\"a\":1,\"b\":1}", false},
		{"{\"a\":1,\"b\":1}", "{\"a\":1}", false}, {"{\"\\u0061\":[{}]}", "{\"a\":[{}]}", true},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		a = slice_cstring(cases[i].a);
		Slice		b = slice_cstring(cases[i].b);

		if (wjson_equal(a, b) != cases[i].equal)
			fail_msg("%s and %s", cases[i].a, cases[i].b);
		if ((wjson_hash(a, SLICE_EMPTY) == wjson_hash(b, SLICE_EMPTY)) != cases[i].equal)
			fail_msg("hashes of %s and %s", cases[i].a, cases[i].b);
	}

	/* Of equal keys the first counts here too. */
	assert_true(wjson_equal(SLICE_LITERAL("{\"a\":1,\"a\":2}"), SLICE_LITERAL("{\"a\":1}")));
	assert_false(wjson_equal(SLICE_LITERAL("{\"a\":1,\"a\":2}"), SLICE_LITERAL("{\"a\":2}")));
}

static void
test_hash_skip(void **state)
{
	Slice		id = SLICE_LITERAL("id");
	uint64_t	plain = wjson_hash(SLICE_LITERAL("{\"a\":1}"), id);

	(void) state;
	assert_true(wjson_hash(SLICE_LITERAL("{\"id\":5,\"a\":1}"), id) == plain);
	assert_true(wjson_hash(SLICE_LITERAL("{\"a\":1,\"\\u0069d\":null}"), id) == plain);
	assert_true(wjson_hash(SLICE_LITERAL("{\"a\":1,\"Id\":null}"), id) != plain);
	assert_true(wjson_hash(SLICE_LITERAL("{\"a\":{\"id\":1}}"), id) !=
				wjson_hash(SLICE_LITERAL("{\"a\":{\"id\":2}}"), id));

	/* Swapping values between keys, or nesting otherwise, is another value. */
	assert_true(wjson_hash(SLICE_LITERAL("{\"a\":1,\"b\":2}"), id) !=
				wjson_hash(SLICE_LITERAL("{\"a\":2,\"b\":1}"), id));
	assert_true(wjson_hash(SLICE_LITERAL("[[1],2]"), id) != wjson_hash(SLICE_LITERAL("[[1,2]]"), id));
	assert_true(wjson_hash(SLICE_LITERAL("[]"), id) != wjson_hash(SLICE_LITERAL("{}"), id));
}

/* Read everything that can be read of a text that was found valid. */
static void
read_all(Slice token, int depth)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;

	assert_true(wjson_type(token) != WJSON_NONE);
	if (depth == 0 || !wjson_iter_start(&it, token))
		return;
	while (wjson_iter_next(&it, &key, &value))
	{
		assert_true(wjson_validate(value));
		assert_int_equal(key.len > 0, it.object);
		read_all(value, depth - 1);
	}
}

static void
test_mutations(void **state)
{
	static const Slice seeds[] = {
		SLICE_INIT("{\"a\":\"\\u00e9\\ud83d\\ude00\",\"b\":[1.5e-3,true,null,{}],\"é\":\"日\"}"),
		SLICE_INIT("[\"1\",null,\"realtime:x\",\"broadcast\",{\"event\":\"e\",\"payload\":[-0,1e3]}]"),
	};

	(void) state;
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
	{
		for (size_t at = 0; at < seeds[i].len; at++)
		{
			for (int byte = 0; byte < 256; byte++)
			{
				Slice		copy = copy_exactly(seeds[i]);
				Slice		token;

				((char *) copy.data)[at] = (char) byte;
				if (wjson_parse(copy, &token))
					read_all(token, 8);
				copy_free(copy);
			}
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_invalid),
		cmocka_unit_test(test_cut_everywhere),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_walk),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_equality),
		cmocka_unit_test(test_hash_skip),
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
