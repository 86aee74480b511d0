/*
 * fuzz_http_head.c
 *		Any bytes as the head of a request: whole, and each beginning of it.
 */
#include "fuzz.h"

#include "wire/http_head.h"

static bool
lies_within(Slice part, Slice whole)
{
	return part.len == 0 || (part.data >= whole.data && part.data + part.len <= whole.data + whole.len);
}

/* Everything that a head which was accepted gives lies in it. */
static void
check_head(Slice bytes, const HttpHead *head)
{
	Slice		whole = slice_make(bytes.data, head->length);
	Slice		at = head->headers;
	Slice		name;
	Slice		value;
	Slice		first;
	size_t		lines = 0;

	REQUIRE(head->length <= bytes.len && head->length <= HTTP_HEAD_MAX);
	REQUIRE(lies_within(head->method, whole) && head->method.len > 0);
	REQUIRE(lies_within(head->path, whole) && lies_within(head->query, whole) && lies_within(head->headers, whole));
	REQUIRE(!slice_has_byte(whole, '\0'));
	while (http_header_next(&at, &name, &value))
	{
		lines++;
		REQUIRE(lies_within(name, whole) && lies_within(value, whole) && name.len > 0);
		REQUIRE(http_header(head, name, &first) && lies_within(first, whole));
		if (lines == 1)
			REQUIRE(slice_equal(first, value));
		if (!slice_has_byte(value, ','))
			REQUIRE(http_header_holds(head, name, value));
	}
	REQUIRE(at.len == 0);		/* a head with a line that can't be read was refused */
	(void) http_header_holds(head, SLICE_LITERAL("connection"), SLICE_LITERAL("upgrade"));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		whole = slice_make(data, size);
	HttpHead	head;
	HttpHead	part_head;
	HttpHeadResult result = http_head_parse(whole, &head);
	size_t		step = size / 64 + 1;

	if (result == HTTP_HEAD_OK)
		check_head(whole, &head);

	/* what more bytes say does not change what was said of the first ones */
	for (size_t len = 0; len < size; len += step)
	{
		char	   *part = malloc(len + 1);
		HttpHeadResult part_result;

		REQUIRE(part != NULL);
		memcpy(part, data, len);
		part_result = http_head_parse(slice_make(part, len), &part_head);
		REQUIRE(part_result == HTTP_HEAD_INCOMPLETE || part_result == result);
		if (part_result == HTTP_HEAD_OK)
			REQUIRE(part_head.length == head.length);
		free(part);
	}
	return 0;
}
