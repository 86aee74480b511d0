/*
 * fuzz_http_body.c
 *		Any bytes as the head of a request that has a body, and its media type.
 */
#include "fuzz.h"

#include "wire/http_body.h"

/* What the headers say, found again by looking at each. */
static void
check_framing(const HttpHead *head)
{
	Slice		at = head->headers;
	Slice		name;
	Slice		value;
	uint64_t	length;
	HttpFraming framing = http_framing(head, &length);
	bool		any = false;

	REQUIRE(framing != HTTP_BODY_LENGTH || (length > 0 && length < 1000000000000000000));
	while (http_header_next(&at, &name, &value))
	{
		bool		chunked = slice_equal_nocase(name, SLICE_LITERAL("transfer-encoding"));
		bool		counted = slice_equal_nocase(name, SLICE_LITERAL("content-length"));

		REQUIRE(!chunked || framing == HTTP_BODY_CHUNKED || framing == HTTP_BODY_BAD);
		REQUIRE(!counted || framing != HTTP_BODY_CHUNKED);
		any = any || chunked || counted;
		if (slice_equal_nocase(name, SLICE_LITERAL("content-type")))
			REQUIRE(media_type(value) <= MEDIA_OTHER);
	}
	REQUIRE(any || framing == HTTP_BODY_NONE);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		input = slice_make(data, size);
	HttpHead	head;

	if (http_head_parse(input, &head) == HTTP_HEAD_OK)
		check_framing(&head);
	REQUIRE(media_type(input) <= MEDIA_OTHER);
	return 0;
}
