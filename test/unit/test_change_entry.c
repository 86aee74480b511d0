/*
 * test_change_entry.c
 *		Entries of postgres_changes: what is allowed, and how the reference shows what is not.
 */
#include "unit.h"

#include <stdio.h>

#include "wire/change_entry.h"
#include "wire/json.h"

#define NO_PARAMS	"No subscription params provided. Please provide at least a `schema` or `table` to subscribe to: "
#define NO_WILDCARD	"Column selection is not supported for wildcard subscriptions. Provide an explicit schema and table name."
#define BAD_SELECT	"Error parsing `select` params: expected a list of column name strings, e.g. select: [\"col1\", \"col2\"]"
#define TABLE		"\"schema\":\"rec\",\"table\":\"items\""

static FilterCondition conditions[FILTER_MAX_CONDITIONS];
static Slice columns[CHANGE_ENTRY_MAX_SELECT];
static char error_text[CHANGE_ENTRY_ERROR_BOUND];

/* An entry with all that it needs, each in a block of exactly its size. */
typedef struct Parsed
{
	Slice		text;
	char	   *scratch;
	bool		ok;
	ChangeEntry entry;
	Writer		error;
} Parsed;

static Parsed
parse_slice(Slice text)
{
	Parsed		p;

	assert_true(wjson_validate(text));
	p.text = copy_exactly(text);
	p.scratch = malloc(2 * text.len);
	assert_non_null(p.scratch);
	memset(&p.entry, 0x5A, sizeof(p.entry));
	p.entry.conditions = conditions;
	p.entry.select = columns;
	p.error = writer_fixed(error_text, sizeof(error_text));
	p.ok = change_entry_parse(p.text, p.scratch, 2 * text.len, &p.entry, &p.error);
	assert_false(p.error.failed);
	assert_int_equal(p.ok, p.error.len == 0);
	return p;
}

static void
parsed_free(Parsed p)
{
	copy_free(p.text);
	free(p.scratch);
}

/* The entry is right and is shown like this. */
static void
assert_entry(const char *text, unsigned events, const char *shown)
{
	Parsed		p = parse_slice(slice_cstring(text));
	char		buffer[1024];
	Writer		w = writer_fixed(buffer, sizeof(buffer));

	if (!p.ok)
		print_error("%s: %.*s\n", text, (int) p.error.len, p.error.data);
	assert_true(p.ok);
	assert_int_equal(p.entry.events, events);
	assert_int_equal(p.entry.any_schema, slice_equal(p.entry.schema, SLICE_LITERAL("*")));
	assert_int_equal(p.entry.any_table, slice_equal(p.entry.table, SLICE_LITERAL("*")));
	assert_int_equal(p.entry.has_select, p.entry.select_count > 0);
	change_entry_write_inspected(&w, &p.entry);
	assert_slice(writer_written(&w), slice_cstring(shown));
	parsed_free(p);
}

static void
assert_error(const char *text, const char *message)
{
	Parsed		p = parse_slice(slice_cstring(text));

	assert_false(p.ok);
	assert_slice(writer_written(&p.error), slice_cstring(message));
	parsed_free(p);
}

/* A value in an entry that names no table is shown like this. */
static void
assert_shown(const char *json, const char *shown)
{
	char		text[20480];
	char		message[20480];

	assert_true(snprintf(text, sizeof(text), "{\"v\":%s}", json) < (int) sizeof(text));
	assert_true(snprintf(message, sizeof(message), NO_PARAMS "%%{\"v\" => %s}", shown) < (int) sizeof(message));
	assert_error(text, message);
}

static void
test_events(void **state)
{
	(void) state;
	assert_entry("{\"event\":\"INSERT\"," TABLE "}", CHANGE_EVENT_INSERT,
				 "[event: INSERT, schema: rec, table: items, filters: [], select: nil]");
	assert_entry("{\"event\":\"update\"," TABLE "}", CHANGE_EVENT_UPDATE,
				 "[event: UPDATE, schema: rec, table: items, filters: [], select: nil]");
	assert_entry("{\"event\":\"\\u0044eLete\"," TABLE "}", CHANGE_EVENT_DELETE,
				 "[event: DELETE, schema: rec, table: items, filters: [], select: nil]");
	assert_entry("{\"event\":\"*\"," TABLE "}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [], select: nil]");

	/* Whatever is no event means all, as in the recording pg-no-params. */
	assert_entry("{\"event\":\"NOPE\"," TABLE "}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [], select: nil]");
	assert_entry("{\"event\":7," TABLE "}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [], select: nil]");
	assert_entry("{\"event\":null," TABLE ",\"foo\":\"bar\",\"id\":5}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [], select: nil]");
	assert_entry("{" TABLE "}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [], select: nil]");
	assert_int_equal(CHANGE_EVENT_INSERT | CHANGE_EVENT_UPDATE | CHANGE_EVENT_DELETE, CHANGE_EVENT_ALL);
}

