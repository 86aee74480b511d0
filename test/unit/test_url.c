/*
 * test_url.c
 *		Paths, query strings and vsn.
 */
#include "unit.h"

#include "wire/url.h"

static void
test_routes(void **state)
{
	static const struct
	{
		const char *path;
		UrlRoute	route;
	}			cases[] = {
		{"/socket/websocket", URL_WEBSOCKET}, {"/realtime/v1/websocket", URL_WEBSOCKET},
		{"/socket/websocket/", URL_WEBSOCKET}, {"//socket//websocket", URL_WEBSOCKET},
		{"/healthcheck", URL_HEALTHCHECK}, {"/api/ping", URL_PING}, {"/realtime/v1/api/ping", URL_PING},
		{"", URL_UNKNOWN}, {"/", URL_UNKNOWN}, {"socket/websocket", URL_UNKNOWN},
		{"/socket", URL_UNKNOWN}, {"/websocket", URL_UNKNOWN}, {"/Socket/websocket", URL_UNKNOWN},
		{"/socket/websocket/x", URL_UNKNOWN}, {"/socket/websockets", URL_UNKNOWN},
		{"/socket/longpoll", URL_UNKNOWN}, {"/realtime/v1", URL_UNKNOWN},
		{"/realtime/v2/websocket", URL_UNKNOWN}, {"/realtime/v1/socket/websocket", URL_UNKNOWN},
		{"/realtime/v1/healthcheck", URL_UNKNOWN}, {"/realtime/v1/api", URL_UNKNOWN},
		{"/realtime/v1/api/ping/x", URL_UNKNOWN}, {"/api/no-such-thing", URL_UNKNOWN},
		{"/api/broadcast", URL_BROADCAST}, {"/realtime/v1/api/broadcast/", URL_BROADCAST},
		{"/api/broadcast/t", URL_UNKNOWN}, {"/api/broadcast/t/events", URL_UNKNOWN},
		{"/api/broadcast/t/events/", URL_UNKNOWN}, {"/api/broadcast//events/e", URL_UNKNOWN},
		{"/api/broadcast/t/event/e", URL_UNKNOWN}, {"/api/broadcast/t/events/e/f", URL_UNKNOWN},
		{"/api/broadcast/t/events/e", URL_BROADCAST_EVENT},
		{"/realtime/v1/api/broadcast/t/events/e", URL_BROADCAST_EVENT},
		{"/realtime/v1/api/broadcast/t/events/e/f", URL_UNKNOWN}, {"/v1/api/broadcast", URL_UNKNOWN}, {"/no-such-thing", URL_UNKNOWN}, {"/a/b/c/d/e/f", URL_UNKNOWN},
		{"/api/ping/", URL_PING},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		copy = copy_exactly(slice_cstring(cases[i].path));

		if (url_route(copy) != cases[i].route)
			fail_msg("%s", cases[i].path);
		copy_free(copy);
	}
	assert_int_equal(url_route(SLICE_EMPTY), URL_UNKNOWN);
}

static void
test_broadcast_event(void **state)
{
	static const char *const paths[] = {
		"/api/broadcast/a%2Fb/events/e%20f", "/realtime/v1/api//broadcast/a%2Fb/events/e%20f/"
	};
	Slice		topic;
	Slice		event;

	(void) state;
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++)
	{
		Slice		copy = copy_exactly(slice_cstring(paths[i]));

		assert_int_equal(url_route(copy), URL_BROADCAST_EVENT);
		url_broadcast_event(copy, &topic, &event);
		assert_text(topic, "a%2Fb");
		assert_text(event, "e%20f");
		copy_free(copy);
	}
	url_broadcast_event(SLICE_LITERAL("/a/b/c/d/e/f/g/h"), &topic, &event);
	assert_text(topic, "");
	url_broadcast_event(SLICE_EMPTY, &topic, &event);
	assert_text(event, "");
}

static void
test_decode(void **state)
{
	char		buffer[32];
	Slice		text;

	(void) state;
	assert_true(url_decode(SLICE_LITERAL("a%20b+c%2B%c3%A9%00"), true, buffer, sizeof(buffer), &text));
	assert_text(text, "a b c+é\0");
	assert_true(url_decode(SLICE_LITERAL("a+b"), false, buffer, sizeof(buffer), &text));
	assert_text(text, "a+b");
	assert_true(url_decode(SLICE_EMPTY, true, buffer, 0, &text));
	assert_int_equal(text.len, 0);
	assert_false(url_decode(SLICE_LITERAL("%"), true, buffer, sizeof(buffer), &text));
	assert_false(url_decode(SLICE_LITERAL("a%4"), true, buffer, sizeof(buffer), &text));
	assert_false(url_decode(SLICE_LITERAL("%zz"), true, buffer, sizeof(buffer), &text));
	assert_false(url_decode(SLICE_LITERAL("%4g"), true, buffer, sizeof(buffer), &text));
	assert_false(url_decode(SLICE_LITERAL("abc"), true, buffer, 2, &text));
	assert_true(url_decode(SLICE_LITERAL("%41%42"), true, buffer, 2, &text));
	assert_text(text, "AB");
}

