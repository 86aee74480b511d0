/*
 * test_jwt_keys.c
 *		Tokens whose key is chosen by `kid`: signatures that were published, tokens
 *		of another library, and attempts to get by with the wrong key.
 */
#include "signing.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "jws_vectors.h"
#include "wire/json.h"
#include "wire/jwt.h"

#define SECRET		"a-secret-of-at-least-32-bytes-for-tests"
#define OTHER		"another-secret-of-at-least-32-bytes-for-tests"
#define NOW			INT64_C(1795513002)
#define CLAIMS		"{\"role\":\"anon\",\"exp\":2082758400}"

/* The keys of the tests, each with the kid that is its name here; made once. */
static EVP_PKEY *rsa;
static EVP_PKEY *other_rsa;
static EVP_PKEY *p256;
static EVP_PKEY *p384;
static EVP_PKEY *p521;
static EVP_PKEY *ed25519;
static EVP_PKEY *ed448;
static Jwks *jwks;				/* all but other_rsa, and an oct key "oct" of the secret OTHER */

static char token_buffer[8192];
static char scratch[JWT_SCRATCH_SIZE(sizeof(token_buffer))];
static char document[16384];

/* Verify a copy that ends where its block ends, with no more scratch than promised. */
static JwtStatus
verify_with(Slice secret, const Jwks *set, Slice token, JwtClaims *claims)
{
	JwtKeys		keys = {.secret = secret, .jwks = set};
	Slice		copy = copy_exactly(token);
	JwtStatus	status;

	assert_true(token.len <= sizeof(token_buffer));
	status = jwt_verify(&keys, copy, NOW, scratch, JWT_SCRATCH_SIZE(token.len), claims);
	copy_free(copy);
	return status;
}

/* The same with the keys of the tests and a shared secret. */
static JwtStatus
verify(Slice token)
{
	JwtClaims	claims;
	JwtStatus	status = verify_with(SLICE_LITERAL(SECRET), jwks, token, &claims);

	if (status == JWT_OK)
		assert_text(claims.role, "anon");
	return status;
}

/* A token of a key, with the header {"alg":ALG,"kid":KID}; kid is JSON, NULL leaves it out. */
static Slice
token_of(EVP_PKEY *key, const char *algorithm, const char *kid)
{
	Writer		w = writer_fixed(token_buffer, sizeof(token_buffer));
	char		header[512];

	snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"%s%s}", algorithm, kid == NULL ? "" : ",\"kid\":",
			 kid == NULL ? "" : kid);
	return signing_token(&w, key, signing_digest(algorithm), header, CLAIMS);
}

/* The same with the MAC of a secret, which is any bytes. */
static Slice
mac_token_of(Slice secret, const char *algorithm, const char *kid)
{
	Writer		w = writer_fixed(token_buffer, sizeof(token_buffer));
	char		header[512];

	snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"typ\":\"JWT\"%s%s}", algorithm, kid == NULL ? "" : ",\"kid\":",
			 kid == NULL ? "" : kid);
	return signing_mac_token(&w, secret, signing_digest(algorithm), header, CLAIMS);
}

/* A set of keys in which each text is one. */
static Jwks *
set_of(const char *first, const char *second)
{
	char		error[JWKS_ERROR_SIZE];
	int			len = snprintf(document, sizeof(document), "{\"keys\":[%s%s%s]}", first, second == NULL ? "" : ",",
							   second == NULL ? "" : second);
	Jwks	   *set = jwks_parse(slice_make(document, (size_t) len), error, sizeof(error));

	if (set == NULL)
		fail_msg("%s", error);
	return set;
}

static const char *
jwk_of(EVP_PKEY *key, const char *kid, const char *extra)
{
	static char texts[2][2048];
	static int	next;
	char	   *text = texts[next++ % 2];
	Writer		w = writer_fixed(text, sizeof(texts[0]) - 1);

	signing_write_jwk(&w, key, kid, extra);
	text[w.len] = '\0';
	return text;
}

