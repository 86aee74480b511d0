/*
 * test_jwks.c
 *		Documents with keys: those that are read, those that are refused, and why.
 */
#include "signing.h"

#include <stdio.h>

#include <openssl/err.h>

#include "jws_vectors.h"
#include "wire/jwk.h"
#include "wire/jwks.h"

#define SECRET		"a-secret-of-at-least-32-bytes-for-tests"
#define P256_X		"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"
#define P256_Y		"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"
#define ED25519_X	"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
#define OCT_K		"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"	/* 33 bytes */
#define EC_KEY		"\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X "\",\"y\":\"" P256_Y "\""
#define OCT_KEY		"\"kty\":\"oct\",\"k\":\"" OCT_K "\""

static char document[64 * 1024];
static char error[JWKS_ERROR_SIZE];

/* Parse a copy that is freed at once: nothing may point into it. */
static Jwks *
parse(Slice text)
{
	Slice		copy = copy_exactly(text);
	Jwks	   *jwks;

	memset(error, '#', sizeof(error));
	jwks = jwks_parse(copy, error, sizeof(error));
	copy_free(copy);
	assert_int_equal(ERR_peek_error(), 0);
	return jwks;
}

/* A document that holds one key. */
static Jwks *
parse_key(const char *key)
{
	int			len = snprintf(document, sizeof(document), "{\"keys\":[%s]}", key);

	assert_true(len < (int) sizeof(document));
	return parse(slice_make(document, (size_t) len));
}

/* One key, of which all algorithms are these. */
static void
assert_reads(const char *key, JwkType type, uint32_t algorithms)
{
	Jwks	   *jwks = parse_key(key);
	const Jwk  *found;

	if (jwks == NULL)
		fail_msg("%s: %s", key, error);
	assert_int_equal(jwks_count(jwks), 1);
	assert_int_equal(jwks_left_out(jwks), 0);
	assert_null(jwks_note(jwks));
	found = jwks_find(jwks, type, SLICE_LITERAL("a"));
	assert_non_null(found);
	assert_int_equal(found->type, type);
	assert_int_equal(found->algorithms, algorithms);
	for (int other = JWK_OCT; other <= JWK_OKP; other++)
	{
		if (other != (int) type)
			assert_null(jwks_find(jwks, (JwkType) other, SLICE_LITERAL("a")));
	}
	assert_null(jwks_find(jwks, type, SLICE_LITERAL("A")));
	assert_null(jwks_find(jwks, type, SLICE_LITERAL("")));
	assert_null(jwks_find(jwks, type, SLICE_LITERAL("a ")));
	jwks_free(jwks);
}

/* A key that is left out, with the others of its document untouched. */
static void
assert_left_out(const char *key, const char *note)
{
	int			len = snprintf(document, sizeof(document), "{\"keys\":[{\"kid\":\"a\"," OCT_KEY "},%s]}", key);
	Jwks	   *jwks = parse(slice_make(document, (size_t) len));

	if (jwks == NULL)
		fail_msg("%s: %s", key, error);
	assert_int_equal(jwks_count(jwks), 1);
	assert_int_equal(jwks_left_out(jwks), 1);
	assert_string_equal(jwks_note(jwks), note);
	assert_non_null(jwks_find(jwks, JWK_OCT, SLICE_LITERAL("a")));
	jwks_free(jwks);
}

/* A document that is refused, as it would be in any place. */
static void
assert_refused(Slice text, const char *reason)
{
	Jwks	   *jwks = parse(text);

	if (jwks != NULL)
		fail_msg("accepted: %.*s", (int) (text.len > 300 ? 300 : text.len), text.data);
	assert_string_equal(error, reason);
}

static void
assert_key_refused(const char *key, const char *reason)
{
	int			len = snprintf(document, sizeof(document), "{\"keys\":[{\"kid\":\"b\"," OCT_KEY "},%s]}", key);
	char		text[JWKS_ERROR_SIZE];

	assert_true(len < (int) sizeof(document));
	snprintf(text, sizeof(text), "keys[1]: %s", reason);
	assert_refused(slice_make(document, (size_t) len), text);
}

