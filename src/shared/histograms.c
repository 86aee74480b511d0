/*
 * histograms.c
 *	  How times and sizes are spread.
 */
#include "postgres.h"

#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/histograms.h"

typedef struct Buckets
{
	pg_atomic_uint64 counts[HISTOGRAM_MAX_BOUNDS + 1];
	pg_atomic_uint64 sum;
} Buckets;

static Buckets *histograms;

static const int64 size_bounds[] = {64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 3145728};
static const int64 time_bounds[] = {100, 250, 500, 1000, 2500, 5000, 10000, 25000, 50000, 100000, 250000, 500000,
1000000, 5000000, 15000000};

static const struct
{
	int			count;
	const int64 *bounds;
}			shapes[HISTOGRAMS] =
{
	[HISTOGRAM_BROADCAST_SIZE] = {lengthof(size_bounds), size_bounds},
	[HISTOGRAM_PRESENCE_SIZE] = {lengthof(size_bounds), size_bounds},
	[HISTOGRAM_DATABASE_LATENCY] = {lengthof(time_bounds), time_bounds},
	[HISTOGRAM_READ_CHECK] = {lengthof(time_bounds), time_bounds},
	[HISTOGRAM_WRITE_CHECK] = {lengthof(time_bounds), time_bounds},
};

StaticAssertDecl(lengthof(size_bounds) <= HISTOGRAM_MAX_BOUNDS, "too many bounds for sizes");
StaticAssertDecl(lengthof(time_bounds) <= HISTOGRAM_MAX_BOUNDS, "too many bounds for times");

Size
histograms_shmem_size(void)
{
	return sizeof(Buckets) * HISTOGRAMS;
}

void
histograms_shmem_init(void)
{
	bool		found;

	histograms = ShmemInitStruct("realtime histograms", histograms_shmem_size(), &found);
	if (found)
		return;
	for (int i = 0; i < HISTOGRAMS; i++)
	{
		for (int b = 0; b <= HISTOGRAM_MAX_BOUNDS; b++)
			pg_atomic_init_u64(&histograms[i].counts[b], 0);
		pg_atomic_init_u64(&histograms[i].sum, 0);
	}
}

void
histogram_add(Histogram histogram, int64 value)
{
	int			bucket = 0;

	value = Max(value, 0);
	while (bucket < shapes[histogram].count && value > shapes[histogram].bounds[bucket])
		bucket++;
	pg_atomic_fetch_add_u64(&histograms[histogram].counts[bucket], 1);
	pg_atomic_fetch_add_u64(&histograms[histogram].sum, value);
}

void
histogram_read(Histogram histogram, HistogramInfo *info)
{
	info->bound_count = shapes[histogram].count;
	info->bounds = shapes[histogram].bounds;
	for (int b = 0; b <= info->bound_count; b++)
		info->counts[b] = pg_atomic_read_u64(&histograms[histogram].counts[b]);
	info->sum = pg_atomic_read_u64(&histograms[histogram].sum);
}
