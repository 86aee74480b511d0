/*
 * partitions.h
 *	  Makes and drops the partitions of realtime.messages.
 */
#ifndef REALTIME_PARTITIONS_H
#define REALTIME_PARTITIONS_H

#define PARTITION_TEXT_SIZE		256

/* What a round has left undone. */
typedef struct PartitionRound
{
	bool		later;			/* a lock was not to be had: try again soon */
	bool		failed;			/* something went wrong that trying again soon won't mend */
	char		detail[PARTITION_TEXT_SIZE];	/* what, empty if all is done */
	char		hint[PARTITION_TEXT_SIZE];
} PartitionRound;

/*
 * One round: make the partitions of yesterday to three days ahead, move rows of the default partition home, drop
 * partitions that realtime.retention has passed. Each step is a transaction of its own; errors end in *round and, the
 * first time, in the server log. Launcher, connected, outside of a transaction.
 */
extern void partitions_maintain(PartitionRound *round);

#endif							/* REALTIME_PARTITIONS_H */
