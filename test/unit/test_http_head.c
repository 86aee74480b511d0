/*
 * test_http_head.c
 *		Heads of HTTP requests: whole, cut anywhere, and such as attackers send.
 */
#include "unit.h"

#include <stdio.h>

#include "wire/http_head.h"

#define CONNECT \
	"GET /realtime/v1/websocket?apikey=a.b.c&vsn=2.0.0 HTTP/1.1\r\n" \
	"Host: db.example.org:4000\r\n" \
	"Connection: keep-alive, Upgrade\r\n" \
	"Upgrade: WebSocket\r\n" \
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" \
	"Sec-WebSocket-Version: 13\r\n" \
	"X-Client-Info:\t supabase-js/2 \t\r\n" \
	"Empty:\r\n" \
	"\r\n"

/* Parse a copy, beyond which the address sanitizer looks; the head points into *copy. */
static HttpHeadResult
parse(Slice text, HttpHead *head, Slice *copy)
{
	*copy = copy_exactly(text);
	memset(head, 0, sizeof(*head));
	return http_head_parse(*copy, head);
}

static void
assert_result(Slice text, HttpHeadResult expected)
{
	HttpHead	head;
	Slice		copy;
	HttpHeadResult result = parse(text, &head, &copy);

	if (result != expected)
		fail_msg("%d, not %d: %.*s", result, expected, (int) text.len, text.data);
	copy_free(copy);
}

#define assert_bad(literal)		assert_result(SLICE_LITERAL(literal), HTTP_HEAD_BAD)
#define assert_ok(literal)		assert_result(SLICE_LITERAL(literal), HTTP_HEAD_OK)
#define assert_incomplete(literal)	assert_result(SLICE_LITERAL(literal), HTTP_HEAD_INCOMPLETE)

static void
assert_header(const HttpHead *head, const char *name, const char *expected)
{
	Slice		value;

	if (expected == NULL)
	{
		assert_false(http_header(head, slice_cstring(name), &value));
		assert_int_equal(value.len, 0);
		return;
	}
	assert_true(http_header(head, slice_cstring(name), &value));
	assert_slice(value, slice_cstring(expected));
}

static void
test_connect(void **state)
{
	HttpHead	head;
	Slice		copy;

	(void) state;
	assert_int_equal(parse(SLICE_LITERAL(CONNECT "\x81\x80"), &head, &copy), HTTP_HEAD_OK);
	assert_text(head.method, "GET");
	assert_text(head.path, "/realtime/v1/websocket");
	assert_text(head.query, "apikey=a.b.c&vsn=2.0.0");
	assert_int_equal(head.minor_version, 1);
	assert_int_equal(head.length, sizeof(CONNECT) - 1);
	assert_header(&head, "host", "db.example.org:4000");
	assert_header(&head, "HOST", "db.example.org:4000");
	assert_header(&head, "upgrade", "WebSocket");
	assert_header(&head, "x-client-info", "supabase-js/2");
	assert_header(&head, "empty", "");
	assert_header(&head, "x-client", NULL);
	assert_header(&head, "", NULL);
	assert_true(http_header_holds(&head, SLICE_LITERAL("connection"), SLICE_LITERAL("upgrade")));
	assert_true(http_header_holds(&head, SLICE_LITERAL("connection"), SLICE_LITERAL("keep-alive")));
	assert_false(http_header_holds(&head, SLICE_LITERAL("connection"), SLICE_LITERAL("keep")));
	assert_false(http_header_holds(&head, SLICE_LITERAL("connection"), SLICE_LITERAL("close")));
	assert_false(http_header_holds(&head, SLICE_LITERAL("missing"), SLICE_LITERAL("close")));
	copy_free(copy);
}

/* Whatever is missing at the end, it is read on; nothing beyond what is there is looked at. */
static void
test_truncation(void **state)
{
	(void) state;
	for (size_t len = 0; len < sizeof(CONNECT) - 1; len++)
		assert_result(slice_make(CONNECT, len), HTTP_HEAD_INCOMPLETE);
	assert_result(SLICE_EMPTY, HTTP_HEAD_INCOMPLETE);
}

