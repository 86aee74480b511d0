/*
 * counters.c
 *	  The numbers of realtime.stats.
 */
#include "postgres.h"

#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/counters.h"

static pg_atomic_uint64 *counters;

static const char *const names[] =
{
#define X(symbol, name) name,
	COUNTER_LIST(X)
#undef X
};

Size
counters_shmem_size(void)
{
	return sizeof(pg_atomic_uint64) * COUNTERS;
}

void
counters_shmem_init(void)
{
	bool		found;

	counters = ShmemInitStruct("realtime counters", counters_shmem_size(), &found);
	if (!found)
		for (int i = 0; i < COUNTERS; i++)
			pg_atomic_init_u64(&counters[i], 0);
}

void
counter_add(Counter counter, int64 n)
{
	if (n != 0)
		pg_atomic_fetch_add_u64(&counters[counter], n);
}

void
counter_set(Counter counter, int64 value)
{
	pg_atomic_write_u64(&counters[counter], value);
}

int64
counter_get(Counter counter)
{
	return (int64) pg_atomic_read_u64(&counters[counter]);
}

const char *
counter_name(Counter counter)
{
	return names[counter];
}
