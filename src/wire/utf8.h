/*
 * utf8.h
 *		One step through UTF-8 text; for src/wire only.
 */
#ifndef REALTIME_WIRE_UTF8_H
#define REALTIME_WIRE_UTF8_H

/* Is this byte one that continues a character? */
static inline int
utf8_is_continuation(unsigned char byte)
{
	return (byte & 0xC0) == 0x80;
}

/*
 * The length of the valid character at p, 1 to 4, or 0 if there is none before
 * end.  p is below end.
 */
static inline int
utf8_length(const char *p, const char *end)
{
	const unsigned char *u = (const unsigned char *) p;
	long		left = end - p;

	if (u[0] < 0x80)
		return 1;
	if (u[0] < 0xC2)
		return 0;				/* a continuation byte, or overlong */
	if (u[0] < 0xE0)
		return left >= 2 && utf8_is_continuation(u[1]) ? 2 : 0;
	if (u[0] < 0xF0)
	{
		if (left < 3 || !utf8_is_continuation(u[1]) || !utf8_is_continuation(u[2]))
			return 0;
		if ((u[0] == 0xE0 && u[1] < 0xA0) || (u[0] == 0xED && u[1] > 0x9F))
			return 0;			/* overlong, or a surrogate */
		return 3;
	}
	if (u[0] > 0xF4 || left < 4)
		return 0;
	if (!utf8_is_continuation(u[1]) || !utf8_is_continuation(u[2]) || !utf8_is_continuation(u[3]))
		return 0;
	if ((u[0] == 0xF0 && u[1] < 0x90) || (u[0] == 0xF4 && u[1] > 0x8F))
		return 0;				/* overlong, or beyond U+10FFFF */
	return 4;
}

#endif							/* REALTIME_WIRE_UTF8_H */