static void
test_targets(void **state)
{
	static const struct
	{
		const char *line;
		const char *path;
		const char *query;
	}			cases[] = {
		{"GET / HTTP/1.0", "/", ""},
		{"OPTIONS * HTTP/1.1", "*", ""},
		{"POST /a?b?c HTTP/1.1", "/a", "b?c"},
		{"GET /? HTTP/1.1", "/", ""},
		{"GET http://host/p?q HTTP/1.1", "/p", "q"},
		{"GET https://host:1/p HTTP/1.9", "/p", ""},
		{"GET /%00%ff HTTP/1.1", "/%00%ff", ""},
		{"M-SEARCH /\xc3\xa9 HTTP/1.1", "/\xc3\xa9", ""},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		text[128];
		HttpHead	head;
		Slice		copy;

		(void) snprintf(text, sizeof(text), "%s\r\n\r\n", cases[i].line);
		assert_int_equal(parse(slice_cstring(text), &head, &copy), HTTP_HEAD_OK);
		assert_slice(head.path, slice_cstring(cases[i].path));
		assert_slice(head.query, slice_cstring(cases[i].query));
		assert_int_equal(head.headers.len, 0);
		copy_free(copy);
	}
}

static void
test_bad_request_lines(void **state)
{
	(void) state;
	assert_bad("GET\r\n\r\n");
	assert_bad("GET /\r\n\r\n");
	assert_bad(" / HTTP/1.1\r\n\r\n");
	assert_bad("G\tT / HTTP/1.1\r\n\r\n");
	assert_bad("G(T / HTTP/1.1\r\n\r\n");
	assert_bad("GET  / HTTP/1.1\r\n\r\n");
	assert_bad("GET /  HTTP/1.1\r\n\r\n");
	assert_bad("GET / HTTP/1.1 \r\n\r\n");
	assert_bad("GET / HTTP/2.0\r\n\r\n");
	assert_bad("GET / HTTP/1.\r\n\r\n");
	assert_bad("GET / HTTP/1.x\r\n\r\n");
	assert_bad("GET / HTTP/1.10\r\n\r\n");
	assert_bad("GET / http/1.1\r\n\r\n");
	assert_bad("GET x HTTP/1.1\r\n\r\n");
	assert_bad("GET ** HTTP/1.1\r\n\r\n");
	assert_bad("GET http://host HTTP/1.1\r\n\r\n");
	assert_bad("GET https:// HTTP/1.1\r\n\r\n");
	assert_bad("GET ftp://host/ HTTP/1.1\r\n\r\n");
	assert_bad("GET /a\x01 HTTP/1.1\r\n\r\n");
	assert_bad("GET /a\x7f HTTP/1.1\r\n\r\n");
	assert_bad("GET /a\rb HTTP/1.1\r\n\r\n");
	assert_bad("GET /\0 HTTP/1.1\r\n\r\n");
	/* TLS on a plain port is told at once, without a line's end */
	assert_bad("\x16\x03\x01\x02\x00\x01\x00\x01");
}

static void
test_headers_strict(void **state)
{
#define WITH(line)	"GET / HTTP/1.1\r\n" line "\r\n\r\n"
	(void) state;
	assert_ok(WITH("a:b"));
	assert_ok(WITH("a:"));
	assert_ok(WITH("a:\xff\xfe"));
	assert_bad(WITH("no colon"));
	assert_bad(WITH(":b"));
	assert_bad(WITH("a :b"));
	assert_bad(WITH(" a:b"));
	assert_bad(WITH("a:b\r\n folded"));
	assert_bad(WITH("a:b\r\n\tfolded"));
	assert_bad(WITH("a:b\x01" "c"));
	assert_bad(WITH("a:b\0c"));
	assert_bad(WITH("a:b\rc"));
	assert_bad(WITH("a:b\r\r"));
	assert_bad(WITH("a\xc3\xa9:b"));
	assert_bad(WITH("content-length: 1\r\n\x7f: x"));
#undef WITH
}

