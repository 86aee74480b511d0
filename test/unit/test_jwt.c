/*
 * test_jwt.c
 *		Tokens: those of the recordings, published vectors, and broken ones.
 */
#include "unit.h"

#include <stdio.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "wire/base64url.h"
#include "wire/json.h"
#include "wire/jwt.h"

#define SECRET		"a-secret-of-at-least-32-bytes-for-tests"
#define NOW			INT64_C(1795513002)
#define FUTURE		"2082758400"
#define USER		"\"sub\":\"11111111-1111-4111-8111-111111111111\""

static const JwtKeys keys = {.secret = SLICE_INIT(SECRET)};

static char token_buffer[8192];
static char scratch[2 * sizeof(token_buffer)];

/* Build a token with the algorithm that the digest stands for, whatever the header says. */
static Slice
make_token(const char *header, const char *claims, const EVP_MD *digest, const char *secret)
{
	Writer		w = writer_fixed(token_buffer, sizeof(token_buffer));
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned	len = 0;

	base64url_write(&w, header, strlen(header));
	writer_char(&w, '.');
	base64url_write(&w, claims, strlen(claims));
	if (digest != NULL)
		HMAC(digest, secret, (int) strlen(secret), (unsigned char *) w.data, w.len, mac, &len);
	writer_char(&w, '.');
	base64url_write(&w, mac, len);
	assert_false(w.failed);
	return writer_written(&w);
}

static Slice
hs256(const char *claims)
{
	return make_token("{\"alg\":\"HS256\",\"typ\":\"JWT\"}", claims, EVP_sha256(), SECRET);
}

/* Verify a copy that ends where its block ends, with no more scratch than promised. */
static JwtStatus
verify_at(const JwtKeys *with, Slice token, int64_t now, JwtClaims *claims)
{
	Slice		copy = copy_exactly(token);
	JwtStatus	status;

	assert_true(JWT_SCRATCH_SIZE(token.len) <= sizeof(scratch));
	status = jwt_verify(with, copy, now, scratch, JWT_SCRATCH_SIZE(token.len), claims);
	copy_free(copy);
	return status;
}

static JwtStatus
verify(Slice token, JwtClaims *claims)
{
	return verify_at(&keys, token, NOW, claims);
}

