/*
 * api_keys.h
 *	  The setting realtime.api_keys: opaque keys, each of which stands for a role.
 *
 *		sb_publishable_x = anon, sb_secret_y = service_role, sb_secret_z = "Back Office"
 *
 * A key begins with "sb_" and goes on with letters, digits, '_', '-', '.' and '~'. A role is an identifier as in SQL:
 * without quotes it is in lower case. Nothing here throws or allocates; it may be called in every process, also inside
 * callbacks of libwebsockets.
 */
#ifndef REALTIME_API_KEYS_H
#define REALTIME_API_KEYS_H

#include "wire/slice.h"

#define API_KEYS_MAX		64		/* entries */
#define API_KEY_MAX			256		/* bytes of a key */
#define API_KEY_ROLE_SIZE	NAMEDATALEN /* bytes of a role and its NUL */

/* Does it begin as an opaque key does? No token does. */
extern bool api_key_like(Slice text);

/*
 * What is wrong with the setting, as a sentence in the buffer (at least 128 bytes) that holds nothing of a key; false if
 * nothing is.
 */
extern bool api_keys_fault(const char *setting, char *text, Size size);

/* The role of a key; false: there is no such key. How long that takes tells nothing about the keys but their lengths. */
extern bool api_keys_find(const char *setting, Slice key, char role[API_KEY_ROLE_SIZE]);

/*
 * The role at *at, written as in SQL; *at is moved behind it. NULL, or what is wrong with it, to follow "Entry N: ". For
 * other settings, too.
 */
extern const char *api_key_read_role(const char **at, char role[API_KEY_ROLE_SIZE]);

#endif							/* REALTIME_API_KEYS_H */
