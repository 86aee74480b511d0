/*
 * test_filter.c
 *		Filters of Postgres Changes: what they mean, and the errors of PROTOCOL 6.2.
 */
#include "unit.h"

#include <stdio.h>

#include "wire/filter.h"

#define PREFIX	"Error parsing `filter` params: "

static FilterCondition conditions[FILTER_MAX_CONDITIONS];
static char error_text[FILTER_ERROR_BOUND];

/* Parse with a text and a scratch of exactly their sizes, which stay until parsed_free(). */
typedef struct Parsed
{
	Slice		text;
	char	   *scratch;
	int			count;
	Writer		error;
} Parsed;

static Parsed
parse_slice(Slice text)
{
	Parsed		p;

	p.text = copy_exactly(text);
	p.scratch = malloc(text.len == 0 ? 1 : text.len);
	assert_non_null(p.scratch);
	p.error = writer_fixed(error_text, sizeof(error_text));
	p.count = filter_parse(p.text, p.scratch, text.len, conditions, FILTER_MAX_CONDITIONS, &p.error);
	assert_false(p.error.failed);
	assert_int_equal(p.count < 0, p.error.len > 0);
	return p;
}

static Parsed
parse(const char *text)
{
	return parse_slice(slice_cstring(text));
}

static void
parsed_free(Parsed p)
{
	copy_free(p.text);
	free(p.scratch);
}

/* The filter is one condition. */
static void
assert_one(const char *text, const char *column, FilterOp op, bool negate, const char *value)
{
	Parsed		p = parse(text);

	if (p.count != 1)
		print_error("%s: %d, %.*s\n", text, p.count, (int) p.error.len, p.error.data);
	assert_int_equal(p.count, 1);
	assert_slice(conditions[0].column, slice_cstring(column));
	assert_int_equal(conditions[0].op, op);
	assert_int_equal(conditions[0].negate, negate);
	assert_slice(conditions[0].value, slice_cstring(value));
	parsed_free(p);
}

static void
assert_error(const char *text, const char *message)
{
	Parsed		p = parse(text);

	assert_int_equal(p.count, -1);
	assert_slice(writer_written(&p.error), slice_cstring(message));
	parsed_free(p);
}

static void
test_operators(void **state)
{
	static const char *const names[] = {
		"eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "match", "imatch", "isdistinct"
	};

	(void) state;
	for (int i = 0; i < 13; i++)
	{
		char		text[64];
		bool		array = strcmp(names[i], "in") == 0;

		assert_string_equal(filter_op_name((FilterOp) i), names[i]);
		snprintf(text, sizeof(text), "c=%s.%s", names[i], array ? "(x,y)" : "x");
		assert_one(text, "c", (FilterOp) i, false, array ? "{x,y}" : "x");
		snprintf(text, sizeof(text), "c=not.%s.%s", names[i], array ? "(x,y)" : "x");
		assert_one(text, "c", (FilterOp) i, true, array ? "{x,y}" : "x");
	}
	assert_int_equal(FILTER_ISDISTINCT, 12);
}

/* The recordings pg-filter-compare and pg-filter-not-is-like. */
static void
test_recorded(void **state)
{
	Parsed		p;

	(void) state;
	assert_one("name=eq.\"Four, (4) \\\"q\\\"\"", "name", FILTER_EQ, false, "Four, (4) \"q\"");
	assert_one("name=not.like.t%", "name", FILTER_LIKE, true, "t%");
	assert_one("c_json=eq.{}", "c_json", FILTER_EQ, false, "{}");
	assert_one("name=match.(", "name", FILTER_MATCH, false, "(");
	assert_one("active=not.is.true", "active", FILTER_IS, true, "true");
	assert_one("ID=eq.1", "ID", FILTER_EQ, false, "1");

	p = parse(" qty=gte.10 , active=eq.true ");
	assert_int_equal(p.count, 2);
	assert_text(conditions[0].column, "qty");
	assert_int_equal(conditions[0].op, FILTER_GTE);
	assert_text(conditions[0].value, "10");
	assert_text(conditions[1].column, "active");
	assert_int_equal(conditions[1].op, FILTER_EQ);
	assert_text(conditions[1].value, "true");
	parsed_free(p);
}

