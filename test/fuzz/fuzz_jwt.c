/*
 * fuzz_jwt.c
 *		Tokens of any bytes, and signed ones with any claims or claim validators.
 */
#include "fuzz.h"

#include "wire/base64url.h"
#include "wire/jwt.h"

static const Slice secret = SLICE_INIT("a-secret-of-at-least-32-bytes-for-tests");

static void
verify(const JwtKeys *keys, Slice token)
{
	char	   *scratch = malloc(JWT_SCRATCH_SIZE(token.len) + 1);
	char		text[JWT_TEXT_BOUND];
	JwtClaims	claims;
	JwtStatus	status;
	Writer		w = writer_fixed(text, sizeof(text));
	Slice		connect;

	REQUIRE(scratch != NULL);
	status = jwt_verify(keys, token, 1700000000, scratch, JWT_SCRATCH_SIZE(token.len), &claims);
	if (status == JWT_OK)
	{
		REQUIRE(wjson_validate(claims.json) && wjson_type(claims.json) == WJSON_OBJECT);
		REQUIRE(claims.exp > 1700000000);
		REQUIRE(slice_is_utf8(claims.role) && !slice_has_byte(claims.role, '\0'));
		REQUIRE(slice_is_utf8(claims.sub) && !slice_has_byte(claims.sub, '\0'));
		REQUIRE((claims.role_kind == JWT_ROLE_TEXT) || claims.role.len == 0);
	}
	else
		REQUIRE(jwt_connect_refusal(status, &connect) >= 401 && slice_is_utf8(connect));
	jwt_write_join_refusal(&w, status, &claims, 1700000000);
	REQUIRE(!w.failed);
	w = writer_fixed(text, sizeof(text));
	jwt_write_shutdown(&w, status, &claims, 1700000000);
	REQUIRE(!w.failed && slice_is_utf8(writer_written(&w)));
	free(scratch);
}

/* The input as a whole token, as it came and prepared. */
static void
any_token(Slice input)
{
	JwtKeys		keys = {.secret = secret};
	char	   *buffer = malloc(input.len + 1);
	Slice		token;

	REQUIRE(buffer != NULL);
	verify(&keys, input);
	if (jwt_prepare(input, buffer, input.len, &token))
		verify(&keys, token);
	free(buffer);
}

/* The input as claims, or as claim validators, of a token that is signed well. */
static void
signed_token(Slice claims, Slice validators)
{
	JwtKeys		keys = {.secret = secret, .claim_validators = validators};
	Writer		w = fuzz_writer(JWT_SIGNED_SIZE(claims.len));

	REQUIRE(jwt_sign_hs256(secret, claims, &w));
	verify(&keys, writer_written(&w));
	free(w.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		input;

	if (size == 0)
		return 0;
	input = slice_make(data + 1, size - 1);
	switch (data[0] % 3)
	{
		case 0:
			any_token(input);
			break;
		case 1:
			signed_token(input, SLICE_EMPTY);
			break;
		default:
			if (input.len <= 1024)
				signed_token(SLICE_LITERAL("{\"role\":\"anon\",\"exp\":2082758400,\"iss\":\"a\",\"aud\":[\"x\",{\"y\":1.5}]}"), input);
			break;
	}
	return 0;
}