static int
make_keys(void **state)
{
	Writer		w = writer_fixed(document, sizeof(document));
	char		error[JWKS_ERROR_SIZE];

	(void) state;
	rsa = EVP_RSA_gen(2048);
	other_rsa = EVP_RSA_gen(2048);
	p256 = EVP_EC_gen("P-256");
	p384 = EVP_EC_gen("P-384");
	p521 = EVP_EC_gen("P-521");
	ed25519 = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	ed448 = EVP_PKEY_Q_keygen(NULL, NULL, "ED448");

	writer_literal(&w, "{\"keys\":[");
	signing_write_jwk(&w, rsa, "rsa", ",\"use\":\"sig\"");
	writer_char(&w, ',');
	signing_write_jwk(&w, p256, "p256", ",\"alg\":\"ES256\",\"key_ops\":[\"verify\"]");
	writer_char(&w, ',');
	signing_write_jwk(&w, p384, "p384", "");
	writer_char(&w, ',');
	signing_write_jwk(&w, p521, "p521", "");
	writer_char(&w, ',');
	signing_write_jwk(&w, ed25519, "ed25519", "");
	writer_char(&w, ',');
	signing_write_jwk(&w, ed448, "ed448", "");
	writer_char(&w, ',');
	signing_write_oct(&w, OTHER, "oct", "");
	writer_literal(&w, "]}");
	jwks = jwks_parse(writer_written(&w), error, sizeof(error));
	return jwks == NULL || jwks_count(jwks) != 7;
}

static int
free_keys(void **state)
{
	EVP_PKEY   *keys[] = {rsa, other_rsa, p256, p384, p521, ed25519, ed448};

	(void) state;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		EVP_PKEY_free(keys[i]);
	jwks_free(jwks);
	return 0;
}

/* Which key a test means by which algorithm. */
static const struct
{
	const char *algorithm;
	const char *kid;
	EVP_PKEY  **key;			/* NULL: oct */
}			signers[] = {
	{"RS256", "\"rsa\"", &rsa}, {"RS384", "\"rsa\"", &rsa}, {"RS512", "\"rsa\"", &rsa},
	{"ES256", "\"p256\"", &p256}, {"ES384", "\"p384\"", &p384}, {"ES512", "\"p521\"", &p521},
	{"EdDSA", "\"ed25519\"", &ed25519}, {"Ed25519", "\"ed25519\"", &ed25519},
	{"EdDSA", "\"ed448\"", &ed448}, {"Ed448", "\"ed448\"", &ed448},
	{"HS256", "\"oct\"", NULL}, {"HS384", "\"oct\"", NULL}, {"HS512", "\"oct\"", NULL},
};

#define SIGNERS		(sizeof(signers) / sizeof(signers[0]))

static Slice
token_of_signer(size_t i)
{
	return signers[i].key != NULL ? token_of(*signers[i].key, signers[i].algorithm, signers[i].kid) :
		mac_token_of(SLICE_LITERAL(OTHER), signers[i].algorithm, signers[i].kid);
}

/* Is a signature good under this key?  The signature is a copy that ends where its block ends. */
static bool
signature_good(const Jwk *key, JwsAlgorithm algorithm, Slice input, const void *signature, size_t len)
{
	Slice		copy = copy_exactly(slice_make(signature, len));
	bool		good = jws_verify(key, algorithm, input, copy);

	copy_free(copy);
	assert_int_equal(ERR_peek_error(), 0);
	return good;
}

/* The algorithm of a name. */
static JwsAlgorithm
algorithm_named(const char *name)
{
	JwsAlgorithm algorithm;
	char		token[16];

	snprintf(token, sizeof(token), "\"%s\"", name);
	assert_true(jws_algorithm(slice_cstring(token), &algorithm));
	return algorithm;
}

/* What the sources say is good is good, and nothing near it. */
static void
test_published_signatures(void **state)
{
	(void) state;
	for (size_t i = 0; i < sizeof(published_signatures) / sizeof(published_signatures[0]); i++)
	{
		const PublishedSignature *vector = &published_signatures[i];
		Jwks	   *set = set_of(vector->key, NULL);
		JwsAlgorithm algorithm = algorithm_named(vector->algorithm);
		char		kid[64];
		Slice		kid_token;
		Slice		kid_text;
		const Jwk  *key;
		unsigned char bytes[JWS_MAX_SIGNATURE + 1];
		size_t		len;

		assert_true(wjson_member(slice_cstring(vector->key), SLICE_LITERAL("kid"), &kid_token));
		assert_true(wjson_string_text(kid_token, kid, sizeof(kid), &kid_text, NULL));
		key = jwks_find(set, jws_key_type(algorithm), kid_text);
		assert_non_null(key);
		assert_true(base64url_decode(slice_cstring(vector->signature), bytes, sizeof(bytes), &len));

		if (!signature_good(key, algorithm, vector->input, bytes, len))
			fail_msg("%s", vector->source);
		for (size_t bit = 0; bit < 8 * len; bit += 1 + bit % 3)
		{
			bytes[bit / 8] ^= (unsigned char) (1u << bit % 8);
			if (signature_good(key, algorithm, vector->input, bytes, len))
				fail_msg("%s: without bit %zu", vector->source, bit);
			bytes[bit / 8] ^= (unsigned char) (1u << bit % 8);
		}
		bytes[len] = 0;
		assert_false(signature_good(key, algorithm, vector->input, bytes, len + 1));
		for (size_t cut = 0; cut < len; cut += 1 + len / 20)
			assert_false(signature_good(key, algorithm, vector->input, bytes, cut));
		assert_false(signature_good(key, algorithm, slice_skip(vector->input, 1), bytes, len));
		assert_false(signature_good(key, algorithm, SLICE_EMPTY, bytes, len));

		/* No other algorithm, save the other name of the same. */
		for (int other = 0; other < JWS_ALGORITHMS; other++)
		{
			bool		same = other == (int) algorithm ||
				(jws_key_type(algorithm) == JWK_OKP && (key->algorithms & JWS_BIT(other)) != 0);

			assert_int_equal(signature_good(key, (JwsAlgorithm) other, vector->input, bytes, len), same);
		}
		jwks_free(set);
	}
}

