/*
 * test_resume.c
 *		What clients ask for when they come back, and the marks of messages.
 */
#include "unit.h"

#include "wire/resume.h"

static void
test_requests(void **state)
{
	static const struct
	{
		const char *token;
		bool		good;
		bool		asked;
		bool		has_mark;
		uint64_t	epoch;
		uint64_t	seq;
	}			cases[] = {
		{"", true, false, false, 0, 0},
		{"null", true, false, false, 0, 0},
		{"{}", true, true, false, 0, 0},
		{"{\"epoch\":null,\"seq\":null}", true, true, false, 0, 0},
		{"{\"epoch\":\"0123456789abcdef\",\"seq\":7}", true, true, true, 0x0123456789abcdef, 7},
		{"{\"seq\":0,\"other\":[],\"epoch\":\"FFFFFFFFFFFFFFFF\"}", true, true, true, UINT64_MAX, 0},
		{"{\"epoch\":\"\\u0030123456789abcdef\",\"seq\":9007199254740991}", true, true, true, 0x0123456789abcdef, 9007199254740991},
		{"true", false, false, false, 0, 0},
		{"[]", false, false, false, 0, 0},
		{"\"x\"", false, false, false, 0, 0},
		{"{\"seq\":7}", false, true, true, 0, UINT64_MAX},
		{"{\"epoch\":\"0123456789abcdef\"}", false, true, true, 0, UINT64_MAX},
		{"{\"epoch\":\"0123456789abcde\",\"seq\":7}", false, true, true, 0, UINT64_MAX},
		{"{\"epoch\":\"0123456789abcdef0\",\"seq\":7}", false, true, true, 0, UINT64_MAX},
		{"{\"epoch\":\"0123456789abcdeg\",\"seq\":7}", false, true, true, 0, UINT64_MAX},
		{"{\"epoch\":1,\"seq\":7}", false, true, true, 0, UINT64_MAX},
		{"{\"epoch\":\"0123456789abcdef\",\"seq\":\"7\"}", false, true, true, 0, UINT64_MAX},
		{"{\"epoch\":\"0123456789abcdef\",\"seq\":-1}", false, true, true, 0, UINT64_MAX},
		{"{\"epoch\":\"0123456789abcdef\",\"seq\":1.5}", false, true, true, 0, UINT64_MAX},
		{"{\"epoch\":\"0123456789abcdef\",\"seq\":99999999999999999999}", false, true, true, 0, UINT64_MAX},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		token = copy_exactly(slice_cstring(cases[i].token));
		ResumeRequest r;

		assert_int_equal(resume_parse(token, &r), cases[i].good);
		assert_int_equal(r.asked, cases[i].asked);
		assert_int_equal(r.has_mark, cases[i].has_mark);
		assert_true(r.epoch == cases[i].epoch && r.seq == cases[i].seq);
		copy_free(token);
	}
}

static void
test_payloads(void **state)
{
#define MARK "\"epoch\":\"00000000000000ff\",\"seq\":12"
	static const struct
	{
		const char *payload;
		const char *expected;
	}			cases[] = {
		{"{}", "{\"meta\":{" MARK "}}"},
		{"{\"type\":\"broadcast\",\"event\":\"e\",\"payload\":{\"meta\":1}}",
		"{\"type\":\"broadcast\",\"event\":\"e\",\"payload\":{\"meta\":1},\"meta\":{" MARK "}}"},
		{"{ \"meta\" : { \"id\" : \"x\" } , \"a\" : [ 1 , 2 ] }", "{\"a\":[ 1 , 2 ],\"meta\":{\"id\":\"x\"," MARK "}}"},
		{"{\"meta\":{\"seq\":1,\"id\":\"x\",\"\\u0065poch\":2}}", "{\"meta\":{\"id\":\"x\"," MARK "}}"},
		{"{\"meta\":5}", "{\"meta\":{" MARK "}}"},
		{"{\"\\u006deta\":{\"id\":1},\"meta\":{\"id\":2}}", "{\"meta\":{\"id\":1," MARK "}}"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		payload = copy_exactly(slice_cstring(cases[i].payload));
		char		text[512];
		Writer		w = writer_fixed(text, payload.len + RESUME_META_BOUND);

		assert_true(wjson_validate(payload));
		resume_write_payload(&w, payload, 0xff, 12);
		assert_false(w.failed);
		assert_slice(writer_written(&w), slice_cstring(cases[i].expected));
		copy_free(payload);
	}
}

static void
test_longest_mark(void **state)
{
	char		text[RESUME_MARK_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));

	(void) state;
	resume_write_mark(&w, UINT64_MAX, UINT64_MAX);
	assert_text(writer_written(&w), "\"epoch\":\"ffffffffffffffff\",\"seq\":18446744073709551615");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_payloads),
		cmocka_unit_test(test_longest_mark),
	};

	return cmocka_run_group_tests_name("resume", tests, NULL, NULL);
}
