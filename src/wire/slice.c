/*
 * slice.c
 *		Slices of bytes, and a writer that can't throw.
 */
#include "slice.h"

#include "utf8.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* Fold A-Z to a-z, whatever the locale. */
static inline char
fold(char c)
{
	return c >= 'A' && c <= 'Z' ? (char) (c - 'A' + 'a') : c;
}

/* Compare two texts without regard to the case of ASCII letters. */
bool
slice_equal_nocase(Slice a, Slice b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
	{
		if (fold(a.data[i]) != fold(b.data[i]))
			return false;
	}
	return true;
}

/* Check that all of a text is UTF-8. */
bool
slice_is_utf8(Slice text)
{
	const char *p = text.data;
	const char *end;

	if (text.len == 0)
		return true;
	end = p + text.len;
	while (p < end)
	{
		int			n = utf8_length(p, end);

		if (n == 0)
			return false;
		p += n;
	}
	return true;
}

/* Shorten a text without cutting a character in two. */
Slice
slice_cut_text(Slice text, size_t max)
{
	size_t		len = max;

	if (text.len <= max)
		return text;
	while (len > 0 && utf8_is_continuation((unsigned char) text.data[len]))
		len--;
	return slice_make(text.data, len);
}

/* Append bytes, or fail; a measuring writer counts them and doesn't look at them. */
void
writer_bytes(Writer *w, const void *data, size_t len)
{
	if (w->failed || len == 0)
		return;
	if (len > w->cap - w->len)
	{
		w->failed = true;
		return;
	}
	if (w->data != NULL)
		memcpy(w->data + w->len, data, len);
	w->len += len;
}

/* Append one byte. */
void
writer_char(Writer *w, char c)
{
	writer_bytes(w, &c, 1);
}

/* Append a number in decimal. */
void
writer_uint(Writer *w, uint64_t value)
{
	char		digits[20];
	size_t		start = sizeof(digits);

	do
	{
		digits[--start] = (char) ('0' + value % 10);
		value /= 10;
	} while (value != 0);
	writer_bytes(w, digits + start, sizeof(digits) - start);
}

/* Append a signed number in decimal. */
void
writer_int(Writer *w, int64_t value)
{
	if (value < 0)
	{
		writer_char(w, '-');
		writer_uint(w, (uint64_t) 0 - (uint64_t) value);
	}
	else
		writer_uint(w, (uint64_t) value);
}

/* Append the escape of a byte that may not stand in a JSON string as it is. */
static void
write_escape(Writer *w, unsigned char byte)
{
	static const char hex[] = "0123456789abcdef";

	switch (byte)
	{
		case '"':
			writer_literal(w, "\\\"");
			break;
		case '\\':
			writer_literal(w, "\\\\");
			break;
		case '\b':
			writer_literal(w, "\\b");
			break;
		case '\f':
			writer_literal(w, "\\f");
			break;
		case '\n':
			writer_literal(w, "\\n");
			break;
		case '\r':
			writer_literal(w, "\\r");
			break;
		case '\t':
			writer_literal(w, "\\t");
			break;
		default:
			writer_literal(w, "\\u00");
			writer_char(w, hex[byte >> 4]);
			writer_char(w, hex[byte & 15]);
			break;
	}
}

/* Append a text as a JSON string, in runs that need no escape. */
void
writer_json_string(Writer *w, Slice text)
{
	const char *p = text.data;
	const char *end = text.len == 0 ? p : p + text.len;
	const char *run = p;

	writer_char(w, '"');
	while (p < end)
	{
		unsigned char byte = (unsigned char) *p;
		int			n = byte < 0x20 || byte == '"' || byte == '\\' ? 0 : utf8_length(p, end);

		if (n > 0)
		{
			p += n;
			continue;
		}
		writer_bytes(w, run, (size_t) (p - run));
		if (byte < 0x80)
			write_escape(w, byte);
		else
			writer_literal(w, "\xEF\xBF\xBD");
		run = ++p;
	}
	writer_bytes(w, run, (size_t) (p - run));
	writer_char(w, '"');
}
