/*
 * jwt.c
 *		Verify and issue JSON Web Tokens.
 */
#include "jwt.h"

#include "base64url.h"
#include "json.h"
#include "jws.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* The parts of a token. */
typedef struct Parts
{
	Slice		header;
	Slice		claims;
	Slice		signature;
	Slice		input;			/* what is signed: header, dot, claims */
} Parts;

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Percent-decode a token, and leave out its whitespace. */
bool
jwt_prepare(Slice raw, char *buffer, size_t size, Slice *token)
{
	size_t		len = 0;

	*token = SLICE_EMPTY;
	for (size_t i = 0; i < raw.len; i++)
	{
		char		c = raw.data[i];

		if (c == '%' && raw.len - i >= 3 && slice_hex_value(raw.data[i + 1]) >= 0 &&
			slice_hex_value(raw.data[i + 2]) >= 0)
		{
			c = (char) (slice_hex_value(raw.data[i + 1]) << 4 | slice_hex_value(raw.data[i + 2]));
			i += 2;
		}
		if (is_space(c))
			continue;
		if (len == size || len == JWT_MAX_TOKEN)
			return false;
		buffer[len++] = c;
	}
	*token = slice_make(buffer, len);
	return true;
}

/* Cut a token at its two dots. */
static bool
split_token(Slice token, Parts *parts)
{
	const char *first;
	const char *second;
	const char *end = token.len == 0 ? token.data : token.data + token.len;

	if (token.len == 0 || token.len > JWT_MAX_TOKEN)
		return false;
	first = memchr(token.data, '.', token.len);
	if (first == NULL)
		return false;
	second = memchr(first + 1, '.', (size_t) (end - first - 1));
	if (second == NULL || memchr(second + 1, '.', (size_t) (end - second - 1)) != NULL)
		return false;
	parts->header = slice_make(token.data, (size_t) (first - token.data));
	parts->claims = slice_make(first + 1, (size_t) (second - first - 1));
	parts->signature = slice_make(second + 1, (size_t) (end - second - 1));
	parts->input = slice_make(token.data, (size_t) (second - token.data));
	return true;
}

/* Decode a part that holds JSON; its bytes take the front of the scratch buffer. */
static bool
decode_json(Slice part, char **scratch, size_t *left, Slice *token)
{
	size_t		len;

	if (!base64url_decode(part, *scratch, *left, &len) ||
		!wjson_parse(slice_make(*scratch, len), token))
		return false;
	*scratch += len;
	*left -= len;
	return true;
}

/*
 * Choose by the header what verifies the token: a key of the set, or the shared
 * secret, for which *key is NULL.  JWT_OK, or why there is nothing.
 */
static JwtStatus
choose_key(const JwtKeys *keys, Slice header, char *scratch, size_t left, JwsAlgorithm *algorithm,
		   const Jwk **key, Slice *kid)
{
	static const Slice names[] = {SLICE_INIT("alg"), SLICE_INIT("kid"), SLICE_INIT("crit")};
	Slice		values[3];
	Slice		text;

	*key = NULL;
	/* What is listed as critical has to be understood, and nothing is (RFC 7515, 4.1.11). */
	if (!wjson_members(header, names, values, 3) || values[2].len > 0 ||
		!jws_algorithm(values[0], algorithm))
		return JWT_NO_SIGNER;
	if (keys->jwks != NULL && wjson_type(values[1]) == WJSON_STRING)
	{
		if (!wjson_string_text(values[1], scratch, left, &text, NULL))
			return JWT_MALFORMED;
		*key = jwks_find(keys->jwks, jws_key_type(*algorithm), text);
		if (*key != NULL && ((*key)->algorithms & JWS_BIT(*algorithm)) != 0)
			return JWT_OK;
		*kid = text;
	}
	if (*key == NULL && jws_key_type(*algorithm) == JWK_OCT && keys->secret.len > 0)
	{
		*kid = SLICE_EMPTY;
		return JWT_OK;
	}
	return kid->data != NULL ? JWT_NO_SIGNER_FOR_KEY : JWT_NO_SIGNER;
}

/* Check the signature, with the key that the header names. */
static JwtStatus
check_signature(const JwtKeys *keys, Slice header, const Parts *parts, char *scratch, size_t left,
				JwtClaims *out)
{
	unsigned char bytes[JWS_MAX_SIGNATURE];
	Slice		signature = slice_make(bytes, 0);
	JwsAlgorithm algorithm;
	const Jwk  *key;
	JwtStatus	status = choose_key(keys, header, scratch, left, &algorithm, &key, &out->kid);
	bool		good;

	if (status != JWT_OK)
		return status;
	if (!base64url_decode(parts->signature, bytes, sizeof(bytes), &signature.len))
		return JWT_BAD_SIGNATURE;
	if (key != NULL)
		good = jws_verify(key, algorithm, parts->input, signature);
	else
		good = jws_verify_secret(algorithm, keys->secret, parts->input, signature);
	return good ? JWT_OK : JWT_BAD_SIGNATURE;
}

/*
 * A number as whole seconds, rounded half away from zero and clamped; false if
 * it is no number.
 */
