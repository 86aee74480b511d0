/*
 * jwk.c
 *		Read one JSON Web Key into what libcrypto works with.
 */
#include "jwk.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base64url.h"
#include "json.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* A member in base64url: the modulus is the longest, with a zero byte in front as some write it. */
#define MAX_BYTES		(JWK_MAX_RSA_BITS / 8 + 1)
#define MAX_COORDINATE	66		/* bytes, P-521 */

/* The members that are read; those of one kind of key come behind kid. */
enum
{
	KTY, KID, ALG, USE, KEY_OPS, K, N, E, CRV, X, Y, MEMBERS
};

static const Slice member_names[MEMBERS] = {
	SLICE_INIT("kty"), SLICE_INIT("kid"), SLICE_INIT("alg"), SLICE_INIT("use"), SLICE_INIT("key_ops"),
	SLICE_INIT("k"), SLICE_INIT("n"), SLICE_INIT("e"), SLICE_INIT("crv"), SLICE_INIT("x"), SLICE_INIT("y"),
};

/* A key that is being read. */
typedef struct Reading
{
	Slice		members[MEMBERS];	/* tokens, empty if absent */
	Jwk		   *key;
	char	   *text;
	size_t		text_size;
} Reading;

typedef struct Curve
{
	Slice		name;			/* crv */
	JwkType		type;
	const char *openssl_name;	/* of the group, or of the key type */
	size_t		size;			/* bytes of a coordinate, or of the key */
	uint32_t	algorithms;
} Curve;

static const Curve curves[] = {
	{SLICE_INIT("P-256"), JWK_EC, "P-256", 32, JWS_BIT(JWS_ES256)},
	{SLICE_INIT("P-384"), JWK_EC, "P-384", 48, JWS_BIT(JWS_ES384)},
	{SLICE_INIT("P-521"), JWK_EC, "P-521", MAX_COORDINATE, JWS_BIT(JWS_ES512)},
	{SLICE_INIT("Ed25519"), JWK_OKP, "ED25519", 32, JWS_BIT(JWS_EDDSA) | JWS_BIT(JWS_ED25519)},
	{SLICE_INIT("Ed448"), JWK_OKP, "ED448", 57, JWS_BIT(JWS_EDDSA) | JWS_BIT(JWS_ED448)},
};

/* End the reading with a verdict and a reason. */
static JwkVerdict __attribute__((format(printf, 3, 4)))
conclude(const Reading *reading, JwkVerdict verdict, const char *format, ...)
{
	va_list		arguments;

	va_start(arguments, format);
	(void) vsnprintf(reading->text, reading->text_size, format, arguments);
	va_end(arguments);
	return verdict;
}

/* Copy bytes into a block of the key's own; false without memory. */
static bool
keep(Slice bytes, Slice *copy)
{
	char	   *block = malloc(bytes.len == 0 ? 1 : bytes.len);

	if (block == NULL)
		return false;
	if (bytes.len > 0)
		memcpy(block, bytes.data, bytes.len);
	*copy = slice_make(block, bytes.len);
	return true;
}

/* Decode a member in base64url of at most `max` bytes. */
static JwkVerdict
read_bytes(const Reading *reading, int member, unsigned char *bytes, size_t max, size_t *len)
{
	const char *name = member_names[member].data;
	char		buffer[BASE64URL_ENCODED_SIZE(MAX_BYTES)];
	Slice		token = reading->members[member];
	Slice		text;
	JwkVerdict	verdict = JWK_READ;

	*len = 0;
	if (wjson_type(token) != WJSON_STRING)
		return conclude(reading, JWK_BROKEN, "\"%s\" is missing or no string", name);
	if (!wjson_string_text(token, buffer, sizeof(buffer), &text, NULL) ||
		BASE64URL_DECODED_SIZE(text.len) > max)
		verdict = conclude(reading, JWK_BROKEN, "\"%s\" is longer than %zu bytes", name, max);
	else if (!base64url_decode(text, bytes, max, len))
		verdict = conclude(reading, JWK_BROKEN, "\"%s\" is not base64url without padding", name);
	OPENSSL_cleanse(buffer, sizeof(buffer));
	return verdict;
}

