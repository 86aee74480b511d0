/*
 * elixir.c
 *		Values in the notation of Elixir, for messages.
 */
#include "elixir.h"

#include <math.h>
#include <stdio.h>

#include "json_private.h"
#include "utf8.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* Objects with at most this many different keys are shown in their order. */
#define SORTED_KEYS		32

/* From here on every double is an integer, and Elixir shows an exponent. */
#define EXACT_LIMIT		9007199254740992.0

/* Enough for "-d.dddddddddddddddde-308". */
#define DIGITS_SIZE		32
#define MAX_DIGITS		17

typedef struct Member
{
	Slice		key;
	Slice		value;
} Member;

/* A text to read byte by byte: plain, or a JSON string token to unescape. */
typedef struct Source
{
	WjsonText	text;
	bool		escaped;
} Source;

static void write_value(Writer *w, Slice token, int *budget);

static Source
plain_source(Slice text)
{
	return (Source) {{text.data, text.data + text.len, {0}, 0, 0}, false};
}

static Source
token_source(Slice token)
{
	return (Source) {wjson_text_start(token), true};
}

/* The next byte, or -1. */
static int
next_byte(Source *s)
{
	if (s->escaped)
		return wjson_text_next(&s->text);
	return s->text.pos < s->text.end ? (unsigned char) *s->text.pos++ : -1;
}

/* The next character, its length in bytes; 0 at the end, -1 if it is none. */
static int
next_character(Source *s, char *c)
{
	int			byte = next_byte(s);
	int			more;

	if (byte < 0)
		return 0;
	c[0] = (char) byte;
	more = byte < 0xC0 ? 0 : byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
	for (int i = 1; i <= more; i++)
	{
		byte = next_byte(s);
		if (byte < 0)
			return -1;
		c[i] = (char) byte;
	}
	return utf8_length(c, c + more + 1) == more + 1 ? more + 1 : -1;
}

/* The letter of the escape of a control character, or 0. */
static char
control_letter(unsigned char c)
{
	if (c >= '\a' && c <= '\r')
		return "abtnvfr"[c - '\a'];
	return c == 0x1B ? 'e' : c == 0x7F ? 'd' : '\0';
}

/* Can this character, of n bytes, stand in a string? */
static bool
is_printable(const char *c, int n)
{
	const unsigned char *u = (const unsigned char *) c;

	switch (n)
	{
		case 1:
			return (u[0] >= ' ' && u[0] < 0x7F) || control_letter(u[0]) != '\0';
		case 2:
			return u[0] != 0xC2 || u[1] >= 0xA0;
		case 3:
			return u[0] != 0xEF || u[1] != 0xBF || u[2] < 0xBE;
		default:
			return n == 4;
	}
}

/* Can the text be shown as a string?  Only the part that would be shown counts. */
static bool
is_printable_text(Source s)
{
	char		c[4];
	int			n;

	for (int i = 0; i < ELIXIR_MAX_CHARACTERS; i++)
	{
		n = next_character(&s, c);
		if (n == 0)
			return true;
		if (!is_printable(c, n))
			return false;
	}
	return true;
}

/* Write one printable character; `#` only before another one, for `#{` would interpolate. */
static void
write_character(Writer *w, const char *c, int n, bool *hash)
{
	char		letter = n == 1 ? control_letter((unsigned char) *c) : '\0';

	if (*hash)
		writer_cstring(w, *c == '{' ? "\\#" : "#");
	*hash = *c == '#';
	if (*hash)
		return;
	if (letter != '\0' || *c == '"' || *c == '\\')
		writer_char(w, '\\');
	if (letter != '\0')
		writer_char(w, letter);
	else
		writer_bytes(w, c, (size_t) n);
}

/* The end of a string: its last `#`, its quote, and whether something was cut off. */
static void
end_string(Writer *w, bool hash, const char *more)
{
	if (hash)
		writer_char(w, '#');
	writer_char(w, '"');
	writer_cstring(w, more);
}

/* A text between quotes. */
static void
write_string(Writer *w, Source s)
{
	char		c[4];
	int			n = 0;
	int			count = 0;
	bool		hash = false;

	writer_char(w, '"');
	while (count++ < ELIXIR_MAX_CHARACTERS && (n = next_character(&s, c)) > 0)
		write_character(w, c, n, &hash);
	end_string(w, hash, n > 0 && next_byte(&s) >= 0 ? " <> ..." : "");
}

/* A text as its bytes. */
static void
write_bytes(Writer *w, Source s)
{
	int			byte;

	writer_literal(w, "<<");
	for (int i = 0; (byte = next_byte(&s)) >= 0; i++)
	{
		if (i > 0)
			writer_literal(w, ", ");
		if (i == ELIXIR_MAX_ITEMS)
		{
			writer_literal(w, "...");
			break;
		}
		writer_int(w, byte);
	}
	writer_literal(w, ">>");
}

