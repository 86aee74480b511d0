/*
 * json_value.c
 *		Values of JSON tokens: doubles, equality and a hash that ignores the
 *		order of keys.
 */
#include "json_private.h"

#include <math.h>
#include <stdlib.h>

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define SIGNIFICANT_DIGITS	40
#define FNV_START			UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME			UINT64_C(0x100000001b3)
#define EXPONENT_LIMIT		100000000L	/* more than any frame can bring back to zero */

/* The digits of a number: value = 0.d1d2d3… times ten to the power `point`. */
typedef struct Decimal
{
	char		digits[SIGNIFICANT_DIGITS + 1];
	int			count;
	long		point;
	bool		negative;
} Decimal;

/* Take one digit; leading zeros don't count, and what is too much only marks. */
static void
add_digit(Decimal *d, char digit, bool fraction)
{
	if (d->count == 0 && digit == '0')
	{
		if (fraction)
			d->point--;
		return;
	}
	if (d->count < SIGNIFICANT_DIGITS)
		d->digits[d->count++] = digit;
	else if (digit != '0')
	{
		/* A digit behind the last one, so that a tie is seen to be none. */
		d->digits[SIGNIFICANT_DIGITS] = '1';
	}
	if (!fraction)
		d->point++;
}

/* Take a valid number apart. */
static void
read_decimal(Slice token, Decimal *d)
{
	const char *p = token.data;
	const char *end = p + token.len;
	bool		fraction = false;
	long		exponent = 0;
	bool		exponent_negative = false;

	memset(d, 0, sizeof(*d));
	d->digits[SIGNIFICANT_DIGITS] = '0';
	if (*p == '-')
	{
		d->negative = true;
		p++;
	}
	for (; p < end && *p != 'e' && *p != 'E'; p++)
	{
		if (*p == '.')
			fraction = true;
		else
			add_digit(d, *p, fraction);
	}
	if (p < end)
	{
		p++;
		if (*p == '+' || *p == '-')
			exponent_negative = *p++ == '-';
		for (; p < end && exponent < EXPONENT_LIMIT; p++)
			exponent = exponent * 10 + (*p - '0');
	}
	d->point += exponent_negative ? -exponent : exponent;
}

/*
 * Any number as a double.  strtod() gets digits and an exponent, no decimal
 * point, so that the locale has no say, and never more than a few dozen bytes.
 */
bool
wjson_number_double(Slice token, double *value)
{
	Decimal		d;
	char		text[SIGNIFICANT_DIGITS + 32];
	Writer		w = writer_fixed(text, sizeof(text) - 1);

	*value = 0;
	if (token.len == 0 ||
		wjson_check_number(token.data, token.data + token.len) != token.data + token.len)
		return false;
	read_decimal(token, &d);
	if (d.count == 0)
		return true;
	if (d.negative)
		writer_char(&w, '-');
	writer_bytes(&w, d.digits, (size_t) d.count);
	if (d.count == SIGNIFICANT_DIGITS)
	{
		writer_char(&w, d.digits[SIGNIFICANT_DIGITS]);
		d.point--;
	}
	writer_char(&w, 'e');
	writer_int(&w, d.point - d.count);
	text[w.len] = '\0';
	*value = strtod(text, NULL);
	if (isinf(*value))
	{
		*value = 0;
		return false;
	}
	return true;
}

/* The digits of an integer token, "-0" being "0". */
static Slice
integer_digits(Slice token)
{
	return slice_equal(token, SLICE_LITERAL("-0")) ? slice_skip(token, 1) : token;
}

/* Are two numbers the same value? */
static bool
numbers_equal(Slice a, Slice b)
{
	bool		integer = wjson_number_is_integer(a);
	double		x;
	double		y;

	if (integer != wjson_number_is_integer(b))
		return false;
	if (integer)
		return slice_equal(integer_digits(a), integer_digits(b));
	if (!wjson_number_double(a, &x) || !wjson_number_double(b, &y))
		return slice_equal(a, b);
	return x == y;
}

static bool equal_at_depth(Slice a, Slice b, int depth);

/* Are two arrays equal, element by element? */
static bool
arrays_equal(Slice a, Slice b, int depth)
{
	WjsonIter	ia;
	WjsonIter	ib;
	Slice		key;
	Slice		x;
	Slice		y;

	if (!wjson_iter_start(&ia, a) || !wjson_iter_start(&ib, b))
		return false;
	while (wjson_iter_next(&ia, &key, &x))
	{
		if (!wjson_iter_next(&ib, &key, &y) || !equal_at_depth(x, y, depth - 1))
			return false;
	}
	return !wjson_iter_next(&ib, &key, &y);
}

/* Find the first member whose key is the same text as this key token. */
static bool
member_by_token(Slice object, Slice wanted, Slice *value)
{
	WjsonIter	it;
	Slice		key;

	if (!wjson_iter_start(&it, object))
		return false;
	while (wjson_iter_next(&it, &key, value))
	{
		if (equal_at_depth(key, wanted, 1))
			return true;
	}
	return false;
}

