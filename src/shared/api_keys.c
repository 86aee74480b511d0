/*
 * api_keys.c
 *	  The setting realtime.api_keys.
 */
#include "postgres.h"

#include <openssl/crypto.h>

#include "shared/api_keys.h"

#define KEY_PREFIX		SLICE_LITERAL("sb_")

/* One entry. */
typedef struct ApiKey
{
	Slice		key;
	char		role[API_KEY_ROLE_SIZE];
} ApiKey;

static const char *
skip_blanks(const char *at)
{
	while (*at == ' ' || (*at >= '\t' && *at <= '\r'))
		at++;
	return at;
}

static bool
is_key_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '-' || c == '.' || c == '~';
}

static bool
is_role_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		c == '_' || c == '$' || (unsigned char) c >= 0x80;
}

const char *
api_key_read_role(const char **at, char role[API_KEY_ROLE_SIZE])
{
	bool		quoted = **at == '"';
	Size		len = 0;

	if (quoted)
		(*at)++;
	for (;; (*at)++)
	{
		char		c = **at;

		if (quoted && c == '\0')
			return "the quotes of its role are not closed";
		if (quoted && c == '"' && *++(*at) != '"')
			break;
		if (!quoted && !is_role_char(c))
			break;
		if (len == API_KEY_ROLE_SIZE - 1)
			return "its role is longer than a name may be";
		role[len++] = quoted ? c : (c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
	}
	role[len] = '\0';
	return len == 0 ? "it names no role" : NULL;
}

/*
 * The entry at *at, which is moved to the next one, or to the end of the setting. NULL, or what is wrong with it.
 */
static const char *
read_entry(const char **at, ApiKey *entry)
{
	const char *begin = skip_blanks(*at);
	const char *fault;

	for (*at = begin; is_key_char(**at);)
		(*at)++;
	entry->key = slice_make(begin, *at - begin);
	if (!api_key_like(entry->key))
		return "a key must begin with \"sb_\"";
	if (entry->key.len == KEY_PREFIX.len || entry->key.len > API_KEY_MAX)
		return "its key is too short or too long";
	*at = skip_blanks(*at);
	if (**at != '=')
		return "\"=\" must follow the key, which consists of letters, digits and _-.~";
	*at = skip_blanks(*at + 1);
	fault = api_key_read_role(at, entry->role);
	if (fault != NULL)
		return fault;
	*at = skip_blanks(*at);
	if (**at != ',' && **at != '\0')
		return "a comma must follow its role";
	if (**at == ',' && *skip_blanks(++(*at)) == '\0')
		return "nothing follows its comma";
	return NULL;
}

/* Is the key that was read again in what follows? */
static bool
is_repeated(const char *rest, Slice key)
{
	ApiKey		other;

	while (*skip_blanks(rest) != '\0' && read_entry(&rest, &other) == NULL)
		if (slice_equal(other.key, key))
			return true;
	return false;
}

bool
api_key_like(Slice text)
{
	return slice_starts_with(text, KEY_PREFIX);
}

bool
api_keys_fault(const char *setting, char *text, Size size)
{
	for (int n = 1; *skip_blanks(setting) != '\0'; n++)
	{
		ApiKey		entry;
		const char *fault = n > API_KEYS_MAX ? "there are more than " CppAsString2(API_KEYS_MAX) " entries" :
			read_entry(&setting, &entry);

		if (fault == NULL && is_repeated(setting, entry.key))
			fault = "its key is there twice";
		if (fault != NULL)
		{
			snprintf(text, size, "Entry %d: %s.", n, fault);
			return true;
		}
	}
	return false;
}

bool
api_keys_find(const char *setting, Slice key, char role[API_KEY_ROLE_SIZE])
{
	bool		found = false;
	ApiKey		entry;

	while (*skip_blanks(setting) != '\0' && read_entry(&setting, &entry) == NULL)
	{
		if (entry.key.len == key.len && CRYPTO_memcmp(entry.key.data, key.data, key.len) == 0)
		{
			found = true;
			memcpy(role, entry.role, API_KEY_ROLE_SIZE);
		}
	}
	return found;
}
