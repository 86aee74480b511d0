/*
 * jwks.h
 *		A set of JSON Web Keys, from which a token chooses by its `kid`
 *		(PROTOCOL 7.1).
 *
 * The document is {"keys": [...]}, of kinds oct (HS256 to HS512), RSA (RS256 to
 * RS512), EC (ES256 to ES512) and OKP (EdDSA).  Keys are read once, when the
 * document is parsed; verifying a token parses none.
 *
 * A key that is well formed but can't verify a token here is left out, and
 * jwks_note() tells of it: an unknown kty or crv, an alg that is not known, a
 * `use` other than sig, `key_ops` without verify, no kid.  A key that is broken
 * makes the whole document refused, so that a mistake is seen at once and the
 * keys of before can stay in use.  What limits there are: jwk.h and below.
 *
 * Unlike the rest of src/wire this allocates, with malloc; parse and free
 * outside of hot paths.  They may still be called anywhere: nothing throws.
 */
#ifndef REALTIME_WIRE_JWKS_H
#define REALTIME_WIRE_JWKS_H

#include "jws.h"

#define JWKS_MAX_DOCUMENT	(1024 * 1024)	/* bytes */
#define JWKS_MAX_KEYS		64		/* those that are left out count too */
#define JWKS_ERROR_SIZE		192		/* enough for every reason and note */

typedef struct Jwks Jwks;

/*
 * Parse a document.  What is returned belongs to the caller (jwks_free) and
 * points nowhere into the document.  NULL: refused, and the text (terminated)
 * says why, such as
 *		keys[2]: "n" has 1024 bits, at least 2048 are needed
 * It holds nothing of a key and may be logged.
 */
Jwks	   *jwks_parse(Slice document, char *error, size_t error_size) WIRE_MUST_CHECK;

/* Free a set; NULL is none.  Secrets are wiped. */
void		jwks_free(Jwks *jwks);

/* How many keys there are to choose from. */
int			jwks_count(const Jwks *jwks);

/* How many were left out, and why the first of them was (NULL if none). */
int			jwks_left_out(const Jwks *jwks);
const char *jwks_note(const Jwks *jwks);

/*
 * The first key of this kind with this kid; NULL if there is none.  It belongs
 * to the set.
 */
const Jwk  *jwks_find(const Jwks *jwks, JwkType type, Slice kid);

#endif							/* REALTIME_WIRE_JWKS_H */
