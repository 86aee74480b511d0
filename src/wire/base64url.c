/*
 * base64url.c
 *		The URL-safe alphabet of RFC 4648, without padding.
 */
#include "base64url.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Append bytes in base64url. */
void
base64url_write(Writer *w, const void *data, size_t len)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < len; i += 3)
	{
		size_t		n = len - i < 3 ? len - i : 3;
		uint32_t	group = (uint32_t) p[i] << 16;
		char		digits[4];

		if (n > 1)
			group |= (uint32_t) p[i + 1] << 8;
		if (n > 2)
			group |= p[i + 2];
		for (int k = 0; k < 4; k++)
			digits[k] = alphabet[group >> (18 - 6 * k) & 63];
		writer_bytes(w, digits, n + 1);
	}
}

/* The value of a digit, or -1. */
static int
digit_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '-' ? 62 : c == '_' ? 63 : -1;
}

/* Decode a text of which every bit counts. */
bool
base64url_decode(Slice text, void *buffer, size_t size, size_t *len)
{
	unsigned char *out = buffer;
	uint32_t	bits = 0;
	int			pending = 0;
	size_t		n = 0;

	*len = 0;
	if (text.len % 4 == 1 || BASE64URL_DECODED_SIZE(text.len) > size)
		return false;
	for (size_t i = 0; i < text.len; i++)
	{
		int			value = digit_value(text.data[i]);

		if (value < 0)
			return false;
		bits = (bits << 6 | (uint32_t) value) & 0xFFFF;
		pending += 6;
		if (pending >= 8)
		{
			pending -= 8;
			out[n++] = (unsigned char) (bits >> pending);
		}
	}
	if ((bits & ((1u << pending) - 1)) != 0)
		return false;
	*len = n;
	return true;
}