/* Decode a member that must have exactly this many bytes. */
static JwkVerdict
read_exactly(const Reading *reading, int member, unsigned char *bytes, size_t size, Slice curve)
{
	size_t		len;
	JwkVerdict	verdict = read_bytes(reading, member, bytes, size, &len);

	if (verdict == JWK_READ && len != size)
		verdict = conclude(reading, JWK_BROKEN, "\"%s\" has %zu bytes, %.*s needs %zu", member_names[member].data,
						   len, (int) curve.len, curve.data, size);
	return verdict;
}

/* Make libcrypto's key of parameters. */
static EVP_PKEY *
make_public_key(const char *type, OSSL_PARAM *parameters)
{
	EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY   *key = NULL;

	if (context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
		EVP_PKEY_fromdata(context, &key, EVP_PKEY_PUBLIC_KEY, parameters) != 1)
		key = NULL;
	EVP_PKEY_CTX_free(context);
	return key;
}

/* A shared secret. */
static JwkVerdict
read_oct(Reading *reading)
{
	unsigned char bytes[JWK_MAX_SECRET];
	size_t		len;
	JwkVerdict	verdict = read_bytes(reading, K, bytes, sizeof(bytes), &len);

	if (verdict == JWK_READ && len < JWK_MIN_SECRET)
		verdict = conclude(reading, JWK_BROKEN, "\"k\" has %zu bytes, at least %d are needed", len, JWK_MIN_SECRET);
	else if (verdict == JWK_READ && !keep(slice_make(bytes, len), &reading->key->secret))
		verdict = conclude(reading, JWK_BROKEN, "there is not enough memory");
	OPENSSL_cleanse(bytes, sizeof(bytes));
	return verdict;
}

/* The RSA key of two numbers. */
static EVP_PKEY *
make_rsa(const BIGNUM *n, const BIGNUM *e)
{
	OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
	OSSL_PARAM *parameters = NULL;
	EVP_PKEY   *key = NULL;

	if (builder != NULL && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
		OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1)
		parameters = OSSL_PARAM_BLD_to_param(builder);
	if (parameters != NULL)
		key = make_public_key("RSA", parameters);
	OSSL_PARAM_free(parameters);
	OSSL_PARAM_BLD_free(builder);
	return key;
}

/* May these be an RSA key? */
static JwkVerdict
check_rsa(const Reading *reading, const BIGNUM *n, const BIGNUM *e)
{
	int			bits = BN_num_bits(n);

	if (bits < JWK_MIN_RSA_BITS)
		return conclude(reading, JWK_BROKEN, "\"n\" has %d bits, at least %d are needed", bits, JWK_MIN_RSA_BITS);
	if (bits > JWK_MAX_RSA_BITS)
		return conclude(reading, JWK_BROKEN, "\"n\" has %d bits, at most %d are allowed", bits, JWK_MAX_RSA_BITS);
	if (!BN_is_odd(n))
		return conclude(reading, JWK_BROKEN, "\"n\" is even");
	if (!BN_is_odd(e) || BN_is_one(e))
		return conclude(reading, JWK_BROKEN, "\"e\" is even or one");
	return JWK_READ;
}

static JwkVerdict
read_rsa(Reading *reading)
{
	unsigned char n_bytes[MAX_BYTES];
	unsigned char e_bytes[JWK_MAX_RSA_EXPONENT];
	size_t		n_len;
	size_t		e_len;
	BIGNUM	   *n;
	BIGNUM	   *e;
	JwkVerdict	verdict = read_bytes(reading, N, n_bytes, sizeof(n_bytes), &n_len);

	if (verdict == JWK_READ)
		verdict = read_bytes(reading, E, e_bytes, sizeof(e_bytes), &e_len);
	if (verdict != JWK_READ)
		return verdict;
	n = BN_bin2bn(n_bytes, (int) n_len, NULL);
	e = BN_bin2bn(e_bytes, (int) e_len, NULL);
	if (n != NULL && e != NULL)
		verdict = check_rsa(reading, n, e);
	if (verdict == JWK_READ)
	{
		reading->key->public_key = n != NULL && e != NULL ? make_rsa(n, e) : NULL;
		if (reading->key->public_key == NULL)
			verdict = conclude(reading, JWK_BROKEN, "libcrypto does not accept it");
	}
	BN_free(n);
	BN_free(e);
	return verdict;
}

