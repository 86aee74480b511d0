/*
 * url.c
 *		Paths, query strings and the `vsn` parameter of a connect request.
 */
#include "url.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define MAX_SEGMENTS	7

/* Cut a path into segments, leaving out empty ones; MAX_SEGMENTS + 1 if there are more. */
static int
split_path(Slice path, Slice *segments)
{
	int			count = 0;
	size_t		start = 0;

	for (size_t i = 0; i <= path.len; i++)
	{
		if (i < path.len && path.data[i] != '/')
			continue;
		if (i > start)
		{
			if (count == MAX_SEGMENTS)
				return MAX_SEGMENTS + 1;
			segments[count++] = slice_make(path.data + start, i - start);
		}
		start = i + 1;
	}
	return count;
}

/* Are these the two segments a and b? */
static bool
is_pair(const Slice *segments, int count, Slice a, Slice b)
{
	return count == 2 && slice_equal(segments[0], a) && slice_equal(segments[1], b);
}

/* A path below /api, in segments. */
static UrlRoute
api_route(const Slice *segments, int count)
{
	if (count == 1 && slice_equal(segments[0], SLICE_LITERAL("ping")))
		return URL_PING;
	if (count == 0 || !slice_equal(segments[0], SLICE_LITERAL("broadcast")))
		return URL_UNKNOWN;
	if (count == 1)
		return URL_BROADCAST;
	return count == 4 && slice_equal(segments[2], SLICE_LITERAL("events")) ? URL_BROADCAST_EVENT : URL_UNKNOWN;
}

/* What a path means. */
UrlRoute
url_route(Slice path)
{
	Slice		segments[MAX_SEGMENTS];
	int			count;

	if (path.len == 0 || path.data[0] != '/')
		return URL_UNKNOWN;
	count = split_path(path, segments);
	if (count > MAX_SEGMENTS || count == 0)
		return URL_UNKNOWN;
	if (count == 1)
		return slice_equal(segments[0], SLICE_LITERAL("healthcheck")) ? URL_HEALTHCHECK : URL_UNKNOWN;
	if (is_pair(segments, count, SLICE_LITERAL("socket"), SLICE_LITERAL("websocket")))
		return URL_WEBSOCKET;
	if (slice_equal(segments[0], SLICE_LITERAL("api")))
		return api_route(segments + 1, count - 1);

	/* The spelling of the client libraries, under /realtime/v1. */
	if (!is_pair(segments, 2, SLICE_LITERAL("realtime"), SLICE_LITERAL("v1")))
		return URL_UNKNOWN;
	if (count == 3 && slice_equal(segments[2], SLICE_LITERAL("websocket")))
		return URL_WEBSOCKET;
	if (count > 3 && slice_equal(segments[2], SLICE_LITERAL("api")))
		return api_route(segments + 3, count - 3);
	return URL_UNKNOWN;
}

/* The variable segments of a URL_BROADCAST_EVENT. */
void
url_broadcast_event(Slice path, Slice *topic, Slice *event)
{
	Slice		segments[MAX_SEGMENTS];
	int			count = split_path(path, segments);

	*topic = count >= 3 && count <= MAX_SEGMENTS ? segments[count - 3] : SLICE_EMPTY;
	*event = count >= 3 && count <= MAX_SEGMENTS ? segments[count - 1] : SLICE_EMPTY;
}

/* Undo percent-encoding. */
bool
url_decode(Slice text, bool plus_is_blank, char *buffer, size_t size, Slice *decoded)
{
	size_t		len = 0;

	*decoded = SLICE_EMPTY;
	for (size_t i = 0; i < text.len; i++)
	{
		char		c = text.data[i];

		if (c == '+' && plus_is_blank)
			c = ' ';
		else if (c == '%')
		{
			int			high;
			int			low;

			if (text.len - i < 3)
				return false;
			high = slice_hex_value(text.data[i + 1]);
			low = slice_hex_value(text.data[i + 2]);
			if (high < 0 || low < 0)
				return false;
			c = (char) (high << 4 | low);
			i += 2;
		}
		if (len == size)
			return false;
		buffer[len++] = c;
	}
	*decoded = slice_make(buffer, len);
	return true;
}