/* RFC 7519, 3.1 and 6.1: a token that says what it is, and one that says that nobody signed it. */
static void
test_rfc7519(void **state)
{
	Slice		unsecured = SLICE_LITERAL("eyJhbGciOiJub25lIn0.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0"
										  "dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.");
	Slice		secured = SLICE_LITERAL("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4"
										"MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ."
										"dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk");
	char		key[64];
	size_t		len;
	JwtClaims	claims;

	(void) state;
	assert_int_equal(verify(unsecured), JWT_NO_SIGNER);
	assert_int_equal(verify_with(SLICE_EMPTY, NULL, unsecured, &claims), JWT_NO_SIGNER);
	assert_true(base64url_decode(SLICE_LITERAL("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75"
											   "aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow"), key, sizeof(key), &len));
	assert_int_equal(verify_with(slice_make(key, len), jwks, secured, &claims), JWT_EXPIRED);
	assert_true(claims.exp == 1300819380);
	assert_int_equal(verify(secured), JWT_BAD_SIGNATURE);
}

static void
test_foreign_tokens(void **state)
{
	char		error[JWKS_ERROR_SIZE];
	Jwks	   *set = jwks_parse(foreign_keys, error, sizeof(error));

	(void) state;
	assert_non_null(set);
	for (size_t i = 0; i < sizeof(foreign_tokens) / sizeof(foreign_tokens[0]); i++)
	{
		Slice		token = slice_cstring(foreign_tokens[i].token);
		bool		mac = foreign_tokens[i].algorithm[0] == 'H';
		JwtClaims	claims;

		if (verify_with(SLICE_EMPTY, set, token, &claims) != JWT_OK)
			fail_msg("%s", foreign_tokens[i].algorithm);
		assert_text(claims.json, CLAIMS);
		assert_text(claims.role, "anon");
		assert_true(claims.exp == INT64_C(2082758400));
		assert_int_equal(claims.kid.len, 0);

		/* The same names, other keys; no keys; no beginning of a token is one. */
		assert_int_equal(verify(token), JWT_BAD_SIGNATURE);
		assert_int_equal(verify_with(SLICE_LITERAL(SECRET), NULL, token, &claims), mac ? JWT_BAD_SIGNATURE : JWT_NO_SIGNER);
		assert_int_equal(verify_with(SLICE_EMPTY, NULL, token, &claims), JWT_NO_SIGNER);
		for (size_t len = 0; len < token.len; len++)
		{
			JwtStatus	status = verify_with(SLICE_EMPTY, set, slice_make(token.data, len), &claims);

			assert_true(status == JWT_MALFORMED || status == JWT_BAD_SIGNATURE);
		}
	}
	jwks_free(set);
}

/* Each algorithm with its key is good, with each other key it is not. */
static void
test_every_algorithm(void **state)
{
	(void) state;
	for (size_t i = 0; i < SIGNERS; i++)
	{
		if (verify(token_of_signer(i)) != JWT_OK)
			fail_msg("%s with %s", signers[i].algorithm, signers[i].kid);
		for (size_t k = 0; k < SIGNERS; k++)
		{
			bool		own = strcmp(signers[i].kid, signers[k].kid) == 0;
			bool		mac = signers[k].key == NULL;
			JwtStatus	status;

			if (signers[i].key == NULL)
				continue;
			/* The key of i signs, whatever the header says. */
			if ((signing_digest(signers[k].algorithm) == NULL) != (signing_digest(signers[i].algorithm) == NULL))
				continue;
			status = verify(token_of(*signers[i].key, signers[k].algorithm, signers[k].kid));
			if (own)
				assert_int_equal(status, JWT_OK);
			else
				assert_int_equal(status, JWT_BAD_SIGNATURE);
			status = verify(token_of(*signers[i].key, signers[k].algorithm, signers[i].kid));
			if (own || (!mac && strcmp(signers[k].algorithm, "EdDSA") == 0))
				assert_int_equal(status, JWT_OK);
			else					/* HS with a kid of another kind of key falls back on the secret */
				assert_int_equal(status, mac ? JWT_BAD_SIGNATURE : JWT_NO_SIGNER_FOR_KEY);
		}
	}
	assert_int_equal(verify(token_of(other_rsa, "RS256", "\"rsa\"")), JWT_BAD_SIGNATURE);
	assert_int_equal(ERR_peek_error(), 0);
}