/* A point of one of NIST's curves. */
static JwkVerdict
read_ec(Reading *reading, const Curve *curve)
{
	unsigned char point[1 + 2 * MAX_COORDINATE] = {0x04};	/* x and y follow in full */
	OSSL_PARAM	parameters[3];
	JwkVerdict	verdict = read_exactly(reading, X, point + 1, curve->size, curve->name);

	if (verdict == JWK_READ)
		verdict = read_exactly(reading, Y, point + 1 + curve->size, curve->size, curve->name);
	if (verdict != JWK_READ)
		return verdict;
	parameters[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *) curve->openssl_name, 0);
	parameters[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * curve->size);
	parameters[2] = OSSL_PARAM_construct_end();
	/* This fails for what is no point of the curve. The curves have no other subgroup to fall into. */
	reading->key->public_key = make_public_key("EC", parameters);
	if (reading->key->public_key == NULL)
		return conclude(reading, JWK_BROKEN, "\"x\" and \"y\" are no point of %s", curve->openssl_name);
	return JWK_READ;
}

/* A key of an Edwards curve. */
static JwkVerdict
read_okp(Reading *reading, const Curve *curve)
{
	unsigned char bytes[MAX_COORDINATE];
	OSSL_PARAM	parameters[2];
	JwkVerdict	verdict = read_exactly(reading, X, bytes, curve->size, curve->name);

	if (verdict != JWK_READ)
		return verdict;
	parameters[0] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, bytes, curve->size);
	parameters[1] = OSSL_PARAM_construct_end();
	reading->key->public_key = make_public_key(curve->openssl_name, parameters);
	if (reading->key->public_key == NULL)
		return conclude(reading, JWK_BROKEN, "libcrypto does not accept it");
	return JWK_READ;
}

/* The kind of the key, and for some its curve, which say what it could verify. */
static JwkVerdict
read_kind(Reading *reading, const Curve **curve)
{
	static const Slice types[] = {
		[JWK_OCT] = SLICE_INIT("oct"),[JWK_RSA] = SLICE_INIT("RSA"),
		[JWK_EC] = SLICE_INIT("EC"),[JWK_OKP] = SLICE_INIT("OKP"),
	};
	Slice		kty = reading->members[KTY];
	Slice		crv = reading->members[CRV];
	int			type = 0;

	*curve = NULL;
	if (wjson_type(kty) != WJSON_STRING)
		return conclude(reading, JWK_BROKEN, "\"kty\" is missing or no string");
	while (type <= JWK_OKP && !wjson_string_equals(kty, types[type]))
		type++;
	if (type > JWK_OKP)
		return conclude(reading, JWK_NOT_FOR_US, "its \"kty\" is none of oct, RSA, EC and OKP");
	reading->key->type = (JwkType) type;
	reading->key->algorithms = type == JWK_OCT ? JWS_HS : JWS_RS;
	if (type == JWK_OCT || type == JWK_RSA)
		return JWK_READ;

	if (wjson_type(crv) != WJSON_STRING)
		return conclude(reading, JWK_BROKEN, "\"crv\" is missing or no string");
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
	{
		if (curves[i].type == reading->key->type && wjson_string_equals(crv, curves[i].name))
		{
			*curve = &curves[i];
			reading->key->algorithms = curves[i].algorithms;
			return JWK_READ;
		}
	}
	return conclude(reading, JWK_NOT_FOR_US, "its \"crv\" is none of %s",
					type == JWK_EC ? "P-256, P-384 and P-521" : "Ed25519 and Ed448");
}

/* Is "verify" among key_ops? */
static bool
may_verify(Slice operations)
{
	WjsonIter	it;
	Slice		name;
	Slice		value;

	if (!wjson_iter_start(&it, operations))
		return false;
	while (wjson_iter_next(&it, &name, &value))
	{
		if (wjson_string_equals(value, SLICE_LITERAL("verify")))
			return true;
	}
	return false;
}

