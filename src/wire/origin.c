/*
 * origin.c
 *		The header Origin and the list of those that are allowed.
 */
#ifdef POSTGRES_H
#error "src/wire must not see postgres.h"
#endif

#include "origin.h"

/* An origin in its parts; the port is empty if it is the default one of the scheme. */
typedef struct Origin
{
	Slice		scheme;
	Slice		host;
	Slice		port;
} Origin;

static Slice
trim(Slice text)
{
	while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t' || text.data[0] == '\n' || text.data[0] == '\r'))
		text = slice_skip(text, 1);
	while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t' ||
							text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
		text.len--;
	return text;
}

/* The next entry of a list; false at its end.  A list of blanks has none. */
static bool
next_entry(Slice *list, Slice *entry)
{
	const char *comma;

	if (list->data == NULL)
		return false;
	comma = list->len > 0 ? memchr(list->data, ',', list->len) : NULL;
	if (comma == NULL)
	{
		*entry = trim(*list);
		*list = SLICE_EMPTY;
		return true;
	}
	*entry = trim(slice_make(list->data, comma - list->data));
	*list = slice_skip(*list, comma - list->data + 1);
	return true;
}

static bool
is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* RFC 3986, 3.1 */
static bool
is_scheme(Slice text)
{
	if (text.len == 0 || !is_alpha(text.data[0]))
		return false;
	for (size_t i = 1; i < text.len; i++)
		if (!is_alpha(text.data[i]) && !is_digit(text.data[i]) && text.data[i] != '+' && text.data[i] != '-' &&
			text.data[i] != '.')
			return false;
	return true;
}

/* A name or an address, as browsers write them; IPv6 stands in brackets. */
static bool
is_host(Slice text)
{
	bool		bracketed = text.len > 2 && text.data[0] == '[' && text.data[text.len - 1] == ']';

	if (bracketed)
		text = slice_make(text.data + 1, text.len - 2);
	if (text.len == 0)
		return false;
	for (size_t i = 0; i < text.len; i++)
	{
		char		c = text.data[i];

		if (!is_alpha(c) && !is_digit(c) && c != '.' && (bracketed ? c != ':' : c != '-' && c != '_'))
			return false;
	}
	return true;
}

static bool
is_port(Slice text)
{
	if (text.len == 0 || text.len > 5)
		return false;
	for (size_t i = 0; i < text.len; i++)
		if (!is_digit(text.data[i]))
			return false;
	return true;
}

static bool
is_default_port(Slice scheme, Slice port)
{
	if (slice_equal(port, SLICE_LITERAL("443")))
		return slice_equal_nocase(scheme, SLICE_LITERAL("https")) || slice_equal_nocase(scheme, SLICE_LITERAL("wss"));
	if (slice_equal(port, SLICE_LITERAL("80")))
		return slice_equal_nocase(scheme, SLICE_LITERAL("http")) || slice_equal_nocase(scheme, SLICE_LITERAL("ws"));
	return false;
}

/* Takes an origin apart; false if it is none. */
static bool
parse(Slice text, Origin *origin)
{
	const char *colon = text.len > 0 ? memchr(text.data, ':', text.len) : NULL;
	size_t		at;

	if (colon == NULL || text.len > ORIGIN_MAX)
		return false;
	origin->scheme = slice_make(text.data, colon - text.data);
	text = slice_skip(text, origin->scheme.len);
	if (!is_scheme(origin->scheme) || !slice_starts_with(text, SLICE_LITERAL("://")))
		return false;
	text = slice_skip(text, 3);

	/* the colon before the port is behind the brackets of an address */
	for (at = text.len; at > 0 && is_digit(text.data[at - 1]); at--)
		;
	origin->host = text;
	origin->port = SLICE_EMPTY;
	if (at > 0 && text.data[at - 1] == ':')
	{
		origin->host.len = at - 1;
		origin->port = slice_skip(text, at);
		if (!is_port(origin->port))
			return false;
	}
	if (is_default_port(origin->scheme, origin->port))
		origin->port = SLICE_EMPTY;
	return is_host(origin->host);
}

static bool
is_all(Slice entry)
{
	return slice_equal(entry, SLICE_LITERAL("*"));
}

static bool
is_null(Slice entry)
{
	return slice_equal(entry, SLICE_LITERAL("null"));
}

bool
origin_list_valid(Slice list, Slice *wrong)
{
	Origin		origin;
	Slice		entry;

	*wrong = SLICE_EMPTY;
	if (trim(list).len == 0)
		return true;
	while (next_entry(&list, &entry))
		if (!is_all(entry) && !is_null(entry) && !parse(entry, &origin))
		{
			*wrong = entry;
			return false;
		}
	return true;
}

bool
origin_list_allows_all(Slice list)
{
	Slice		entry;

	while (next_entry(&list, &entry))
		if (is_all(entry))
			return true;
	return false;
}

bool
origin_allowed(Slice list, Slice origin)
{
	Origin		wanted;
	bool		is_origin = parse(origin, &wanted);
	Slice		entry;

	while (next_entry(&list, &entry))
	{
		Origin		allowed;

		if (is_all(entry) || (is_null(entry) && is_null(origin)))
			return true;
		if (is_origin && parse(entry, &allowed) && slice_equal_nocase(allowed.scheme, wanted.scheme) &&
			slice_equal_nocase(allowed.host, wanted.host) && slice_equal(allowed.port, wanted.port))
			return true;
	}
	return false;
}

/* Which origin a page has decides about the answer, so caches must tell them apart; also when it is refused. */
void
origin_write_cors(Writer *w, Slice list, Slice origin)
{
	if (origin_list_allows_all(list))
	{
		writer_literal(w, "access-control-allow-origin: *\r\n");
		return;
	}
	if (origin.len > 0 && origin_allowed(list, origin))
	{
		writer_literal(w, "access-control-allow-origin: ");
		writer_slice(w, origin);
		writer_literal(w, "\r\n");
	}
	writer_literal(w, "vary: origin\r\n");
}
