/*
 * jwks.c
 *		A set of JSON Web Keys.
 */
#include "jwks.h"

#include <stdio.h>
#include <stdlib.h>

#include "json.h"
#include "jwk.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define MAX_REASON		96		/* bytes of what jwk_read() says */

struct Jwks
{
	int			count;
	int			left_out;
	char		note[JWKS_ERROR_SIZE];	/* why the first was left out */
	Jwk			keys[JWKS_MAX_KEYS];
};

/* The array of keys of a document; NULL, or what is wrong with it. */
static const char *
find_keys(Slice document, WjsonIter *it)
{
	Slice		token;
	Slice		keys;

	if (document.len > JWKS_MAX_DOCUMENT)
		return "the document is longer than 1 MB";
	if (!wjson_parse(document, &token))
		return "the document is not JSON";
	if (wjson_type(token) != WJSON_OBJECT)
		return "the document is no object";
	if (!wjson_member(token, SLICE_LITERAL("keys"), &keys) || wjson_type(keys) != WJSON_ARRAY ||
		!wjson_iter_start(it, keys))
		return "\"keys\" is missing or no array";
	return NULL;
}

/* Read all keys; false if the document is to be refused. */
static bool
read_keys(Jwks *jwks, WjsonIter *it, char *error, size_t error_size)
{
	char		reason[MAX_REASON];
	Slice		name;
	Slice		object;

	for (int i = 0; wjson_iter_next(it, &name, &object); i++)
	{
		if (i == JWKS_MAX_KEYS)
		{
			(void) snprintf(error, error_size, "there are more than %d keys", JWKS_MAX_KEYS);
			return false;
		}
		switch (jwk_read(object, &jwks->keys[jwks->count], reason, sizeof(reason)))
		{
			case JWK_READ:
				jwks->count++;
				break;
			case JWK_NOT_FOR_US:
				if (jwks->left_out++ == 0)
					(void) snprintf(jwks->note, sizeof(jwks->note), "keys[%d] is left out: %s", i, reason);
				break;
			case JWK_BROKEN:
				(void) snprintf(error, error_size, "keys[%d]: %s", i, reason);
				return false;
		}
	}
	return true;
}

/* Parse a document. */
Jwks *
jwks_parse(Slice document, char *error, size_t error_size)
{
	WjsonIter	it;
	const char *fault = find_keys(document, &it);
	Jwks	   *jwks = fault == NULL ? calloc(1, sizeof(Jwks)) : NULL;

	if (jwks == NULL)
	{
		(void) snprintf(error, error_size, "%s", fault != NULL ? fault : "there is not enough memory");
		return NULL;
	}
	if (!read_keys(jwks, &it, error, error_size))
	{
		jwks_free(jwks);
		return NULL;
	}
	return jwks;
}

/* Free a set. */
void
jwks_free(Jwks *jwks)
{
	if (jwks == NULL)
		return;
	for (int i = 0; i < jwks->count; i++)
		jwk_clear(&jwks->keys[i]);
	free(jwks);
}

int
jwks_count(const Jwks *jwks)
{
	return jwks->count;
}

int
jwks_left_out(const Jwks *jwks)
{
	return jwks->left_out;
}

const char *
jwks_note(const Jwks *jwks)
{
	return jwks->left_out > 0 ? jwks->note : NULL;
}

/* Find a key. */
const Jwk *
jwks_find(const Jwks *jwks, JwkType type, Slice kid)
{
	for (int i = 0; i < jwks->count; i++)
	{
		if (jwks->keys[i].type == type && slice_equal(jwks->keys[i].kid, kid))
			return &jwks->keys[i];
	}
	return NULL;
}
