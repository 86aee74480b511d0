/*
 * rates.c
 *	  Token buckets in shared memory.
 */
#include "postgres.h"

#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/rates.h"

/* Listeners that take from one bucket at the same time try again; one that loses so often is let through. */
#define TRIES			100

static pg_atomic_uint64 (*buckets)[ROLE_LIMITS_MAX + 1];

Size
rates_shmem_size(void)
{
	return sizeof(*buckets) * SHARED_RATES;
}

void
rates_shmem_init(void)
{
	bool		found;

	buckets = ShmemInitStruct("realtime rates", rates_shmem_size(), &found);
	if (found)
		return;
	for (int rate = 0; rate < SHARED_RATES; rate++)
		for (int owner = 0; owner <= ROLE_LIMITS_MAX; owner++)
			pg_atomic_init_u64(&buckets[rate][owner], 0);
}

uint64
rate_take(SharedRate rate, int owner, const BucketRule *rule, uint64 now, uint32 n)
{
	pg_atomic_uint64 *bucket = &buckets[rate][owner];
	uint64		full_at = pg_atomic_read_u64(bucket);

	for (int i = 0; i < TRIES; i++)
	{
		uint64		new_full_at;
		uint64		wait = bucket_try(full_at, rule, now, n, &new_full_at);

		if (wait > 0 || pg_atomic_compare_exchange_u64(bucket, &full_at, new_full_at))
			return wait;
	}
	return 0;
}

void
rates_shrink(uint64 burst, uint64 now)
{
	for (int rate = 0; rate < SHARED_RATES; rate++)
		for (int owner = 0; owner <= ROLE_LIMITS_MAX; owner++)
		{
			pg_atomic_uint64 *bucket = &buckets[rate][owner];
			uint64		full_at = pg_atomic_read_u64(bucket);
			uint64		new_full_at;

			while ((new_full_at = bucket_shrink(full_at, burst, now)) < full_at &&
				   !pg_atomic_compare_exchange_u64(bucket, &full_at, new_full_at))
				;
		}
}

uint32
rate_left(SharedRate rate, int owner, const BucketRule *rule, uint64 now)
{
	return bucket_left(pg_atomic_read_u64(&buckets[rate][owner]), rule, now);
}

uint64
rate_wait(SharedRate rate, int owner, const BucketRule *rule, uint64 now)
{
	uint64		new_full_at;

	return bucket_try(pg_atomic_read_u64(&buckets[rate][owner]), rule, now, 1, &new_full_at);
}