static void
test_empty(void **state)
{
	static const char *const texts[] = {
		"", " ", "\t\r\n\v\f", "\xC2\xA0",
		"\xC2\x85\xE1\x9A\x80\xE2\x80\x80\xE2\x80\x8A\xE2\x80\xA8\xE2\x80\xA9\xE2\x80\xAF\xE2\x81\x9F\xE3\x80\x80"
	};

	(void) state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
	{
		Parsed		p = parse(texts[i]);

		assert_int_equal(p.count, 0);
		parsed_free(p);
	}
}

static void
test_trimming(void **state)
{
	(void) state;
	assert_one("\xE3\x80\x80 a=eq. 1\xC2\xA0\n", "a", FILTER_EQ, false, " 1");
	assert_one("a =eq.1", "a ", FILTER_EQ, false, "1");
	assert_one("a=eq.\" 1 \" ", "a", FILTER_EQ, false, " 1 ");
	assert_one("a=eq. ", "a", FILTER_EQ, false, "");

	/* Neighbours of white space are none: U+200B, U+2027, U+202E, U+0084, U+00E9, U+3001. */
	assert_one("a=eq.\xE2\x80\x8B", "a", FILTER_EQ, false, "\xE2\x80\x8B");
	assert_one("a=eq.\xE2\x80\xA7", "a", FILTER_EQ, false, "\xE2\x80\xA7");
	assert_one("a=eq.\xE2\x80\xAE", "a", FILTER_EQ, false, "\xE2\x80\xAE");
	assert_one("a=eq.\xC2\x84", "a", FILTER_EQ, false, "\xC2\x84");
	assert_one("\xC3\xA9=eq.\xC3\xA0", "\xC3\xA9", FILTER_EQ, false, "\xC3\xA0");
	assert_one("\xE3\x80\x81=eq.1", "\xE3\x80\x81", FILTER_EQ, false, "1");
}

static void
test_first_of_each(void **state)
{
	(void) state;
	assert_one("a=eq.b=c.d", "a", FILTER_EQ, false, "b=c.d");
	assert_one("a.b=eq.1", "a.b", FILTER_EQ, false, "1");
	assert_one("=eq.1", "", FILTER_EQ, false, "1");
	assert_one("a=eq.", "a", FILTER_EQ, false, "");
	assert_one("a=eq..", "a", FILTER_EQ, false, ".");
	assert_one("a=is.not.null", "a", FILTER_IS, false, "not.null");
	assert_one("a=eq.not.1", "a", FILTER_EQ, false, "not.1");
}

/* Quotes open right behind `.`, `(` or, within parentheses, a comma. */
static void
test_quotes(void **state)
{
	Parsed		p;

	(void) state;
	assert_one("a=eq.\"\"", "a", FILTER_EQ, false, "");
	assert_one("a=eq.\"x\"", "a", FILTER_EQ, false, "x");
	assert_one("a=eq.\"x,y=eq.2\"", "a", FILTER_EQ, false, "x,y=eq.2");
	assert_one("a=eq.\"x\\\\\"", "a", FILTER_EQ, false, "x\\");
	assert_one("a=eq.\"\\x\\\xC3\xA9\"", "a", FILTER_EQ, false, "x\xC3\xA9");

	/* No complete string: as it is written. */
	assert_one("a=eq.\"", "a", FILTER_EQ, false, "\"");
	assert_one("a=eq.\"x", "a", FILTER_EQ, false, "\"x");
	assert_one("a=eq.\"x,y", "a", FILTER_EQ, false, "\"x,y");
	assert_one("a=eq.\"x\\\"", "a", FILTER_EQ, false, "\"x\\\"");
	assert_one("a=eq.\"x\\", "a", FILTER_EQ, false, "\"x\\");
	assert_one("a=eq.\"x\"y", "a", FILTER_EQ, false, "\"x\"y");
	assert_one("a=eq.\"x\"y\"", "a", FILTER_EQ, false, "\"x\"y\"");
	assert_one("a=eq.x\"y", "a", FILTER_EQ, false, "x\"y");

	/* A quote elsewhere opens nothing. */
	p = parse("a=eq.x\"y,b=eq.\\\"z\",\"c=eq.1");
	assert_int_equal(p.count, 3);
	assert_text(conditions[0].value, "x\"y");
	assert_text(conditions[1].value, "\\\"z\"");
	assert_text(conditions[2].column, "\"c");
	parsed_free(p);

	/* One that follows a closed one opens nothing either. */
	p = parse("a=eq.\"x\"\",b=eq.1");
	assert_int_equal(p.count, 2);
	assert_text(conditions[0].value, "\"x\"\"");
	parsed_free(p);
}