static void
test_kid(void **state)
{
	static const struct
	{
		const char *kid;
		JwtStatus	status;
	}			cases[] = {
		{"\"rsa\"", JWT_OK}, {"\"\\u0072sa\"", JWT_OK}, {NULL, JWT_NO_SIGNER}, {"7", JWT_NO_SIGNER},
		{"null", JWT_NO_SIGNER}, {"[\"rsa\"]", JWT_NO_SIGNER}, {"{}", JWT_NO_SIGNER},
		{"\"\"", JWT_NO_SIGNER_FOR_KEY}, {"\"RSA\"", JWT_NO_SIGNER_FOR_KEY}, {"\"rsa \"", JWT_NO_SIGNER_FOR_KEY},
		{"\"rsa\\u0000\"", JWT_NO_SIGNER_FOR_KEY}, {"\"p256\"", JWT_NO_SIGNER_FOR_KEY},
		{"\"oct\"", JWT_NO_SIGNER_FOR_KEY}, {"\"rsa\",\"kid\":\"x\"", JWT_OK},
		{"\"x\",\"kid\":\"rsa\"", JWT_NO_SIGNER_FOR_KEY},
	};
	JwtClaims	claims;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		if (verify(token_of(rsa, "RS256", cases[i].kid)) != cases[i].status)
			fail_msg("kid %s", cases[i].kid);
		/* Without a set no kid is looked for. */
		assert_int_equal(verify_with(SLICE_LITERAL(SECRET), NULL, token_of(rsa, "RS256", cases[i].kid), &claims),
						 JWT_NO_SIGNER);
	}

	/* HS: the key of that name, else the secret, never both. */
	assert_int_equal(verify(mac_token_of(SLICE_LITERAL(OTHER), "HS256", "\"oct\"")), JWT_OK);
	assert_int_equal(verify(mac_token_of(SLICE_LITERAL(SECRET), "HS256", "\"oct\"")), JWT_BAD_SIGNATURE);
	assert_int_equal(verify(mac_token_of(SLICE_LITERAL(SECRET), "HS256", NULL)), JWT_OK);
	assert_int_equal(verify(mac_token_of(SLICE_LITERAL(SECRET), "HS256", "7")), JWT_OK);
	assert_int_equal(verify(mac_token_of(SLICE_LITERAL(SECRET), "HS256", "\"unknown\"")), JWT_OK);
	assert_int_equal(verify(mac_token_of(SLICE_LITERAL(SECRET), "HS256", "\"rsa\"")), JWT_OK);
	assert_int_equal(verify(mac_token_of(SLICE_LITERAL(OTHER), "HS256", NULL)), JWT_BAD_SIGNATURE);
	assert_int_equal(verify(mac_token_of(SLICE_LITERAL(OTHER), "HS256", "\"unknown\"")), JWT_BAD_SIGNATURE);
	assert_int_equal(verify_with(SLICE_EMPTY, jwks, mac_token_of(SLICE_LITERAL(OTHER), "HS256", "\"oct\""), &claims),
					 JWT_OK);
	assert_int_equal(verify_with(SLICE_EMPTY, jwks, mac_token_of(SLICE_LITERAL(OTHER), "HS256", NULL), &claims),
					 JWT_NO_SIGNER);
	assert_int_equal(verify_with(SLICE_EMPTY, jwks, mac_token_of(SLICE_LITERAL(OTHER), "HS256", "\"rsa\""), &claims),
					 JWT_NO_SIGNER_FOR_KEY);
	assert_text(claims.kid, "rsa");
}

