/*
 * slice.h
 *		Slices of bytes that somebody else owns, and a writer that can't throw.
 *
 * src/wire is pure C: no PostgreSQL, no libwebsockets, no allocation.  Its .c
 * files refuse to compile beside postgres.h; its headers may be included by
 * the rooms that use it.  Every function may be called in every process, at
 * any time, also inside a callback of libwebsockets.
 *
 * Lifetime: a Slice points into memory of the caller (a frame, a scratch
 * buffer).  It is valid for as long as that memory is.  It is not terminated
 * by a NUL and may hold NULs.
 */
#ifndef REALTIME_WIRE_SLICE_H
#define REALTIME_WIRE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define WIRE_MUST_CHECK __attribute__((warn_unused_result))

typedef struct Slice
{
	const char *data;			/* NULL only if len is 0 */
	size_t		len;			/* bytes */
} Slice;

/* A slice of a string literal, as an initializer and as an expression. */
#define SLICE_INIT(literal)		{"" literal, sizeof(literal) - 1}
#define SLICE_LITERAL(literal)	((Slice) SLICE_INIT(literal))

#define SLICE_EMPTY				((Slice) {NULL, 0})

/* A slice of a C string, which may be NULL. */
static inline Slice
slice_cstring(const char *text)
{
	return (Slice) {text, text == NULL ? 0 : strlen(text)};
}

static inline Slice
slice_make(const void *data, size_t len)
{
	return (Slice) {(const char *) data, len};
}

static inline bool
slice_equal(Slice a, Slice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* The value of a hexadecimal digit, or -1. */
static inline int
slice_hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static inline bool
slice_starts_with(Slice text, Slice prefix)
{
	return text.len >= prefix.len &&
		(prefix.len == 0 || memcmp(text.data, prefix.data, prefix.len) == 0);
}

/* What is left of a slice after its first n bytes; empty if it has fewer. */
static inline Slice
slice_skip(Slice text, size_t n)
{
	if (n >= text.len)
		return (Slice) {text.data == NULL ? NULL : text.data + text.len, 0};
	return (Slice) {text.data + n, text.len - n};
}

/* Equal when the letters A-Z and a-z count as the same. */
bool		slice_equal_nocase(Slice a, Slice b);

/* Does the slice hold this byte? */
static inline bool
slice_has_byte(Slice text, char byte)
{
	return text.len > 0 && memchr(text.data, byte, text.len) != NULL;
}

/* Valid UTF-8: no overlong form, no surrogate, nothing beyond U+10FFFF. */
bool		slice_is_utf8(Slice text);

/* The longest beginning of a UTF-8 text that has at most max bytes and cuts no character. */
Slice		slice_cut_text(Slice text, size_t max);

/*
 * A writer appends to a buffer of fixed size that belongs to the caller.  What
 * doesn't fit sets `failed`, which stays set; from then on nothing is written
 * and `len` stays what it was, so it is enough to look at `failed` once, at
 * the end.
 *
 * A *measuring* writer has no buffer: it only counts.  To get a buffer of the
 * right size, run an encoder twice: first measuring, then into len bytes.
 */
typedef struct Writer
{
	char	   *data;			/* NULL: measuring */
	size_t		len;			/* bytes written, or counted */
	size_t		cap;			/* size of data */
	bool		failed;			/* something did not fit */
} Writer;

static inline Writer
writer_fixed(void *buffer, size_t cap)
{
	return (Writer) {(char *) buffer, 0, buffer == NULL ? 0 : cap, buffer == NULL};
}

static inline Writer
writer_measuring(void)
{
	return (Writer) {NULL, 0, SIZE_MAX / 2, false};
}

/* What has been written so far (empty for a measuring writer). */
static inline Slice
writer_written(const Writer *w)
{
	return (Slice) {w->data, w->data == NULL ? 0 : w->len};
}

void		writer_bytes(Writer *w, const void *data, size_t len);
void		writer_char(Writer *w, char c);
void		writer_uint(Writer *w, uint64_t value);
void		writer_int(Writer *w, int64_t value);

static inline void
writer_slice(Writer *w, Slice text)
{
	writer_bytes(w, text.data, text.len);
}

static inline void
writer_cstring(Writer *w, const char *text)
{
	writer_bytes(w, text, strlen(text));
}

#define writer_literal(w, literal)	writer_bytes((w), "" literal, sizeof(literal) - 1)

/*
 * Text as a JSON string, with its quotes.  The text must be UTF-8; a byte that
 * is no part of valid UTF-8 becomes U+FFFD, so that what is written is always
 * valid JSON.  At most WRITER_JSON_STRING_BOUND bytes are written.
 */
void		writer_json_string(Writer *w, Slice text);

#define WRITER_JSON_STRING_BOUND(len)	(6 * (len) + 2)

#endif							/* REALTIME_WIRE_SLICE_H */