/* RFC 7515, appendix A.1: the key is 64 arbitrary bytes. */
static void
test_rfc7515(void **state)
{
	Slice		token = SLICE_LITERAL("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
									  ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
									  "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
									  ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
	char		key[64];
	size_t		len;
	JwtKeys		rfc = {0};
	JwtClaims	claims;

	(void) state;
	assert_true(base64url_decode(SLICE_LITERAL("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75"
											   "aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"), key, sizeof(key), &len));
	rfc.secret = slice_make(key, len);

	/* The signature is good, so what is amiss are the claims. */
	assert_int_equal(verify_at(&rfc, token, 1300819379, &claims), JWT_CLAIMS_MISSING);
	assert_int_equal(verify_at(&rfc, token, 1300819380, &claims), JWT_EXPIRED);
	assert_true(claims.exp == 1300819380);
	key[0] ^= 1;
	assert_int_equal(verify_at(&rfc, token, 1300819379, &claims), JWT_BAD_SIGNATURE);
}

/* Tokens that were made by another implementation. */
static void
test_algorithms(void **state)
{
	static const char *const tokens[] = {
		"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwMH0.br0kAzD4yEX6iDgQ9mAqOX3_auSwddsN7uQlhx1jjiM",
		"eyJhbGciOiJIUzM4NCIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwMH0._ayHFOk9JmBqszfjYiHHP9BX2QW_N1XM6Pl0oMf4Zitwv3W6b1ADj2bOrJJ0pUog",
		"eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwMH0.kk6KNrfclQsd_yJBYIup_6lHyDrjLNpwc7HTlzjnlzRdjJAhzInX-XRobmM_B5HRAPiIcsJ9zkBbAlhaPiUjYw",
	};

	(void) state;
	for (size_t i = 0; i < 3; i++)
	{
		JwtClaims	claims;
		Slice		token = slice_cstring(tokens[i]);

		assert_int_equal(verify(token, &claims), JWT_OK);
		assert_text(claims.json, "{\"role\":\"anon\",\"exp\":2082758400}");
		assert_int_equal(claims.role_kind, JWT_ROLE_TEXT);
		assert_text(claims.role, "anon");
		assert_false(claims.has_sub);
		assert_true(claims.exp == INT64_C(2082758400));

		/* No beginning of a token is a token. */
		for (size_t len = 0; len < token.len; len++)
		{
			JwtStatus	status = verify(slice_make(token.data, len), &claims);

			assert_true(status == JWT_MALFORMED || status == JWT_BAD_SIGNATURE);
		}
	}
}

static void
test_every_byte_counts(void **state)
{
	Slice		token = hs256("{\"role\":\"anon\",\"exp\":" FUTURE "}");
	JwtClaims	claims;

	(void) state;
	for (size_t at = 0; at < token.len; at++)
	{
		char		kept = token_buffer[at];

		for (int byte = 0; byte < 256; byte++)
		{
			if ((char) byte == kept)
				continue;
			token_buffer[at] = (char) byte;
			assert_true(verify(token, &claims) != JWT_OK);
		}
		token_buffer[at] = kept;
	}
	assert_int_equal(verify(token, &claims), JWT_OK);
}

/* What the recordings show for each token of tokens.json, and what we say instead of Elixir terms. */
static void
test_recorded_tokens(void **state)
{
	static const struct
	{
		const char *header;
		const char *claims;
		const char *secret;		/* NULL: empty signature */
		JwtStatus	status;
		int			http;
		const char *connect;
		const char *join;
		const char *shutdown;
	}			cases[] = {
		{"HS256", "{\"role\":\"authenticated\"," USER ",\"exp\":1700000000}", SECRET, JWT_EXPIRED, 401,
		"Token has expired",
		"InvalidJWTToken: Token has expired 95513002 seconds ago", "Token has expired 95513002 seconds ago"},
		{"HS256", "{\"role\":\"authenticated\"," USER ",\"exp\":1700000000.5}", SECRET, JWT_EXPIRED_FRACTION, 500,
		"Error connecting to Realtime",
		"InvalidJWTToken: Token has expired 95513001 seconds ago", "Token has expired 95513001 seconds ago"},
		{"HS256", "{\"role\":\"authenticated\"," USER ",\"exp\":\"2082758400\"}", SECRET, JWT_BAD_EXPIRY, 500,
		"Error connecting to Realtime",
		"InvalidJWTToken: Token expiration time is invalid", "InvalidJWTToken: Token expiration time is invalid"},
		{"HS256", "{\"role\":\"authenticated\"," USER ",\"exp\":null}", SECRET, JWT_BAD_EXPIRY, 500,
		"Error connecting to Realtime",
		"InvalidJWTToken: Token expiration time is invalid", "InvalidJWTToken: Token expiration time is invalid"},
		{"HS256", "{" USER ",\"exp\":" FUTURE "}", SECRET, JWT_CLAIMS_MISSING, 401,
		"Fields `role` and `exp` are required in JWT",
		"InvalidJWTToken: Fields `role` and `exp` are required in JWT", "Fields `role` and `exp` are required in JWT"},
		{"HS256", "{\"role\":\"authenticated\"," USER "}", SECRET, JWT_CLAIMS_MISSING, 401,
		"Fields `role` and `exp` are required in JWT",
		"InvalidJWTToken: Fields `role` and `exp` are required in JWT", "Fields `role` and `exp` are required in JWT"},
		{"HS256", "{\"role\":\"authenticated\"," USER ",\"exp\":" FUTURE ",\"iat\":\"x\"}", SECRET, JWT_BAD_ISSUED_AT, 500,
		"Error connecting to Realtime",
		"MalformedJWT: The token provided is not a valid JWT", "The token provided is not a valid JWT"},
		{"HS256", "{\"role\":\"authenticated\"," USER ",\"exp\":" FUTURE "}", "another secret", JWT_BAD_SIGNATURE, 401,
		"Failed to validate JWT signature",
		"JwtSignatureError: Failed to validate JWT signature", "JwtSignatureError: Failed to validate JWT signature"},
		{"none", "{\"role\":\"authenticated\"," USER ",\"exp\":" FUTURE "}", SECRET, JWT_NO_SIGNER, 401,
		"Failed to generate JWT signer, check your JWT secret or JWKS configuration",
		"JwtSignerError: Failed to generate JWT signer, check your JWT secret or JWKS configuration",
		"JwtSignerError: Failed to generate JWT signer, check your JWT secret or JWKS configuration"},
		{"HS1", "{\"role\":\"authenticated\"," USER ",\"exp\":" FUTURE "}", SECRET, JWT_NO_SIGNER, 401,
		"Failed to generate JWT signer, check your JWT secret or JWKS configuration", NULL, NULL},
		{"RS256", "{\"role\":\"authenticated\"," USER ",\"exp\":" FUTURE "}", NULL, JWT_NO_SIGNER, 401,
		"Failed to generate JWT signer, check your JWT secret or JWKS configuration", NULL, NULL},
		{"RS256\",\"kid\":\"key-1", "{\"role\":\"authenticated\"," USER ",\"exp\":" FUTURE "}", NULL, JWT_NO_SIGNER, 401,
		"Failed to generate JWT signer, check your JWT secret or JWKS configuration", NULL, NULL},
		{"HS256", "[\"role\",\"exp\"]", SECRET, JWT_CLAIMS_NOT_OBJECT, 500,
		"Error connecting to Realtime",
		"MalformedJWT: The token provided is not a valid JWT", "The token provided is not a valid JWT"},
		{"HS256", "not json", SECRET, JWT_MALFORMED, 401,
		"The token provided is not a valid JWT",
		"MalformedJWT: The token provided is not a valid JWT", "The token provided is not a valid JWT"},

		/* Several faults: the first check counts. */
		{"HS256", "{\"exp\":1700000000}", "another secret", JWT_BAD_SIGNATURE, 401, NULL, NULL, NULL},
		{"HS256", "{\"exp\":1700000000,\"iat\":\"x\"}", SECRET, JWT_EXPIRED, 401, NULL, NULL, NULL},
		{"HS256", "{\"exp\":" FUTURE ",\"iat\":\"x\"}", SECRET, JWT_BAD_ISSUED_AT, 500, NULL, NULL, NULL},
		{"none", "[]", NULL, JWT_CLAIMS_NOT_OBJECT, 500, NULL, NULL, NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		header[128];
		char		text[JWT_TEXT_BOUND];
		Writer		w = writer_fixed(text, sizeof(text));
		JwtClaims	claims;

		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"}", cases[i].header);
		assert_int_equal(verify(make_token(header, cases[i].claims, cases[i].secret == NULL ? NULL : EVP_sha256(),
										   cases[i].secret), &claims), cases[i].status);
		assert_int_equal(jwt_write_connect_refusal(&w, cases[i].status, &claims), cases[i].http);
		if (cases[i].connect != NULL)
			assert_slice(writer_written(&w), slice_cstring(cases[i].connect));
		if (cases[i].join == NULL)
			continue;
		w = writer_fixed(text, sizeof(text));
		jwt_write_join_refusal(&w, cases[i].status, &claims, NOW);
		assert_slice(writer_written(&w), slice_cstring(cases[i].join));
		w = writer_fixed(text, sizeof(text));
		jwt_write_shutdown(&w, cases[i].status, &claims, NOW);
		assert_slice(writer_written(&w), slice_cstring(cases[i].shutdown));
	}
}

static void
test_accepted_tokens(void **state)
{
	JwtClaims	claims;

	(void) state;
	assert_int_equal(verify(hs256("{\"role\":null," USER ",\"exp\":" FUTURE "}"), &claims), JWT_OK);
	assert_int_equal(claims.role_kind, JWT_ROLE_NULL);
	assert_int_equal(claims.role.len, 0);
	assert_true(claims.has_sub);
	assert_text(claims.sub, "11111111-1111-4111-8111-111111111111");
	assert_int_equal(verify(hs256("{\"role\":\"no_such_role\",\"exp\":" FUTURE ",\"nbf\":2082758399}"), &claims), JWT_OK);
	assert_text(claims.role, "no_such_role");
	assert_int_equal(verify(hs256("{\"role\":\"a\",\"exp\":2082758400.5,\"iat\":1.5}"), &claims), JWT_OK);
	assert_true(claims.exp == INT64_C(2082758401));
	assert_int_equal(verify(hs256(" {\"role\":[\"anon\"],\"sub\":7,\"exp\":" FUTURE "} "), &claims), JWT_OK);
	assert_int_equal(claims.role_kind, JWT_ROLE_OTHER);
	assert_false(claims.has_sub);
	assert_text(claims.json, "{\"role\":[\"anon\"],\"sub\":7,\"exp\":" FUTURE "}");
	assert_int_equal(verify(hs256("{\"role\":\"an\\u006fn\",\"sub\":\"\\u00e9\",\"exp\":" FUTURE "}"), &claims), JWT_OK);
	assert_text(claims.role, "anon");
	assert_text(claims.sub, "é");

	/* A role cut short by a NUL would be another role. */
	assert_int_equal(verify(hs256("{\"role\":\"anon\\u0000x\",\"sub\":\"a\\u0000b\",\"exp\":" FUTURE "}"), &claims), JWT_OK);
	assert_int_equal(claims.role_kind, JWT_ROLE_OTHER);
	assert_int_equal(claims.role.len, 0);
	assert_false(claims.has_sub);

	/* Of equal keys the first counts. */
	assert_int_equal(verify(hs256("{\"role\":\"a\",\"role\":\"b\",\"exp\":" FUTURE ",\"exp\":1}"), &claims), JWT_OK);
	assert_text(claims.role, "a");
}

static void
test_expiry(void **state)
{
	static const struct
	{
		const char *exp;
		int64_t		now;
		JwtStatus	status;
		int64_t		seconds;
	}			cases[] = {
		{"100", 99, JWT_OK, 100}, {"100", 100, JWT_EXPIRED, 100}, {"100", 101, JWT_EXPIRED, 100},
		{"100.4", 99, JWT_OK, 100}, {"100.5", 100, JWT_OK, 101}, {"100.4", 100, JWT_EXPIRED_FRACTION, 100},
		{"1e2", 99, JWT_OK, 100}, {"1e2", 100, JWT_EXPIRED_FRACTION, 100}, {"-1", 0, JWT_EXPIRED, -1},
		{"-0.4", 0, JWT_EXPIRED_FRACTION, 0}, {"0", 0, JWT_EXPIRED, 0},
		{"99999999999999999999999999", NOW, JWT_OK, INT64_MAX},
		{"-99999999999999999999999999", NOW, JWT_EXPIRED, INT64_MIN},
		{"1e30", NOW, JWT_OK, INT64_MAX}, {"1e999", NOW, JWT_OK, INT64_MAX},
		{"-1e999", NOW, JWT_EXPIRED_FRACTION, INT64_MIN}, {"9223372036854775807", NOW, JWT_OK, INT64_MAX},
		{"9.2e18", NOW, JWT_OK, INT64_C(9200000000000000000)},
		{"true", 0, JWT_BAD_EXPIRY, 0}, {"[1]", 0, JWT_BAD_EXPIRY, 0}, {"{}", 0, JWT_BAD_EXPIRY, 0},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		text[128];
		JwtClaims	claims;

		snprintf(text, sizeof(text), "{\"role\":\"anon\",\"exp\":%s}", cases[i].exp);
		if (verify_at(&keys, hs256(text), cases[i].now, &claims) != cases[i].status)
			fail_msg("exp %s", cases[i].exp);
		assert_true(claims.exp == cases[i].seconds);
	}
	assert_int_equal(jwt_recheck(100, 99), JWT_OK);
	assert_int_equal(jwt_recheck(100, 100), JWT_EXPIRED);
	{
		JwtClaims	claims = {.exp = INT64_MIN};
		char		text[JWT_TEXT_BOUND];
		Writer		w = writer_fixed(text, sizeof(text));

		jwt_write_shutdown(&w, JWT_EXPIRED, &claims, INT64_MAX);
		assert_text(writer_written(&w), "Token has expired 18446744073709551615 seconds ago");
		claims.exp = 100;
		w = writer_fixed(text, sizeof(text));
		jwt_write_shutdown(&w, JWT_EXPIRED, &claims, 100);
		assert_text(writer_written(&w), "Token has expired 0 seconds ago");
	}
}

static void
test_malformed(void **state)
{
	static const Slice tokens[] = {
		SLICE_INIT(""), SLICE_INIT("abc"), SLICE_INIT("a.b.c"), SLICE_INIT("...."), SLICE_INIT(".."),
		SLICE_INIT("."), SLICE_INIT("sb_publishable_abc"), SLICE_INIT("e30.e30"), SLICE_INIT("e30.e30.e30.e30"),
		SLICE_INIT("e30=.e30.x"), SLICE_INIT("e30.e30=.x"), SLICE_INIT("W10.e30.x"), SLICE_INIT("bnVsbA.e30.x"),
		SLICE_INIT("e30..x"), SLICE_INIT(".e30.x"), SLICE_INIT("e3\0.e30.x"),
	};
	JwtClaims	claims;

	(void) state;
	for (size_t i = 0; i < sizeof(tokens) / sizeof(tokens[0]); i++)
		assert_int_equal(verify(tokens[i], &claims), JWT_MALFORMED);
	assert_int_equal(verify(SLICE_LITERAL("e30.e30.x"), &claims), JWT_NO_SIGNER);	/* no alg */
	assert_int_equal(verify(SLICE_EMPTY, &claims), JWT_MALFORMED);

	/* An alg that is no string; a signature that is no base64url, or has another length. */
	assert_int_equal(verify(make_token("{\"alg\":256}", "{}", EVP_sha256(), SECRET), &claims), JWT_NO_SIGNER);
	assert_int_equal(verify(make_token("{\"alg\":\"hs256\"}", "{}", EVP_sha256(), SECRET), &claims), JWT_NO_SIGNER);
	assert_int_equal(verify(make_token("{\"alg\":\"HS256\"}", "{}", EVP_sha512(), SECRET), &claims), JWT_BAD_SIGNATURE);
	assert_int_equal(verify(make_token("{\"alg\":\"HS512\"}", "{}", EVP_sha256(), SECRET), &claims), JWT_BAD_SIGNATURE);
	assert_int_equal(verify(make_token("{\"alg\":\"HS256\"}", "{}", NULL, NULL), &claims), JWT_BAD_SIGNATURE);
	{
		Slice		token = make_token("{\"alg\":\"HS256\"}", "{}", EVP_sha256(), SECRET);

		memcpy(token_buffer + token.len, "!!", 2);
		token.len += 2;
		assert_int_equal(verify(token, &claims), JWT_BAD_SIGNATURE);
	}

	/* Without a secret no token is good, least of all one signed with the empty one. */
	{
		JwtKeys		none = {0};

		assert_int_equal(verify_at(&none, make_token("{\"alg\":\"HS256\"}", "{}", EVP_sha256(), ""), NOW, &claims),
						 JWT_NO_SIGNER);
	}
}

static void
test_small_scratch(void **state)
{
	Slice		token = hs256("{\"role\":\"an\\u006fn\",\"sub\":\"\\u00e9\",\"exp\":" FUTURE "}");
	JwtClaims	claims;
	size_t		enough = token.len;

	(void) state;
	for (size_t size = 0; size <= enough; size++)
	{
		char	   *exact = malloc(size == 0 ? 1 : size);
		JwtStatus	status = jwt_verify(&keys, token, NOW, exact, size, &claims);

		/* The text of the role may not fit either: then it is none. */
		assert_true(status == JWT_MALFORMED || status == JWT_OK);
		if (status == JWT_OK && claims.role_kind == JWT_ROLE_TEXT)
			assert_text(claims.role, "anon");
		free(exact);
	}
}

static void
test_long_tokens(void **state)
{
	char	   *big = malloc(JWT_MAX_TOKEN + 2);
	char	   *buffer = malloc(JWT_MAX_TOKEN + 2);
	JwtClaims	claims;
	Slice		token;

	(void) state;
	assert_non_null(big);
	assert_non_null(buffer);
	memset(big, 'A', JWT_MAX_TOKEN + 2);
	big[10] = big[20] = '.';
	assert_true(jwt_prepare(slice_make(big, JWT_MAX_TOKEN), buffer, JWT_MAX_TOKEN + 2, &token));
	assert_false(jwt_prepare(slice_make(big, JWT_MAX_TOKEN + 1), buffer, JWT_MAX_TOKEN + 2, &token));
	assert_int_equal(jwt_verify(&keys, slice_make(big, JWT_MAX_TOKEN + 1), NOW, scratch, sizeof(scratch), &claims),
					 JWT_MALFORMED);
	free(big);
	free(buffer);
}

static void
test_prepare(void **state)
{
	static const struct
	{
		const char *raw;
		const char *token;
	}			cases[] = {
		{"a.b.c", "a.b.c"}, {" a.b.c \n", "a.b.c"}, {"a. b\t.\r\v\f c", "a.b.c"}, {"a%2Eb%2ec", "a.b.c"},
		{"%20a%0A", "a"}, {"a+b", "a+b"}, {"%", "%"}, {"%4", "%4"}, {"%zz", "%zz"}, {"%%41", "%A"}, {"", ""},
		{" ", ""}, {"a%252Eb", "a%2Eb"},
	};
	char		buffer[16];
	Slice		token;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		copy = copy_exactly(slice_cstring(cases[i].raw));

		assert_true(jwt_prepare(copy, buffer, copy.len, &token));
		assert_slice(token, slice_cstring(cases[i].token));
		copy_free(copy);
	}
	assert_false(jwt_prepare(SLICE_LITERAL("abc"), buffer, 2, &token));
	assert_true(jwt_prepare(SLICE_LITERAL("a b"), buffer, 2, &token));
}

