/*
 * http_head.c
 *	  The head of an HTTP/1.x request.
 */
#include "http_head.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* A character of a method or of the name of a header (RFC 9110, 5.6.2). */
static bool
is_token_char(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		(c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_token(Slice text)
{
	for (size_t i = 0; i < text.len; i++)
		if (!is_token_char((unsigned char) text.data[i]))
			return false;
	return text.len > 0;
}

/* Visible characters, those above ASCII, and perhaps blanks and tabs. */
static bool
is_printable(Slice text, bool blanks)
{
	for (size_t i = 0; i < text.len; i++)
	{
		unsigned char c = (unsigned char) text.data[i];

		if (blanks && (c == ' ' || c == '\t'))
			continue;
		if (c <= ' ' || c == 0x7F)
			return false;
	}
	return true;
}

static Slice
trim(Slice text)
{
	while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
		text = slice_skip(text, 1);
	while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* Cut off the text before the first of this character; false, and nothing cut, if it isn't there. */
static bool
cut_at(Slice *text, char separator, Slice *before)
{
	const char *found = text->len > 0 ? memchr(text->data, separator, text->len) : NULL;

	if (found == NULL)
		return false;
	*before = slice_make(text->data, (size_t) (found - text->data));
	*text = slice_skip(*text, before->len + 1);
	return true;
}

/* Cut off a line, which may end in CR LF or LF; false if its end isn't there. */
static bool
cut_line(Slice *text, Slice *line)
{
	if (!cut_at(text, '\n', line))
		return false;
	if (line->len > 0 && line->data[line->len - 1] == '\r')
		line->len--;
	return true;
}

/* "/path?query", or the same behind "http://host". */
static bool
parse_target(Slice target, HttpHead *head)
{
	Slice		rest = target;

	if (slice_starts_with(target, SLICE_LITERAL("http://")) || slice_starts_with(target, SLICE_LITERAL("https://")))
	{
		const char *slash;

		rest = slice_skip(target, target.data[4] == 's' ? 8 : 7);
		slash = rest.len > 0 ? memchr(rest.data, '/', rest.len) : NULL;
		if (slash == NULL)
			return false;
		rest = slice_skip(rest, (size_t) (slash - rest.data));
	}
	if (rest.len == 0 || (rest.data[0] != '/' && !slice_equal(rest, SLICE_LITERAL("*"))))
		return false;
	if (cut_at(&rest, '?', &head->path))
		head->query = rest;
	else
	{
		head->path = rest;
		head->query = SLICE_EMPTY;
	}
	return true;
}

/* "METHOD target HTTP/1.x" */
static bool
parse_request_line(Slice line, HttpHead *head)
{
	Slice		target;

	if (!cut_at(&line, ' ', &head->method) || !cut_at(&line, ' ', &target) ||
		!is_token(head->method) || !is_printable(target, false) || !parse_target(target, head))
		return false;
	if (line.len != 8 || memcmp(line.data, "HTTP/1.", 7) != 0 || line.data[7] < '0' || line.data[7] > '9')
		return false;
	head->minor_version = line.data[7] - '0';
	return true;
}

static bool
parse_header_line(Slice line, Slice *name, Slice *value)
{
	if (!cut_at(&line, ':', name) || !is_token(*name))
		return false;
	*value = trim(line);
	return is_printable(*value, true);
}

HttpHeadResult
http_head_parse(Slice bytes, HttpHead *head)
{
	Slice		rest = slice_make(bytes.data, bytes.len < HTTP_HEAD_MAX ? bytes.len : HTTP_HEAD_MAX);
	HttpHeadResult incomplete = bytes.len < HTTP_HEAD_MAX ? HTTP_HEAD_INCOMPLETE : HTTP_HEAD_TOO_LONG;
	const char *begin;
	Slice		line;
	Slice		name;
	Slice		value;

	/* empty lines before a request are tolerated (RFC 9112, 2.2) */
	do
	{
		if (!cut_line(&rest, &line))
			return slice_has_byte(rest, '\0') ? HTTP_HEAD_BAD : incomplete;
	} while (line.len == 0);
	if (!parse_request_line(line, head))
		return HTTP_HEAD_BAD;

	begin = rest.data;
	for (;;)
	{
		const char *before = rest.data;

		if (!cut_line(&rest, &line))
			return incomplete;
		if (line.len == 0)
		{
			head->headers = slice_make(begin, (size_t) (before - begin));
			head->length = (size_t) (rest.data - bytes.data);
			return HTTP_HEAD_OK;
		}
		if (!parse_header_line(line, &name, &value))
			return HTTP_HEAD_BAD;
	}
}

bool
http_header_next(Slice *at, Slice *name, Slice *value)
{
	Slice		line;

	return cut_line(at, &line) && parse_header_line(line, name, value);
}

bool
http_header(const HttpHead *head, Slice name, Slice *value)
{
	Slice		at = head->headers;
	Slice		found;

	while (http_header_next(&at, &found, value))
		if (slice_equal_nocase(found, name))
			return true;
	*value = SLICE_EMPTY;
	return false;
}

bool
http_header_holds(const HttpHead *head, Slice name, Slice word)
{
	Slice		at = head->headers;
	Slice		found;
	Slice		value;

	while (http_header_next(&at, &found, &value))
	{
		Slice		item;

		if (!slice_equal_nocase(found, name))
			continue;
		while (cut_at(&value, ',', &item))
			if (slice_equal_nocase(trim(item), word))
				return true;
		if (slice_equal_nocase(trim(value), word))
			return true;
	}
	return false;
}