/* What the key itself says it is for: alg, use, key_ops. */
static JwkVerdict
read_purpose(Reading *reading)
{
	Slice		alg = reading->members[ALG];
	Slice		use = reading->members[USE];
	Slice		operations = reading->members[KEY_OPS];
	JwsAlgorithm algorithm;

	if (use.len > 0 && wjson_type(use) != WJSON_STRING)
		return conclude(reading, JWK_BROKEN, "\"use\" is no string");
	if (operations.len > 0 && wjson_type(operations) != WJSON_ARRAY)
		return conclude(reading, JWK_BROKEN, "\"key_ops\" is no array");
	if (alg.len > 0 && wjson_type(alg) != WJSON_STRING)
		return conclude(reading, JWK_BROKEN, "\"alg\" is no string");
	if (use.len > 0 && !wjson_string_equals(use, SLICE_LITERAL("sig")))
		return conclude(reading, JWK_NOT_FOR_US, "its \"use\" is not \"sig\"");
	if (operations.len > 0 && !may_verify(operations))
		return conclude(reading, JWK_NOT_FOR_US, "its \"key_ops\" are without \"verify\"");
	if (alg.len == 0)
		return JWK_READ;
	if (!jws_algorithm(alg, &algorithm))
		return conclude(reading, JWK_NOT_FOR_US, "its \"alg\" is not known");
	if ((reading->key->algorithms & JWS_BIT(algorithm)) == 0)
		return conclude(reading, JWK_BROKEN, "\"alg\" does not fit its \"kty\" and \"crv\"");
	/* EdDSA and the name of the curve are the same algorithm. */
	if (reading->key->type != JWK_OKP)
		reading->key->algorithms = JWS_BIT(algorithm);
	return JWK_READ;
}

/* The name by which tokens choose the key. */
static JwkVerdict
read_kid(Reading *reading)
{
	char		buffer[JWK_MAX_KID];
	Slice		token = reading->members[KID];
	Slice		text;

	if (token.len == 0)
		return conclude(reading, JWK_NOT_FOR_US, "it has no \"kid\"");
	if (wjson_type(token) != WJSON_STRING)
		return conclude(reading, JWK_BROKEN, "\"kid\" is no string");
	if (!wjson_string_text(token, buffer, sizeof(buffer), &text, NULL) || text.len > JWK_MAX_KID)
		return conclude(reading, JWK_BROKEN, "\"kid\" is longer than %d bytes", JWK_MAX_KID);
	if (!keep(text, &reading->key->kid))
		return conclude(reading, JWK_BROKEN, "there is not enough memory");
	return JWK_READ;
}

/* The key itself. */
static JwkVerdict
read_material(Reading *reading, const Curve *curve)
{
	switch (reading->key->type)
	{
		case JWK_OCT:
			return read_oct(reading);
		case JWK_RSA:
			return read_rsa(reading);
		case JWK_EC:
			return read_ec(reading, curve);
		case JWK_OKP:
			return read_okp(reading, curve);
	}
	return JWK_BROKEN;
}

/* Read a key. */
JwkVerdict
jwk_read(Slice object, Jwk *key, char *text, size_t text_size)
{
	Reading		reading = {.key = key, .text = text, .text_size = text_size};
	const Curve *curve;
	JwkVerdict	verdict;

	memset(key, 0, sizeof(*key));
	if (!wjson_members(object, member_names, reading.members, MEMBERS))
		return conclude(&reading, JWK_BROKEN, "it is no object");
	verdict = read_kind(&reading, &curve);
	if (verdict == JWK_READ)
		verdict = read_purpose(&reading);
	if (verdict == JWK_READ)
		verdict = read_kid(&reading);
	if (verdict == JWK_READ)
	{
		ERR_set_mark();
		verdict = read_material(&reading, curve);
		ERR_pop_to_mark();
	}
	if (verdict != JWK_READ)
		jwk_clear(key);
	return verdict;
}

/* Free what a key owns. */
void
jwk_clear(Jwk *key)
{
	if (key->secret.len > 0)
		OPENSSL_cleanse((char *) key->secret.data, key->secret.len);
	free((char *) key->secret.data);
	free((char *) key->kid.data);
	EVP_PKEY_free(key->public_key);
	memset(key, 0, sizeof(*key));
}
