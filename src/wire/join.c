/*
 * join.c
 *		The payload of a phx_join.
 */
#include "join.h"

#include "scratch.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define REFUSED		"InvalidJoinPayload: "
#define TOO_LARGE	REFUSED "a string of the payload is too long"

/* A value that says nothing: absent or null. */
static bool
is_absent(Slice token)
{
	WjsonType	type = wjson_type(token);

	return type == WJSON_NONE || type == WJSON_NULL;
}

/* Read a boolean, or the word of one as a string in any case. */
static bool
read_boolean(Slice token, bool *value)
{
	switch (wjson_type(token))
	{
		case WJSON_NONE:
		case WJSON_NULL:
		case WJSON_FALSE:
			*value = false;
			return true;
		case WJSON_TRUE:
			*value = true;
			return true;
		case WJSON_STRING:
			*value = slice_equal_nocase(token, SLICE_LITERAL("\"true\""));
			return *value || slice_equal_nocase(token, SLICE_LITERAL("\"false\""));
		default:
			*value = false;
			return false;
	}
}

/* A boolean that takes its default, false, when it is none; that is noted. */
static bool
boolean_or_default(Slice token, JoinConfig *out, JoinWarning warning)
{
	bool		value;

	if (!read_boolean(token, &value))
		out->warnings |= warning;
	return value;
}

/* config.broadcast */
static const char *
read_broadcast(Slice broadcast, JoinConfig *out)
{
	static const Slice names[] = {
		SLICE_INIT("ack"), SLICE_INIT("self"), SLICE_INIT("replication_ready"),
		SLICE_INIT("replay"), SLICE_INIT("resume"),
	};
	Slice		values[5];

	if (is_absent(broadcast))
		return NULL;
	if (!wjson_members(broadcast, names, values, 5))
		return REFUSED "config.broadcast: expected an object";
	out->broadcast_ack = boolean_or_default(values[0], out, JOIN_BAD_ACK);
	out->broadcast_self = boolean_or_default(values[1], out, JOIN_BAD_SELF);
	out->replication_ready = boolean_or_default(values[2], out, JOIN_BAD_REPLICATION_READY);
	if (wjson_type(values[2]) == WJSON_STRING && !(out->warnings & JOIN_BAD_REPLICATION_READY))
		out->replication_ready = true;
	out->has_replay = values[3].len > 0;
	out->replay = values[3];
	if (!resume_parse(values[4], &out->resume))
		out->warnings |= JOIN_BAD_RESUME;
	return NULL;
}

/* config.presence */
static const char *
read_presence(Slice presence, Scratch *scratch, JoinConfig *out)
{
	static const Slice names[] = {SLICE_INIT("enabled"), SLICE_INIT("key"), SLICE_INIT("grace_ms")};
	Slice		values[3];
	int64_t		grace = 0;

	if (is_absent(presence))
		return NULL;
	if (!wjson_members(presence, names, values, 3))
	{
		out->warnings |= JOIN_BAD_PRESENCE;
		return NULL;
	}
	out->presence_enabled = boolean_or_default(values[0], out, JOIN_BAD_PRESENCE_ENABLED);
	if (!is_absent(values[2]) && (!wjson_number_int64(values[2], &grace) || grace < 0))
	{
		out->warnings |= JOIN_BAD_PRESENCE_GRACE;
		grace = 0;
	}
	out->presence_grace_ms = grace > JOIN_MAX_GRACE ? JOIN_MAX_GRACE : (int) grace;
	switch (wjson_type(values[1]))
	{
		case WJSON_NONE:
		case WJSON_NULL:
			return NULL;
		case WJSON_ARRAY:
		case WJSON_OBJECT:
			return REFUSED "config.presence.key: expected a string, a number or a boolean";
		case WJSON_STRING:
			if (!scratch_text(values[1], scratch, &out->presence_key))
				return TOO_LARGE;
			if (slice_has_byte(out->presence_key, '\0'))
				return REFUSED "config.presence.key: expected a string without \\u0000";
			break;
		default:
			out->presence_key = values[1];
			break;
	}
	out->has_presence_key = out->presence_key.len > 0;
	return NULL;
}

/* config.postgres_changes */
static const char *
read_postgres_changes(Slice changes, JoinConfig *out)
{
	WjsonIter	it;
	Slice		key;
	Slice		entry;

	if (is_absent(changes))
		return NULL;
	if (wjson_type(changes) != WJSON_ARRAY)
	{
		out->warnings |= JOIN_BAD_POSTGRES_CHANGES;
		return NULL;
	}
	if (!wjson_iter_start(&it, changes))
		return NULL;
	while (wjson_iter_next(&it, &key, &entry))
	{
		if (wjson_type(entry) == WJSON_NULL)
			continue;
		if (wjson_type(entry) != WJSON_OBJECT)
			return REFUSED "config.postgres_changes: expected an array of objects";
		if (++out->changes_count > JOIN_MAX_CHANGES)
			return REFUSED "config.postgres_changes: expected at most 1000 entries";
	}
	out->postgres_changes = changes;
	return NULL;
}

/* config */
static const char *
read_config(Slice config, Scratch *scratch, JoinConfig *out)
{
	static const Slice names[] = {
		SLICE_INIT("broadcast"), SLICE_INIT("presence"), SLICE_INIT("postgres_changes"),
		SLICE_INIT("private"),
	};
	Slice		values[4];
	const char *refusal;

	out->legacy = wjson_type(config) == WJSON_NONE;
	if (is_absent(config))
		return NULL;
	if (!wjson_members(config, names, values, 4))
		return REFUSED "config: expected an object";
	refusal = read_broadcast(values[0], out);
	if (refusal == NULL)
		refusal = read_presence(values[1], scratch, out);
	if (refusal == NULL)
		refusal = read_postgres_changes(values[2], out);
	if (refusal == NULL && !read_boolean(values[3], &out->is_private))
		refusal = REFUSED "config.private: expected a boolean";
	return refusal;
}

