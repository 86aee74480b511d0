/*
 * role_limits.h
 *	  Limits of clients: what a setting says for all, and realtime.role_limits for some roles.
 *
 * realtime.role_limits is a list such as
 *
 *		service_role: max_messages_per_second=10000, max_channels_per_client=1000; "Back Office": client_queue_size=16MB
 *
 * with roles and units as elsewhere in PostgreSQL. A role here is that of a token.
 */
#ifndef REALTIME_ROLE_LIMITS_H
#define REALTIME_ROLE_LIMITS_H

#include "shared/api_keys.h"
#include "wire/slice.h"

#define ROLE_LIMITS_MAX		16	/* roles that may have limits of their own */

/* symbol, name of the setting, least value, unit of the setting */
#define LIMIT_LIST(X) \
	X(MESSAGES, max_messages_per_second, 1, 0) \
	X(MESSAGES_TOTAL, max_total_messages_per_second, 0, 0) \
	X(JOINS, max_joins_per_second, 1, 0) \
	X(REQUESTS, max_requests_per_second, 1, 0) \
	X(PRESENCE, presence_rate, 1, 0) \
	X(PRESENT, max_presence, 1, 0) \
	X(PRESENT_ON_TOPIC, max_presence_per_topic, 1, 0) \
	X(CHANNELS, max_channels_per_client, 1, 0) \
	X(PAYLOAD, max_payload_size, 1024, GUC_UNIT_BYTE) \
	X(QUESTIONS, max_questions_per_client, 1, 0) \
	X(QUEUE, client_queue_size, 64, GUC_UNIT_KB) \
	X(QUEUE_SOFT, client_queue_soft, 64, GUC_UNIT_KB)

typedef enum Limit
{
#define X(symbol, name, least, unit) LIMIT_##symbol,
	LIMIT_LIST(X)
#undef X
	LIMITS
} Limit;

typedef struct RoleLimits
{
	int			count;
	struct
	{
		char		role[API_KEY_ROLE_SIZE];
		int			values[LIMITS]; /* -1: that of all */
	}			roles[ROLE_LIMITS_MAX];
} RoleLimits;

/* The setting as it is now; NULL: empty. */
extern const RoleLimits *realtime_role_limits;

/* Read the setting; false: *fault says in which entry what is wrong. Check hooks. */
extern bool role_limits_parse(const char *setting, RoleLimits *limits, char *fault, Size size);

/* A limit for this role, in the unit of its setting. Any process, never throws. */
extern int	limit_of(Slice role, Limit limit);

/* The lowest that any role has: who is below that needs no further look. */
extern int	limit_least(Limit limit);

/* Which role's own limit that is: 1 to ROLE_LIMITS_MAX, or 0 if it is that of all. */
extern int	limit_owner(Slice role, Limit limit);

/* Has any role a limit of its own? */
extern bool limit_differs(Limit limit);

#endif							/* REALTIME_ROLE_LIMITS_H */
