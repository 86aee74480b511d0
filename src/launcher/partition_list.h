/*
 * partition_list.h
 *	  What the partitions of realtime.messages are, as the catalog says, and by which clock they go.
 *
 * Days are counted from 2000-01-01, in UTC; a day is the half-open range of timestamps [day_begin(day),
 * day_begin(day + 1)). To be called inside a transaction, in any backend.
 */
#ifndef REALTIME_PARTITION_LIST_H
#define REALTIME_PARTITION_LIST_H

#include "datatype/timestamp.h"

/* Partitions are made for the days from today - this ... */
#define PARTITION_DAYS_BEFORE	1

/* ... to today + this. */
#define PARTITION_DAYS_AFTER	3

typedef struct Partition
{
	Oid			relid;
	char		name[NAMEDATALEN];
	bool		is_default;
	bool		ours;			/* member of our extension: the launcher may drop it */
	Timestamp	lower;			/* -infinity if unbounded; not set in the default partition */
	Timestamp	upper;			/* infinity if unbounded */
} Partition;

typedef struct PartitionList
{
	Oid			parent;			/* realtime.messages; InvalidOid if there is none that belongs to the extension */
	Oid			extension;
	int			default_at;		/* index of the default partition, -1 if there is none */
	int			count;
	Partition  *partitions;
} PartitionList;

/* Read the catalog. The result is palloc'd. Partitions that somebody drops at this moment are left out. */
extern PartitionList partition_list_read(void);

/* Does one partition hold all of this day? */
extern bool partition_list_covers(const PartitionList *list, int day);

/* Today, by realtime.partition_clock if that is set, else by the clock. */
extern int	partition_today(void);

/* The first point in time that is still kept: the clock minus realtime.retention. */
extern Timestamp partition_horizon(void);

/* First moment of a day. */
extern Timestamp partition_day_begin(int day);

/* The day that a moment lies in. */
extern int	partition_day_of(Timestamp moment);

/* YYYY_MM_DD or YYYY-MM-DD, palloc'd. */
extern char *partition_day_text(int day, char separator);

#endif							/* REALTIME_PARTITION_LIST_H */