static bool
read_seconds(Slice token, int64_t *seconds)
{
	double		value;
	bool		negative = token.len > 0 && token.data[0] == '-';

	*seconds = 0;
	if (wjson_type(token) != WJSON_NUMBER)
		return false;
	if (wjson_number_int64(token, seconds))
		return true;
	if (!wjson_number_double(token, &value) || value > 9.2e18 || value < -9.2e18)
		*seconds = negative ? INT64_MIN : INT64_MAX;
	else
		*seconds = (int64_t) (value + (negative ? -0.5 : 0.5));
	return true;
}

/* Compare the claims with the configured ones; an absent claim is a mismatch. */
static bool
check_validators(const JwtKeys *keys, Slice claims, Slice *mismatch)
{
	Slice		object;
	WjsonIter	it;
	Slice		key;
	Slice		wanted;

	if (keys->claim_validators.len == 0)
		return true;
	*mismatch = SLICE_EMPTY;
	if (!wjson_parse(keys->claim_validators, &object) || wjson_type(object) != WJSON_OBJECT ||
		!wjson_iter_start(&it, object))
		return false;			/* a setting that can't be read lets nobody in */
	while (wjson_iter_next(&it, &key, &wanted))
	{
		char		buffer[256];
		Slice		name;
		Slice		value;

		*mismatch = slice_make(key.data + 1, key.len - 2);
		if (!wjson_string_text(key, buffer, sizeof(buffer), &name, NULL) ||
			!wjson_member(claims, name, &value) || !wjson_equal(value, wanted))
			return false;
	}
	*mismatch = SLICE_EMPTY;
	return true;
}

/* The text of a claim, if it is a string without NULs. */
static bool
claim_text(Slice token, char **scratch, size_t *left, Slice *text)
{
	size_t		used;

	if (!wjson_string_text(token, *scratch, *left, text, &used) || slice_has_byte(*text, '\0'))
	{
		*text = SLICE_EMPTY;
		return false;
	}
	*scratch += used;
	*left -= used;
	return true;
}

/* Check the claims of a token whose signature is good. */
static JwtStatus
check_claims(const JwtKeys *keys, int64_t now, char *scratch, size_t left, JwtClaims *out)
{
	static const Slice names[] = {
		SLICE_INIT("exp"), SLICE_INIT("iat"), SLICE_INIT("role"), SLICE_INIT("sub"),
	};
	Slice		values[4];
	int64_t		issued_at;

	if (!wjson_members(out->json, names, values, 4))
		return JWT_CLAIMS_NOT_OBJECT;
	if (values[0].len > 0)
	{
		if (!read_seconds(values[0], &out->exp))
			return JWT_BAD_EXPIRY;
		if (out->exp <= now)
			return wjson_number_is_integer(values[0]) ? JWT_EXPIRED : JWT_EXPIRED_FRACTION;
	}
	if (values[1].len > 0 && !read_seconds(values[1], &issued_at))
		return JWT_BAD_ISSUED_AT;
	if (!check_validators(keys, out->json, &out->mismatch))
		return JWT_CLAIM_MISMATCH;
	if (values[0].len == 0 || values[2].len == 0)
		return JWT_CLAIMS_MISSING;
	if (claim_text(values[2], &scratch, &left, &out->role))
		out->role_kind = JWT_ROLE_TEXT;
	else
		out->role_kind = wjson_type(values[2]) == WJSON_NULL ? JWT_ROLE_NULL : JWT_ROLE_OTHER;
	out->has_sub = claim_text(values[3], &scratch, &left, &out->sub);
	return JWT_OK;
}

/* Verify a token. */
JwtStatus
jwt_verify(const JwtKeys *keys, Slice token, int64_t now, char *scratch, size_t scratch_size,
		   JwtClaims *out)
{
	Parts		parts;
	Slice		header;
	JwtStatus	status;

	memset(out, 0, sizeof(*out));
	if (!split_token(token, &parts) ||
		!decode_json(parts.claims, &scratch, &scratch_size, &out->json) ||
		!decode_json(parts.header, &scratch, &scratch_size, &header) ||
		wjson_type(header) != WJSON_OBJECT)
		return JWT_MALFORMED;
	if (wjson_type(out->json) != WJSON_OBJECT)
		return JWT_CLAIMS_NOT_OBJECT;
	status = check_signature(keys, header, &parts, scratch, scratch_size, out);
	if (status == JWT_OK)
		status = check_claims(keys, now, scratch, scratch_size, out);
	return status;
}

/* Can this be the setting of claims to be checked? */
bool
jwt_claim_validators_valid(Slice text)
{
	Slice		object;

	return text.len == 0 || (wjson_parse(text, &object) && wjson_type(object) == WJSON_OBJECT);
}

/* Issue a token. */
bool
jwt_sign_hs256(Slice secret, Slice claims, Writer *w)
{
	Slice		header = SLICE_LITERAL("{\"alg\":\"HS256\",\"typ\":\"JWT\"}");
	size_t		start = w->len;
	unsigned char mac[JWS_MAX_MAC] = {0};
	size_t		mac_len = 32;
	Slice		input;

	base64url_write(w, header.data, header.len);
	writer_char(w, '.');
	base64url_write(w, claims.data, claims.len);
	if (w->failed || secret.len == 0)
		return false;
	if (w->data != NULL)
	{
		input = slice_make(w->data + start, w->len - start);
		if (!jws_mac(JWS_HS256, secret, input, mac, &mac_len))
			return false;
	}
	writer_char(w, '.');
	base64url_write(w, mac, mac_len);
	return !w->failed;
}
