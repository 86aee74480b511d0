/*
 * jws.h
 *		The signatures of tokens: names of the algorithms, and checking one
 *		signature with one key (RFC 7515, 7518, 8037).
 *
 * A key says which algorithms it may verify, and no other is tried with it: so
 * a public key is never taken for the secret of an HMAC, nor a key of one curve
 * for another.
 *
 * Nothing here allocates on its own (libcrypto does) or leaves something behind
 * in the error queue of libcrypto, which TLS reads.
 */
#ifndef REALTIME_WIRE_JWS_H
#define REALTIME_WIRE_JWS_H

#include "slice.h"

#define JWS_MAX_MAC			64		/* bytes of the longest MAC, HS512 */
#define JWS_MAX_SIGNATURE	1024	/* bytes of the longest signature, RSA with 8192 bits */

/* The algorithms that are known; `none` is not among them. */
typedef enum JwsAlgorithm
{
	JWS_HS256, JWS_HS384, JWS_HS512,
	JWS_RS256, JWS_RS384, JWS_RS512,
	JWS_ES256, JWS_ES384, JWS_ES512,
	JWS_EDDSA,					/* either curve */
	JWS_ED25519, JWS_ED448,		/* the same, with the curve in the name */
	JWS_ALGORITHMS				/* how many there are */
} JwsAlgorithm;

/* A set of algorithms. */
#define JWS_BIT(algorithm)	(UINT32_C(1) << (algorithm))
#define JWS_HS				(JWS_BIT(JWS_HS256) | JWS_BIT(JWS_HS384) | JWS_BIT(JWS_HS512))
#define JWS_RS				(JWS_BIT(JWS_RS256) | JWS_BIT(JWS_RS384) | JWS_BIT(JWS_RS512))

/* `kty`: what kind of key an algorithm needs. */
typedef enum JwkType
{
	JWK_OCT,
	JWK_RSA,
	JWK_EC,
	JWK_OKP
} JwkType;

/* A key that was read (jwk.h). */
typedef struct Jwk
{
	JwkType		type;
	uint32_t	algorithms;		/* JWS_BIT of those that it may verify, never 0 */
	Slice		kid;			/* text, may be empty; owned by the key */
	Slice		secret;			/* JWK_OCT: the bytes; owned by the key */
	struct evp_pkey_st *public_key;	/* the others: EVP_PKEY, owned by the key */
} Jwk;

/* The algorithm of a name, a JSON token; false if it is no string or not known. */
bool		jws_algorithm(Slice name, JwsAlgorithm *algorithm) WIRE_MUST_CHECK;

/* The kind of key that an algorithm needs. */
JwkType		jws_key_type(JwsAlgorithm algorithm);

/*
 * The MAC of a text, for JWS_HS256 to JWS_HS512: at most JWS_MAX_MAC bytes.
 * False for other algorithms, an empty secret, or if libcrypto fails.
 */
bool		jws_mac(JwsAlgorithm algorithm, Slice secret, Slice input, unsigned char *mac,
					size_t *len) WIRE_MUST_CHECK;

/*
 * Is this the MAC of the input?  Compared in constant time.  Bytes, not
 * base64url.
 */
bool		jws_verify_secret(JwsAlgorithm algorithm, Slice secret, Slice input,
							  Slice signature) WIRE_MUST_CHECK;

/*
 * Is this the signature of the input under this key?  False also when the key
 * may not verify the algorithm.  Bytes, not base64url; ECDSA: r and s, each as
 * long as the curve wants.
 */
bool		jws_verify(const Jwk *key, JwsAlgorithm algorithm, Slice input,
					   Slice signature) WIRE_MUST_CHECK;

#endif							/* REALTIME_WIRE_JWS_H */