/* Of two keys with one name the first is taken; keys of other kinds don't count. */
static void
test_duplicate_kids(void **state)
{
	JwtClaims	claims;
	Jwks	   *set = set_of(jwk_of(rsa, "k", ""), jwk_of(other_rsa, "k", ""));

	(void) state;
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(rsa, "RS256", "\"k\""), &claims), JWT_OK);
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(other_rsa, "RS256", "\"k\""), &claims), JWT_BAD_SIGNATURE);
	jwks_free(set);
	set = set_of(jwk_of(p256, "k", ""), jwk_of(rsa, "k", ""));
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(rsa, "RS256", "\"k\""), &claims), JWT_OK);
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(p256, "ES256", "\"k\""), &claims), JWT_OK);
	jwks_free(set);

	/* One that is left out does not take the place of another. */
	set = set_of(jwk_of(other_rsa, "k", ",\"use\":\"enc\""), jwk_of(rsa, "k", ""));
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(rsa, "RS256", "\"k\""), &claims), JWT_OK);
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(other_rsa, "RS256", "\"k\""), &claims), JWT_BAD_SIGNATURE);
	jwks_free(set);
}

/* What a key says of itself binds. */
static void
test_purpose(void **state)
{
	JwtClaims	claims;
	Jwks	   *set = set_of(jwk_of(rsa, "k", ",\"alg\":\"RS384\""), NULL);
	char		oct[256];
	Writer		w = writer_fixed(oct, sizeof(oct) - 1);

	(void) state;
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(rsa, "RS384", "\"k\""), &claims), JWT_OK);
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(rsa, "RS256", "\"k\""), &claims), JWT_NO_SIGNER_FOR_KEY);
	jwks_free(set);
	set = set_of(jwk_of(rsa, "k", ",\"use\":\"enc\""), jwk_of(p256, "k", ",\"key_ops\":[\"sign\"]"));
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(rsa, "RS256", "\"k\""), &claims), JWT_NO_SIGNER_FOR_KEY);
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(p256, "ES256", "\"k\""), &claims), JWT_NO_SIGNER_FOR_KEY);
	jwks_free(set);
	set = set_of(jwk_of(ed448, "k", ",\"alg\":\"EdDSA\""), NULL);
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(ed448, "Ed448", "\"k\""), &claims), JWT_OK);
	assert_int_equal(verify_with(SLICE_EMPTY, set, token_of(ed448, "Ed25519", "\"k\""), &claims), JWT_NO_SIGNER_FOR_KEY);
	jwks_free(set);

	/* An oct key that may not: the token names it, so the secret doesn't step in. */
	signing_write_oct(&w, OTHER, "k", ",\"alg\":\"HS512\"");
	oct[w.len] = '\0';
	set = set_of(oct, NULL);
	assert_int_equal(verify_with(SLICE_LITERAL(SECRET), set, mac_token_of(SLICE_LITERAL(OTHER), "HS512", "\"k\""), &claims),
					 JWT_OK);
	assert_int_equal(verify_with(SLICE_LITERAL(SECRET), set, mac_token_of(SLICE_LITERAL(SECRET), "HS256", "\"k\""), &claims),
					 JWT_NO_SIGNER_FOR_KEY);
	jwks_free(set);
}

/* Try a text that everybody can know as the secret of an HMAC. */
static void
try_as_secret(const void *text, size_t len, const char *kid)
{
	static const char *const macs[] = {"HS256", "HS384", "HS512"};
	JwtClaims	claims;

	assert_true(len > 0);
	for (size_t i = 0; i < 3; i++)
	{
		Slice		token = mac_token_of(slice_make(text, len), macs[i], kid);

		assert_int_equal(verify(token), JWT_BAD_SIGNATURE);
		assert_int_equal(verify_with(SLICE_EMPTY, jwks, token, &claims), JWT_NO_SIGNER_FOR_KEY);
		assert_int_equal(verify_with(SLICE_EMPTY, NULL, token, &claims), JWT_NO_SIGNER);
	}
}

