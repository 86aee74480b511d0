/*
 * token.c
 *	  Tokens that were found good.
 */
#include "postgres.h"

#include <time.h>

#include "listener/token.h"
#include "shared/settings.h"

static char prepared[JWT_MAX_TOKEN];
static char scratch[JWT_SCRATCH_SIZE(JWT_MAX_TOKEN)];

int64
token_clock(void)
{
	return (int64) time(NULL);
}

/* Verify prepared text with the settings of now. */
static bool
verify(Slice text, TokenRefusal *refusal)
{
	JwtKeys		keys = {slice_cstring(realtime_jwt_secret), SLICE_EMPTY};

	refusal->now = token_clock();
	refusal->status = jwt_verify(&keys, text, refusal->now, scratch, sizeof(scratch), &refusal->claims);
	return refusal->status == JWT_OK;
}

/* Copy what is needed later; NULL if there is no memory. */
static Token *
keep(Slice text, const JwtClaims *claims)
{
	Token	   *token = malloc(offsetof(Token, bytes) + text.len + claims->role.len + claims->sub.len);
	Writer		w;

	if (token == NULL)
		return NULL;
	*token = (Token)
	{
		.refs = 1,
		.text_len = text.len,
		.role_len = claims->role.len,
		.sub_len = claims->has_sub ? claims->sub.len : 0,
		.exp = claims->exp,
		.has_role = claims->role_kind == JWT_ROLE_TEXT,
		.has_sub = claims->has_sub
	};
	w = writer_fixed(token->bytes, text.len + claims->role.len + claims->sub.len);
	writer_slice(&w, text);
	writer_slice(&w, claims->role);
	if (claims->has_sub)
		writer_slice(&w, claims->sub);
	return token;
}

/* Prepare and verify. Without memory the token counts as one that can't be read. */
Token *
token_verify(Slice raw, Token *same, TokenRefusal *refusal)
{
	Slice		text;
	Token	   *token;

	memset(refusal, 0, sizeof(*refusal));
	refusal->now = token_clock();
	refusal->status = JWT_MALFORMED;
	if (!jwt_prepare(raw, prepared, sizeof(prepared), &text) || !verify(text, refusal))
		return NULL;
	if (same != NULL && slice_equal(text, token_text(same)))
		return token_ref(same);
	token = keep(text, &refusal->claims);
	if (token == NULL)
		refusal->status = JWT_MALFORMED;
	return token;
}

bool
token_still_good(Token *token, TokenRefusal *refusal)
{
	memset(refusal, 0, sizeof(*refusal));
	return verify(token_text(token), refusal);
}

bool
token_is(const Token *token, Slice raw)
{
	Slice		text;

	return jwt_prepare(raw, prepared, sizeof(prepared), &text) && slice_equal(text, token_text(token));
}

Token *
token_ref(Token *token)
{
	token->refs++;
	return token;
}

void
token_unref(Token *token)
{
	if (token != NULL && --token->refs == 0)
		free(token);
}
