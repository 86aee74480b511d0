/*
 * jwt.h
 *		Verify and issue JSON Web Tokens (PROTOCOL 7.1).
 *
 * HS256, HS384 and HS512 are verified with the oct key of the token's `kid`, if
 * the set of keys has one, else with the shared secret.  RS256 to RS512, ES256
 * to ES512 and EdDSA (also called Ed25519 and Ed448) need a `kid`, and the key
 * of that name and of the right kind in the set.  A token without such a key
 * gets JWT_NO_SIGNER, as does the algorithm `none`, a header with `crit`, and
 * whatever else there is; JWT_NO_SIGNER_FOR_KEY if there is a set, but no key
 * in it that may verify what names this `kid`.
 *
 * Order of the checks, each of which ends the verification: form of the token
 * (three parts, header and claims JSON), algorithm and key, signature, `exp`
 * (if there), `iat` (if there), the configured claims, presence of `role` and
 * `exp`.  So a token that is expired and wrongly signed has a bad signature, and
 * one that is expired and lacks a role is expired.  No leeway on `exp`; `nbf`,
 * `aud` and `iss` are not looked at unless configured.
 *
 * No function here allocates on its own (libcrypto may), none keeps a pointer,
 * and none puts a token or a secret into a text.
 */
#ifndef REALTIME_WIRE_JWT_H
#define REALTIME_WIRE_JWT_H

#include "jwks.h"
#include "slice.h"

/* Longest token that is looked at, in bytes; a longer one is malformed. */
#define JWT_MAX_TOKEN		16384

/* Scratch that jwt_verify() wants for a token of this many bytes. */
#define JWT_SCRATCH_SIZE(token_len)	(2 * (token_len))

typedef struct JwtKeys
{
	Slice		secret;			/* bytes of the configured string; empty: none */
	Slice		claim_validators;	/* JSON object, claim to exact value; empty: none */
	const Jwks *jwks;			/* keys that a token chooses by its kid; NULL: none; the caller's */
} JwtKeys;

typedef enum JwtStatus
{
	JWT_OK,
	JWT_MALFORMED,				/* not three parts, header or claims not JSON */
	JWT_CLAIMS_NOT_OBJECT,		/* claims are JSON but no object */
	JWT_NO_SIGNER,				/* algorithm not supported, or no key for it */
	JWT_NO_SIGNER_FOR_KEY,		/* the set has no key of this kid for this algorithm */
	JWT_BAD_SIGNATURE,
	JWT_EXPIRED,				/* integer exp <= now */
	JWT_EXPIRED_FRACTION,		/* the same, exp written with fraction or exponent */
	JWT_BAD_EXPIRY,				/* exp is no number */
	JWT_BAD_ISSUED_AT,			/* iat is no number */
	JWT_CLAIM_MISMATCH,			/* a configured claim has not its value */
	JWT_CLAIMS_MISSING			/* role or exp absent */
} JwtStatus;

typedef enum JwtRoleKind
{
	JWT_ROLE_TEXT,				/* a string, without U+0000 */
	JWT_ROLE_NULL,				/* null: may connect, has no rights on private channels */
	JWT_ROLE_OTHER				/* anything else: the same */
} JwtRoleKind;

typedef struct JwtClaims
{
	Slice		json;			/* the claims object, as it was signed */
	JwtRoleKind role_kind;
	Slice		role;			/* text; empty unless JWT_ROLE_TEXT */
	bool		has_sub;
	Slice		sub;			/* text; a `sub` that is no string counts as absent */
	int64_t		exp;			/* seconds since 1970, rounded, clamped to int64 */
	Slice		mismatch;		/* JWT_CLAIM_MISMATCH: name of the claim, text of the setting */
	Slice		kid;			/* JWT_NO_SIGNER_FOR_KEY: text of the header's kid */
} JwtClaims;

/*
 * Make a token ready: percent-decode it (once more) and take out all
 * whitespace.  The buffer needs raw.len bytes.  False if it is too small or the
 * token is longer than JWT_MAX_TOKEN: treat that as JWT_MALFORMED.  A bad
 * percent escape stays as it is (and makes the token malformed).  Tokens are
 * compared and stored in this form.
 */
bool		jwt_prepare(Slice raw, char *buffer, size_t size, Slice *token) WIRE_MUST_CHECK;

/*
 * Verify a prepared token at this time (seconds since 1970).  Slices of *out
 * point into the scratch buffer (mismatch: into keys).  After JWT_OK all is
 * set; after JWT_EXPIRED and JWT_EXPIRED_FRACTION exp is; after
 * JWT_CLAIM_MISMATCH mismatch is; after JWT_NO_SIGNER_FOR_KEY kid is.  A scratch
 * buffer that is too small makes the token JWT_MALFORMED.
 */
JwtStatus	jwt_verify(const JwtKeys *keys, Slice token, int64_t now, char *scratch,
					   size_t scratch_size, JwtClaims *out) WIRE_MUST_CHECK;

/*
 * Look again at a token that was verified before: is it still good at this
 * time?  JWT_OK or JWT_EXPIRED.
 */
static inline JwtStatus
jwt_recheck(int64_t exp, int64_t now)
{
	return exp > now ? JWT_OK : JWT_EXPIRED;
}

/* Is the text fit for the setting claim_validators: empty, or a JSON object? */
bool		jwt_claim_validators_valid(Slice text);

/* Longest text of a refusal, in bytes: the name of a claim or of a key in it is cut. */
#define JWT_TEXT_BOUND		256

/*
 * The refusal of a connect: writes the text for {"error": TEXT}, at most
 * JWT_TEXT_BOUND bytes, and returns the HTTP status.  claims are those that
 * jwt_verify() filled.  Not for JWT_OK.
 */
int			jwt_write_connect_refusal(Writer *w, JwtStatus status, const JwtClaims *claims);

/* "API key is missing": no key at all, or one that is no string; 401. */
#define JWT_API_KEY_MISSING		SLICE_LITERAL("API key is missing")

/* The body {"error":TEXT}, and how long it gets at most. */
void		jwt_write_error_body(Writer *w, Slice text);

#define JWT_ERROR_BODY_BOUND(text_len)	(10 + WRITER_JSON_STRING_BOUND(text_len))

/*
 * The reason of a refused join, `Code: message`.  claims are those that
 * jwt_verify() filled; now is for "Token has expired N seconds ago".  At most
 * JWT_TEXT_BOUND bytes.
 */
void		jwt_write_join_refusal(Writer *w, JwtStatus status, const JwtClaims *claims, int64_t now);

/*
 * The message of the `system` error that shuts a channel whose token has run
 * out or was replaced by a bad one (PROTOCOL 3.8).  For jwt_recheck() set
 * claims->exp.
 */
void		jwt_write_shutdown(Writer *w, JwtStatus status, const JwtClaims *claims, int64_t now);

/*
 * Issue a token: HS256, header {"alg":"HS256","typ":"JWT"}, with these claims
 * (JSON text, taken as it is).  False if the secret is empty, libcrypto fails
 * or the writer has failed.  JWT_SIGNED_SIZE is what it writes.
 */
bool		jwt_sign_hs256(Slice secret, Slice claims, Writer *w) WIRE_MUST_CHECK;

/* 36 for the header, 43 for the signature, two dots, and the claims. */
#define JWT_SIGNED_SIZE(claims_len)	(81 + ((claims_len) / 3 + 1) * 4)

#endif							/* REALTIME_WIRE_JWT_H */