static void
test_kinds(void **state)
{
	(void) state;
	assert_reads("{\"kid\":\"a\"," OCT_KEY "}", JWK_OCT, JWS_HS);
	assert_reads("{\"kid\":\"a\"," EC_KEY "}", JWK_EC, JWS_BIT(JWS_ES256));
	assert_reads("{\"kid\":\"a\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED25519_X "\"}", JWK_OKP,
				 JWS_BIT(JWS_EDDSA) | JWS_BIT(JWS_ED25519));

	/* Escapes, a private half, members that nobody knows, the first of two equal members. */
	assert_reads("{\"\\u006bid\":\"\\u0061\",\"kty\":\"\\u006fct\",\"k\":\"\\u0041yM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T\"}",
				 JWK_OCT, JWS_HS);
	assert_reads("{\"kid\":\"a\",\"d\":\"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI\",\"ext\":true,\"x5c\":[1],\"nbf\":{}," EC_KEY "}",
				 JWK_EC, JWS_BIT(JWS_ES256));
	assert_reads("{\"kid\":\"a\",\"kid\":\"b\"," OCT_KEY ",\"kty\":\"RSA\",\"k\":7}", JWK_OCT, JWS_HS);
}

static void
test_purpose(void **state)
{
	(void) state;
	assert_reads("{\"kid\":\"a\",\"alg\":\"HS384\"," OCT_KEY "}", JWK_OCT, JWS_BIT(JWS_HS384));
	assert_reads("{\"kid\":\"a\",\"alg\":\"ES256\",\"use\":\"sig\",\"key_ops\":[\"verify\"]," EC_KEY "}", JWK_EC,
				 JWS_BIT(JWS_ES256));
	assert_reads("{\"kid\":\"a\",\"key_ops\":[1,\"sign\",\"verify\"]," OCT_KEY "}", JWK_OCT, JWS_HS);
	for (int i = 0; i < 2; i++)
	{
		char		key[256];

		snprintf(key, sizeof(key), "{\"kid\":\"a\",\"alg\":\"%s\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"" ED25519_X "\"}",
				 i == 0 ? "EdDSA" : "Ed25519");
		assert_reads(key, JWK_OKP, JWS_BIT(JWS_EDDSA) | JWS_BIT(JWS_ED25519));
	}

	assert_left_out("{\"kid\":\"a\",\"alg\":\"PS256\",\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQAB\"}",
					"keys[1] is left out: its \"alg\" is not known");
	assert_left_out("{\"kid\":\"b\",\"alg\":\"none\"," OCT_KEY "}", "keys[1] is left out: its \"alg\" is not known");
	assert_left_out("{\"kid\":\"b\",\"use\":\"enc\"," EC_KEY "}", "keys[1] is left out: its \"use\" is not \"sig\"");
	assert_left_out("{\"kid\":\"b\",\"key_ops\":[\"sign\"]," EC_KEY "}",
					"keys[1] is left out: its \"key_ops\" are without \"verify\"");
	assert_left_out("{\"kid\":\"b\",\"key_ops\":[]," EC_KEY "}",
					"keys[1] is left out: its \"key_ops\" are without \"verify\"");
	assert_left_out("{" OCT_KEY "}", "keys[1] is left out: it has no \"kid\"");
	assert_left_out("{\"kid\":\"b\",\"kty\":\"AKP\"}",
					"keys[1] is left out: its \"kty\" is none of oct, RSA, EC and OKP");
	assert_left_out("{\"kid\":\"b\",\"kty\":\"oct\\u0000\"}",
					"keys[1] is left out: its \"kty\" is none of oct, RSA, EC and OKP");
	assert_left_out("{\"kid\":\"b\",\"kty\":\"EC\",\"crv\":\"secp256k1\"}",
					"keys[1] is left out: its \"crv\" is none of P-256, P-384 and P-521");
	assert_left_out("{\"kid\":\"b\",\"kty\":\"OKP\",\"crv\":\"X25519\"}",
					"keys[1] is left out: its \"crv\" is none of Ed25519 and Ed448");
	assert_left_out("{\"kid\":\"b\",\"kty\":\"OKP\",\"crv\":\"P-256\"}",
					"keys[1] is left out: its \"crv\" is none of Ed25519 and Ed448");

	assert_key_refused("{\"kid\":\"a\",\"alg\":\"ES384\"," EC_KEY "}", "\"alg\" does not fit its \"kty\" and \"crv\"");
	assert_key_refused("{\"kid\":\"a\",\"alg\":\"HS256\"," EC_KEY "}", "\"alg\" does not fit its \"kty\" and \"crv\"");
	assert_key_refused("{\"kid\":\"a\",\"alg\":\"RS256\"," OCT_KEY "}", "\"alg\" does not fit its \"kty\" and \"crv\"");
	assert_key_refused("{\"kid\":\"a\",\"alg\":null," OCT_KEY "}", "\"alg\" is no string");
	assert_key_refused("{\"kid\":\"a\",\"use\":[\"sig\"]," OCT_KEY "}", "\"use\" is no string");
	assert_key_refused("{\"kid\":\"a\",\"key_ops\":\"verify\"," OCT_KEY "}", "\"key_ops\" is no array");
}

