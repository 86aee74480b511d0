/*
 * histogram.h
 *		Latency histogram with logarithmic buckets.
 *
 * Values are nanoseconds. A bucket is less than 0.8 % wide, so a percentile is
 * that exact; the smallest and the largest value are kept as they were. Adding
 * a value allocates nothing.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS	7
#define HISTOGRAM_BUCKETS	((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

typedef struct histogram
{
	uint64_t	count;
	uint64_t	max;
	uint64_t	buckets[HISTOGRAM_BUCKETS];
} histogram;

extern histogram *histogram_create(void);
extern void histogram_reset(histogram *h);
extern void histogram_add(histogram *h, uint64_t value);
extern uint64_t histogram_percentile(const histogram *h, double percent);

#endif							/* BENCH_HISTOGRAM_H */