static void
test_validators(void **state)
{
	JwtKeys		with = keys;
	JwtClaims	claims;
	char		text[JWT_TEXT_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));

	(void) state;
	with.claim_validators = SLICE_LITERAL("{\"iss\":\"https://a.example\", \"aud\":[\"x\",\"y\"],\"n\":1}");
	assert_int_equal(verify_at(&with, hs256("{\"role\":\"a\",\"exp\":" FUTURE ",\"n\":1,\"aud\":[\"x\",\"y\"],\"iss\":\"https:\\/\\/a.example\"}"), NOW, &claims), JWT_OK);
	assert_int_equal(verify_at(&with, hs256("{\"role\":\"a\",\"exp\":" FUTURE ",\"n\":1,\"aud\":[\"y\",\"x\"],\"iss\":\"https://a.example\"}"), NOW, &claims), JWT_CLAIM_MISMATCH);
	assert_text(claims.mismatch, "aud");
	assert_int_equal(verify_at(&with, hs256("{\"role\":\"a\",\"exp\":" FUTURE ",\"n\":1.0,\"aud\":[\"x\",\"y\"],\"iss\":\"https://a.example\"}"), NOW, &claims), JWT_CLAIM_MISMATCH);
	assert_text(claims.mismatch, "n");
	jwt_write_join_refusal(&w, JWT_CLAIM_MISMATCH, &claims, NOW);
	assert_text(writer_written(&w), "InvalidJWTToken: The claim `n` has not the required value");

	/* A claim that is absent has not the value; a setting that is no object lets nobody in. */
	assert_int_equal(verify_at(&with, hs256("{\"role\":\"a\",\"exp\":" FUTURE "}"), NOW, &claims), JWT_CLAIM_MISMATCH);
	assert_text(claims.mismatch, "iss");
	with.claim_validators = SLICE_LITERAL("[]");
	assert_int_equal(verify_at(&with, hs256("{\"role\":\"a\",\"exp\":" FUTURE "}"), NOW, &claims), JWT_CLAIM_MISMATCH);
	with.claim_validators = SLICE_LITERAL("{\"iss\":");
	assert_int_equal(verify_at(&with, hs256("{\"role\":\"a\",\"exp\":" FUTURE "}"), NOW, &claims), JWT_CLAIM_MISMATCH);
	with.claim_validators = SLICE_LITERAL(" { } ");
	assert_int_equal(verify_at(&with, hs256("{\"role\":\"a\",\"exp\":" FUTURE "}"), NOW, &claims), JWT_OK);
	assert_true(jwt_claim_validators_valid(SLICE_EMPTY));
	assert_true(jwt_claim_validators_valid(SLICE_LITERAL("{\"iss\":1}")));
	assert_false(jwt_claim_validators_valid(SLICE_LITERAL("[]")));
	assert_false(jwt_claim_validators_valid(SLICE_LITERAL("{")));

	/* A name of any length leaves room in the text. */
	{
		char		name[4000];

		memset(name, 'x', sizeof(name));
		claims.mismatch = slice_make(name, sizeof(name));
		w = writer_fixed(text, sizeof(text));
		jwt_write_shutdown(&w, JWT_CLAIM_MISMATCH, &claims, NOW);
		assert_false(w.failed);
	}
}