static void
write_text(Writer *w, Source s)
{
	if (is_printable_text(s))
		write_string(w, s);
	else
		write_bytes(w, s);
}

/* A text. */
void
elixir_text(Writer *w, Slice text)
{
	write_text(w, text.len == 0 ? plain_source(SLICE_LITERAL("")) : plain_source(text));
}

/* The code of a printable ASCII character, if the token is one. */
static bool
character_code(Slice token, char *c)
{
	int64_t		code;

	if (wjson_type(token) != WJSON_NUMBER || !wjson_number_int64(token, &code) || code < 0 || code >= 0x7F)
		return false;
	*c = (char) code;
	return is_printable(c, 1);
}

/* Is this array one of character codes?  An empty one is not. */
static bool
is_charlist(Slice array)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;
	char		c;
	int			count = 0;

	if (!wjson_iter_start(&it, array))
		return false;
	while (count < ELIXIR_MAX_CHARACTERS && wjson_iter_next(&it, &key, &value))
	{
		if (!character_code(value, &c))
			return false;
		count++;
	}
	return count > 0;
}

/* An array of character codes. */
static void
write_charlist(Writer *w, Slice array)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;
	char		c;
	int			count = 0;
	bool		hash = false;
	bool		more = false;

	writer_literal(w, "~c\"");
	if (wjson_iter_start(&it, array))
	{
		while ((more = wjson_iter_next(&it, &key, &value)) && count++ < ELIXIR_MAX_CHARACTERS &&
			   character_code(value, &c))
			write_character(w, &c, 1, &hash);
	}
	end_string(w, hash, more ? " ++ ..." : "");
}

/* What separates an item from the one before; false if it is one too many. */
static bool
start_item(Writer *w, int index, int *budget)
{
	if (index > 0)
		writer_literal(w, ", ");
	if (*budget <= 0)
	{
		writer_literal(w, "...");
		return false;
	}
	(*budget)--;
	return true;
}

static void
write_list(Writer *w, Slice array, int *budget)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;

	writer_char(w, '[');
	if (wjson_iter_start(&it, array))
	{
		for (int i = 0; wjson_iter_next(&it, &key, &value) && start_item(w, i, budget); i++)
			write_value(w, value, budget);
	}
	writer_char(w, ']');
}

/* Compare two keys, as texts, byte by byte. */
static int
compare_keys(Slice a, Slice b)
{
	Source		x = token_source(a);
	Source		y = token_source(b);

	for (;;)
	{
		int			byte = next_byte(&x);
		int			other = next_byte(&y);

		if (byte != other)
			return byte - other;
		if (byte < 0)
			return 0;
	}
}

/* Put a member to its place among the sorted ones; nothing if its key is there, false if there is no room. */
static bool
insert_member(Member *members, int *count, Slice key, Slice value)
{
	int			low = 0;
	int			high = *count;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		int			order = compare_keys(key, members[middle].key);

		if (order == 0)
			return true;
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	if (*count == SORTED_KEYS)
		return false;
	memmove(&members[low + 1], &members[low], (size_t) (*count - low) * sizeof(Member));
	members[low] = (Member) {key, value};
	(*count)++;
	return true;
}

/* The members of an object in the order of their keys: how many, or -1 if they are too many. */
static int
sorted_members(Slice object, Member *members)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;
	int			count = 0;

	if (!wjson_iter_start(&it, object))
		return 0;
	while (wjson_iter_next(&it, &key, &value))
	{
		if (!insert_member(members, &count, key, value))
			return -1;
	}
	return count;
}

static void
write_member(Writer *w, Slice key, Slice value, int *budget)
{
	write_text(w, token_source(key));
	writer_literal(w, " => ");
	write_value(w, value, budget);
}

static void
write_map(Writer *w, Slice object, int *budget)
{
	Member		members[SORTED_KEYS];
	int			count = sorted_members(object, members);
	WjsonIter	it;
	Slice		key;
	Slice		value;

	writer_literal(w, "%{");
	for (int i = 0; i < count && start_item(w, i, budget); i++)
		write_member(w, members[i].key, members[i].value, budget);
	if (count < 0 && wjson_iter_start(&it, object))
	{
		for (int i = 0; wjson_iter_next(&it, &key, &value) && start_item(w, i, budget); i++)
			write_member(w, key, value, budget);
	}
	writer_char(w, '}');
}