static void
test_query(void **state)
{
	static const struct
	{
		const char *query;
		UrlParam	found;
		const char *value;
	}			cases[] = {
		{"apikey=abc&vsn=2.0.0", URL_PARAM_TEXT, "abc"},
		{"vsn=2.0.0", URL_PARAM_ABSENT, ""},
		{"", URL_PARAM_ABSENT, ""},
		{"&&", URL_PARAM_ABSENT, ""},
		{"apikey=&vsn=2.0.0", URL_PARAM_TEXT, ""},
		{"apikey", URL_PARAM_TEXT, ""},
		{"apikey=a=b", URL_PARAM_TEXT, "a=b"},
		{"vsn=2.0.0&apikey[]=x", URL_PARAM_NOT_TEXT, ""},
		{"apikey%5B%5D=x", URL_PARAM_NOT_TEXT, ""},
		{"apikey[k]=x", URL_PARAM_NOT_TEXT, ""},
		{"apikey[a][b]=x", URL_PARAM_NOT_TEXT, ""},
		{"apikey[=x", URL_PARAM_ABSENT, ""},
		{"apikeys=x&xapikey=y&APIKEY=z", URL_PARAM_ABSENT, ""},
		{"apikey=first&apikey=last", URL_PARAM_TEXT, "last"},
		{"apikey=a&apikey[]=b", URL_PARAM_NOT_TEXT, ""},
		{"apikey[]=b&apikey=a", URL_PARAM_TEXT, "a"},
		{"%61pikey=%20a+b%0A", URL_PARAM_TEXT, " a b\n"},
		{"apikey=%zz", URL_PARAM_INVALID, ""},
		{"apikey=%zz&apikey=x", URL_PARAM_TEXT, "x"},
		{"%zz=1&apikey=x", URL_PARAM_TEXT, "x"},
		{"apikey=0123456789012345678901234567890123456789", URL_PARAM_INVALID, ""},
		{"name-longer-than-the-buffer-that-is-given=1&apikey=x", URL_PARAM_TEXT, "x"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		copy = copy_exactly(slice_cstring(cases[i].query));
		char		buffer[32];
		Slice		value;

		if (url_query_param(copy, SLICE_LITERAL("apikey"), buffer, sizeof(buffer), &value) != cases[i].found)
			fail_msg("%s", cases[i].query);
		assert_slice(value, slice_cstring(cases[i].value));
		copy_free(copy);
	}
	{
		char		buffer[8];
		Slice		value;

		assert_int_equal(url_query_param(SLICE_EMPTY, SLICE_LITERAL("a"), buffer, 8, &value), URL_PARAM_ABSENT);
	}
}

static void
test_pair(void **state)
{
	Slice		name = SLICE_LITERAL("apikey");
	Slice		value;

	(void) state;
	assert_int_equal(url_pair_param(SLICE_LITERAL("apikey=a=b c"), name, &value), URL_PARAM_TEXT);
	assert_text(value, "a=b c");
	assert_int_equal(url_pair_param(SLICE_LITERAL("apikey="), name, &value), URL_PARAM_TEXT);
	assert_int_equal(value.len, 0);
	assert_int_equal(url_pair_param(SLICE_LITERAL("apikey"), name, &value), URL_PARAM_TEXT);
	assert_int_equal(url_pair_param(SLICE_LITERAL("apikey[]=x"), name, &value), URL_PARAM_NOT_TEXT);
	assert_int_equal(value.len, 0);
	assert_int_equal(url_pair_param(SLICE_LITERAL("apike=x"), name, &value), URL_PARAM_ABSENT);
	assert_int_equal(url_pair_param(SLICE_EMPTY, name, &value), URL_PARAM_ABSENT);
}

static void
test_vsn(void **state)
{
	static const struct
	{
		const char *text;
		int			vsn;
	}			cases[] = {
		{"1.0.0", 1}, {"2.0.0", 2}, {"1.0.7", 1}, {"2.0.3", 2}, {"2.0.99999999999999999999999", 2},
		{"2.0.0+build.1", 2}, {"2.0.0+001", 2}, {"2.0.1-rc.1", 2}, {"1.0.1-alpha+b-c", 1},

		/* As recorded. */
		{"3.0.0", 0}, {"2", 0}, {"2.0", 0}, {"1.1.0", 0}, {"2.1.0", 0}, {"0.9.0", 0}, {"abc", 0}, {"", 0},

		{"2.0.0-rc.1", 0}, {"1.0.0-0", 0}, {"2.0.0.0", 0}, {"2.0.0.", 0}, {"2.0.", 0}, {"2..0", 0},
		{" 2.0.0", 0}, {"2.0.0 ", 0}, {"v2.0.0", 0}, {"02.0.0", 0}, {"2.00.0", 0}, {"2.0.00", 0},
		{"2.0.1-", 0}, {"2.0.1-a..b", 0}, {"2.0.1-01", 0}, {"2.0.1-a_b", 0}, {"2.0.0+", 0}, {"2.0.0+a b", 0},
		{"2.0.0+a+b", 0}, {"-2.0.0", 0}, {"2.0.-1", 0}, {"12.0.0", 0}, {"2.0.x", 0},
		{"99999999999999999999.0.0", 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		copy = copy_exactly(slice_cstring(cases[i].text));

		if (vsn_parse(copy) != cases[i].vsn)
			fail_msg("%s", cases[i].text);
		copy_free(copy);
	}
	assert_int_equal(vsn_parse(SLICE_LITERAL("2.0.0\0")), 0);
	assert_int_equal(vsn_parse(SLICE_EMPTY), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_routes), cmocka_unit_test(test_broadcast_event),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_query),
		cmocka_unit_test(test_pair),
		cmocka_unit_test(test_vsn),
	};

	return cmocka_run_group_tests_name("url", tests, NULL, NULL);
}