static void
test_tables(void **state)
{
	(void) state;
	assert_entry("{\"schema\":\"rec\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: *, filters: [], select: nil]");
	assert_entry("{\"table\":\"items\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: public, table: items, filters: [], select: nil]");
	assert_entry("{\"schema\":\"*\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: *, table: *, filters: [], select: nil]");
	assert_entry("{\"table\":\"*\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: public, table: *, filters: [], select: nil]");
	assert_entry("{\"schema\":\"*\",\"table\":\"items\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: *, table: items, filters: [], select: nil]");
	assert_entry("{\"schema\":\"\",\"table\":\"\\u00e9 \\\"\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: , table: \xC3\xA9 \", filters: [], select: nil]");

	/* Of two equal keys the first counts. */
	assert_entry("{\"table\":\"a\",\"table\":\"b\",\"schema\":\"s\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: s, table: a, filters: [], select: nil]");

	/* A filter and a wildcard go together. */
	assert_entry("{\"schema\":\"*\",\"table\":\"*\",\"filter\":\"id=eq.1\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: *, table: *, filters: [{\"id\", \"eq\", \"1\", false}], select: nil]");
}

static void
test_filters(void **state)
{
	Parsed		p;

	(void) state;
	assert_entry("{" TABLE ",\"filter\":\"\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [], select: nil]");
	assert_entry("{" TABLE ",\"filter\":\"id=eq.hey\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [{\"id\", \"eq\", \"hey\", false}], select: nil]");
	assert_entry("{" TABLE ",\"filter\":\"id=in.(a,b),n\\u0061me=not.eq.\\\"x\\\\\\\\\\\\\\\"\\\"\"}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [{\"id\", \"in\", \"{a,b}\", false}, "
				 "{\"name\", \"eq\", \"x\\\\\\\"\", true}], select: nil]");

	p = parse_slice(SLICE_LITERAL("{" TABLE ",\"filter\":\"a=lt.1,b=not.in.(2)\"}"));
	assert_true(p.ok);
	assert_int_equal(p.entry.condition_count, 2);
	assert_ptr_equal(p.entry.conditions, conditions);
	assert_text(conditions[1].value, "{2}");
	parsed_free(p);

	assert_error("{" TABLE ",\"filter\":\"foo=hey.x\"}", "Error parsing `filter` params: [\"hey\", \"x\"]");
	p = parse_slice(SLICE_LITERAL("{" TABLE ",\"filter\":\"a=eq.1,b\"}"));
	assert_false(p.ok);
	assert_int_equal(p.entry.condition_count, 0);
	parsed_free(p);
}

static void
test_select(void **state)
{
	static const char none[] = "[event: *, schema: rec, table: items, filters: [], select: nil]";

	(void) state;
	assert_entry("{" TABLE ",\"select\":[\"id\",\"nope\"]}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [], select: [\"id\", \"nope\"]]");
	assert_entry("{" TABLE ",\"select\":[\"id\",7,null,[\"x\"],{},true,\"\\u0062\"]}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [], select: [\"id\", \"b\"]]");
	assert_entry("{" TABLE ",\"select\":[]}", CHANGE_EVENT_ALL, none);
	assert_entry("{" TABLE ",\"select\":[7,null]}", CHANGE_EVENT_ALL, none);
	assert_entry("{" TABLE ",\"select\":null}", CHANGE_EVENT_ALL, none);
	assert_entry("{" TABLE ",\"select\":{\"id\":1}}", CHANGE_EVENT_ALL, none);
	assert_entry("{" TABLE ",\"select\":1}", CHANGE_EVENT_ALL, none);

	/* As recorded in pg-bad-select. */
	assert_error("{" TABLE ",\"select\":\"id\"}", BAD_SELECT);
	assert_error("{\"schema\":\"rec\",\"table\":\"*\",\"select\":[\"id\"]}", NO_WILDCARD);
	assert_error("{\"schema\":\"rec\",\"select\":[\"id\"]}", NO_WILDCARD);
	assert_error("{\"schema\":\"*\",\"table\":\"items\",\"select\":[\"id\"]}", NO_WILDCARD);

	/* The order of the checks. */
	assert_error("{\"select\":\"id\",\"filter\":7}", BAD_SELECT);
	assert_error("{\"schema\":\"*\",\"table\":\"*\",\"filter\":\"x\",\"select\":[\"id\"]}",
				 "Error parsing `filter` params: [\"x\"]");
	assert_error("{\"select\":[\"id\"]}", NO_PARAMS "%{\"select\" => [\"id\"]}");
}