/*
 * The shortest digits that give this double again, which is positive: 0.ddd times ten to the power *point.  snprintf()
 * may write the decimal point of a locale, so only digits are taken from it, and none is read back.
 */
static Slice
shortest_digits(double value, char *digits, int *point)
{
	char		text[DIGITS_SIZE];
	Writer		w;
	Writer		number;
	double		again;

	for (int precision = 0; precision < MAX_DIGITS; precision++)
	{
		const char *p;
		int			exponent = 0;
		bool		negative;

		snprintf(text, sizeof(text), "%.*e", precision, value);
		w = writer_fixed(digits, DIGITS_SIZE);
		for (p = text; *p != 'e'; p++)
		{
			if (is_digit(*p))
				writer_char(&w, *p);
		}
		negative = p[1] == '-';
		for (p += 2; *p != '\0'; p++)
			exponent = exponent * 10 + (*p - '0');
		*point = (negative ? -exponent : exponent) + 1;

		number = writer_fixed(text, sizeof(text));
		writer_slice(&number, writer_written(&w));
		writer_char(&number, 'e');
		writer_int(&number, *point - (int) w.len);
		if (wjson_number_double(writer_written(&number), &again) && again == value)
			break;
	}
	return writer_written(&w);
}

static void
write_zeros(Writer *w, int count)
{
	while (count-- > 0)
		writer_char(w, '0');
}

/* Digits with a decimal point behind the first, and an exponent. */
static void
write_scientific(Writer *w, Slice digits, int exponent)
{
	writer_char(w, digits.data[0]);
	writer_char(w, '.');
	if (digits.len == 1)
		writer_char(w, '0');
	writer_slice(w, slice_skip(digits, 1));
	writer_char(w, 'e');
	writer_int(w, exponent);
}

/* A number with fraction or exponent: written out or with an exponent, whichever is shorter. */
static void
write_float(Writer *w, Slice token)
{
	char		buffer[DIGITS_SIZE];
	char		exponent_text[DIGITS_SIZE];
	Writer		exponent = writer_fixed(exponent_text, sizeof(exponent_text));
	double		value;
	Slice		digits;
	int			point;
	int			len;
	int			scientific_cost;

	if (!wjson_number_double(token, &value))
	{
		writer_slice(w, token);
		return;
	}
	if (token.data[0] == '-')
		writer_char(w, '-');
	value = fabs(value);
	if (value == 0)
	{
		writer_literal(w, "0.0");
		return;
	}
	digits = shortest_digits(value, buffer, &point);
	len = (int) digits.len;
	writer_int(&exponent, point - 1);

	/* What the exponent adds to the digits: itself, its letter, and for one digit a zero. */
	scientific_cost = (int) exponent.len + 1 + (len == 1 ? 2 : 1);
	if (value >= EXACT_LIMIT)
		write_scientific(w, digits, point - 1);
	else if (point > 0 && point < len)
	{
		writer_bytes(w, digits.data, (size_t) point);
		writer_char(w, '.');
		writer_slice(w, slice_skip(digits, (size_t) point));
	}
	else if (point <= 0 && 2 - point <= (point == 0 ? 2 : scientific_cost))
	{
		writer_literal(w, "0.");
		write_zeros(w, -point);
		writer_slice(w, digits);
	}
	else if (point > 0 && point - len + 2 <= scientific_cost)
	{
		writer_slice(w, digits);
		write_zeros(w, point - len);
		writer_literal(w, ".0");
	}
	else
		write_scientific(w, digits, point - 1);
}

static void
write_number(Writer *w, Slice token)
{
	if (!wjson_number_is_integer(token))
		write_float(w, token);
	else if (slice_equal(token, SLICE_LITERAL("-0")))
		writer_char(w, '0');
	else
		writer_slice(w, token);
}

/* Any value. Every level costs one of the budget, so that it bounds the depth too. */
static void
write_value(Writer *w, Slice token, int *budget)
{
	switch (wjson_type(token))
	{
		case WJSON_STRING:
			write_text(w, token_source(token));
			break;
		case WJSON_NUMBER:
			write_number(w, token);
			break;
		case WJSON_ARRAY:
			if (is_charlist(token))
				write_charlist(w, token);
			else
				write_list(w, token, budget);
			break;
		case WJSON_OBJECT:
			write_map(w, token, budget);
			break;
		case WJSON_TRUE:
			writer_literal(w, "true");
			break;
		case WJSON_FALSE:
			writer_literal(w, "false");
			break;
		default:
			writer_literal(w, "nil");
	}
}

/* A JSON value. */
void
elixir_json(Writer *w, Slice token)
{
	int			budget = ELIXIR_MAX_ITEMS;

	write_value(w, token, &budget);
}
