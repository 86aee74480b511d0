/*
 * jwk.h
 *		Read one JSON Web Key (RFC 7517, 7518, 8037).
 *
 * For jwks.c; who wants keys reads a whole document.
 */
#ifndef REALTIME_WIRE_JWK_H
#define REALTIME_WIRE_JWK_H

#include "jws.h"

/* What is accepted. */
#define JWK_MAX_KID				256		/* bytes */
#define JWK_MIN_SECRET			32		/* bytes of an oct key */
#define JWK_MAX_SECRET			1024
#define JWK_MIN_RSA_BITS		2048
#define JWK_MAX_RSA_BITS		8192
#define JWK_MAX_RSA_EXPONENT	4		/* bytes */

typedef enum JwkVerdict
{
	JWK_READ,
	JWK_NOT_FOR_US,				/* well formed, but it can't verify a token here */
	JWK_BROKEN
} JwkVerdict;

/*
 * Read a key, a token that was validated.  After JWK_READ the key is to be
 * freed with jwk_clear(); else the text says why: a constant sentence part to
 * follow the name of the key, with numbers at most and nothing of the key.
 *
 * Not for us: an unknown kty or crv, no kid (a key is chosen by it), an alg
 * that is not known here, a `use` other than sig, `key_ops` without verify.
 * Private parts are not read.
 */
JwkVerdict	jwk_read(Slice object, Jwk *key, char *text, size_t text_size) WIRE_MUST_CHECK;

/* Free what a key owns; a secret is wiped. */
void		jwk_clear(Jwk *key);

#endif							/* REALTIME_WIRE_JWK_H */
