/*
 * bucket.h
 *	  Token buckets: the one mechanism behind every limit on a rate.
 *
 * A bucket holds burst tokens and gains rate of them a second. It is kept as a single number, the time at which it
 * would be full again if nobody took anything: so it needs no timer, all zero is a full one, and one in shared memory is
 * a single atomic.
 *
 *		 now                full_at            now + burst
 *		  |---- taken ---------|---- left ----------|
 *
 * Times are nanoseconds of one clock that does not go back, the same for all processes. No PostgreSQL, no allocation.
 */
#ifndef REALTIME_BUCKET_H
#define REALTIME_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define BUCKET_SECOND		UINT64_C(1000000000)

typedef struct BucketRule
{
	uint32_t	rate;			/* tokens a second, at least 1 */
	uint64_t	burst;			/* ns: what comes in this time may be taken at once, at least one token */
} BucketRule;

/* How long one token takes to come. */
static inline uint64_t
bucket_interval(const BucketRule *rule)
{
	return BUCKET_SECOND / rule->rate;
}

/* How much time's worth of tokens a full bucket holds. */
static inline uint64_t
bucket_room(const BucketRule *rule)
{
	uint64_t	interval = bucket_interval(rule);

	return rule->burst > interval ? rule->burst : interval;
}

/*
 * May n tokens be taken from a bucket with this full_at? Returns 0 and the new full_at; or, when they can be had, in
 * ns from now. More than a bucket holds can be taken from a full one, which then stays empty the longer.
 */
static inline uint64_t
bucket_try(uint64_t full_at, const BucketRule *rule, uint64_t now, uint32_t n, uint64_t *new_full_at)
{
	uint64_t	room = bucket_room(rule);
	uint64_t	taken = full_at > now ? full_at - now : 0;
	uint64_t	cost = bucket_interval(rule) * n;
	uint64_t	needed = cost < room ? cost : room;

	if (taken + needed > room)
		return taken + needed - room;
	*new_full_at = now + taken + cost;
	return 0;
}

/* Take n tokens, or say as above when they can be had. */
static inline uint64_t
bucket_take(uint64_t *full_at, const BucketRule *rule, uint64_t now, uint32_t n)
{
	return bucket_try(*full_at, rule, now, n, full_at);
}

/*
 * The full_at under a burst that is shorter than before: what was taken of the longer one is taken back, or nothing could
 * be had until all of that has passed. Holds for any rate: a single token takes a second at most.
 */
static inline uint64_t
bucket_shrink(uint64_t full_at, uint64_t burst, uint64_t now)
{
	uint64_t	latest = now + (burst > BUCKET_SECOND ? burst : BUCKET_SECOND);

	return full_at < latest ? full_at : latest;
}

/* Whole tokens that are left. */
static inline uint32_t
bucket_left(uint64_t full_at, const BucketRule *rule, uint64_t now)
{
	uint64_t	room = bucket_room(rule);
	uint64_t	taken = full_at > now ? full_at - now : 0;

	if (taken >= room || bucket_interval(rule) == 0)
		return taken >= room ? 0 : rule->rate;
	return (uint32_t) ((room - taken) / bucket_interval(rule));
}

#endif							/* REALTIME_BUCKET_H */
