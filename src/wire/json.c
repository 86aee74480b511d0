/*
 * json.c
 *		Walk over JSON text that was validated.
 */
#include "json_private.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* The type of a validated token. */
WjsonType
wjson_type(Slice token)
{
	if (token.len == 0)
		return WJSON_NONE;
	switch (token.data[0])
	{
		case 'n':
			return WJSON_NULL;
		case 't':
			return WJSON_TRUE;
		case 'f':
			return WJSON_FALSE;
		case '"':
			return WJSON_STRING;
		case '[':
			return WJSON_ARRAY;
		case '{':
			return WJSON_OBJECT;
		default:
			return WJSON_NUMBER;
	}
}

/* Skip the validated string at p, up to end at most. */
static const char *
skip_string(const char *p, const char *end)
{
	for (p++; p < end; p++)
	{
		if (*p == '"')
			return p + 1;
		if (*p == '\\' && ++p == end)
			break;
	}
	return end;
}

/* Skip the validated value at p, up to end at most. */
static const char *
skip_value(const char *p, const char *end)
{
	size_t		depth = 0;

	while (p < end)
	{
		switch (*p)
		{
			case '"':
				p = skip_string(p, end);
				break;
			case '{':
			case '[':
				depth++;
				p++;
				break;
			case '}':
			case ']':
				if (depth == 0)
					return p;
				depth--;
				p++;
				break;
			case ',':
			case ' ':
			case '\t':
			case '\n':
			case '\r':
				if (depth == 0)
					return p;
				p++;
				continue;
			default:
				p++;
				continue;
		}
		if (depth == 0)
			return p;
	}
	return end;
}

/* Begin a walk over an array or an object. */
bool
wjson_iter_start(WjsonIter *it, Slice token)
{
	WjsonType	type = wjson_type(token);

	it->pos = it->end = token.data;
	it->object = type == WJSON_OBJECT;
	if ((type != WJSON_OBJECT && type != WJSON_ARRAY) || token.len < 2)
		return false;
	it->pos = token.data + 1;
	it->end = token.data + token.len - 1;
	return true;
}

/* The next member or element. */
bool
wjson_iter_next(WjsonIter *it, Slice *key, Slice *value)
{
	const char *end = it->end;
	const char *p = skip_blanks(it->pos, end);
	const char *start = p;

	*key = *value = SLICE_EMPTY;
	it->pos = end;
	if (p >= end)
		return false;
	if (it->object)
	{
		if (*p != '"')
			return false;
		p = skip_string(p, end);
		*key = slice_make(start, (size_t) (p - start));
		p = skip_blanks(p, end);
		if (peek(p, end) != ':')
			return false;
		p = skip_blanks(p + 1, end);
		start = p;
	}
	p = skip_value(p, end);
	if (p == start)
		return false;
	*value = slice_make(start, (size_t) (p - start));
	p = skip_blanks(p, end);
	if (peek(p, end) == ',')
		p++;
	it->pos = p;
	return true;
}

/* Find one member of an object. */
bool
wjson_member(Slice object, Slice name, Slice *value)
{
	return wjson_members(object, &name, value, 1) && value->len > 0;
}

/* Find several members of an object in one walk. */
bool
wjson_members(Slice object, const Slice *names, Slice *values, int count)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;
	int			missing = count;

	for (int i = 0; i < count; i++)
		values[i] = SLICE_EMPTY;
	if (wjson_type(object) != WJSON_OBJECT || !wjson_iter_start(&it, object))
		return false;
	while (missing > 0 && wjson_iter_next(&it, &key, &value))
	{
		for (int i = 0; i < count; i++)
		{
			if (values[i].len == 0 && wjson_string_equals(key, names[i]))
			{
				values[i] = value;
				missing--;
				break;
			}
		}
	}
	return true;
}

