/*
 * json_check.c
 *		Validate JSON text: the one place where its bytes are not believed.
 */
#include "json_private.h"

#include "utf8.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* The value of four hexadecimal digits at p, or -1. */
static int
hex4(const char *p, const char *end)
{
	int			value = 0;

	if (end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		int			c = (unsigned char) p[i];

		if (is_digit(c))
			c -= '0';
		else if (c >= 'a' && c <= 'f')
			c -= 'a' - 10;
		else if (c >= 'A' && c <= 'F')
			c -= 'A' - 10;
		else
			return -1;
		value = value << 4 | c;
	}
	return value;
}

/* Read one escape, or the two of a surrogate pair. */
const char *
wjson_read_escape(const char *p, const char *end, uint32_t *code)
{
	int			unit;
	int			low;

	switch (peek(p + 1, end))
	{
		case '"':
		case '\\':
		case '/':
			*code = (unsigned char) p[1];
			return p + 2;
		case 'b':
			*code = '\b';
			return p + 2;
		case 'f':
			*code = '\f';
			return p + 2;
		case 'n':
			*code = '\n';
			return p + 2;
		case 'r':
			*code = '\r';
			return p + 2;
		case 't':
			*code = '\t';
			return p + 2;
		case 'u':
			break;
		default:
			return NULL;
	}
	unit = hex4(p + 2, end);
	if (unit < 0 || (unit >= 0xDC00 && unit <= 0xDFFF))
		return NULL;
	if (unit < 0xD800 || unit > 0xDBFF)
	{
		*code = (uint32_t) unit;
		return p + 6;
	}
	if (end - p < 12 || p[6] != '\\' || p[7] != 'u')
		return NULL;
	low = hex4(p + 8, end);
	if (low < 0xDC00 || low > 0xDFFF)
		return NULL;
	*code = 0x10000 + (((uint32_t) unit - 0xD800) << 10) + ((uint32_t) low - 0xDC00);
	return p + 12;
}

/* Validate the string at p; what follows its closing quote, or NULL. */
static const char *
check_string(const char *p, const char *end)
{
	if (peek(p, end) != '"')
		return NULL;
	p++;
	while (p < end)
	{
		unsigned char byte = (unsigned char) *p;

		if (byte == '"')
			return p + 1;
		if (byte < 0x20)
			return NULL;
		if (byte == '\\')
		{
			uint32_t	code;

			p = wjson_read_escape(p, end, &code);
			if (p == NULL)
				return NULL;
		}
		else if (byte < 0x80)
			p++;
		else
		{
			int			n = utf8_length(p, end);

			if (n == 0)
				return NULL;
			p += n;
		}
	}
	return NULL;
}

/* Validate the number at p; what follows it, or NULL. */
const char *
wjson_check_number(const char *p, const char *end)
{
	if (peek(p, end) == '-')
		p++;
	if (peek(p, end) == '0')
		p++;
	else if (is_digit(peek(p, end)))
	{
		while (is_digit(peek(p, end)))
			p++;
	}
	else
		return NULL;
	if (peek(p, end) == '.')
	{
		p++;
		if (!is_digit(peek(p, end)))
			return NULL;
		while (is_digit(peek(p, end)))
			p++;
	}
	if (peek(p, end) == 'e' || peek(p, end) == 'E')
	{
		p++;
		if (peek(p, end) == '+' || peek(p, end) == '-')
			p++;
		if (!is_digit(peek(p, end)))
			return NULL;
		while (is_digit(peek(p, end)))
			p++;
	}
	return p;
}

/* Validate the word at p; what follows it, or NULL. */
static const char *
check_word(const char *p, const char *end, Slice word)
{
	if ((size_t) (end - p) < word.len || memcmp(p, word.data, word.len) != 0)
		return NULL;
	return p + word.len;
}

/* Validate a value that is neither array nor object. */
static const char *
check_scalar(const char *p, const char *end)
{
	switch (peek(p, end))
	{
		case '"':
			return check_string(p, end);
		case 't':
			return check_word(p, end, SLICE_LITERAL("true"));
		case 'f':
			return check_word(p, end, SLICE_LITERAL("false"));
		case 'n':
			return check_word(p, end, SLICE_LITERAL("null"));
		default:
			return wjson_check_number(p, end);
	}
}

/* Validate a key and its colon; where the value begins, or NULL. */
static const char *
check_key(const char *p, const char *end)
{
	p = check_string(p, end);
	if (p == NULL)
		return NULL;
	p = skip_blanks(p, end);
	if (peek(p, end) != ':')
		return NULL;
	return skip_blanks(p + 1, end);
}

/*
 * Validate the value at p; what follows it, or NULL.  The stack holds one bit
 * per open container: is it an object?
 */
static const char *
check_value(const char *p, const char *end)
{
	uint8_t		stack[WJSON_MAX_DEPTH];
	int			depth = 0;

	for (;;)
	{
		int			c = peek(p, end);

		/* A value begins at p. */
		if (c == '{' || c == '[')
		{
			if (depth == WJSON_MAX_DEPTH)
				return NULL;
			stack[depth++] = c == '{';
			p = skip_blanks(p + 1, end);
			if (peek(p, end) != (c == '{' ? '}' : ']'))
			{
				if (c == '{' && (p = check_key(p, end)) == NULL)
					return NULL;
				continue;
			}
			p++;
			depth--;
		}
		else if ((p = check_scalar(p, end)) == NULL)
			return NULL;

		/* A value ends at p: close what closes here, up to the next value. */
		for (;;)
		{
			if (depth == 0)
				return p;
			p = skip_blanks(p, end);
			if (peek(p, end) == ',')
				break;
			if (peek(p, end) != (stack[depth - 1] ? '}' : ']'))
				return NULL;
			p++;
			depth--;
		}
		p = skip_blanks(p + 1, end);
		if (stack[depth - 1] && (p = check_key(p, end)) == NULL)
			return NULL;
	}
}

/* Validate one JSON text and find the value in it. */
bool
wjson_parse(Slice text, Slice *token)
{
	const char *p = text.data;
	const char *end;
	const char *start;

	*token = SLICE_EMPTY;
	if (text.len == 0)
		return false;
	end = p + text.len;
	start = skip_blanks(p, end);
	p = check_value(start, end);
	if (p == NULL || skip_blanks(p, end) != end)
		return false;
	*token = slice_make(start, (size_t) (p - start));
	return true;
}

/* Is this one JSON text? */
bool
wjson_validate(Slice text)
{
	Slice		token;

	return wjson_parse(text, &token);
}