/* Has b every member of a, with the same value? */
static bool
members_within(Slice a, Slice b, int depth)
{
	WjsonIter	it;
	Slice		key;
	Slice		x;
	Slice		first;
	Slice		y;

	if (!wjson_iter_start(&it, a))
		return false;
	while (wjson_iter_next(&it, &key, &x))
	{
		/* Of equal keys only the first counts. */
		if (!member_by_token(a, key, &first) || first.data != x.data)
			continue;
		if (!member_by_token(b, key, &y) || !equal_at_depth(x, y, depth - 1))
			return false;
	}
	return true;
}

/* Does b have no key that a lacks? */
static bool
keys_within(Slice b, Slice a)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;
	Slice		other;

	if (!wjson_iter_start(&it, b))
		return false;
	while (wjson_iter_next(&it, &key, &value))
	{
		if (!member_by_token(a, key, &other))
			return false;
	}
	return true;
}

/* Do two string tokens stand for the same text? */
static bool
strings_equal(Slice a, Slice b)
{
	WjsonText	x;
	WjsonText	y;
	int			byte;

	if (slice_equal(a, b))
		return true;
	if (a.len < 2 || b.len < 2)
		return false;
	x = wjson_text_start(a);
	y = wjson_text_start(b);
	do
	{
		byte = wjson_text_next(&x);
		if (byte != wjson_text_next(&y))
			return false;
	} while (byte >= 0);
	return true;
}

/* wjson_equal() with a bound on what it still may open. */
static bool
equal_at_depth(Slice a, Slice b, int depth)
{
	WjsonType	type = wjson_type(a);

	if (type != wjson_type(b) || depth < 0)
		return false;
	switch (type)
	{
		case WJSON_NUMBER:
			return numbers_equal(a, b);
		case WJSON_STRING:
			return strings_equal(a, b);
		case WJSON_ARRAY:
			return arrays_equal(a, b, depth);
		case WJSON_OBJECT:
			return members_within(a, b, depth) && keys_within(b, a);
		default:
			return true;
	}
}

/* Are two tokens the same value? */
bool
wjson_equal(Slice a, Slice b)
{
	return equal_at_depth(a, b, WJSON_MAX_DEPTH);
}

/* Spread a hash over all its bits (the finalizer of MurmurHash3). */
static uint64_t
mix(uint64_t h)
{
	h ^= h >> 33;
	h *= UINT64_C(0xff51afd7ed558ccd);
	h ^= h >> 33;
	h *= UINT64_C(0xc4ceb9fe1a85ec53);
	h ^= h >> 33;
	return h;
}

/* FNV-1a over some bytes. */
static uint64_t
hash_bytes(const void *data, size_t len)
{
	const unsigned char *p = data;
	uint64_t	h = FNV_START;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * FNV_PRIME;
	return h;
}

/* The text of a string token, so that its escapes don't matter. */
static uint64_t
hash_string(Slice token)
{
	WjsonText	reader;
	uint64_t	h = FNV_START;
	int			byte;

	if (token.len < 2)
		return 0;
	reader = wjson_text_start(token);
	while ((byte = wjson_text_next(&reader)) >= 0)
		h = (h ^ (uint64_t) byte) * FNV_PRIME;
	return mix(h ^ 's');
}

/* A number: integers by their digits, others by their double. */
static uint64_t
hash_number(Slice token)
{
	double		value;

	if (!wjson_number_is_integer(token) && wjson_number_double(token, &value))
	{
		value += 0.0;			/* -0.0 becomes 0.0 */
		return mix(hash_bytes(&value, sizeof(value)) ^ 'd');
	}
	token = integer_digits(token);
	return mix(hash_bytes(token.data, token.len) ^ 'i');
}

/* wjson_hash() with a bound on what it still may open. */
static uint64_t
hash_at_depth(Slice token, Slice skip, int depth)
{
	WjsonType	type = wjson_type(token);
	WjsonIter	it;
	Slice		key;
	Slice		value;
	uint64_t	h = 0;

	if (type == WJSON_STRING)
		return hash_string(token);
	if (type == WJSON_NUMBER)
		return hash_number(token);
	if (depth == 0 || !wjson_iter_start(&it, token))
		return mix((uint64_t) type + 1);
	while (wjson_iter_next(&it, &key, &value))
	{
		uint64_t	element = hash_at_depth(value, SLICE_EMPTY, depth - 1);

		if (type == WJSON_ARRAY)
			h = mix(h * 31 + element + 1);
		else if (skip.data == NULL || !wjson_string_equals(key, skip))
		{
			/* A sum, since the order of members says nothing. */
			h += mix(hash_string(key) * UINT64_C(0x9e3779b97f4a7c15) + element);
		}
	}
	return mix(h ^ (type == WJSON_ARRAY ? 'a' : 'o'));
}

/* Hash a token; members of that name of the outermost object don't count. */
uint64_t
wjson_hash(Slice token, Slice skip)
{
	return hash_at_depth(token, skip, WJSON_MAX_DEPTH);
}