/* A public key, in all its spellings, is no secret. */
static void
test_public_key_as_secret(void **state)
{
	EVP_PKEY   *keys[] = {rsa, p256, p384, p521, ed25519, ed448};
	static const char *const kids[] = {"\"rsa\"", "\"p256\"", "\"p384\"", "\"p521\"", "\"ed25519\"", "\"ed448\""};

	(void) state;
	for (size_t i = 0; i < 6; i++)
	{
		BIO		   *pem = BIO_new(BIO_s_mem());
		unsigned char *der = NULL;
		int			der_len = i2d_PUBKEY(keys[i], &der);
		unsigned char raw[2048];
		size_t		raw_len = sizeof(raw);
		const char *jwk = jwk_of(keys[i], "k", "");
		char	   *pem_text;
		long		pem_len;

		assert_int_equal(PEM_write_bio_PUBKEY(pem, keys[i]), 1);
		pem_len = BIO_get_mem_data(pem, &pem_text);
		try_as_secret(pem_text, (size_t) pem_len, kids[i]);
		try_as_secret(pem_text, (size_t) pem_len - 1, kids[i]);	/* without the last newline */
		try_as_secret(der, (size_t) der_len, kids[i]);
		try_as_secret(jwk, strlen(jwk), kids[i]);
		if (i == 0)
		{
			BIGNUM	   *n = NULL;

			assert_int_equal(EVP_PKEY_get_bn_param(rsa, OSSL_PKEY_PARAM_RSA_N, &n), 1);
			try_as_secret(raw, (size_t) BN_bn2bin(n, raw), kids[i]);
			BN_free(n);
		}
		else
		{
			assert_int_equal(EVP_PKEY_get_octet_string_param(keys[i], OSSL_PKEY_PARAM_PUB_KEY, raw, sizeof(raw), &raw_len), 1);
			try_as_secret(raw, raw_len, kids[i]);
		}
		OPENSSL_free(der);
		BIO_free(pem);
	}
}

/* Algorithms that are none, or not ours. */
static void
test_other_algorithms(void **state)
{
	static const char *const names[] = {
		"none", "None", "NONE", "nOnE", "", "HS1", "HS224", "hs256", "rs256", "RS1", "PS256", "PS384", "PS512",
		"ES256K", "ES256 ", "Eddsa", "X25519", "RS256\\u0000", "HS256\\u0000", "HS2560",
	};
	JwtClaims	claims;

	(void) state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		static const char *const kids[] = {"", ",\"kid\":\"rsa\"", ",\"kid\":\"oct\"", ",\"kid\":\"unknown\""};

		for (size_t k = 0; k < 4; k++)
		{
			char		header[128];
			Writer		w = writer_fixed(token_buffer, sizeof(token_buffer));

			/* As signed as can be, and not signed at all. */
			snprintf(header, sizeof(header), "{\"alg\":\"%s\"%s}", names[i], kids[k]);
			assert_int_equal(verify(signing_token(&w, rsa, EVP_sha256(), header, CLAIMS)), JWT_NO_SIGNER);
			w = writer_fixed(token_buffer, sizeof(token_buffer));
			assert_int_equal(verify(signing_mac_token(&w, SLICE_LITERAL(SECRET), EVP_sha256(), header, CLAIMS)),
							 JWT_NO_SIGNER);
			w = writer_fixed(token_buffer, sizeof(token_buffer));
			(void) signing_assemble(&w, header, CLAIMS);
			assert_int_equal(verify(signing_append(&w, "", 0)), JWT_NO_SIGNER);
		}
	}

	/* alg twice: the first counts. An extension that has to be understood is not. */
	{
		Writer		w = writer_fixed(token_buffer, sizeof(token_buffer));

		assert_int_equal(verify(signing_mac_token(&w, SLICE_LITERAL(SECRET), EVP_sha256(),
												  "{\"alg\":\"none\",\"alg\":\"HS256\"}", CLAIMS)), JWT_NO_SIGNER);
		w = writer_fixed(token_buffer, sizeof(token_buffer));
		assert_int_equal(verify(signing_mac_token(&w, SLICE_LITERAL(SECRET), EVP_sha256(),
												  "{\"alg\":\"HS256\",\"crit\":[\"b64\"],\"b64\":false}", CLAIMS)), JWT_NO_SIGNER);
		w = writer_fixed(token_buffer, sizeof(token_buffer));
		assert_int_equal(verify(signing_mac_token(&w, SLICE_LITERAL(SECRET), EVP_sha256(),
												  "{\"alg\":\"HS256\",\"jwk\":{},\"jku\":\"https://a.example\",\"x5c\":[]}",
												  CLAIMS)), JWT_OK);
	}

	/* An algorithm that is known, without any signature. */
	for (size_t i = 0; i < SIGNERS; i++)
	{
		Writer		w = writer_fixed(token_buffer, sizeof(token_buffer));
		char		header[128];

		snprintf(header, sizeof(header), "{\"alg\":\"%s\",\"kid\":%s}", signers[i].algorithm, signers[i].kid);
		(void) signing_assemble(&w, header, CLAIMS);
		assert_int_equal(verify(signing_append(&w, "", 0)), JWT_BAD_SIGNATURE);
		assert_int_equal(verify_with(SLICE_EMPTY, jwks, writer_written(&w), &claims), JWT_BAD_SIGNATURE);
	}
}

