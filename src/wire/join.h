/*
 * join.h
 *		The payload of a phx_join, and what its ok reply says (PROTOCOL 3.2, 3.5).
 *
 * Shapes that no client library sends and that would hide what the user
 * meant are refused: a payload, `config` or `config.broadcast` that is no
 * object, an entry of `postgres_changes` that is no object, a `private` that is
 * no boolean, a presence key that is no string, number or boolean.  Any other
 * bad member takes its default and is named by join_write_warning().  null is
 * the same as absent, save for the payload itself and for `replay`.
 *
 * A boolean is true, false, or one of these words as a string, in any case.
 */
#ifndef REALTIME_WIRE_JOIN_H
#define REALTIME_WIRE_JOIN_H

#include "json.h"
#include "resume.h"

/* Most entries of postgres_changes in one join; more refuse it. */
#define JOIN_MAX_CHANGES	1000

/* Longest config.presence.grace_ms; more counts as this. */
#define JOIN_MAX_GRACE		30000

/* Bits of JoinConfig.warnings: members whose value was bad and took its default. */
typedef enum JoinWarning
{
	JOIN_BAD_ACK = 1 << 0,
	JOIN_BAD_SELF = 1 << 1,
	JOIN_BAD_REPLICATION_READY = 1 << 2,
	JOIN_BAD_PRESENCE = 1 << 3,
	JOIN_BAD_PRESENCE_ENABLED = 1 << 4,
	JOIN_BAD_POSTGRES_CHANGES = 1 << 5,
	JOIN_BAD_ACCESS_TOKEN = 1 << 6,
	JOIN_BAD_USER_TOKEN = 1 << 7,
	JOIN_BAD_PRESENCE_GRACE = 1 << 8,
	JOIN_BAD_RESUME = 1 << 9
} JoinWarning;

typedef struct JoinConfig
{
	bool		legacy;			/* no `config` at all: the topic names a table (3.9) */

	bool		broadcast_ack;
	bool		broadcast_self;
	bool		replication_ready;	/* also for the string "false", as recorded */
	bool		has_replay;		/* the key is there, with whatever value */
	Slice		replay;			/* JSON token; see join_replay() */
	ResumeRequest resume;

	bool		presence_enabled;
	bool		has_presence_key;	/* false: the server makes one */
	Slice		presence_key;	/* text, not empty */
	int			presence_grace_ms;	/* 0 to JOIN_MAX_GRACE */

	Slice		postgres_changes;	/* JSON array, or empty; see join_changes_start() */
	int			changes_count;	/* entries, nulls not counted */

	bool		is_private;

	bool		has_token;		/* false: the token of the connect holds */
	Slice		token;			/* text, not prepared (jwt_prepare) */

	unsigned	warnings;		/* JoinWarning bits */
} JoinConfig;

/*
 * Read a join payload, a valid JSON token.  NULL if the join may go on; else
 * the reason of its refusal, a constant `InvalidJoinPayload: …`.  Slices of
 * *out point into the payload or into the scratch buffer, which is needed only
 * for strings with escapes and never more than payload.len bytes of it (too
 * small a one refuses the join).
 */
const char *join_parse(Slice payload, char *scratch, size_t scratch_size,
					   JoinConfig *out) WIRE_MUST_CHECK;

/*
 * What config.broadcast.replay asks for (PROTOCOL 4.6).  *since is in ms since 1970, at least 0; *limit is 1 to max.
 */
typedef enum JoinReplay
{
	JOIN_REPLAY_NONE,			/* it is no object */
	JOIN_REPLAY_BAD,			/* since or limit are not valid */
	JOIN_REPLAY_ASKED
} JoinReplay;

JoinReplay	join_replay(Slice replay, int max, int64_t *since, int *limit);

/*
 * The message for a `system` error that names the bad members:
 * "InvalidJoinPayload: config.broadcast.ack: expected a boolean; …".  At most
 * JOIN_WARNING_BOUND bytes.  Nothing is written if there are no warnings.
 */
#define JOIN_WARNING_BOUND	720

void		join_write_warning(Writer *w, unsigned warnings);

/*
 * Walk over the entries of postgres_changes, nulls left out.
 *
 *		join_changes_start(&it, config.postgres_changes);
 *		while (join_changes_next(&it, &entry)) ...
 */
void		join_changes_start(WjsonIter *it, Slice postgres_changes);
bool		join_changes_next(WjsonIter *it, Slice *entry) WIRE_MUST_CHECK;

/*
 * The id of an entry, 1 to 2^31-1: equal for equal parameters (keys in any
 * order, an `id` of its own left out), in every process and after a restart.
 */
uint32_t	join_change_id(Slice entry);

/*
 * The response of the ok reply, {"postgres_changes":[…]}: each entry as it was
 * sent, byte for byte, with our id in front; an `id` of the client's is taken
 * out.  An empty slice gives an empty list.
 */
void		join_write_response(Writer *w, Slice postgres_changes);

/*
 * The entry that a legacy join stands for: SUB is SCHEMA[:TABLE[:FILTER]].
 * Writes a JSON array of one entry, to be used as postgres_changes.
 */
void		join_write_legacy_changes(Writer *w, Slice sub_topic);

/*
 * Which token an `access_token` push brings (PROTOCOL 3.9).  payload is a valid
 * JSON token; the scratch as for join_parse().
 */
typedef enum JoinTokenPush
{
	JOIN_TOKEN_GIVEN,			/* *token is its text, not prepared */
	JOIN_TOKEN_IGNORED,			/* null, or an opaque key sb_…: nothing happens */
	JOIN_TOKEN_NONE				/* no string access_token: an unknown event */
} JoinTokenPush;

JoinTokenPush join_token_push(Slice payload, char *scratch, size_t scratch_size, Slice *token);

#endif							/* REALTIME_WIRE_JOIN_H */