static void
test_sign(void **state)
{
	Slice		claims_text = SLICE_LITERAL("{\"role\":\"anon\",\"exp\":2082758400}");
	Writer		w = writer_fixed(token_buffer, sizeof(token_buffer));
	Writer		measuring = writer_measuring();
	JwtClaims	claims;
	size_t		len;

	(void) state;
	writer_char(&w, '"');		/* a token may be written behind other things */
	assert_true(jwt_sign_hs256(keys.secret, claims_text, &w));
	assert_text(slice_skip(writer_written(&w), 1),
				"eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJyb2xlIjoiYW5vbiIsImV4cCI6MjA4Mjc1ODQwMH0.br0kAzD4yEX6iDgQ9mAqOX3_auSwddsN7uQlhx1jjiM");
	assert_int_equal(verify(slice_skip(writer_written(&w), 1), &claims), JWT_OK);
	assert_true(jwt_sign_hs256(keys.secret, claims_text, &measuring));
	assert_int_equal(measuring.len, w.len - 1);
	len = measuring.len;
	assert_true(len <= JWT_SIGNED_SIZE(claims_text.len));
	assert_false(jwt_sign_hs256(SLICE_EMPTY, claims_text, &measuring));
	for (size_t size = 0; size < len; size++)
	{
		w = writer_fixed(token_buffer, size);
		assert_false(jwt_sign_hs256(keys.secret, claims_text, &w));
	}
	w = writer_fixed(token_buffer, len);
	assert_true(jwt_sign_hs256(keys.secret, claims_text, &w));
}

static void
test_error_body(void **state)
{
	char		text[128];
	Writer		w = writer_fixed(text, sizeof(text));

	(void) state;
	jwt_write_error_body(&w, JWT_API_KEY_MISSING);
	assert_text(writer_written(&w), "{\"error\":\"API key is missing\"}");
	w = writer_fixed(text, JWT_ERROR_BODY_BOUND(2));
	jwt_write_error_body(&w, SLICE_LITERAL("\x01\x02"));
	assert_text(writer_written(&w), "{\"error\":\"\\u0001\\u0002\"}");
	assert_int_equal(w.len, w.cap);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfc7515),
		cmocka_unit_test(test_algorithms),
		cmocka_unit_test(test_every_byte_counts),
		cmocka_unit_test(test_recorded_tokens),
		cmocka_unit_test(test_accepted_tokens),
		cmocka_unit_test(test_expiry),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_small_scratch),
		cmocka_unit_test(test_long_tokens),
		cmocka_unit_test(test_prepare),
		cmocka_unit_test(test_validators),
		cmocka_unit_test(test_sign),
		cmocka_unit_test(test_error_body),
	};

	return cmocka_run_group_tests_name("jwt", tests, NULL, NULL);
}
