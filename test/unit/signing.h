/*
 * signing.h
 *		Keys of a test's own: made with libcrypto, written as JWK, signing tokens.
 */
#ifndef REALTIME_TEST_SIGNING_H
#define REALTIME_TEST_SIGNING_H

#include "unit.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>

#include "wire/base64url.h"

/* The digest of an algorithm by the end of its name; EdDSA has its own. */
static inline const EVP_MD *
signing_digest(const char *algorithm)
{
	const char *end = algorithm + strlen(algorithm) - 3;

	if (algorithm[0] == 'E' && algorithm[1] == 'd')
		return NULL;
	return strcmp(end, "256") == 0 ? EVP_sha256() : strcmp(end, "384") == 0 ? EVP_sha384() : EVP_sha512();
}

/* A member of a JWK that is a number of libcrypto's, padded to this many bytes (0: not). */
static inline void
signing_write_number(Writer *w, const char *name, EVP_PKEY *key, const char *parameter, int size)
{
	unsigned char bytes[2048];
	BIGNUM	   *number = NULL;

	assert_int_equal(EVP_PKEY_get_bn_param(key, parameter, &number), 1);
	if (size == 0)
		size = BN_num_bytes(number);
	assert_true(size <= (int) sizeof(bytes));
	assert_int_equal(BN_bn2binpad(number, bytes, size), size);
	BN_free(number);
	writer_literal(w, ",\"");
	writer_cstring(w, name);
	writer_literal(w, "\":\"");
	base64url_write(w, bytes, (size_t) size);
	writer_char(w, '"');
}

/* {"kty":…,"kid":KID,…EXTRA}, the public half of a key; extra is "" or begins with a comma. */
static inline void
signing_write_jwk(Writer *w, EVP_PKEY *key, const char *kid, const char *extra)
{
	int			bytes = (EVP_PKEY_get_bits(key) + 7) / 8;
	unsigned char raw[64];
	size_t		len = sizeof(raw);

	writer_literal(w, "{\"kid\":\"");
	writer_cstring(w, kid);
	writer_char(w, '"');
	if (EVP_PKEY_is_a(key, "RSA"))
	{
		writer_literal(w, ",\"kty\":\"RSA\"");
		signing_write_number(w, "n", key, OSSL_PKEY_PARAM_RSA_N, 0);
		signing_write_number(w, "e", key, OSSL_PKEY_PARAM_RSA_E, 0);
	}
	else if (EVP_PKEY_is_a(key, "EC"))
	{
		writer_literal(w, ",\"kty\":\"EC\",\"crv\":\"P-");
		writer_uint(w, (uint64_t) EVP_PKEY_get_bits(key));
		writer_char(w, '"');
		signing_write_number(w, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, bytes);
		signing_write_number(w, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, bytes);
	}
	else
	{
		assert_int_equal(EVP_PKEY_get_raw_public_key(key, raw, &len), 1);
		writer_literal(w, ",\"kty\":\"OKP\",\"crv\":\"");
		writer_cstring(w, EVP_PKEY_is_a(key, "ED25519") ? "Ed25519" : "Ed448");
		writer_literal(w, "\",\"x\":\"");
		base64url_write(w, raw, len);
		writer_char(w, '"');
	}
	writer_cstring(w, extra);
	writer_char(w, '}');
	assert_false(w->failed);
}

/* A JWK of kind oct. */
static inline void
signing_write_oct(Writer *w, const char *secret, const char *kid, const char *extra)
{
	writer_literal(w, "{\"kty\":\"oct\",\"kid\":\"");
	writer_cstring(w, kid);
	writer_literal(w, "\",\"k\":\"");
	base64url_write(w, secret, strlen(secret));
	writer_char(w, '"');
	writer_cstring(w, extra);
	writer_char(w, '}');
	assert_false(w->failed);
}

/* An ECDSA signature in DER as r and s. */
static inline size_t
signing_der_to_raw(const unsigned char *der, size_t len, size_t size, unsigned char *raw)
{
	ECDSA_SIG  *numbers = d2i_ECDSA_SIG(NULL, &der, (long) len);

	assert_non_null(numbers);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_r(numbers), raw, (int) size), (int) size);
	assert_int_equal(BN_bn2binpad(ECDSA_SIG_get0_s(numbers), raw + size, (int) size), (int) size);
	ECDSA_SIG_free(numbers);
	return 2 * size;
}

/* The signature of a text, as a token has it; at most 1024 bytes. */
static inline size_t
signing_sign(EVP_PKEY *key, const EVP_MD *digest, Slice input, unsigned char *signature)
{
	unsigned char raw[1024];
	size_t		len = sizeof(raw);
	EVP_MD_CTX *context = EVP_MD_CTX_new();

	assert_int_equal(EVP_DigestSignInit(context, NULL, digest, NULL, key), 1);
	assert_int_equal(EVP_DigestSign(context, raw, &len, (const unsigned char *) input.data, input.len), 1);
	EVP_MD_CTX_free(context);
	if (EVP_PKEY_is_a(key, "EC"))
		return signing_der_to_raw(raw, len, (size_t) (EVP_PKEY_get_bits(key) + 7) / 8, signature);
	memcpy(signature, raw, len);
	return len;
}

/* Header, claims and a signature that is given. */
static inline Slice
signing_assemble(Writer *w, const char *header, const char *claims)
{
	base64url_write(w, header, strlen(header));
	writer_char(w, '.');
	base64url_write(w, claims, strlen(claims));
	assert_false(w->failed);
	return writer_written(w);
}

static inline Slice
signing_append(Writer *w, const void *signature, size_t len)
{
	writer_char(w, '.');
	base64url_write(w, signature, len);
	assert_false(w->failed);
	return writer_written(w);
}

/* A token that a key has signed. */
static inline Slice
signing_token(Writer *w, EVP_PKEY *key, const EVP_MD *digest, const char *header, const char *claims)
{
	unsigned char signature[1024];
	size_t		len = signing_sign(key, digest, signing_assemble(w, header, claims), signature);

	return signing_append(w, signature, len);
}

/* A token with the MAC of a secret. */
static inline Slice
signing_mac_token(Writer *w, Slice secret, const EVP_MD *digest, const char *header, const char *claims)
{
	Slice		input = signing_assemble(w, header, claims);
	unsigned char mac[EVP_MAX_MD_SIZE];
	size_t		len;

	assert_non_null(EVP_Q_mac(NULL, "HMAC", NULL, EVP_MD_get0_name(digest), NULL, secret.data, secret.len,
							  (const unsigned char *) input.data, input.len, mac, sizeof(mac), &len));
	return signing_append(w, mac, len);
}

#endif							/* REALTIME_TEST_SIGNING_H */