/* Every byte of a token counts, and every bit of every byte. */
static void
test_every_byte_counts(void **state)
{
	(void) state;
	for (size_t i = 0; i < SIGNERS; i++)
	{
		Slice		token = token_of_signer(i);

		for (size_t at = 0; at < token.len; at++)
		{
			char		kept = token_buffer[at];

			for (int bit = 0; bit < 8; bit++)
			{
				token_buffer[at] = (char) (kept ^ 1 << bit);
				if (verify(token) == JWT_OK)
					fail_msg("%s: byte %zu, bit %d", signers[i].algorithm, at, bit);
			}
			token_buffer[at] = kept;
		}
		assert_int_equal(verify(token), JWT_OK);
	}
	assert_int_equal(ERR_peek_error(), 0);
}

/* Signatures of every length: the true one, cut or with zeros; r and s in DER, swapped, or zero. */
static void
test_signature_lengths(void **state)
{
	(void) state;
	for (size_t i = 0; i < SIGNERS; i++)
	{
		Slice		token = token_of_signer(i);
		size_t		start = token.len;
		unsigned char bytes[JWS_MAX_SIGNATURE + 16];
		size_t		right;

		while (token.data[--start] != '.')
			;
		assert_true(base64url_decode(slice_skip(token, start + 1), bytes, sizeof(bytes), &right));
		memset(bytes + right, 0, sizeof(bytes) - right);
		for (size_t len = 0; len <= sizeof(bytes); len += len < right + 4 ? 1 : 37)
		{
			Writer		w = writer_fixed(token_buffer, sizeof(token_buffer));

			w.len = start;
			assert_int_equal(verify(signing_append(&w, bytes, len)), len == right ? JWT_OK : JWT_BAD_SIGNATURE);
		}
		if (signers[i].algorithm[0] == 'E' && signers[i].algorithm[1] == 'S')
		{
			unsigned char swapped[200];
			unsigned char der[300];
			size_t		der_len = sizeof(der);
			EVP_MD_CTX *context = EVP_MD_CTX_new();
			Writer		w = writer_fixed(token_buffer, sizeof(token_buffer));

			memcpy(swapped, bytes + right / 2, right / 2);
			memcpy(swapped + right / 2, bytes, right / 2);
			w.len = start;
			assert_int_equal(verify(signing_append(&w, swapped, right)), JWT_BAD_SIGNATURE);
			for (int byte = 0; byte < 256; byte += 0xFF)
			{
				memset(swapped, byte, right);
				w = writer_fixed(token_buffer, sizeof(token_buffer));
				w.len = start;
				assert_int_equal(verify(signing_append(&w, swapped, right)), JWT_BAD_SIGNATURE);
			}
			assert_int_equal(EVP_DigestSignInit(context, NULL, signing_digest(signers[i].algorithm), NULL, *signers[i].key), 1);
			assert_int_equal(EVP_DigestSign(context, der, &der_len, (unsigned char *) token_buffer, start), 1);
			EVP_MD_CTX_free(context);
			w = writer_fixed(token_buffer, sizeof(token_buffer));
			w.len = start;
			assert_int_equal(verify(signing_append(&w, der, der_len)), JWT_BAD_SIGNATURE);
		}
	}
}

static void
assert_texts(const JwtClaims *claims, const char *connect, const char *join, const char *shutdown)
{
	char		text[JWT_TEXT_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));

	assert_int_equal(jwt_write_connect_refusal(&w, JWT_NO_SIGNER_FOR_KEY, claims), 401);
	assert_slice(writer_written(&w), slice_cstring(connect));
	w = writer_fixed(text, sizeof(text) - 1);
	jwt_write_join_refusal(&w, JWT_NO_SIGNER_FOR_KEY, claims, NOW);
	assert_false(w.failed);
	assert_slice(writer_written(&w), slice_cstring(join));
	w = writer_fixed(text, sizeof(text));
	jwt_write_shutdown(&w, JWT_NO_SIGNER_FOR_KEY, claims, NOW);
	assert_slice(writer_written(&w), slice_cstring(shutdown));
}