static void
test_broken_keys(void **state)
{
	static const struct
	{
		const char *key;
		const char *reason;
	}			cases[] = {
		{"7", "it is no object"},
		{"[]", "it is no object"},
		{"{}", "\"kty\" is missing or no string"},
		{"{\"kid\":\"a\",\"kty\":null}", "\"kty\" is missing or no string"},
		{"{\"kid\":7," OCT_KEY "}", "\"kid\" is no string"},
		{"{\"kid\":null," OCT_KEY "}", "\"kid\" is no string"},
		{"{\"kid\":\"a\",\"kty\":\"oct\"}", "\"k\" is missing or no string"},
		{"{\"kid\":\"a\",\"kty\":\"oct\",\"k\":[]}", "\"k\" is missing or no string"},
		{"{\"kid\":\"a\",\"kty\":\"oct\",\"k\":\"\"}", "\"k\" has 0 bytes, at least 32 are needed"},
		{"{\"kid\":\"a\",\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLg\"}",
		"\"k\" has 31 bytes, at least 32 are needed"},
		{"{\"kid\":\"a\",\"kty\":\"oct\",\"k\":\"" OCT_K "==\"}", "\"k\" is not base64url without padding"},
		{"{\"kid\":\"a\",\"kty\":\"oct\",\"k\":\"+" OCT_K "xxx\"}", "\"k\" is not base64url without padding"},
		{"{\"kid\":\"a\",\"kty\":\"RSA\",\"e\":\"AQAB\"}", "\"n\" is missing or no string"},
		{"{\"kid\":\"a\",\"kty\":\"RSA\",\"n\":\"AQAB\"}", "\"e\" is missing or no string"},
		{"{\"kid\":\"a\",\"kty\":\"RSA\",\"n\":\"AQAB\",\"e\":\"AQAB\"}", "\"n\" has 17 bits, at least 2048 are needed"},
		{"{\"kid\":\"a\",\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}", "\"n\" has 0 bits, at least 2048 are needed"},
		{"{\"kid\":\"a\",\"kty\":\"EC\",\"x\":\"" P256_X "\",\"y\":\"" P256_Y "\"}", "\"crv\" is missing or no string"},
		{"{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\",\"y\":\"" P256_Y "\"}", "\"x\" is missing or no string"},
		{"{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X "\"}", "\"y\" is missing or no string"},
		{"{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_X "AA\",\"y\":\"" P256_Y "\"}",
		"\"x\" is longer than 32 bytes"},
		{"{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\",\"y\":\"" P256_Y "\"}",
		"\"x\" has 3 bytes, P-256 needs 32"},
		{"{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"" P256_X "\",\"y\":\"" P256_Y "\"}",
		"\"x\" has 32 bytes, P-384 needs 48"},
		{"{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"" P256_Y "\",\"y\":\"" P256_X "\"}",
		"\"x\" and \"y\" are no point of P-256"},
		{"{\"kid\":\"a\",\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\","
		"\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"}", "\"x\" and \"y\" are no point of P-256"},
		{"{\"kid\":\"a\",\"kty\":\"OKP\",\"x\":\"" ED25519_X "\"}", "\"crv\" is missing or no string"},
		{"{\"kid\":\"a\",\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"" ED25519_X "\"}", "\"x\" has 32 bytes, Ed448 needs 57"},
		{"{\"kid\":\"a\",\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AQAB\"}", "\"x\" has 3 bytes, Ed25519 needs 32"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_key_refused(cases[i].key, cases[i].reason);
}

static void
test_broken_documents(void **state)
{
	static const struct
	{
		Slice		text;
		const char *reason;
	}			cases[] = {
		{SLICE_INIT(""), "the document is not JSON"},
		{SLICE_INIT("{"), "the document is not JSON"},
		{SLICE_INIT("{\"keys\":[]} x"), "the document is not JSON"},
		{SLICE_INIT("\xEF\xBB\xBF{\"keys\":[]}"), "the document is not JSON"},
		{SLICE_INIT("{\"keys\":[]}\0"), "the document is not JSON"},
		{SLICE_INIT("[]"), "the document is no object"},
		{SLICE_INIT("null"), "the document is no object"},
		{SLICE_INIT("{}"), "\"keys\" is missing or no array"},
		{SLICE_INIT("{\"keys\":{}}"), "\"keys\" is missing or no array"},
		{SLICE_INIT("{\"keys\":null,\"keys\":[]}"), "\"keys\" is missing or no array"},
		{SLICE_INIT("{\"keys\":[1]}"), "keys[0]: it is no object"},
	};
	Jwks	   *jwks;
	char		small[8];

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_refused(cases[i].text, cases[i].reason);

	jwks = parse(SLICE_LITERAL(" { \"keys\" : [ ] , \"more\" : 1 }\n"));
	assert_non_null(jwks);
	assert_int_equal(jwks_count(jwks), 0);
	assert_null(jwks_find(jwks, JWK_OCT, SLICE_LITERAL("")));
	jwks_free(jwks);
	jwks_free(NULL);

	/* A reason that doesn't fit is cut, and ends. */
	assert_null(jwks_parse(SLICE_LITERAL("{}"), small, sizeof(small)));
	assert_string_equal(small, "\"keys\" ");
}

/* A document of many keys, the first few of one kind. */
static Slice
many_keys(int count)
{
	Writer		w = writer_fixed(document, sizeof(document));

	writer_literal(&w, "{\"keys\":[");
	for (int i = 0; i < count; i++)
	{
		char		kid[16];

		snprintf(kid, sizeof(kid), "k%d", i);
		if (i > 0)
			writer_char(&w, ',');
		signing_write_oct(&w, SECRET, kid, i % 2 == 0 ? "" : ",\"use\":\"enc\"");
	}
	writer_literal(&w, "]}");
	assert_false(w.failed);
	return writer_written(&w);
}

static void
test_limits(void **state)
{
	Jwks	   *jwks = parse(many_keys(JWKS_MAX_KEYS));
	size_t		size = JWKS_MAX_DOCUMENT + 1;
	char	   *big = malloc(size);
	char		key[2048];
	char		text[JWK_MAX_KID + 2];
	char		k[BASE64URL_ENCODED_SIZE(JWK_MAX_SECRET + 1) + 1];

	(void) state;
	assert_non_null(jwks);
	assert_int_equal(jwks_count(jwks), JWKS_MAX_KEYS / 2);
	assert_int_equal(jwks_left_out(jwks), JWKS_MAX_KEYS / 2);
	assert_string_equal(jwks_note(jwks), "keys[1] is left out: its \"use\" is not \"sig\"");
	assert_non_null(jwks_find(jwks, JWK_OCT, SLICE_LITERAL("k62")));
	assert_null(jwks_find(jwks, JWK_OCT, SLICE_LITERAL("k63")));
	jwks_free(jwks);
	assert_refused(many_keys(JWKS_MAX_KEYS + 1), "there are more than 64 keys");

	assert_non_null(big);
	memset(big, ' ', size);
	memcpy(big, "{\"keys\":[]}", 11);
	jwks = parse(slice_make(big, size - 1));
	assert_non_null(jwks);
	jwks_free(jwks);
	assert_refused(slice_make(big, size), "the document is longer than 1 MB");
	free(big);

	/* kid */
	memset(text, 'x', sizeof(text));
	text[JWK_MAX_KID] = '\0';
	snprintf(key, sizeof(key), "{\"kid\":\"%s\"," OCT_KEY "}", text);
	jwks = parse_key(key);
	assert_non_null(jwks);
	assert_non_null(jwks_find(jwks, JWK_OCT, slice_cstring(text)));
	jwks_free(jwks);
	text[JWK_MAX_KID] = 'x';
	text[JWK_MAX_KID + 1] = '\0';
	snprintf(key, sizeof(key), "{\"kid\":\"%s\"," OCT_KEY "}", text);
	assert_key_refused(key, "\"kid\" is longer than 256 bytes");

	/* k: 1024 bytes and one more */
	memset(k, 'A', sizeof(k));
	k[BASE64URL_ENCODED_SIZE(JWK_MAX_SECRET)] = '\0';
	snprintf(key, sizeof(key), "{\"kid\":\"a\",\"kty\":\"oct\",\"k\":\"%s\"}", k);
	assert_reads(key, JWK_OCT, JWS_HS);
	k[BASE64URL_ENCODED_SIZE(JWK_MAX_SECRET)] = 'A';
	k[BASE64URL_ENCODED_SIZE(JWK_MAX_SECRET + 1)] = '\0';
	snprintf(key, sizeof(key), "{\"kid\":\"a\",\"kty\":\"oct\",\"k\":\"%s\"}", k);
	assert_key_refused(key, "\"k\" is longer than 1024 bytes");
}

/* {"kid":"a","kty":"RSA","n":…,"e":…} with a modulus of this many bits, in so many bytes. */
static const char *
rsa_jwk(size_t bits, size_t len, unsigned last, const char *e)
{
	static char key[4096];
	unsigned char n[1100];
	size_t		first = len - (bits + 7) / 8;
	Writer		w = writer_fixed(key, sizeof(key) - 1);

	assert_true(len <= sizeof(n));
	memset(n, 0, sizeof(n));
	memset(n + first, 0x55, len - first);
	n[first] = (unsigned char) (1u << (bits - 1) % 8);
	n[len - 1] = (unsigned char) last;
	writer_literal(&w, "{\"kid\":\"a\",\"kty\":\"RSA\",\"n\":\"");
	base64url_write(&w, n, len);
	writer_literal(&w, "\",\"e\":\"");
	writer_cstring(&w, e);
	writer_literal(&w, "\"}");
	assert_false(w.failed);
	key[w.len] = '\0';
	return key;
}

static void
test_rsa_numbers(void **state)
{
	(void) state;
	assert_reads(rsa_jwk(2048, 256, 1, "AQAB"), JWK_RSA, JWS_RS);
	assert_reads(rsa_jwk(2048, 257, 1, "AQAB"), JWK_RSA, JWS_RS);	/* a zero byte in front */
	assert_reads(rsa_jwk(3072, 384, 1, "Aw"), JWK_RSA, JWS_RS);
	assert_reads(rsa_jwk(8192, 1024, 1, "AAEAAQ"), JWK_RSA, JWS_RS);
	assert_reads(rsa_jwk(8192, 1025, 1, "AQAB"), JWK_RSA, JWS_RS);
	assert_key_refused(rsa_jwk(1024, 128, 1, "AQAB"), "\"n\" has 1024 bits, at least 2048 are needed");
	assert_key_refused(rsa_jwk(2047, 256, 1, "AQAB"), "\"n\" has 2047 bits, at least 2048 are needed");
	assert_key_refused(rsa_jwk(2047, 1025, 1, "AQAB"), "\"n\" has 2047 bits, at least 2048 are needed");
	assert_key_refused(rsa_jwk(8193, 1025, 1, "AQAB"), "\"n\" has 8193 bits, at most 8192 are allowed");
	assert_key_refused(rsa_jwk(8200, 1026, 1, "AQAB"), "\"n\" is longer than 1025 bytes");
	assert_key_refused(rsa_jwk(2048, 256, 2, "AQAB"), "\"n\" is even");
	assert_key_refused(rsa_jwk(2048, 256, 1, "AQ"), "\"e\" is even or one");
	assert_key_refused(rsa_jwk(2048, 256, 1, "AA"), "\"e\" is even or one");
	assert_key_refused(rsa_jwk(2048, 256, 1, "Ag"), "\"e\" is even or one");
	assert_key_refused(rsa_jwk(2048, 256, 1, ""), "\"e\" is even or one");
	assert_key_refused(rsa_jwk(2048, 256, 1, "AQAAAAE"), "\"e\" is longer than 4 bytes");
}

/* Keys that libcrypto made: what comes back is the same key. */
static void
test_keys_of_libcrypto(void **state)
{
	EVP_PKEY   *made[] = {
		EVP_RSA_gen(2048), EVP_EC_gen("P-256"), EVP_EC_gen("P-384"), EVP_EC_gen("P-521"),
		EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), EVP_PKEY_Q_keygen(NULL, NULL, "ED448"),
	};
	static const JwkType types[] = {JWK_RSA, JWK_EC, JWK_EC, JWK_EC, JWK_OKP, JWK_OKP};

	(void) state;
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++)
	{
		Writer		w = writer_fixed(document, sizeof(document));
		Jwks	   *jwks;

		assert_non_null(made[i]);
		writer_literal(&w, "{\"keys\":[");
		signing_write_jwk(&w, made[i], "a", "");
		writer_literal(&w, "]}");
		jwks = parse(writer_written(&w));
		if (jwks == NULL)
			fail_msg("%s", error);
		assert_int_equal(EVP_PKEY_eq(jwks_find(jwks, types[i], SLICE_LITERAL("a"))->public_key, made[i]), 1);
		jwks_free(jwks);
		EVP_PKEY_free(made[i]);
	}
}

