/*
 * json_private.h
 *		What the .c files of json.h share; for src/wire only.
 */
#ifndef REALTIME_WIRE_JSON_PRIVATE_H
#define REALTIME_WIRE_JSON_PRIVATE_H

#include "json.h"

/* The next byte, or -1 at the end. */
static inline int
peek(const char *p, const char *end)
{
	return p < end ? (unsigned char) *p : -1;
}

static inline bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool
is_digit(int c)
{
	return c >= '0' && c <= '9';
}

static inline const char *
skip_blanks(const char *p, const char *end)
{
	while (p < end && is_blank(*p))
		p++;
	return p;
}

/*
 * Read the escape at p, which points to its backslash.  Gives the code point
 * and returns what follows it; NULL if it is no escape, or a lone surrogate.
 */
const char *wjson_read_escape(const char *p, const char *end, uint32_t *code);

/* Validate the number at p; what follows it, or NULL. */
const char *wjson_check_number(const char *p, const char *end);

/* Reads the text of a string token byte by byte, unescaped. */
typedef struct WjsonText
{
	const char *pos;
	const char *end;
	char		piece[4];		/* the bytes of one escape */
	int			at;
	int			count;
} WjsonText;

/* Begin to read a string token, of two bytes at least. */
static inline WjsonText
wjson_text_start(Slice token)
{
	return (WjsonText) {token.data + 1, token.data + token.len - 1, {0}, 0, 0};
}

/* The next byte of the text, 0 to 255, or -1 at its end. */
int			wjson_text_next(WjsonText *text);

#endif							/* REALTIME_WIRE_JSON_PRIVATE_H */