static void
test_line_ends(void **state)
{
	HttpHead	head;
	Slice		copy;

	(void) state;
	assert_ok("GET / HTTP/1.1\n\n");
	assert_ok("GET / HTTP/1.1\na: b\n\r\n");
	assert_incomplete("\r\n\n\r\n");
	assert_incomplete("GET / HTTP/1.1\r\n\r");

	/* empty lines before it belong to the head */
	assert_int_equal(parse(SLICE_LITERAL("\r\n\nGET / HTTP/1.0\r\n\r\nGET"), &head, &copy), HTTP_HEAD_OK);
	assert_int_equal(head.length, 21);
	assert_int_equal(head.minor_version, 0);
	copy_free(copy);
}

static void
test_repeated_headers(void **state)
{
	HttpHead	head;
	Slice		copy;
	Slice		at;
	Slice		name;
	Slice		value;

	(void) state;
	assert_int_equal(parse(SLICE_LITERAL("GET / HTTP/1.1\r\nA: 1\r\nb: x , Y,,\r\na: 2\r\nB:z\r\n\r\n"), &head, &copy),
					 HTTP_HEAD_OK);
	assert_header(&head, "a", "1");
	assert_true(http_header_holds(&head, SLICE_LITERAL("B"), SLICE_LITERAL("X")));
	assert_true(http_header_holds(&head, SLICE_LITERAL("B"), SLICE_LITERAL("y")));
	assert_true(http_header_holds(&head, SLICE_LITERAL("b"), SLICE_LITERAL("z")));
	assert_true(http_header_holds(&head, SLICE_LITERAL("b"), SLICE_EMPTY));
	assert_false(http_header_holds(&head, SLICE_LITERAL("b"), SLICE_LITERAL("x , Y")));
	at = head.headers;
	assert_true(http_header_next(&at, &name, &value));
	assert_text(name, "A");
	assert_true(http_header_next(&at, &name, &value));
	assert_text(value, "x , Y,,");
	assert_true(http_header_next(&at, &name, &value));
	assert_text(value, "2");
	assert_true(http_header_next(&at, &name, &value));
	assert_text(value, "z");
	assert_false(http_header_next(&at, &name, &value));
	copy_free(copy);
}

/* A head of exactly the longest length is read, one byte more is not, and no more is looked at than that. */
static void
test_length(void **state)
{
	static const char begin[] = "GET / HTTP/1.1\r\nlong: ";
	size_t		longest = HTTP_HEAD_MAX;
	char	   *text = malloc(longest + 2);

	(void) state;
	assert_non_null(text);
	memset(text, 'x', longest + 2);
	memcpy(text, begin, sizeof(begin) - 1);
	memcpy(text + longest - 4, "\r\n\r\n", 4);
	assert_result(slice_make(text, longest), HTTP_HEAD_OK);
	assert_result(slice_make(text, longest + 2), HTTP_HEAD_OK);
	assert_result(slice_make(text, longest - 1), HTTP_HEAD_INCOMPLETE);

	memcpy(text + longest - 4, "x\r\n\r\n", 5);
	assert_result(slice_make(text, longest - 1), HTTP_HEAD_INCOMPLETE);
	assert_result(slice_make(text, longest), HTTP_HEAD_TOO_LONG);
	assert_result(slice_make(text, longest + 1), HTTP_HEAD_TOO_LONG);

	memset(text, '\n', longest);
	assert_result(slice_make(text, longest), HTTP_HEAD_TOO_LONG);
	memset(text, 'G', longest);
	assert_result(slice_make(text, longest), HTTP_HEAD_TOO_LONG);
	free(text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_truncation),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_bad_request_lines),
		cmocka_unit_test(test_headers_strict),
		cmocka_unit_test(test_line_ends),
		cmocka_unit_test(test_repeated_headers),
		cmocka_unit_test(test_length),
	};

	return cmocka_run_group_tests_name("http_head", tests, NULL, NULL);
}
