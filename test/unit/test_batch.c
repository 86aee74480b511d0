/*
 * test_batch.c
 *		The body of POST /api/broadcast.
 */
#include "unit.h"

#include <stdio.h>

#include "wire/batch.h"

#define MAX_PAYLOAD		64

static void
test_lists(void **state)
{
	static const struct
	{
		const char *body;
		BatchStatus status;
		size_t		count;
	}			cases[] = {
		{"", BATCH_NOT_JSON, 0}, {" ", BATCH_NOT_JSON, 0}, {"{\"messages\":", BATCH_NOT_JSON, 0},
		{"{}", BATCH_BLANK, 0}, {"[]", BATCH_BLANK, 0}, {"[1,2]", BATCH_BLANK, 0}, {"null", BATCH_BLANK, 0},
		{"7", BATCH_BLANK, 0}, {"{\"messages\":{}}", BATCH_BLANK, 0}, {"{\"messages\":[]}", BATCH_BLANK, 0},
		{"{\"messages\":null}", BATCH_INVALID, 0}, {"{\"messages\":\"x\"}", BATCH_INVALID, 0},
		{"{\"messages\":7}", BATCH_INVALID, 0}, {"{\"messages\":[1]}", BATCH_INVALID, 0},
		{"{\"messages\":[null]}", BATCH_INVALID, 0}, {"{\"messages\":[{},[]]}", BATCH_INVALID, 1},
		{"{\"messages\":{\"0\":{}}}", BATCH_INVALID, 0},
		{"{\"messages\":[{}]}", BATCH_OK, 1}, {" { \"x\":1, \"messages\" : [ {} , {} ] } ", BATCH_OK, 2},
		{"{\"messages\":[{\"topic\":\"\\ud800\"}]}", BATCH_NOT_JSON, 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		copy = copy_exactly(slice_cstring(cases[i].body));
		Slice		list;
		size_t		count;

		if (batch_open(copy, &list, &count) != cases[i].status)
			fail_msg("%s", cases[i].body);
		assert_int_equal(count, cases[i].count);
		copy_free(copy);
	}
}

static void
test_too_many(void **state)
{
	size_t		size = 32 + 3 * (BATCH_MAX_MESSAGES + 1);
	char	   *text = malloc(size);
	Slice		list;
	size_t		count;

	(void) state;
	assert_non_null(text);
	for (int over = 0; over < 2; over++)
	{
		Writer		w = writer_fixed(text, size);

		writer_literal(&w, "{\"messages\":[{}");
		for (int i = 1; i < BATCH_MAX_MESSAGES + over; i++)
			writer_literal(&w, ",{}");
		writer_literal(&w, "]}");
		assert_false(w.failed);
		assert_int_equal(batch_open(writer_written(&w), &list, &count), over ? BATCH_TOO_MANY : BATCH_OK);
	}
	free(text);
}

/* Read one message and write what is wrong with it. */
static void
check_message(const char *message, const char *errors)
{
	Writer		measuring = writer_measuring();
	char	   *text = malloc(32 + strlen(message));
	Writer		w = writer_fixed(text, 32 + strlen(message));
	char		written[BATCH_ERRORS_BOUND(1)];
	Writer		out = writer_fixed(written, sizeof(written));
	char		expected[1024];
	Writer		wanted = writer_fixed(expected, sizeof(expected));
	BatchMessage read;
	Slice		body;
	Slice		list;
	size_t		count;
	char	   *scratch;

	assert_non_null(text);
	writer_literal(&w, "{\"messages\":[");
	writer_cstring(&w, message);
	writer_literal(&w, "]}");
	body = copy_exactly(writer_written(&w));
	free(text);
	assert_int_equal(batch_open(body, &list, &count), BATCH_OK);
	scratch = malloc(list.len);
	assert_non_null(scratch);
	assert_int_equal(batch_read(list, MAX_PAYLOAD, &read, 1, scratch, list.len), *errors != '\0');
	batch_write_errors(&out, SLICE_EMPTY, &read, 1);
	batch_write_errors(&measuring, SLICE_EMPTY, &read, 1);
	assert_false(out.failed);
	assert_int_equal(measuring.len, out.len);
	writer_literal(&wanted, "{\"errors\":{\"messages\":[{");
	writer_cstring(&wanted, errors);
	writer_literal(&wanted, "}]}}");
	assert_slice(writer_written(&out), writer_written(&wanted));
	free(scratch);
	copy_free(body);
}

static void
test_problems(void **state)
{
	static const char *const cases[][2] = {
		{"{}", "\"event\":[\"can't be blank\"],\"payload\":[\"can't be blank\"],\"topic\":[\"can't be blank\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":{}}", ""},
		{"{\"topic\":\"t\",\"event\":\"e\"}", "\"payload\":[\"can't be blank\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":null}", "\"payload\":[\"can't be blank\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":\"\"}", "\"payload\":[\"can't be blank\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":\"x\"}", "\"payload\":[\"is invalid\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":[1]}", "\"payload\":[\"is invalid\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":{\"a\":\"0123456789012345678901234567890123456789012345678901234567\"}}",
		"\"payload\":[\"Payload size exceeds tenant limit\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":{\"a\":\"01234567890123456789012345678901234567890123456789012345\"}}", ""},
		{"{\"topic\":7,\"event\":\"e\",\"payload\":{}}", "\"topic\":[\"is invalid\"]"},
		{"{\"topic\":\"\",\"event\":\"e\",\"payload\":{}}", "\"topic\":[\"can't be blank\"]"},
		{"{\"topic\":\"  \",\"event\":\"e\",\"payload\":{}}", "\"topic\":[\"can't be blank\"]"},
		{"{\"topic\":\"a\\u0000b\",\"event\":\"e\",\"payload\":{}}", "\"topic\":[\"is invalid\"]"},
		{"{\"topic\":\"t\",\"event\":null,\"payload\":{}}", "\"event\":[\"can't be blank\"]"},
		{"{\"topic\":\"t\",\"event\":false,\"payload\":{}}", "\"event\":[\"is invalid\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":{},\"private\":\"maybe\"}", "\"private\":[\"is invalid\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":{},\"private\":1}", "\"private\":[\"is invalid\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":{},\"private\":[]}", "\"private\":[\"is invalid\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":{},\"private\":\"0\"}", ""},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":{},\"private\":null}", ""},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":{},\"id\":7}", "\"id\":[\"is invalid\"]"},
		{"{\"topic\":\"t\",\"event\":\"e\",\"payload\":{},\"id\":null}", ""},
		{"{\"topic\":1,\"event\":1,\"payload\":1,\"id\":1,\"private\":2}",
		"\"event\":[\"is invalid\"],\"id\":[\"is invalid\"],\"payload\":[\"is invalid\"],\"private\":[\"is invalid\"],"
		"\"topic\":[\"is invalid\"]"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check_message(cases[i][0], cases[i][1]);
}

/* Names that are too long, one by one. */
static void
test_long_names(void **state)
{
	static const char *const names[] = {"event", "id", "topic"};
	static char long_name[BATCH_MAX_NAME + 2];
	static char message[2 * BATCH_MAX_NAME];
	char		errors[128];

	(void) state;
	memset(long_name, 'n', BATCH_MAX_NAME + 1);
	for (int over = 0; over < 2; over++)
		for (int i = 0; i < 3; i++)
		{
			snprintf(message, sizeof(message), "{\"%s\":\"%s\",\"topic\":\"t\",\"event\":\"e\",\"payload\":{}}", names[i],
					 long_name + 1 - over);
			snprintf(errors, sizeof(errors), "\"%s\":[\"should be at most 4096 byte(s)\"]", names[i]);
			check_message(message, over ? errors : "");
		}
}

static void
write_text(Writer *w, const void *message)
{
	batch_write_text(w, message);
}

static void
test_messages(void **state)
{
	Slice		body = copy_exactly(SLICE_LITERAL("{\"messages\":["
												  "{\"topic\":\"a\\/b\",\"event\":\"e\\n\",\"payload\":{\"n\": 2.50},\"private\":\"true\"},"
												  "{\"private\":true,\"id\":\"my-\\u00e9\",\"topic\":\"t\\u00e9\",\"event\":\"\xc3\xa9\",\"payload\":{}},"
												  "{\"topic\":\"c\",\"event\":\"e\",\"payload\":{},\"private\":\"1\",\"id\":\"\",\"topic\":\"second\"}]}"));
	BatchMessage messages[3];
	Slice		list;
	size_t		count;
	char	   *scratch;

	(void) state;
	assert_int_equal(batch_open(body, &list, &count), BATCH_OK);
	assert_int_equal(count, 3);
	scratch = malloc(list.len);
	assert_non_null(scratch);
	assert_int_equal(batch_read(list, MAX_PAYLOAD, messages, count, scratch, list.len), 0);
	assert_text(messages[0].topic, "a/b");
	assert_text(messages[1].topic, "t\xc3\xa9");
	assert_text(messages[2].topic, "c");
	for (int i = 0; i < 3; i++)
		assert_true(messages[i].is_private);
	check_encoder(write_text, &messages[0],
				  SLICE_LITERAL("{\"event\":\"e\\n\",\"payload\":{\"n\": 2.50},\"type\":\"broadcast\"}"));
	check_encoder(write_text, &messages[1],
				  SLICE_LITERAL("{\"event\":\"\xc3\xa9\",\"meta\":{\"id\":\"my-\\u00e9\"},\"payload\":{},\"type\":\"broadcast\"}"));
	check_encoder(write_text, &messages[2], SLICE_LITERAL("{\"event\":\"e\",\"payload\":{},\"type\":\"broadcast\"}"));
	free(scratch);
	copy_free(body);
}

static void
test_refusals(void **state)
{
	char		text[512];
	Writer		w = writer_fixed(text, sizeof(text));
	BatchMessage messages[3] = {{.problems = BATCH_TOPIC_DENIED}, {.problems = 0}, {.problems = BATCH_TOPIC_FAILED}};

	(void) state;
	batch_write_refusal(&w, BATCH_BLANK);
	assert_slice(writer_written(&w), SLICE_LITERAL("{\"errors\":{\"messages\":[\"can't be blank\"]}}"));
	w = writer_fixed(text, sizeof(text));
	batch_write_refusal(&w, BATCH_INVALID);
	assert_slice(writer_written(&w), SLICE_LITERAL("{\"errors\":{\"messages\":[\"is invalid\"]}}"));
	w = writer_fixed(text, sizeof(text));
	batch_write_errors(&w, SLICE_LITERAL("Unauthorized"), messages, 3);
	assert_slice(writer_written(&w),
				 SLICE_LITERAL("{\"message\":\"Unauthorized\",\"errors\":{\"messages\":["
							   "{\"topic\":[\"You do not have permissions to write to this Channel topic\"]},{},"
							   "{\"topic\":[\"RLS policy error\"]}]}}"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_problems),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_messages),
		cmocka_unit_test(test_refusals),
	};

	return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