/* The first of two keys of one name and kind is taken; keys of another kind don't hide it. */
static void
test_duplicates(void **state)
{
	Jwks	   *jwks = parse(SLICE_LITERAL("{\"keys\":[{\"kid\":\"a\"," EC_KEY "},{\"kid\":\"a\"," OCT_KEY ",\"alg\":\"HS256\"},"
										   "{\"kid\":\"a\"," OCT_KEY ",\"alg\":\"HS512\"},{\"kid\":\"\"," OCT_KEY "}]}"));

	(void) state;
	assert_non_null(jwks);
	assert_int_equal(jwks_count(jwks), 4);
	assert_int_equal(jwks_find(jwks, JWK_OCT, SLICE_LITERAL("a"))->algorithms, JWS_BIT(JWS_HS256));
	assert_non_null(jwks_find(jwks, JWK_EC, SLICE_LITERAL("a")));
	assert_non_null(jwks_find(jwks, JWK_OCT, SLICE_LITERAL("")));
	jwks_free(jwks);
}

/* No beginning of a document is one, and whatever is done to a byte, nothing breaks. */
static void
test_damage(void **state)
{
	char	   *copy = malloc(foreign_keys.len);
	Jwks	   *jwks = parse(foreign_keys);

	(void) state;
	assert_non_null(copy);
	assert_non_null(jwks);
	assert_int_equal(jwks_count(jwks), 7);
	jwks_free(jwks);
	for (size_t len = 0; len < foreign_keys.len; len++)
		assert_null(parse(slice_make(foreign_keys.data, len)));

	for (size_t at = 0; at < foreign_keys.len; at++)
	{
		static const char bytes[] = {'\0', '"', 'A', '=', '\\', '1'};

		memcpy(copy, foreign_keys.data, foreign_keys.len);
		for (size_t i = 0; i < sizeof(bytes); i++)
		{
			copy[at] = bytes[i];
			jwks = parse(slice_make(copy, foreign_keys.len));
			if (jwks == NULL)
				assert_true(memchr(error, '\0', sizeof(error)) != NULL);
			else
				assert_true(jwks_count(jwks) + jwks_left_out(jwks) == 7);
			jwks_free(jwks);
		}
	}
	free(copy);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_kinds),
		cmocka_unit_test(test_purpose),
		cmocka_unit_test(test_broken_keys),
		cmocka_unit_test(test_broken_documents),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_rsa_numbers),
		cmocka_unit_test(test_keys_of_libcrypto),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests_name("jwks", tests, NULL, NULL);
}