static void
test_too_many_columns(void **state)
{
	size_t		size = 64 + 4 * (CHANGE_ENTRY_MAX_SELECT + 1);
	char	   *text = malloc(size);

	(void) state;
	assert_non_null(text);
	for (int extra = 0; extra <= 1; extra++)
	{
		Writer		w = writer_fixed(text, size);
		Parsed		p;

		writer_literal(&w, "{" TABLE ",\"select\":[\"a\"");
		for (int i = 1; i < CHANGE_ENTRY_MAX_SELECT + extra; i++)
			writer_literal(&w, ",\"b\"");
		writer_literal(&w, "]}");
		assert_false(w.failed);
		p = parse_slice(writer_written(&w));
		assert_int_equal(p.ok, extra == 0);
		if (extra == 0)
		{
			assert_int_equal(p.entry.select_count, CHANGE_ENTRY_MAX_SELECT);
			assert_text(p.entry.select[CHANGE_ENTRY_MAX_SELECT - 1], "b");
		}
		else
			assert_text(writer_written(&p.error),
						"Error parsing `select` params: expected a list of at most 1600 column name strings");
		parsed_free(p);
	}
	free(text);
}

/* As recorded in pg-no-params and pg-bad-filter, and the combinations beside. */
static void
test_no_params(void **state)
{
	(void) state;
	assert_error("{}", NO_PARAMS "%{}");
	assert_error("{\"event\":\"*\"}", NO_PARAMS "%{\"event\" => \"*\"}");
	assert_error("{\"event\":\"*\",\"schema\":null,\"table\":null}",
				 NO_PARAMS "%{\"event\" => \"*\", \"schema\" => nil, \"table\" => nil}");
	assert_error("{\"event\":\"INSERT\",\"schema\":\"rec\",\"table\":7}",
				 NO_PARAMS "%{\"event\" => \"INSERT\", \"schema\" => \"rec\", \"table\" => 7}");
	assert_error("{\"foo\":\"bar\",\"n\":1,\"b\":true,\"nested\":{\"a\":[1,\"x\",null]}}",
				 NO_PARAMS "%{\"b\" => true, \"foo\" => \"bar\", \"n\" => 1, \"nested\" => %{\"a\" => [1, \"x\", nil]}}");
	assert_error("{\"event\":\"*\",\"schema\":\"rec\",\"table\":\"items\",\"filter\":7}",
				 NO_PARAMS "%{\"event\" => \"*\", \"filter\" => 7, \"schema\" => \"rec\", \"table\" => \"items\"}");
	assert_error("{\"event\":\"*\",\"schema\":\"rec\",\"table\":\"items\",\"filter\":[\"id=eq.1\"]}",
				 NO_PARAMS "%{\"event\" => \"*\", \"filter\" => [\"id=eq.1\"], \"schema\" => \"rec\", \"table\" => \"items\"}");
	assert_error("{\"event\":\"*\",\"schema\":\"rec\",\"table\":\"items\",\"filter\":null}",
				 NO_PARAMS "%{\"event\" => \"*\", \"filter\" => nil, \"schema\" => \"rec\", \"table\" => \"items\"}");
	assert_error("{\"event\":\"*\",\"schema\":\"rec\",\"filter\":\"id=eq.1\"}",
				 NO_PARAMS "%{\"event\" => \"*\", \"filter\" => \"id=eq.1\", \"schema\" => \"rec\"}");

	assert_error("{\"table\":\"t\",\"filter\":\"id=eq.1\"}", NO_PARAMS "%{\"filter\" => \"id=eq.1\", \"table\" => \"t\"}");
	assert_error("{\"schema\":null,\"table\":\"t\"}", NO_PARAMS "%{\"schema\" => nil, \"table\" => \"t\"}");
	assert_error("{\"schema\":\"s\",\"table\":null}", NO_PARAMS "%{\"schema\" => \"s\", \"table\" => nil}");
	assert_error("[]", NO_PARAMS "[]");

	/* What may be a token is not repeated. */
	assert_error("{\"user_token\":\"secret\",\"x\":1}", NO_PARAMS "<redacted>");
	assert_error("{\"auth_token\":null}", NO_PARAMS "<redacted>");
	assert_error("{\"\\u0061uth_token\":\"secret\"}", NO_PARAMS "<redacted>");
	assert_error("{\"a\":{\"user_token\":1}}", NO_PARAMS "%{\"a\" => %{\"user_token\" => 1}}");
	assert_entry("{\"user_token\":\"secret\"," TABLE "}", CHANGE_EVENT_ALL,
				 "[event: *, schema: rec, table: items, filters: [], select: nil]");
}

