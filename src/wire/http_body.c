/*
 * http_body.c
 *		How the body of a request follows its head, and what it is.
 */
#include "http_body.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* A Content-Length: digits only, and not absurdly many. */
static bool
parse_length(Slice value, uint64_t *length)
{
	*length = 0;
	for (size_t i = 0; i < value.len; i++)
	{
		if (value.data[i] < '0' || value.data[i] > '9')
			return false;
		*length = *length * 10 + (uint64_t) (value.data[i] - '0');
	}
	return value.len > 0 && value.len <= 18;
}

/* Both headers at once, or one of them twice and different, is how requests are smuggled (RFC 9112, 6.3). */
HttpFraming
http_framing(const HttpHead *head, uint64_t *length)
{
	Slice		at = head->headers;
	Slice		name;
	Slice		value;
	bool		chunked = false;
	bool		counted = false;

	*length = 0;
	while (http_header_next(&at, &name, &value))
	{
		uint64_t	this_length;

		if (slice_equal_nocase(name, SLICE_LITERAL("transfer-encoding")))
		{
			if (chunked || !slice_equal_nocase(value, SLICE_LITERAL("chunked")))
				return HTTP_BODY_BAD;
			chunked = true;
		}
		else if (slice_equal_nocase(name, SLICE_LITERAL("content-length")))
		{
			if (!parse_length(value, &this_length) || (counted && this_length != *length))
				return HTTP_BODY_BAD;
			counted = true;
			*length = this_length;
		}
	}
	if (chunked)
		return counted || head->minor_version == 0 ? HTTP_BODY_BAD : HTTP_BODY_CHUNKED;
	return *length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
}

/* Without parameters and the blanks around it. */
static Slice
essence(Slice value)
{
	const char *semicolon = value.len > 0 ? memchr(value.data, ';', value.len) : NULL;

	if (semicolon != NULL)
		value.len = (size_t) (semicolon - value.data);
	while (value.len > 0 && (value.data[value.len - 1] == ' ' || value.data[value.len - 1] == '\t'))
		value.len--;
	while (value.len > 0 && (value.data[0] == ' ' || value.data[0] == '\t'))
		value = slice_skip(value, 1);
	return value;
}

static bool
begins(Slice text, Slice prefix)
{
	return text.len >= prefix.len && slice_equal_nocase(slice_make(text.data, prefix.len), prefix);
}

static bool
ends(Slice text, Slice suffix)
{
	return text.len >= suffix.len && slice_equal_nocase(slice_skip(text, text.len - suffix.len), suffix);
}

/* The kind of a media type. */
MediaType
media_type(Slice value)
{
	Slice		type = essence(value);

	if (slice_equal_nocase(type, SLICE_LITERAL("application/json")))
		return MEDIA_JSON;
	if (slice_equal_nocase(type, SLICE_LITERAL("application/octet-stream")))
		return MEDIA_BYTES;
	if (slice_equal_nocase(type, SLICE_LITERAL("application/x-www-form-urlencoded")))
		return MEDIA_FORM;
	if (begins(type, SLICE_LITERAL("application/")) && ends(type, SLICE_LITERAL("+json")))
		return MEDIA_JSON_LIKE;
	return begins(type, SLICE_LITERAL("multipart/")) ? MEDIA_MULTIPART : MEDIA_OTHER;
}
