/*
 * token.h
 *	  Tokens that were found good: kept once, shared by a connection and its channels.
 *
 * An opaque key of realtime.api_keys counts as a token that has the role of the key, no other claim, and no end; claim
 * validators are for the tokens of others and don't apply to it.
 */
#ifndef REALTIME_LISTENER_TOKEN_H
#define REALTIME_LISTENER_TOKEN_H

#include "wire/jwt.h"

typedef struct Token
{
	uint32		refs;
	uint32		text_len;
	uint32		role_len;
	uint32		sub_len;
	int64		exp;			/* seconds since 1970; PG_INT64_MAX: an opaque key */
	bool		opaque;
	bool		has_role;		/* false: the claim is there, but no text */
	bool		has_sub;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];	/* prepared text, role, sub */
} Token;

/* Why a token was refused; claims points into memory that the next verification overwrites. */
typedef struct TokenRefusal
{
	JwtStatus	status;
	JwtClaims	claims;
	int64		now;			/* when it was looked at, seconds since 1970 */
} TokenRefusal;

/*
 * Prepare and verify a token. The caller owns one reference to what is returned; NULL: refused, and *refusal says
 * why. If same is given and the token is the same text, that is verified again and returned with one more reference.
 */
extern Token *token_verify(Slice raw, Token *same, TokenRefusal *refusal);

/* The same for a token that was kept: with the keys of now, and the time of now. */
extern bool token_still_good(Token *token, TokenRefusal *refusal);

/* Is this, once prepared, the text of the token? */
extern bool token_is(const Token *token, Slice raw);

extern Token *token_ref(Token *token);
extern void token_unref(Token *token);

static inline Slice
token_text(const Token *token)
{
	return slice_make(token->bytes, token->text_len);
}

static inline Slice
token_role(const Token *token)
{
	return slice_make(token->bytes + token->text_len, token->role_len);
}

static inline Slice
token_sub(const Token *token)
{
	return slice_make(token->bytes + token->text_len + token->role_len, token->sub_len);
}

/* The claims, a JSON object; valid until the next call. */
extern Slice token_claims(const Token *token);

/* Seconds since 1970. */
extern int64 token_clock(void);

#endif							/* REALTIME_LISTENER_TOKEN_H */