static void
test_shown_values(void **state)
{
	(void) state;
	assert_shown("true", "true");
	assert_shown("false", "false");
	assert_shown("[]", "[]");
	assert_shown("[[],{}]", "[[], %{}]");
	assert_shown("[\"a\",null]", "[\"a\", nil]");

	/* Keys as texts, sorted by bytes, the first of equal ones. */
	assert_shown("{\"b\":1,\"a\":2,\"B\":3,\"\":4,\"aa\":5,\"\\u0061\":6,\"\\u00e9\":7}",
				 "%{\"\" => 4, \"B\" => 3, \"a\" => 2, \"aa\" => 5, \"b\" => 1, \"\xC3\xA9\" => 7}");
	assert_shown("{\"\\u0001\":1}", "%{<<1>> => 1}");
}

static void
test_shown_strings(void **state)
{
	(void) state;
	assert_shown("\"\"", "\"\"");
	assert_shown("\"a\\\"b\\\\c/\\/\"", "\"a\\\"b\\\\c//\"");
	assert_shown("\"\\u0007\\b\\t\\n\\u000b\\f\\r\\u001b\\u007f\"", "\"\\a\\b\\t\\n\\v\\f\\r\\e\\d\"");
	assert_shown("\"#{x} ##{ # {\\u0023{\"", "\"\\#{x} #\\#{ # {\\#{\"");
	assert_shown("\"#\"", "\"#\"");
	assert_shown("\"\\u00e9\xC3\xA9 \\ud83d\\ude00 \\u2028\"", "\"\xC3\xA9\xC3\xA9 \xF0\x9F\x98\x80 \xE2\x80\xA8\"");
	assert_shown("\"\\u00a0\\ufffd\\uf8ff\"", "\"\xC2\xA0\xEF\xBF\xBD\xEF\xA3\xBF\"");

	/* What can't be printed makes bytes of the whole. */
	assert_shown("\"a\\u0000\"", "<<97, 0>>");
	assert_shown("\"\\u0001\"", "<<1>>");
	assert_shown("\"\\u001f\"", "<<31>>");
	assert_shown("\"\\u0080\"", "<<194, 128>>");
	assert_shown("\"\\u009f\"", "<<194, 159>>");
	assert_shown("\"\\ufffe\"", "<<239, 191, 190>>");
	assert_shown("\"\\uffff\"", "<<239, 191, 191>>");
}

/* Lists of codes look like strings. */
static void
test_charlists(void **state)
{
	(void) state;
	assert_shown("[97,98]", "~c\"ab\"");
	assert_shown("[7,10,27,34,92,35,123,32,126]", "~c\"\\a\\n\\e\\\"\\\\\\#{ ~\"");
	assert_shown("[35]", "~c\"#\"");
	assert_shown("[127]", "[127]");
	assert_shown("[97,-1]", "[97, -1]");
	assert_shown("[97,128]", "[97, 128]");
	assert_shown("[1]", "[1]");
	assert_shown("[97.0]", "[97.0]");
	assert_shown("[97,\"b\"]", "[97, \"b\"]");
	assert_shown("[97,99999999999999999999]", "[97, 99999999999999999999]");
}

