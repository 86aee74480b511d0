/*
 * rates.h
 *	  Token buckets in shared memory: limits that hold over all listeners.
 *
 * A role with a limit of its own has a bucket of its own, so that what others use up costs it nothing.
 */
#ifndef REALTIME_RATES_H
#define REALTIME_RATES_H

#include "shared/bucket.h"
#include "shared/role_limits.h"

typedef enum SharedRate
{
	RATE_JOINS,
	RATE_REQUESTS,
	RATE_MESSAGES,
	SHARED_RATES
} SharedRate;

extern Size rates_shmem_size(void);
extern void rates_shmem_init(void);

/*
 * Take n tokens at this time (ns, CLOCK_MONOTONIC) from the bucket of an owner (limit_owner; 0: all others). 0, or in
 * how many ns they can be had. Any process, never throws or waits.
 */
extern uint64 rate_take(SharedRate rate, int owner, const BucketRule *rule, uint64 now, uint32 n);

/* Tokens that are left in it, and how long one that is empty takes to have one; 0: now. */
extern uint32 rate_left(SharedRate rate, int owner, const BucketRule *rule, uint64 now);
extern uint64 rate_wait(SharedRate rate, int owner, const BucketRule *rule, uint64 now);

/* The burst has become shorter, to this many ns: see bucket_shrink. Each listener may call it after a reload. */
extern void rates_shrink(uint64 burst, uint64 now);

#endif							/* REALTIME_RATES_H */
