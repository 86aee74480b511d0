/*
 * fuzz_jwt.c
 *		Tokens of any bytes, signed ones with any claims or claim validators, and
 *		any header and signature beside a set of keys.
 */
#include "fuzz.h"

#include "../unit/jws_vectors.h"
#include "wire/base64url.h"
#include "wire/jwt.h"

static const Slice secret = SLICE_INIT("a-secret-of-at-least-32-bytes-for-tests");

static JwtStatus
verify(const JwtKeys *keys, Slice token)
{
	char	   *scratch = malloc(JWT_SCRATCH_SIZE(token.len) + 1);
	char		text[JWT_TEXT_BOUND];
	char		body[JWT_ERROR_BODY_BOUND(JWT_TEXT_BOUND)];
	JwtClaims	claims;
	JwtStatus	status;
	Writer		w = writer_fixed(text, sizeof(text));
	Writer		b;

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
	{
		REQUIRE(jwt_write_connect_refusal(&w, status, &claims) >= 401);
		REQUIRE(!w.failed && slice_is_utf8(writer_written(&w)));
		b = writer_fixed(body, sizeof(body));
		jwt_write_error_body(&b, writer_written(&w));
		REQUIRE(!b.failed && wjson_validate(writer_written(&b)));
	}
	REQUIRE(slice_is_utf8(claims.kid) && (claims.kid.len == 0 || status == JWT_NO_SIGNER_FOR_KEY));
	w = writer_fixed(text, sizeof(text));
	jwt_write_join_refusal(&w, status, &claims, 1700000000);
	REQUIRE(!w.failed);
	w = writer_fixed(text, sizeof(text));
	jwt_write_shutdown(&w, status, &claims, 1700000000);
	REQUIRE(!w.failed && slice_is_utf8(writer_written(&w)));
	free(scratch);
	return status;
}

/* The input as a whole token, as it came and prepared. */
static void
any_token(Slice input)
{
	JwtKeys		keys = {.secret = secret};
	char	   *buffer = malloc(input.len + 1);
	Slice		token;

	REQUIRE(buffer != NULL);
	(void) verify(&keys, input);
	if (jwt_prepare(input, buffer, input.len, &token))
		(void) verify(&keys, token);
	free(buffer);
}

/* The input as claims, or as claim validators, of a token that is signed well. */
static void
signed_token(Slice claims, Slice validators)
{
	JwtKeys		keys = {.secret = secret, .claim_validators = validators};
	Writer		w = fuzz_writer(JWT_SIGNED_SIZE(claims.len));
	JwtStatus	status;

	REQUIRE(jwt_sign_hs256(secret, claims, &w));
	status = verify(&keys, writer_written(&w));
	/* validators that are not read let nobody in */
	REQUIRE(status != JWT_OK || jwt_claim_validators_valid(validators));
	free(w.data);
}

/* Keys of every kind: rsa, p256, p384, p521, ed25519, ed448, oct. */
static const Jwks *
key_set(void)
{
	static Jwks *jwks;
	char		error[JWKS_ERROR_SIZE];

	if (jwks == NULL)
		jwks = jwks_parse(foreign_keys, error, sizeof(error));
	REQUIRE(jwks != NULL);
	return jwks;
}

/* The input as a token that chooses its key. */
static void
keyed_token(Slice input)
{
	JwtKeys		keys = {.jwks = key_set()};

	(void) verify(&keys, input);
}

/* The input as header, NUL, signature, around claims that nobody has signed. */
static void
forged_token(Slice input)
{
	static const Slice claims = SLICE_INIT("{\"role\":\"service_role\",\"exp\":2082758400}");
	const char *cut = input.len == 0 ? NULL : memchr(input.data, '\0', input.len);
	size_t		header_len = cut == NULL ? input.len : (size_t) (cut - input.data);
	Slice		signature = slice_skip(input, header_len + 1);
	JwtKeys		keys = {.secret = secret, .jwks = key_set()};
	Writer		w = fuzz_writer(2 * input.len + 128);

	base64url_write(&w, input.data, header_len);
	writer_char(&w, '.');
	base64url_write(&w, claims.data, claims.len);
	writer_char(&w, '.');
	base64url_write(&w, signature.data, signature.len);
	REQUIRE(!w.failed);
	REQUIRE(verify(&keys, writer_written(&w)) != JWT_OK);
	free(w.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		input;

	if (size == 0)
		return 0;
	input = slice_make(data + 1, size - 1);
	switch (data[0] % 5)
	{
		case 0:
			any_token(input);
			break;
		case 1:
			signed_token(input, SLICE_EMPTY);
			break;
		case 3:
			keyed_token(input);
			break;
		case 4:
			forged_token(input);
			break;
		default:
			if (input.len <= 1024)
				signed_token(SLICE_LITERAL("{\"role\":\"anon\",\"exp\":2082758400,\"iss\":\"a\",\"aud\":[\"x\",{\"y\":1.5}]}"), input);
			break;
	}
	return 0;
}