/* Numbers with the shortest digits that say which it is. */
static void
test_numbers(void **state)
{
	static const char *const numbers[][2] = {
		{"0", "0"}, {"-0", "0"}, {"-7", "-7"},
		{"123456789012345678901234567890", "123456789012345678901234567890"},
		{"0.0", "0.0"}, {"-0.0", "-0.0"}, {"0e5", "0.0"}, {"1.0", "1.0"}, {"1e0", "1.0"}, {"-1.50", "-1.5"},
		{"0.1", "0.1"}, {"0.30000000000000004", "0.30000000000000004"}, {"0.1234567890123456789", "0.12345678901234568"},
		{"1E2", "100.0"}, {"1e3", "1.0e3"}, {"12e2", "1.2e3"}, {"123e1", "1230.0"}, {"12e5", "1.2e6"},
		{"100.25", "100.25"}, {"0.01", "0.01"}, {"0.001", "0.001"}, {"0.0001", "0.0001"}, {"0.00001", "1.0e-5"},
		{"0.012", "0.012"}, {"0.0000012", "1.2e-6"}, {"1.0e10", "1.0e10"}, {"123456789.0", "123456789.0"},
		{"9007199254740991.0", "9007199254740991.0"}, {"9007199254740992.0", "9.007199254740992e15"}, {"1e22", "1.0e22"},
		{"1.7976931348623157e308", "1.7976931348623157e308"}, {"5e-324", "5.0e-324"},
		{"2.2250738585072014e-308", "2.2250738585072014e-308"}, {"1e-400", "0.0"}, {"-1e-400", "-0.0"},

		/* Beyond a double: the reference refuses the frame. */
		{"1e400", "1e400"}, {"-1E400", "-1E400"}
	};

	(void) state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		assert_shown(numbers[i][0], numbers[i][1]);
}

/* An object of n different keys, k000 to k…, in falling order. */
static Slice
many_keys(char *text, size_t size, int n)
{
	Writer		w = writer_fixed(text, size);

	for (int i = n - 1; i >= 0; i--)
	{
		char		member[32];

		snprintf(member, sizeof(member), "%c\"k%03d\":%d", i == n - 1 ? '{' : ',', i, i % 10);
		writer_cstring(&w, member);
	}
	writer_char(&w, '}');
	assert_false(w.failed);
	return writer_written(&w);
}

static void
test_many_keys(void **state)
{
	char		text[2048];
	Parsed		p;
	Slice		shown;

	(void) state;
	p = parse_slice(many_keys(text, sizeof(text), 32));
	shown = writer_written(&p.error);
	assert_true(slice_starts_with(shown, SLICE_LITERAL(NO_PARAMS "%{\"k000\" => 0, \"k001\" => 1, ")));
	assert_memory_equal(shown.data + shown.len - 14, ", \"k031\" => 1}", 14);
	parsed_free(p);

	p = parse_slice(many_keys(text, sizeof(text), 33));
	shown = writer_written(&p.error);
	assert_true(slice_starts_with(shown, SLICE_LITERAL(NO_PARAMS "%{\"k032\" => 2, \"k031\" => 1, ")));
	assert_memory_equal(shown.data + shown.len - 14, ", \"k000\" => 0}", 14);
	parsed_free(p);

	/* No more than a hundred. */
	p = parse_slice(many_keys(text, sizeof(text), ELIXIR_MAX_ITEMS));
	shown = writer_written(&p.error);
	assert_memory_equal(shown.data + shown.len - 14, ", \"k000\" => 0}", 14);
	parsed_free(p);
	p = parse_slice(many_keys(text, sizeof(text), ELIXIR_MAX_ITEMS + 1));
	shown = writer_written(&p.error);
	assert_memory_equal(shown.data + shown.len - 19, ", \"k001\" => 1, ...}", 19);
	parsed_free(p);
}

