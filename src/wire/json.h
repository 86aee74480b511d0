/*
 * json.h
 *		Validate JSON text (RFC 8259) and look into it without copying it.
 *
 * First wjson_validate() (or wjson_parse()), which reads every byte; then the
 * other functions, which believe what was validated and only skip.  They stay
 * within the slice whatever it holds, but what they answer for text that was
 * not validated means nothing.
 *
 * What is valid here: RFC 8259, in UTF-8 without overlong forms, surrogates
 * or a byte order mark, nested at most WJSON_MAX_DEPTH deep.  An escaped lone
 * surrogate ("\ud800") is refused, since no UTF-8 text can hold it; "\u0000"
 * is accepted and unescapes to a NUL byte: who passes a text on to C strings
 * or to PostgreSQL must refuse it there (slice_has_byte(text, '\0')).
 *
 * A *token* is the text of one value, without whitespace around it.
 *
 * Of two equal keys of an object the FIRST counts, as in the reference server.
 *
 * Nothing here allocates.  Cost is linear in the text, save where noted.
 * (The prefix is wjson_ because the server itself exports json_ functions.)
 */
#ifndef REALTIME_WIRE_JSON_H
#define REALTIME_WIRE_JSON_H

#include "slice.h"

#define WJSON_MAX_DEPTH		256	/* arrays and objects open at once */

typedef enum WjsonType
{
	WJSON_NONE,					/* no value: an empty slice */
	WJSON_NULL,
	WJSON_TRUE,
	WJSON_FALSE,
	WJSON_NUMBER,
	WJSON_STRING,
	WJSON_ARRAY,
	WJSON_OBJECT
} WjsonType;

/* Is the text exactly one JSON value, perhaps with whitespace around it? */
bool		wjson_validate(Slice text) WIRE_MUST_CHECK;

/* The same; if it is, *token is the value without the whitespace around it. */
bool		wjson_parse(Slice text, Slice *token) WIRE_MUST_CHECK;

/* The type of a token, by its first byte. */
WjsonType	wjson_type(Slice token);

/*
 * Walk over the members of an object or the elements of an array.
 *
 *		WjsonIter	it;
 *		Slice		key, value;
 *
 *		if (wjson_iter_start(&it, token))
 *			while (wjson_iter_next(&it, &key, &value))
 *				...
 *
 * wjson_iter_start() is false when the token is neither array nor object.  key
 * is the raw string token, with its quotes (empty for elements of an array);
 * value is the raw token.  Equal keys come as often as they are there.
 */
typedef struct WjsonIter
{
	const char *pos;
	const char *end;
	bool		object;
} WjsonIter;

bool		wjson_iter_start(WjsonIter *it, Slice token) WIRE_MUST_CHECK;
bool		wjson_iter_next(WjsonIter *it, Slice *key, Slice *value) WIRE_MUST_CHECK;

/*
 * The value of the first member of this name; false (and an empty *value) if
 * there is none or the token is no object.  The name is plain text.
 */
bool		wjson_member(Slice object, Slice name, Slice *value);

/*
 * The same for several names at once, in one walk: values[i] is the value of
 * the first member names[i], or empty.  False if the token is no object.
 */
bool		wjson_members(Slice object, const Slice *names, Slice *values, int count);

/* Does a string token, unescaped, equal this text?  False for other types. */
bool		wjson_string_equals(Slice token, Slice text);

/*
 * The text of a string token.  Without escapes *text points into the token
 * and the buffer is not touched; else the text is written into the buffer,
 * which needs at most token.len bytes, and *used (may be NULL) is how many.
 * False if the token is no string or the buffer is too small.
 */
bool		wjson_string_text(Slice token, char *buffer, size_t size, Slice *text,
							  size_t *used) WIRE_MUST_CHECK;

/*
 * A number that is written as an integer (no fraction, no exponent) and fits;
 * false otherwise.  "-0" is 0.
 */
bool		wjson_number_int64(Slice token, int64_t *value) WIRE_MUST_CHECK;

/* Is the number written as an integer, of any size? */
bool		wjson_number_is_integer(Slice token);

/*
 * Any number as a double, correctly rounded for up to 40 significant digits;
 * false if it is no number or too large for a double.  Doesn't depend on the
 * locale.
 */
bool		wjson_number_double(Slice token, double *value) WIRE_MUST_CHECK;

/*
 * Are two tokens the same value?  Keys in any order, strings unescaped;
 * integers by their digits, other numbers as doubles, and an integer never
 * equals a number with fraction or exponent (as in the reference server).
 * Quadratic in the number of keys of an object: for configuration, not for
 * what strangers send.  Recursion is bounded by WJSON_MAX_DEPTH.
 */
bool		wjson_equal(Slice a, Slice b);

/*
 * A hash that is equal for equal values in the sense of wjson_equal(), as long
 * as no object has two equal keys.  Members of the outermost object that are
 * named `skip` are left out (an empty skip leaves out nothing).  Not
 * cryptographic: who knows it can make collisions.
 */
uint64_t	wjson_hash(Slice token, Slice skip);

#endif							/* REALTIME_WIRE_JSON_H */
