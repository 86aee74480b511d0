/*
 * partition_steps.h
 *	  The single steps of a round over the partitions of realtime.messages.
 *
 * Publishing must go on undelayed. Every publisher holds RowExclusiveLock on realtime.messages until its transaction
 * ends, and whoever queues for a stronger lock holds up all publishers that come after. So:
 *
 *	  making a partition	needs no more than ShareUpdateExclusiveLock on realtime.messages, which publishers don't
 *							mind, and AccessExclusiveLock on the default partition, which they don't touch
 *	  dropping one			needs AccessExclusiveLock on realtime.messages: it is taken if it is free, and queued for
 *							only where all that hold it are short transactions
 *
 * What can't be had is tried again later.
 */
#ifndef REALTIME_PARTITION_STEPS_H
#define REALTIME_PARTITION_STEPS_H

#include "nodes/pg_list.h"

#include "launcher/partition_list.h"
#include "launcher/partitions.h"

typedef enum StepKind
{
	STEP_MAKE,					/* make the partition of day, with the rows of that day that are in the default partition */
	STEP_PURGE,					/* delete what the default partition holds of days before day */
	STEP_DROP					/* drop the partition relid */
} StepKind;

typedef struct PartitionStep
{
	StepKind	kind;
	int			day;
	Oid			relid;
	char		name[NAMEDATALEN];	/* of the partition */
} PartitionStep;

/*
 * What is to be done: a list of PartitionStep, palloc'd. Inside a transaction with a snapshot. Raises an error if the
 * default partition is locked by somebody for longer than a moment.
 */
extern List *partition_steps_plan(void);

/*
 * Do one step, inside a transaction with a snapshot. False: a lock was not to be had; obstacle (PARTITION_TEXT_SIZE
 * bytes) says whose, and the caller has to abort the transaction or subtransaction. Raises errors.
 */
extern bool partition_step_do(const PartitionStep *step, char *obstacle);

#endif							/* REALTIME_PARTITION_STEPS_H */