/* What a client is told when there is no key of that name. */
static void
test_texts(void **state)
{
	char		long_kid[1024];
	char		cut[129];
	char		expected[3][JWT_TEXT_BOUND];
	char		header[1200];
	JwtClaims	claims;
	Writer		w = writer_fixed(token_buffer, sizeof(token_buffer));

	(void) state;
	assert_int_equal(verify_with(SLICE_LITERAL(SECRET), jwks, token_of(rsa, "RS256", "\"key-1\""), &claims),
					 JWT_NO_SIGNER_FOR_KEY);
	assert_texts(&claims,
				 "Failed to generate JWT signer for key ID (kid) \"key-1\", check your JWT secret or JWKS configuration",
				 "JwtSignerError: Failed to generate JWT signer for key ID (kid) \"key-1\", check your JWT secret or JWKS configuration",
				 "Failed to generate JWT signer for key ID (kid) \"key-1\", check your JWT secret or JWKS configuration");

	/* A long name is cut, at a character. */
	memset(long_kid, 'x', sizeof(long_kid) - 1);
	memcpy(long_kid + 127, "\xC3\xA9", 2);
	long_kid[sizeof(long_kid) - 1] = '\0';
	snprintf(header, sizeof(header), "{\"alg\":\"ES256\",\"kid\":\"%s\"}", long_kid);
	assert_int_equal(verify_with(SLICE_EMPTY, jwks, signing_token(&w, p256, EVP_sha256(), header, CLAIMS), &claims),
					 JWT_NO_SIGNER_FOR_KEY);
	memset(cut, 'x', 127);
	cut[127] = '\0';
	snprintf(expected[0], sizeof(expected[0]), "Failed to generate JWT signer for key ID (kid) \"%s\", check your JWT secret or JWKS configuration", cut);
	snprintf(expected[1], sizeof(expected[1]), "JwtSignerError: Failed to generate JWT signer for key ID (kid) \"%s\", check your JWT secret or JWKS configuration", cut);
	assert_texts(&claims, expected[0], expected[1], expected[0]);

	/* The body of a refused connect has room for the worst name. */
	{
		char		text[JWT_TEXT_BOUND];
		char		body[JWT_ERROR_BODY_BOUND(JWT_TEXT_BOUND)];
		Writer		t = writer_fixed(text, sizeof(text));
		Writer		b = writer_fixed(body, sizeof(body));

		memset(long_kid, 1, 128);
		claims.kid = slice_make(long_kid, 128);
		(void) jwt_write_connect_refusal(&t, JWT_NO_SIGNER_FOR_KEY, &claims);
		assert_false(t.failed);
		jwt_write_error_body(&b, writer_written(&t));
		assert_false(b.failed);
	}
}

/* TLS reads the error queue of libcrypto: what is in it stays, and nothing comes to it. */
static void
test_error_queue(void **state)
{
	unsigned long before;

	(void) state;
	ERR_raise(ERR_LIB_USER, 7);
	before = ERR_peek_last_error();
	assert_int_not_equal(before, 0);
	for (size_t i = 0; i < SIGNERS; i++)
	{
		Slice		token = token_of_signer(i);

		assert_int_equal(verify(token), JWT_OK);
		token_buffer[token.len - 5] ^= 1;
		(void) verify(token);
		assert_true(ERR_peek_error() == before);
		assert_true(ERR_peek_last_error() == before);
	}
	ERR_clear_error();
}

/* A name with escapes needs scratch; with too little a token is malformed, not verified otherwise. */
static void
test_small_scratch(void **state)
{
	JwtKeys		keys = {.secret = SLICE_INIT(SECRET), .jwks = jwks};
	Slice		token = mac_token_of(SLICE_LITERAL(SECRET), "HS256", "\"\\u006f\\u0063\\u0074\\u0073\\u0020\\u0061\\u0062\\u0063\"");
	JwtClaims	claims;
	bool		good = false;

	(void) state;
	for (size_t size = 0; size <= JWT_SCRATCH_SIZE(token.len); size++)
	{
		char	   *exact = malloc(size == 0 ? 1 : size);
		JwtStatus	status = jwt_verify(&keys, token, NOW, exact, size, &claims);

		assert_non_null(exact);
		assert_int_equal(status, (good || status == JWT_OK) ? JWT_OK : JWT_MALFORMED);
		good = status == JWT_OK;
		free(exact);
	}
	assert_true(good);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_published_signatures),
		cmocka_unit_test(test_rfc7519),
		cmocka_unit_test(test_foreign_tokens),
		cmocka_unit_test(test_every_algorithm),
		cmocka_unit_test(test_kid),
		cmocka_unit_test(test_duplicate_kids),
		cmocka_unit_test(test_purpose),
		cmocka_unit_test(test_public_key_as_secret),
		cmocka_unit_test(test_other_algorithms),
		cmocka_unit_test(test_every_byte_counts),
		cmocka_unit_test(test_signature_lengths),
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_error_queue),
		cmocka_unit_test(test_small_scratch),
	};

	return cmocka_run_group_tests_name("jwt_keys", tests, make_keys, free_keys);
}
