/*
 * limits.h
 *	  Limits of clients as the listener applies them: rates as token buckets (shared/bucket.h), sizes and numbers, each for
 *	  the role of a token.
 *
 * A function that may refuse says in *retry_ms, at least 1, when to try again. Refusals take no tokens.
 */
#ifndef REALTIME_LISTENER_LIMITS_H
#define REALTIME_LISTENER_LIMITS_H

#include "listener/channel.h"
#include "shared/role_limits.h"
#include "shared/settings.h"

/* A broadcast of this channel: within the rate of its connection and that of all? */
extern bool limits_broadcast(Channel *channel, int *retry_ms);

/* A presence message of this channel: within the rate of its connection? */
extern bool limits_presence(Channel *channel, int *retry_ms);

/* A join: within the rate of its connection and that of all? And would one be, for a client that connects? */
extern bool limits_join(Connection *connection, int *retry_ms);
extern bool limits_join_possible(const Token *token);

/* A change of presence, counted in a bucket of the channel's: within presence_rate? */
extern bool limits_presence_change(const Channel *channel, uint64 *bucket, int *retry_ms);

/* A request below /api, with this token (NULL: none), and how many more are within the rate. */
extern bool limits_request(const Token *token, int *retry_ms);
extern uint32 limits_requests_left(const Token *token);

/* So many messages by HTTP: within the rate of all? */
extern bool limits_http_messages(const Token *token, uint32 n, int *retry_ms);

/* The limit for a connection by the token of its connect, before that the common one. */
extern int	limits_of_connection(const Connection *connection, Limit limit);

/* The same for the role of the channel's token. */
extern int	limits_of_channel(const Channel *channel, Limit limit);

/* Are so many bytes over LIMIT_QUEUE or LIMIT_QUEUE_SOFT of the connection? Asked for each frame that one gets. */
extern bool limits_queue_over_role(const Connection *connection, Size bytes, Limit limit);

static inline bool
limits_queue_over(const Connection *connection, Size bytes, Limit limit)
{
	if (realtime_role_limits != NULL)
		return limits_queue_over_role(connection, bytes, limit);
	return bytes > (Size) (limit == LIMIT_QUEUE ? realtime_client_queue_size : realtime_client_queue_soft) * 1024;
}

/* At start and after a reload: limit_burst may be shorter, and nobody waits for what was taken of the longer one. */
extern void limits_reloaded(void);

/* Longest payload that is delivered for this token, in bytes. */
extern Size limits_payload(const Token *token);

/* Refuse with {"reason": REASON, "retry_after_ms": N}: a push on a channel, or a join. */
extern void limits_reply(Channel *channel, Slice ref, Slice reason, int retry_ms);
extern void limits_reply_join(Connection *connection, const PhxMessage *message, Slice reason, int retry_ms);

#endif							/* REALTIME_LISTENER_LIMITS_H */