static void
test_parentheses(void **state)
{
	Parsed		p;

	(void) state;
	assert_one("a=in.()", "a", FILTER_IN, false, "{}");
	assert_one("a=in.(1)", "a", FILTER_IN, false, "{1}");
	assert_one("a=in.(x,\"y,)\\\"\",z)", "a", FILTER_IN, false, "{x,\"y,)\\\"\",z}");
	assert_one("a=in.(\"(\",b)", "a", FILTER_IN, false, "{\"(\",b}");
	assert_one("a=in.((1,2),(3))", "a", FILTER_IN, false, "{(1,2),(3)}");
	assert_one("a=eq.(1,2)", "a", FILTER_EQ, false, "(1,2)");

	/* A parenthesis between quotes closes nothing. */
	p = parse("a=in.(\")\",b),c=eq.1");
	assert_int_equal(p.count, 2);
	assert_text(conditions[0].value, "{\")\",b}");
	parsed_free(p);

	/* An open parenthesis holds everything behind it. */
	assert_one("a=eq.(1,b=eq.2", "a", FILTER_EQ, false, "(1,b=eq.2");

	/* A closing one too many counts nothing. */
	p = parse("a=eq.),b=eq.)),c=in.(1,2)");
	assert_int_equal(p.count, 3);
	assert_text(conditions[0].value, ")");
	assert_text(conditions[1].value, "))");
	assert_text(conditions[2].value, "{1,2}");
	parsed_free(p);

	/* Several values in the scratch at once. */
	p = parse("a=eq.\"\\1\",b=not.in.(2),c=eq.\"\\3\\4\"");
	assert_int_equal(p.count, 3);
	assert_text(conditions[0].value, "1");
	assert_text(conditions[1].value, "{2}");
	assert_true(conditions[1].negate);
	assert_text(conditions[2].value, "34");
	parsed_free(p);
}

static void
test_errors(void **state)
{
	static const char empty[] = PREFIX "filter must not contain empty segments (check for extra commas)";
	static const char wrapped[] = PREFIX "`in` filter value must be wrapped by parentheses";

	(void) state;

	/* As recorded in pg-bad-filter and pg-bad-entry-v1. */
	assert_error("foo=hey.x", PREFIX "[\"hey\", \"x\"]");
	assert_error("undefined", PREFIX "[\"undefined\"]");
	assert_error("id=abc", PREFIX "[\"abc\"]");
	assert_error("id=EQ.1", PREFIX "[\"EQ\", \"1\"]");
	assert_error("id=not.not.eq.1", PREFIX "[\"not\", \"eq.1\"]");
	assert_error("or=(id.eq.1,id.eq.2)", PREFIX "[\"(id\", \"eq.1,id.eq.2)\"]");
	assert_error("id=eq.1,,qty=eq.2", empty);
	assert_error("id=eq.1,", empty);
	assert_error("id=in.1,2", wrapped);
	assert_error("id=in.(1,2", wrapped);

	/* Others like them. */
	assert_error(",", empty);
	assert_error(",id=eq.1", empty);
	assert_error("id=eq.1, ,", empty);
	assert_error("id=in.", wrapped);
	assert_error("id=in.(", wrapped);
	assert_error("id=in.)", wrapped);
	assert_error("id=in.1)", wrapped);
	assert_error("id=not.in.1", wrapped);
	assert_error("id=", PREFIX "[\"\"]");
	assert_error("id=not.", PREFIX "[\"\"]");
	assert_error("id=not", PREFIX "[\"not\"]");
	assert_error("id=not.eq", PREFIX "[\"eq\"]");
	assert_error("id=cs.{1}", PREFIX "[\"cs\", \"{1}\"]");
	assert_error("id= eq.1", PREFIX "[\" eq\", \"1\"]");
	assert_error("=", PREFIX "[\"\"]");

	/* The first one that is wrong decides. */
	assert_error("a=eq.1,b=x.y,,c", PREFIX "[\"x\", \"y\"]");

	/* As Elixir shows strings. */
	assert_error("a\"b\\\n\t\x1b\x7f", PREFIX "[\"a\\\"b\\\\\\n\\t\\e\\d\"]");
	assert_error("a=x.#{y} # #", PREFIX "[\"x\", \"\\#{y} # #\"]");
	assert_error("\x01z", PREFIX "[<<1, 122>>]");

	/* No UTF-8: a byte that begins nothing, one that ends too early, one that goes on wrongly. */
	assert_error("z\x80", PREFIX "[<<122, 128>>]");
	assert_error("z\xE2\x82", PREFIX "[<<122, 226, 130>>]");
	assert_error("\xC3z", PREFIX "[<<195, 122>>]");
}