/* Long and deep values are cut, as there. */
static void
test_cut_values(void **state)
{
	static char json[20000];
	static char shown[20000];
	Writer		w = writer_fixed(json, sizeof(json) - 1);
	Writer		s = writer_fixed(shown, sizeof(shown) - 1);

	(void) state;

	/* 99 elements: one of the hundred went for the key. */
	writer_literal(&w, "[true");
	writer_literal(&s, "[true");
	for (int i = 1; i < 100; i++)
	{
		writer_literal(&w, ",true");
		writer_cstring(&s, i < 99 ? ", true" : ", ...");
	}
	writer_char(&w, ']');
	writer_char(&s, ']');
	json[w.len] = shown[s.len] = '\0';
	assert_shown(json, shown);

	/* 200 levels. */
	w.len = s.len = 0;
	for (int i = 0; i < 200; i++)
		writer_char(&w, '[');
	for (int i = 0; i < 200; i++)
		writer_char(&w, ']');
	for (int i = 0; i < 100; i++)
		writer_char(&s, '[');
	writer_literal(&s, "...");
	for (int i = 0; i < 100; i++)
		writer_char(&s, ']');
	json[w.len] = shown[s.len] = '\0';
	assert_shown(json, shown);

	/* Strings and lists of codes: whole, and one character too long. */
	for (int extra = 0; extra <= 1; extra++)
	{
		w.len = s.len = 0;
		writer_literal(&w, "[[50");
		for (int i = 1; i < ELIXIR_MAX_CHARACTERS + extra; i++)
			writer_literal(&w, ",50");
		writer_literal(&w, "],null]");
		json[w.len] = '\0';
		writer_literal(&s, "[~c\"");
		for (int i = 0; i < ELIXIR_MAX_CHARACTERS; i++)
			writer_char(&s, '2');
		writer_cstring(&s, extra ? "\" ++ ..., nil]" : "\", nil]");
		shown[s.len] = '\0';
		assert_shown(json, shown);

		w.len = s.len = 0;
		writer_char(&w, '"');
		writer_char(&s, '"');
		for (int i = 0; i < ELIXIR_MAX_CHARACTERS + extra; i++)
			writer_char(&w, '2');
		for (int i = 0; i < ELIXIR_MAX_CHARACTERS; i++)
			writer_char(&s, '2');
		writer_char(&w, '"');
		writer_cstring(&s, extra ? "\" <> ..." : "\"");
		json[w.len] = shown[s.len] = '\0';
		assert_shown(json, shown);
	}
	assert_false(w.failed || s.failed);
}

/* An entry too long to be shown, or an error with too little room: the map is left out, not the message. */
static void
test_map_left_out(void **state)
{
	static const Slice entry = SLICE_INIT("{\"a\":\"0123456789\"}");
	static const Slice whole = SLICE_INIT(NO_PARAMS "%{\"a\" => \"0123456789\"}");
	static const Slice without = SLICE_INIT(NO_PARAMS "%{...}");
	size_t		size = 65537;
	char	   *text = malloc(size);
	ChangeEntry out = {.conditions = conditions, .select = columns};
	Parsed		p;

	(void) state;
	assert_non_null(text);
	memset(text, ' ', size);
	text[0] = '{';
	text[size - 1] = '}';
	p = parse_slice(slice_make(text, size));
	assert_text(writer_written(&p.error), NO_PARAMS "%{...}");
	parsed_free(p);
	text[size - 2] = '}';
	p = parse_slice(slice_make(text, size - 1));
	assert_text(writer_written(&p.error), NO_PARAMS "%{}");
	parsed_free(p);
	free(text);

	for (size_t room = 0; room <= whole.len; room++)
	{
		Writer		error = writer_fixed(error_text, room);

		assert_false(change_entry_parse(entry, NULL, 0, &out, &error));
		assert_int_equal(error.failed, room < without.len);
		if (!error.failed)
			assert_slice(writer_written(&error), room < whole.len ? without : whole);
	}
}

