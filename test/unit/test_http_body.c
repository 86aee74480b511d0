/*
 * test_http_body.c
 *		How a body follows its head, and media types.
 */
#include "unit.h"

#include "wire/http_body.h"

static void
test_framing(void **state)
{
	static const struct
	{
		const char *headers;
		HttpFraming framing;
		uint64_t	length;
	}			cases[] = {
		{"Host: x\r\n", HTTP_BODY_NONE, 0},
		{"Content-Length: 0\r\n", HTTP_BODY_NONE, 0},
		{"Content-Length: 12\r\n", HTTP_BODY_LENGTH, 12},
		{"content-length: 12\r\nCONTENT-LENGTH: 12\r\n", HTTP_BODY_LENGTH, 12},
		{"Content-Length: 000000000000000012\r\n", HTTP_BODY_LENGTH, 12},
		{"Content-Length: 999999999999999999\r\n", HTTP_BODY_LENGTH, 999999999999999999u},
		{"Transfer-Encoding: chunked\r\n", HTTP_BODY_CHUNKED, 0},
		{"transfer-encoding: Chunked\r\n", HTTP_BODY_CHUNKED, 0},
		{"Content-Length: 12\r\nContent-Length: 13\r\n", HTTP_BODY_BAD, 0},
		{"Content-Length: 12, 12\r\n", HTTP_BODY_BAD, 0},
		{"Content-Length: +12\r\n", HTTP_BODY_BAD, 0},
		{"Content-Length: -1\r\n", HTTP_BODY_BAD, 0},
		{"Content-Length: 1 2\r\n", HTTP_BODY_BAD, 0},
		{"Content-Length: 0x12\r\n", HTTP_BODY_BAD, 0},
		{"Content-Length:\r\n", HTTP_BODY_BAD, 0},
		{"Content-Length: 9999999999999999999\r\n", HTTP_BODY_BAD, 0},
		{"Content-Length: 12\r\nTransfer-Encoding: chunked\r\n", HTTP_BODY_BAD, 0},
		{"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n", HTTP_BODY_BAD, 0},
		{"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", HTTP_BODY_BAD, 0},
		{"Transfer-Encoding: gzip, chunked\r\n", HTTP_BODY_BAD, 0},
		{"Transfer-Encoding: identity\r\n", HTTP_BODY_BAD, 0},
		{"Transfer-Encoding:\r\n", HTTP_BODY_BAD, 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		copy = copy_exactly(slice_cstring(cases[i].headers));
		HttpHead	head = {.minor_version = 1,.headers = copy};
		uint64_t	length;

		if (http_framing(&head, &length) != cases[i].framing)
			fail_msg("%s", cases[i].headers);
		if (cases[i].framing == HTTP_BODY_LENGTH)
			assert_true(length == cases[i].length);
		head.minor_version = 0;
		if (cases[i].framing == HTTP_BODY_CHUNKED)
			assert_int_equal(http_framing(&head, &length), HTTP_BODY_BAD);
		copy_free(copy);
	}
}

static void
test_media_types(void **state)
{
	static const struct
	{
		const char *value;
		MediaType	type;
	}			cases[] = {
		{"application/json", MEDIA_JSON}, {"Application/JSON; charset=utf-8", MEDIA_JSON},
		{" application/json\t;x", MEDIA_JSON}, {"application/json;", MEDIA_JSON},
		{"application/octet-stream", MEDIA_BYTES}, {"application/vnd.api+json", MEDIA_JSON_LIKE},
		{"application/x-www-form-urlencoded", MEDIA_FORM}, {"multipart/form-data; boundary=x", MEDIA_MULTIPART},
		{"text/plain", MEDIA_OTHER}, {"nonsense", MEDIA_OTHER}, {"", MEDIA_OTHER}, {";", MEDIA_OTHER},
		{"application/jsonx", MEDIA_OTHER}, {"application/", MEDIA_OTHER}, {"+json", MEDIA_OTHER},
		{"text/x+json", MEDIA_OTHER}, {"application/x;+json", MEDIA_OTHER},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		copy = copy_exactly(slice_cstring(cases[i].value));

		if (media_type(copy) != cases[i].type)
			fail_msg("%s", cases[i].value);
		copy_free(copy);
	}
	assert_int_equal(media_type(SLICE_EMPTY), MEDIA_OTHER);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_framing),
		cmocka_unit_test(test_media_types),
	};

	return cmocka_run_group_tests_name("http_body", tests, NULL, NULL);
}
