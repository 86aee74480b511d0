/*
 * fuzz_json.c
 *		Any bytes: what is found valid can be walked, unescaped and written again.
 */
#include "fuzz.h"

/* Unescape a string, quote it again, and find the same text in it. */
static void
check_string(Slice token)
{
	char	   *buffer = malloc(token.len);
	Slice		text;
	Writer		w;

	REQUIRE(buffer != NULL);
	REQUIRE(wjson_string_text(token, buffer, token.len, &text, NULL));
	REQUIRE(slice_is_utf8(text));
	REQUIRE(wjson_string_equals(token, text));
	w = fuzz_writer(WRITER_JSON_STRING_BOUND(text.len));
	writer_json_string(&w, text);
	REQUIRE(!w.failed && wjson_validate(writer_written(&w)));
	REQUIRE(wjson_string_equals(writer_written(&w), text));
	REQUIRE(wjson_equal(token, writer_written(&w)));
	REQUIRE(wjson_hash(token, SLICE_EMPTY) == wjson_hash(writer_written(&w), SLICE_EMPTY));
	free(w.data);
	free(buffer);
}

static void
check_number(Slice token)
{
	int64_t		integer;
	double		value;

	if (wjson_number_int64(token, &integer))
		REQUIRE(wjson_number_is_integer(token));
	(void) !wjson_number_double(token, &value);
}

/* Walk over all that is inside; depth is bounded by the validation. */
static void
walk(Slice token)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;

	REQUIRE(wjson_type(token) != WJSON_NONE);
	if (wjson_type(token) == WJSON_STRING)
		check_string(token);
	if (wjson_type(token) == WJSON_NUMBER)
		check_number(token);
	if (!wjson_iter_start(&it, token))
		return;
	while (wjson_iter_next(&it, &key, &value))
	{
		REQUIRE((key.len > 0) == it.object);
		if (key.len > 0)
			check_string(key);
		walk(value);
	}
	REQUIRE(it.pos == it.end);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		text = slice_make(data, size);
	Slice		token;

	if (wjson_parse(text, &token))
	{
		walk(token);
		REQUIRE(wjson_validate(token));
		if (token.len <= 1024)
			REQUIRE(wjson_equal(token, token));
		REQUIRE(wjson_hash(token, SLICE_EMPTY) == wjson_hash(token, SLICE_LITERAL("no such key, not even by chance")));
	}
	else
	{
		/* The readers must not leave the slice, whatever it holds. */
		WjsonIter	it;
		Slice		key;
		Slice		value;
		double		number;

		(void) !wjson_number_double(text, &number);
		(void) wjson_hash(text, SLICE_EMPTY);
		(void) wjson_string_equals(text, SLICE_LITERAL("x"));
		if (wjson_iter_start(&it, text))
			while (wjson_iter_next(&it, &key, &value))
				(void) wjson_string_equals(key, SLICE_LITERAL("x"));
	}
	return 0;
}
