/*
 * base64url.h
 *		The URL-safe alphabet of RFC 4648, section 5, without padding.
 *
 * Decoding is strict: `=`, `+`, `/`, whitespace, a length of 4n+1 and unused
 * bits that are not zero are all refused, so that a text has one spelling.
 */
#ifndef REALTIME_WIRE_BASE64URL_H
#define REALTIME_WIRE_BASE64URL_H

#include "slice.h"

/* How many bytes a text of this length decodes to, and the other way round. */
#define BASE64URL_DECODED_SIZE(len)	((len) / 4 * 3 + ((len) % 4 == 0 ? 0 : (len) % 4 - 1))
#define BASE64URL_ENCODED_SIZE(len)	((len) / 3 * 4 + ((len) % 3 == 0 ? 0 : (len) % 3 + 1))

void		base64url_write(Writer *w, const void *data, size_t len);

/* False if the text is not base64url or the buffer is too small. */
bool		base64url_decode(Slice text, void *buffer, size_t size, size_t *len) WIRE_MUST_CHECK;

#endif							/* REALTIME_WIRE_BASE64URL_H */
