/*
 * token.c
 *	  Tokens that were found good.
 */
#include "postgres.h"

#include <time.h>

#include "listener/keys.h"
#include "listener/token.h"
#include "shared/api_keys.h"
#include "shared/settings.h"
#include "wire/base64url.h"

static char prepared[JWT_MAX_TOKEN];
static char scratch[JWT_SCRATCH_SIZE(JWT_MAX_TOKEN)];
static char claims_buffer[JWT_MAX_TOKEN];
static char opaque_role[API_KEY_ROLE_SIZE];

int64
token_clock(void)
{
	return (int64) time(NULL);
}

/* The role of an opaque key; one that is not known is no token either. */
static bool
verify_opaque(Slice key, TokenRefusal *refusal)
{
	if (!api_keys_find(realtime_api_keys, key, opaque_role))
	{
		refusal->status = JWT_MALFORMED;
		return false;
	}
	refusal->status = JWT_OK;
	refusal->claims.role_kind = JWT_ROLE_TEXT;
	refusal->claims.role = slice_cstring(opaque_role);
	refusal->claims.exp = PG_INT64_MAX;
	return true;
}

/* Verify prepared text with the keys of now. */
static bool
verify(Slice text, TokenRefusal *refusal)
{
	JwtKeys		keys;

	refusal->now = token_clock();
	if (api_key_like(text))
		return verify_opaque(text, refusal);
	keys = keys_now();
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
		.opaque = api_key_like(text),
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
	if (!verify(token_text(token), refusal))
		return false;
	if (!token->opaque || slice_equal(refusal->claims.role, token_role(token)))
		return true;
	refusal->status = JWT_MALFORMED;	/* the key has another role now */
	return false;
}

Slice
token_claims(const Token *token)
{
	Slice		text = token_text(token);
	Writer		w = writer_fixed(claims_buffer, sizeof(claims_buffer));
	const char *begin = memchr(text.data, '.', text.len);
	const char *end = begin == NULL ? NULL : memchr(begin + 1, '.', text.data + text.len - begin - 1);
	size_t		len;

	if (token->opaque)
	{
		writer_literal(&w, "{\"role\":");
		writer_json_string(&w, token_role(token));
		writer_char(&w, '}');
		return writer_written(&w);
	}
	if (end == NULL ||
		!base64url_decode(slice_make(begin + 1, end - begin - 1), claims_buffer, sizeof(claims_buffer), &len))
		return SLICE_LITERAL("{}");
	return slice_make(claims_buffer, len);
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
