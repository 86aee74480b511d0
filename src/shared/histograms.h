/*
 * histograms.h
 *	  How times and sizes are spread, since server start: counts in fixed buckets, as atomics in shared memory.
 */
#ifndef REALTIME_HISTOGRAMS_H
#define REALTIME_HISTOGRAMS_H

typedef enum Histogram
{
	HISTOGRAM_BROADCAST_SIZE,	/* payload of a broadcast, bytes */
	HISTOGRAM_PRESENCE_SIZE,	/* payload of a track, bytes */
	HISTOGRAM_DATABASE_LATENCY, /* commit until queued for the members of the topic, microseconds */
	HISTOGRAM_READ_CHECK,		/* policies that were asked whether a client may read, microseconds */
	HISTOGRAM_WRITE_CHECK,		/* likewise, whether it may write */
	HISTOGRAMS
} Histogram;

#define HISTOGRAM_MAX_BOUNDS	16

/* A copy of one. */
typedef struct HistogramInfo
{
	int			bound_count;
	const int64 *bounds;		/* in rising order; a bucket holds what is at most its bound */
	uint64		counts[HISTOGRAM_MAX_BOUNDS + 1];	/* of each bucket alone; the last is of what is over all bounds */
	uint64		sum;			/* of all values; may lag behind the counts by the values that come in at this moment */
} HistogramInfo;

/* Memory and initialisation; called by shmem.c only. */
extern Size histograms_shmem_size(void);
extern void histograms_shmem_init(void);

/* Any process; never throws. A negative value (a clock that was set back) counts as 0. */
extern void histogram_add(Histogram histogram, int64 value);
extern void histogram_read(Histogram histogram, HistogramInfo *info);

#endif							/* REALTIME_HISTOGRAMS_H */
