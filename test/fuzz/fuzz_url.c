/*
 * fuzz_url.c
 *		Any bytes as a path, a query string, a pair and a version.
 */
#include "fuzz.h"

#include "wire/url.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		input = slice_make(data, size);
	Slice		name = SLICE_LITERAL("apikey");
	char	   *buffer = malloc(size + 1);
	Slice		value;
	Slice		decoded;
	Slice		topic;
	Slice		event;
	UrlParam	found;
	int			vsn;

	REQUIRE(buffer != NULL);
	if (url_route(input) == URL_BROADCAST_EVENT)
	{
		url_broadcast_event(input, &topic, &event);
		REQUIRE(topic.len > 0 && event.len > 0 && topic.data + topic.len < event.data);
		REQUIRE(!slice_has_byte(topic, '/') && !slice_has_byte(event, '/'));
	}
	vsn = vsn_parse(input);
	REQUIRE(vsn >= 0 && vsn <= 2);
	if (vsn > 0)
		REQUIRE(slice_starts_with(input, vsn == 1 ? SLICE_LITERAL("1.0.") : SLICE_LITERAL("2.0.")));
	if (url_decode(input, size % 2 == 0, buffer, size, &decoded))
		REQUIRE(decoded.len <= size);
	found = url_query_param(input, name, buffer, size, &value);
	REQUIRE(found == URL_PARAM_TEXT || value.len == 0);
	REQUIRE(url_query_param(input, name, buffer, size / 2, &value) <= URL_PARAM_INVALID);
	found = url_pair_param(input, name, &value);
	if (found == URL_PARAM_TEXT)
		REQUIRE(slice_starts_with(input, name) && value.len + name.len <= size);
	free(buffer);
	return 0;
}
