/*
 * fuzz_origin.c
 *		Any bytes as a list of origins and an origin: what stands before and behind the first line end.
 */
#include "fuzz.h"

#include "wire/origin.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = size > 0 ? memchr(data, '\n', size) : NULL;
	Slice		list = slice_make(data, end != NULL ? (size_t) (end - data) : size);
	Slice		origin = slice_skip(slice_make(data, size), list.len + 1);
	Writer		w = fuzz_writer(ORIGIN_CORS_BOUND);
	Slice		wrong;
	bool		valid = origin_list_valid(list, &wrong);
	bool		all = origin_list_allows_all(list);
	bool		allowed = origin_allowed(list, origin);

	if (!valid)
		REQUIRE(wrong.len <= list.len);
	if (all)
		REQUIRE(allowed);
	else if (allowed)
	{
		/* what is reflected in a header must be harmless there */
		REQUIRE(origin.len <= ORIGIN_MAX);
		for (size_t i = 0; i < origin.len; i++)
			REQUIRE(origin.data[i] > ' ' && origin.data[i] < 127 && origin.data[i] != ',');
	}
	origin_write_cors(&w, list, origin);
	REQUIRE(!w.failed);
	free(w.data);

	/* an origin that is a valid entry is allowed by a list of it alone */
	if (origin_list_valid(origin, &wrong) && origin.len > 0 && memchr(origin.data, ',', origin.len) == NULL &&
		origin.data[0] > ' ' && origin.data[origin.len - 1] > ' ')
		REQUIRE(origin_allowed(origin, origin));
	return 0;
}
