/*
 * histogram.c
 *		Latency histogram with logarithmic buckets.
 *
 * A value below 2^7 has a bucket of its own. Above that each power of two is
 * cut into 2^7 buckets of equal width:
 *
 *		value	1xxxxxxx.......   the 7 bits after the leading one choose the
 *				 ^^^^^^^          bucket inside its power of two
 */
#include "histogram.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Returns an empty histogram that lives until the process ends. */
histogram *
histogram_create(void)
{
	histogram  *h = calloc(1, sizeof(histogram));

	if (h == NULL)
	{
		fputs("loadgen: out of memory\n", stderr);
		exit(2);
	}
	return h;
}

/* Forgets all values. */
void
histogram_reset(histogram *h)
{
	memset(h, 0, sizeof(*h));
}

/* Number of the bucket that holds a value. */
static uint32_t
bucket_of(uint64_t value)
{
	uint32_t	shift;

	if (value < (UINT64_C(1) << HISTOGRAM_SUB_BITS))
		return (uint32_t) value;
	shift = 63 - HISTOGRAM_SUB_BITS - (uint32_t) __builtin_clzll(value);
	return (uint32_t) (((uint64_t) shift << HISTOGRAM_SUB_BITS) + (value >> shift));
}

/* Largest value that a bucket holds. */
static uint64_t
bucket_top(uint32_t bucket)
{
	uint32_t	shift;
	uint64_t	rest;

	if (bucket < (2U << HISTOGRAM_SUB_BITS))
		return bucket;
	shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
	rest = bucket - ((uint64_t) shift << HISTOGRAM_SUB_BITS);
	return ((rest + 1) << shift) - 1;
}

/* Adds one value, in nanoseconds. */
void
histogram_add(histogram *h, uint64_t value)
{
	h->buckets[bucket_of(value)]++;
	h->count++;
	if (value > h->max)
		h->max = value;
}

/* The smallest value that at least so many percent of all values don't exceed; 0 if there is none. */
uint64_t
histogram_percentile(const histogram *h, double percent)
{
	uint64_t	wanted = (uint64_t) ceil((double) h->count * percent / 100.0);
	uint64_t	seen = 0;

	if (h->count == 0)
		return 0;
	if (wanted == 0)
		wanted = 1;
	for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
	{
		seen += h->buckets[i];
		if (seen >= wanted)
			return bucket_top(i) < h->max ? bucket_top(i) : h->max;
	}
	return h->max;
}