/* Write a code point as UTF-8; the number of bytes. */
static int
encode_utf8(uint32_t code, char *out)
{
	if (code < 0x80)
	{
		out[0] = (char) code;
		return 1;
	}
	if (code < 0x800)
	{
		out[0] = (char) (0xC0 | code >> 6);
		out[1] = (char) (0x80 | (code & 0x3F));
		return 2;
	}
	if (code < 0x10000)
	{
		out[0] = (char) (0xE0 | code >> 12);
		out[1] = (char) (0x80 | (code >> 6 & 0x3F));
		out[2] = (char) (0x80 | (code & 0x3F));
		return 3;
	}
	out[0] = (char) (0xF0 | code >> 18);
	out[1] = (char) (0x80 | (code >> 12 & 0x3F));
	out[2] = (char) (0x80 | (code >> 6 & 0x3F));
	out[3] = (char) (0x80 | (code & 0x3F));
	return 4;
}

/* The next byte of a string's text. */
int
wjson_text_next(WjsonText *text)
{
	uint32_t	code;

	if (text->at < text->count)
		return (unsigned char) text->piece[text->at++];
	if (text->pos >= text->end)
		return -1;
	if (*text->pos != '\\')
		return (unsigned char) *text->pos++;
	text->pos = wjson_read_escape(text->pos, text->end, &code);
	if (text->pos == NULL)
	{
		text->pos = text->end;
		return -1;
	}
	text->count = encode_utf8(code, text->piece);
	text->at = 1;
	return (unsigned char) text->piece[0];
}

/* What stands between the quotes of a string token; false if it is none. */
static bool
string_inside(Slice token, Slice *inside)
{
	if (wjson_type(token) != WJSON_STRING || token.len < 2)
		return false;
	*inside = slice_make(token.data + 1, token.len - 2);
	return true;
}

/* Compare a string token, unescaped, with a text. */
bool
wjson_string_equals(Slice token, Slice text)
{
	Slice		inside;
	WjsonText	reader;

	if (!string_inside(token, &inside))
		return false;
	if (!slice_has_byte(inside, '\\'))
		return slice_equal(inside, text);
	if (text.len > inside.len)
		return false;
	reader = wjson_text_start(token);
	for (size_t i = 0; i < text.len; i++)
	{
		if (wjson_text_next(&reader) != (unsigned char) text.data[i])
			return false;
	}
	return wjson_text_next(&reader) < 0;
}

/* Unescape a string token, where that is needed. */
bool
wjson_string_text(Slice token, char *buffer, size_t size, Slice *text, size_t *used)
{
	WjsonText	reader;
	size_t		len = 0;
	int			byte;

	if (used != NULL)
		*used = 0;
	*text = SLICE_EMPTY;
	if (!string_inside(token, text))
		return false;
	if (!slice_has_byte(*text, '\\'))
		return true;
	*text = SLICE_EMPTY;
	reader = wjson_text_start(token);
	while ((byte = wjson_text_next(&reader)) >= 0)
	{
		if (len == size)
			return false;
		buffer[len++] = (char) byte;
	}
	*text = slice_make(buffer, len);
	if (used != NULL)
		*used = len;
	return true;
}

/* Is the token exactly one number? */
static bool
is_number(Slice token)
{
	return token.len > 0 &&
		wjson_check_number(token.data, token.data + token.len) == token.data + token.len;
}

/* Is the number written without fraction and exponent? */
bool
wjson_number_is_integer(Slice token)
{
	return is_number(token) && !slice_has_byte(token, '.') && !slice_has_byte(token, 'e') &&
		!slice_has_byte(token, 'E');
}

/* Read an integer that fits. */
bool
wjson_number_int64(Slice token, int64_t *value)
{
	bool		negative;
	uint64_t	limit;
	uint64_t	sum = 0;

	*value = 0;
	if (!wjson_number_is_integer(token))
		return false;
	negative = token.data[0] == '-';
	limit = (uint64_t) INT64_MAX + (negative ? 1 : 0);
	for (size_t i = negative ? 1 : 0; i < token.len; i++)
	{
		uint64_t	digit = (uint64_t) (token.data[i] - '0');

		if (sum > (limit - digit) / 10)
			return false;
		sum = sum * 10 + digit;
	}
	*value = negative ? (int64_t) (0 - sum) : (int64_t) sum;
	return true;
}
