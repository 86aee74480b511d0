/*
 * fuzz_jwks.c
 *		Documents with keys of any bytes, and the keys that come out of them.
 */
#include "fuzz.h"

#include <openssl/err.h>

#include "wire/jwk.h"
#include "wire/jwks.h"

/* What a key of a document can do: anything but crash or accept an algorithm that is not its own. */
static void
use_key(const Jwk *key)
{
	static const char signature[JWS_MAX_SIGNATURE] = {1, 2, 3};
	static const size_t sizes[] = {0, 1, 32, 48, 64, 96, 114, 132, 256, 512, 1024};
	static const Slice input = SLICE_INIT("e30.e30");

	REQUIRE(key->algorithms != 0 && key->algorithms < JWS_BIT(JWS_ALGORITHMS));
	REQUIRE(slice_is_utf8(key->kid) && key->kid.len <= JWK_MAX_KID);
	REQUIRE((key->type == JWK_OCT) == (key->public_key == NULL));
	REQUIRE(key->type != JWK_OCT || (key->secret.len >= JWK_MIN_SECRET && key->secret.len <= JWK_MAX_SECRET));
	for (int algorithm = 0; algorithm < JWS_ALGORITHMS; algorithm++)
	{
		bool		allowed = (key->algorithms & JWS_BIT(algorithm)) != 0;

		REQUIRE(!allowed || jws_key_type((JwsAlgorithm) algorithm) == key->type);
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		{
			bool		good = jws_verify(key, (JwsAlgorithm) algorithm, input, slice_make(signature, sizes[i]));

			REQUIRE(!good || allowed);
		}
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const Slice kids[] = {
		SLICE_INIT(""), SLICE_INIT("a"), SLICE_INIT("b"), SLICE_INIT("rsa"), SLICE_INIT("p256"), SLICE_INIT("p384"),
		SLICE_INIT("p521"), SLICE_INIT("ed25519"), SLICE_INIT("ed448"), SLICE_INIT("oct"),
	};
	char		error[JWKS_ERROR_SIZE];
	Jwks	   *jwks;

	memset(error, '#', sizeof(error));
	jwks = jwks_parse(slice_make(data, size), error, sizeof(error));
	if (jwks == NULL)
	{
		REQUIRE(memchr(error, '\0', sizeof(error)) != NULL && error[0] != '\0');
		return 0;
	}
	REQUIRE(wjson_validate(slice_make(data, size)));
	REQUIRE(jwks_count(jwks) + jwks_left_out(jwks) <= JWKS_MAX_KEYS);
	REQUIRE((jwks_note(jwks) != NULL) == (jwks_left_out(jwks) > 0));
	for (size_t i = 0; i < sizeof(kids) / sizeof(kids[0]); i++)
	{
		for (int type = JWK_OCT; type <= JWK_OKP; type++)
		{
			const Jwk  *key = jwks_find(jwks, (JwkType) type, kids[i]);

			if (key != NULL)
				use_key(key);
		}
	}
	jwks_free(jwks);
	REQUIRE(ERR_peek_error() == 0);
	return 0;
}