/* Is this an opaque key, which stands for the token of the connect? */
static bool
is_opaque_key(Slice text)
{
	return slice_starts_with(text, SLICE_LITERAL("sb_"));
}

/* Choose between the two names of the token (PROTOCOL 3.3). */
static const char *
read_tokens(Slice access, Slice user, Scratch *scratch, JoinConfig *out)
{
	bool		has_access = wjson_type(access) == WJSON_STRING;
	bool		has_user = wjson_type(user) == WJSON_STRING;
	Slice		access_text = SLICE_EMPTY;
	Slice		user_text = SLICE_EMPTY;

	if (!has_access && !is_absent(access))
		out->warnings |= JOIN_BAD_ACCESS_TOKEN;
	if (!has_user && !is_absent(user))
		out->warnings |= JOIN_BAD_USER_TOKEN;
	if ((has_access && !scratch_text(access, scratch, &access_text)) ||
		(has_user && !scratch_text(user, scratch, &user_text)))
		return TOO_LARGE;
	if (is_opaque_key(has_access ? access_text : user_text))
		return NULL;
	out->has_token = has_access || has_user;
	out->token = has_user ? user_text : access_text;
	return NULL;
}

/* Read the payload of a join. */
const char *
join_parse(Slice payload, char *scratch_buffer, size_t scratch_size, JoinConfig *out)
{
	static const Slice names[] = {
		SLICE_INIT("config"), SLICE_INIT("access_token"), SLICE_INIT("user_token"),
	};
	Scratch		scratch = {scratch_buffer, scratch_size};
	Slice		values[3];
	const char *refusal;

	memset(out, 0, sizeof(*out));
	if (!wjson_members(payload, names, values, 3))
		return REFUSED "payload: expected an object";
	refusal = read_config(values[0], &scratch, out);
	if (refusal == NULL)
		refusal = read_tokens(values[1], values[2], &scratch, out);
	return refusal;
}

/* The year 9999 ends there. */
#define MAX_SINCE	INT64_C(253402300799999)

/* Which stored messages a client wants. */
JoinReplay
join_replay(Slice replay, int max, int64_t *since, int *limit)
{
	static const Slice names[] = {SLICE_INIT("since"), SLICE_INIT("limit")};
	Slice		values[2];
	int64_t		number;

	if (!wjson_members(replay, names, values, 2))
		return JOIN_REPLAY_NONE;
	if (!wjson_number_int64(values[0], since) || *since > MAX_SINCE)
		return JOIN_REPLAY_BAD;
	if (*since < 0)
		*since = 0;
	*limit = max;
	if (is_absent(values[1]))
		return JOIN_REPLAY_ASKED;
	if (!wjson_number_is_integer(values[1]))
		return JOIN_REPLAY_BAD;
	if (wjson_number_int64(values[1], &number))
		*limit = number < 1 ? 1 : number > max ? max : (int) number;
	else if (values[1].data[0] == '-')
		*limit = 1;
	return JOIN_REPLAY_ASKED;
}

/* Name the members whose value was not what it should be. */
void
join_write_warning(Writer *w, unsigned warnings)
{
	static const struct
	{
		unsigned	bit;
		const char *text;
	}			members[] = {
		{JOIN_BAD_ACK, "config.broadcast.ack: expected a boolean"},
		{JOIN_BAD_SELF, "config.broadcast.self: expected a boolean"},
		{JOIN_BAD_REPLICATION_READY, "config.broadcast.replication_ready: expected a boolean"},
		{JOIN_BAD_RESUME, "config.broadcast.resume: expected {} or an epoch and a seq"},
		{JOIN_BAD_PRESENCE, "config.presence: expected an object"},
		{JOIN_BAD_PRESENCE_ENABLED, "config.presence.enabled: expected a boolean"},
		{JOIN_BAD_PRESENCE_GRACE, "config.presence.grace_ms: expected milliseconds"},
		{JOIN_BAD_POSTGRES_CHANGES, "config.postgres_changes: expected an array of objects"},
		{JOIN_BAD_ACCESS_TOKEN, "access_token: expected a string"},
		{JOIN_BAD_USER_TOKEN, "user_token: expected a string"},
	};
	bool		first = true;

	for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++)
	{
		if (!(warnings & members[i].bit))
			continue;
		writer_cstring(w, first ? REFUSED : "; ");
		writer_cstring(w, members[i].text);
		first = false;
	}
	if (!first)
		writer_literal(w, "; the default is used");
}

/* What an access_token push brings. */
JoinTokenPush
join_token_push(Slice payload, char *scratch_buffer, size_t scratch_size, Slice *token)
{
	Scratch		scratch = {scratch_buffer, scratch_size};
	Slice		value;

	*token = SLICE_EMPTY;
	if (!wjson_member(payload, SLICE_LITERAL("access_token"), &value))
		return JOIN_TOKEN_NONE;
	if (wjson_type(value) == WJSON_NULL)
		return JOIN_TOKEN_IGNORED;
	if (wjson_type(value) != WJSON_STRING)
		return JOIN_TOKEN_NONE;

	/* One that is too long for the buffer can't be a token: it stays empty, and is malformed. */
	if (!scratch_text(value, &scratch, token))
		*token = SLICE_EMPTY;
	return is_opaque_key(*token) ? JOIN_TOKEN_IGNORED : JOIN_TOKEN_GIVEN;
}