/* Is a decoded name this one (TEXT), or a list or map of this name (NOT_TEXT)? */
static UrlParam
match_name(Slice candidate, Slice name)
{
	if (slice_equal(candidate, name))
		return URL_PARAM_TEXT;
	if (candidate.len > name.len + 1 && slice_starts_with(candidate, name) &&
		candidate.data[name.len] == '[' && candidate.data[candidate.len - 1] == ']')
		return URL_PARAM_NOT_TEXT;
	return URL_PARAM_ABSENT;
}

/* Cut a pair at its first '='. */
static void
split_pair(Slice pair, Slice *name, Slice *value)
{
	const char *equals = pair.len == 0 ? NULL : memchr(pair.data, '=', pair.len);

	*name = pair;
	*value = SLICE_EMPTY;
	if (equals != NULL)
	{
		name->len = (size_t) (equals - pair.data);
		*value = slice_skip(pair, name->len + 1);
	}
}

/* Look at one pair that is decoded already. */
UrlParam
url_pair_param(Slice pair, Slice name, Slice *value)
{
	Slice		candidate;
	UrlParam	found;

	split_pair(pair, &candidate, value);
	found = match_name(candidate, name);
	if (found != URL_PARAM_TEXT)
		*value = SLICE_EMPTY;
	return found;
}

/* Look up a parameter in a query string. */
UrlParam
url_query_param(Slice query, Slice name, char *buffer, size_t size, Slice *value)
{
	UrlParam	found = URL_PARAM_ABSENT;
	Slice		raw = SLICE_EMPTY;
	size_t		start = 0;

	*value = SLICE_EMPTY;
	for (size_t i = 0; i <= query.len; i++)
	{
		Slice		candidate;
		Slice		text;
		Slice		decoded;
		UrlParam	match;

		if (i < query.len && query.data[i] != '&')
			continue;
		split_pair(slice_make(query.data == NULL ? NULL : query.data + start, i - start),
				   &candidate, &text);
		start = i + 1;

		/* The buffer serves the names first; a name that doesn't fit is another one. */
		if (!url_decode(candidate, true, buffer, size, &decoded))
			continue;
		match = match_name(decoded, name);
		if (match != URL_PARAM_ABSENT)
		{
			found = match;
			raw = text;
		}
	}
	if (found == URL_PARAM_TEXT && !url_decode(raw, true, buffer, size, value))
		return URL_PARAM_INVALID;
	return found;
}

/* Take a number without leading zeros off the front of a version. */
static bool
take_number(Slice *text, Slice *number)
{
	size_t		n = 0;

	while (n < text->len && text->data[n] >= '0' && text->data[n] <= '9')
		n++;
	if (n == 0 || (n > 1 && text->data[0] == '0'))
		return false;
	*number = slice_make(text->data, n);
	*text = slice_skip(*text, n);
	return true;
}

/* Take one character off the front. */
static bool
take_char(Slice *text, char c)
{
	if (text->len == 0 || text->data[0] != c)
		return false;
	*text = slice_skip(*text, 1);
	return true;
}

/* Take dot-separated identifiers off the front; numbers without leading zeros if strict. */
static bool
take_identifiers(Slice *text, bool strict)
{
	do
	{
		bool		digits = true;
		size_t		n = 0;

		for (; n < text->len; n++)
		{
			char		c = text->data[n];
			bool		digit = c >= '0' && c <= '9';

			if (!digit && c != '-' && !(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z'))
				break;
			digits = digits && digit;
		}
		if (n == 0 || (strict && digits && n > 1 && text->data[0] == '0'))
			return false;
		*text = slice_skip(*text, n);
	} while (take_char(text, '.'));
	return true;
}

/* Which protocol version a semantic version stands for. */
int
vsn_parse(Slice text)
{
	Slice		zero = SLICE_LITERAL("0");
	Slice		major;
	Slice		minor;
	Slice		patch;
	bool		pre_release;

	if (!take_number(&text, &major) || !take_char(&text, '.') ||
		!take_number(&text, &minor) || !take_char(&text, '.') || !take_number(&text, &patch))
		return 0;
	pre_release = take_char(&text, '-');
	if (pre_release && !take_identifiers(&text, true))
		return 0;
	if (take_char(&text, '+') && !take_identifiers(&text, false))
		return 0;
	if (text.len > 0 || !slice_equal(minor, zero) || (pre_release && slice_equal(patch, zero)))
		return 0;
	return slice_equal(major, SLICE_LITERAL("1")) ? 1 : slice_equal(major, SLICE_LITERAL("2")) ? 2 : 0;
}
