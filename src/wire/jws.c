/*
 * jws.c
 *		Check the signatures of tokens with libcrypto.
 */
#include "jws.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>

#include "json.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define MAX_COORDINATE	66		/* bytes of r and of s, P-521 */
#define MAX_DER			(3 + 2 * (2 + 1 + MAX_COORDINATE))

typedef struct Algorithm
{
	Slice		name;
	JwkType		type;
	const char *digest;			/* of an HMAC, by name */
	const EVP_MD *(*md) (void);	/* of a signature; NULL: the algorithm has its own */
	size_t		coordinate;		/* ECDSA: bytes of r and of s */
} Algorithm;

static const Algorithm algorithms[JWS_ALGORITHMS] = {
	[JWS_HS256] = {SLICE_INIT("HS256"), JWK_OCT, "SHA256", NULL, 0},
	[JWS_HS384] = {SLICE_INIT("HS384"), JWK_OCT, "SHA384", NULL, 0},
	[JWS_HS512] = {SLICE_INIT("HS512"), JWK_OCT, "SHA512", NULL, 0},
	[JWS_RS256] = {SLICE_INIT("RS256"), JWK_RSA, NULL, EVP_sha256, 0},
	[JWS_RS384] = {SLICE_INIT("RS384"), JWK_RSA, NULL, EVP_sha384, 0},
	[JWS_RS512] = {SLICE_INIT("RS512"), JWK_RSA, NULL, EVP_sha512, 0},
	[JWS_ES256] = {SLICE_INIT("ES256"), JWK_EC, NULL, EVP_sha256, 32},
	[JWS_ES384] = {SLICE_INIT("ES384"), JWK_EC, NULL, EVP_sha384, 48},
	[JWS_ES512] = {SLICE_INIT("ES512"), JWK_EC, NULL, EVP_sha512, MAX_COORDINATE},
	[JWS_EDDSA] = {SLICE_INIT("EdDSA"), JWK_OKP, NULL, NULL, 0},
	[JWS_ED25519] = {SLICE_INIT("Ed25519"), JWK_OKP, NULL, NULL, 0},
	[JWS_ED448] = {SLICE_INIT("Ed448"), JWK_OKP, NULL, NULL, 0},
};

/* The algorithm of a name. */
bool
jws_algorithm(Slice name, JwsAlgorithm *algorithm)
{
	*algorithm = JWS_ALGORITHMS;
	for (int i = 0; i < JWS_ALGORITHMS; i++)
	{
		if (wjson_string_equals(name, algorithms[i].name))
		{
			*algorithm = (JwsAlgorithm) i;
			return true;
		}
	}
	return false;
}

/* The kind of key that an algorithm needs. */
JwkType
jws_key_type(JwsAlgorithm algorithm)
{
	return algorithms[algorithm].type;
}

/* The MAC of a text. */
bool
jws_mac(JwsAlgorithm algorithm, Slice secret, Slice input, unsigned char *mac, size_t *len)
{
	bool		made;

	*len = 0;
	if (algorithms[algorithm].digest == NULL || secret.len == 0)
		return false;
	ERR_set_mark();
	made = EVP_Q_mac(NULL, "HMAC", NULL, algorithms[algorithm].digest, NULL, secret.data, secret.len,
					 (const unsigned char *) input.data, input.len, mac, JWS_MAX_MAC, len) != NULL;
	ERR_pop_to_mark();
	return made;
}

/* Is this the MAC of the input? */
bool
jws_verify_secret(JwsAlgorithm algorithm, Slice secret, Slice input, Slice signature)
{
	unsigned char mac[JWS_MAX_MAC];
	size_t		len;

	return jws_mac(algorithm, secret, input, mac, &len) && signature.len == len &&
		CRYPTO_memcmp(mac, signature.data, len) == 0;
}

/* Append a positive integer in DER. */
static void
write_der_integer(Writer *w, Slice number)
{
	bool		pad;

	while (number.len > 1 && number.data[0] == 0)
		number = slice_skip(number, 1);
	pad = (number.data[0] & 0x80) != 0;
	writer_char(w, 0x02);
	writer_char(w, (char) (number.len + pad));
	if (pad)
		writer_char(w, 0);		/* else it would be negative */
	writer_slice(w, number);
}

/* An ECDSA signature as libcrypto wants it: SEQUENCE { r INTEGER, s INTEGER }. */
static bool
ecdsa_to_der(Slice signature, size_t coordinate, unsigned char der[MAX_DER], size_t *len)
{
	char		body[MAX_DER];
	Writer		numbers = writer_fixed(body, sizeof(body));
	Writer		w = writer_fixed(der, MAX_DER);

	if (signature.len != 2 * coordinate)
		return false;
	write_der_integer(&numbers, slice_make(signature.data, coordinate));
	write_der_integer(&numbers, slice_skip(signature, coordinate));
	writer_char(&w, 0x30);
	if (numbers.len > 127)
		writer_char(&w, (char) 0x81);	/* the length needs a byte of its own */
	writer_char(&w, (char) numbers.len);
	writer_slice(&w, writer_written(&numbers));
	*len = w.len;
	return !numbers.failed && !w.failed;
}

/* Ask libcrypto. */
static bool
verify_public(EVP_PKEY *key, const EVP_MD *md, Slice input, const void *signature, size_t len)
{
	EVP_MD_CTX *context = EVP_MD_CTX_new();
	bool		good;

	good = context != NULL && EVP_DigestVerifyInit(context, NULL, md, NULL, key) == 1 &&
		EVP_DigestVerify(context, signature, len, (const unsigned char *) input.data, input.len) == 1;
	EVP_MD_CTX_free(context);
	return good;
}

/* Is this the signature of the input under this key? */
bool
jws_verify(const Jwk *key, JwsAlgorithm algorithm, Slice input, Slice signature)
{
	const Algorithm *how = &algorithms[algorithm];
	unsigned char der[MAX_DER];
	size_t		len;
	bool		good;

	if ((key->algorithms & JWS_BIT(algorithm)) == 0 || key->type != how->type || signature.len == 0)
		return false;
	if (key->type == JWK_OCT)
		return jws_verify_secret(algorithm, key->secret, input, signature);
	if (how->coordinate > 0)
	{
		if (!ecdsa_to_der(signature, how->coordinate, der, &len))
			return false;
		signature = slice_make(der, len);
	}
	ERR_set_mark();
	good = verify_public(key->public_key, how->md == NULL ? NULL : how->md(), input, signature.data,
						 signature.len);
	ERR_pop_to_mark();
	return good;
}