/* PostgreSQL's texts hold no NUL: the error is the one that it would give. */
static void
test_nul(void **state)
{
#define NUL_PREFIX	"Unable to subscribe to changes with given parameters. " \
	"An exception happened so please check your connect parameters: "
#define NUL_SUFFIX	". Exception: ERROR 22021 (character_not_in_repertoire) " \
	"invalid byte sequence for encoding \"UTF8\": 0x00"
	static const Slice entry = SLICE_INIT("{\"schema\":\"a\\u0000b\\u0000\"}");
	ChangeEntry out = {.conditions = conditions, .select = columns};
	char		scratch[64];
	size_t		fallback = sizeof(NUL_PREFIX "[...]" NUL_SUFFIX) - 1;

	(void) state;
	assert_error("{\"schema\":\"a\\u0000b\\u0000\"}",
				 NUL_PREFIX "[event: *, schema: a\\0b\\0, table: *, filters: [], select: nil]" NUL_SUFFIX);
	assert_error("{\"table\":\"\\u0000\"}",
				 NUL_PREFIX "[event: *, schema: public, table: \\0, filters: [], select: nil]" NUL_SUFFIX);
	assert_error("{" TABLE ",\"filter\":\"a=eq.1,b\\u0000=eq.1\"}",
				 NUL_PREFIX "[event: *, schema: rec, table: items, filters: [{\"a\", \"eq\", \"1\", false}, "
				 "{<<98, 0>>, \"eq\", \"1\", false}], select: nil]" NUL_SUFFIX);
	assert_error("{" TABLE ",\"filter\":\"b=eq.\\u0000\"}",
				 NUL_PREFIX "[event: *, schema: rec, table: items, filters: [{\"b\", \"eq\", <<0>>, false}], "
				 "select: nil]" NUL_SUFFIX);
	assert_error("{" TABLE ",\"select\":[\"a\",\"\\u0000\"]}",
				 NUL_PREFIX "[event: *, schema: rec, table: items, filters: [], select: [\"a\", <<0>>]]" NUL_SUFFIX);

	for (size_t room = fallback - 1; room <= fallback; room++)
	{
		Writer		error = writer_fixed(error_text, room);

		assert_false(change_entry_parse(entry, scratch, sizeof(scratch), &out, &error));
		assert_int_equal(error.failed, room < fallback);
	}
	assert_text(slice_make(error_text, fallback), NUL_PREFIX "[...]" NUL_SUFFIX);
}

/* A scratch that is too small refuses the entry, whichever text did not fit. */
static void
test_scratch_too_small(void **state)
{
	static const Slice entry =
		SLICE_INIT("{\"event\":\"\\u0049NSERT\",\"schema\":\"\\u0061\",\"table\":\"\\u0062\",\"select\":[\"\\u0063\"],"
				   "\"filter\":\"\\u0064=in.(1)\"}");

	(void) state;
	for (size_t size = 0; size <= 20; size++)
	{
		ChangeEntry out = {.conditions = conditions, .select = columns};
		char	   *scratch = malloc(size + 1);
		Writer		error = writer_fixed(error_text, sizeof(error_text));
		bool		ok;

		assert_non_null(scratch);
		ok = change_entry_parse(entry, scratch, size, &out, &error);
		assert_int_equal(ok, size >= 20);
		assert_int_equal(error.len == 0, ok);
		free(scratch);
	}
}

static void
encode_inspected(Writer *w, const void *argument)
{
	change_entry_write_inspected(w, argument);
}

static void
test_inspected_into_every_size(void **state)
{
	Parsed		p;

	(void) state;
	p = parse_slice(SLICE_LITERAL("{\"event\":\"update\",\"schema\":\"s\",\"table\":\"t\",\"filter\":\"a=not.in.(1,2),b=eq.x\","
								  "\"select\":[\"c\",\"#{d\"]}"));
	assert_true(p.ok);
	check_encoder(encode_inspected, &p.entry,
				  SLICE_LITERAL("[event: UPDATE, schema: s, table: t, filters: [{\"a\", \"in\", \"{1,2}\", true}, "
								"{\"b\", \"eq\", \"x\", false}], select: [\"c\", \"\\#{d\"]]"));
	parsed_free(p);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_tables),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_select),
		cmocka_unit_test(test_too_many_columns),
		cmocka_unit_test(test_no_params),
		cmocka_unit_test(test_shown_values),
		cmocka_unit_test(test_shown_strings),
		cmocka_unit_test(test_charlists),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_many_keys),
		cmocka_unit_test(test_cut_values),
		cmocka_unit_test(test_map_left_out),
		cmocka_unit_test(test_nul),
		cmocka_unit_test(test_scratch_too_small),
		cmocka_unit_test(test_inspected_into_every_size),
	};

	return cmocka_run_group_tests_name("change_entry", tests, NULL, NULL);
}