/* Pieces are cut where Elixir cuts them, and the bound holds. */
static void
test_long_pieces(void **state)
{
	size_t		len = 4 * ELIXIR_MAX_CHARACTERS + 8;
	char	   *text = malloc(2 * len + 3);
	Parsed		p;

	(void) state;
	assert_non_null(text);
	memcpy(text, "a=", 2);
	for (size_t i = 2; i + 4 <= 2 * len + 2; i += 4)
		memcpy(text + i, "\xF0\x9F\x98\x80", 4);
	text[2 + len] = '.';
	memset(text + 3 + len, 'y', 3);
	p = parse_slice(slice_make(text, 2 * len + 2));
	assert_int_equal(p.count, -1);
	assert_true(p.error.len > 8 * ELIXIR_MAX_CHARACTERS && p.error.len < FILTER_ERROR_BOUND);
	assert_memory_equal(p.error.data + p.error.len - 9, "\" <> ...]", 9);
	parsed_free(p);

	/* Quotes, each with a backslash, and bytes. */
	memset(text + 2, '"', len);
	memset(text + 3 + len, 1, len - 1);
	p = parse_slice(slice_make(text, 2 * len + 2));
	assert_int_equal(p.count, -1);
	assert_memory_equal(p.error.data + p.error.len - 12, "1, 1, ...>>]", 12);
	parsed_free(p);
	free(text);
}

static void
test_too_many(void **state)
{
	char		text[FILTER_MAX_CONDITIONS * 7 + 8];
	char		scratch[1];
	Parsed		p;
	size_t		len = 0;

	(void) state;
	for (int i = 0; i <= FILTER_MAX_CONDITIONS; i++)
		len += (size_t) snprintf(text + len, sizeof(text) - len, "a=eq.1,");
	p = parse_slice(slice_make(text, 7 * FILTER_MAX_CONDITIONS - 1));
	assert_int_equal(p.count, FILTER_MAX_CONDITIONS);
	parsed_free(p);
	p = parse_slice(slice_make(text, len - 1));
	assert_int_equal(p.count, -1);
	assert_text(writer_written(&p.error), PREFIX "filter must not contain more than 100 conditions");
	parsed_free(p);

	/* The caller's array counts as well, but not for more than the limit. */
	p.error = writer_fixed(error_text, sizeof(error_text));
	assert_int_equal(filter_parse(SLICE_LITERAL("a=eq.1"), scratch, 1, conditions, 1, &p.error), 1);
	assert_int_equal(filter_parse(SLICE_LITERAL("a=eq.1,b=eq.1"), scratch, 1, conditions, 1, &p.error), -1);
	assert_text(writer_written(&p.error), PREFIX "filter must not contain more than 1 conditions");
	p.error.len = 0;
	assert_int_equal(filter_parse(slice_make(text, len - 1), scratch, 1, conditions, 1000, &p.error), -1);
}

/* A scratch that is too small, or a writer, is noticed. */
static void
test_no_room(void **state)
{
	static const Slice texts[] = {SLICE_INIT("a=eq.\"\\1\\2\""), SLICE_INIT("a=in.(1)")};
	char		scratch[1];
	Writer		error;

	(void) state;
	for (int i = 0; i < 2; i++)
	{
		error = writer_fixed(error_text, sizeof(error_text));
		assert_int_equal(filter_parse(texts[i], scratch, 1, conditions, 1, &error), -1);
		assert_text(writer_written(&error), PREFIX "filter is too long");
	}
	error = writer_fixed(error_text, sizeof(PREFIX));
	assert_int_equal(filter_parse(SLICE_LITERAL("abc"), scratch, 1, conditions, 1, &error), -1);
	assert_true(error.failed);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_operators),
		cmocka_unit_test(test_recorded),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_trimming),
		cmocka_unit_test(test_first_of_each),
		cmocka_unit_test(test_quotes),
		cmocka_unit_test(test_parentheses),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_long_pieces),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests_name("filter", tests, NULL, NULL);
}
