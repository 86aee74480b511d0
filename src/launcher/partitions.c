/*
 * partitions.c
 *	  Makes and drops the partitions of realtime.messages: rounds of the launcher, and the function that does one round.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/backend_status.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

#include "launcher/partition_list.h"
#include "launcher/partition_steps.h"
#include "launcher/partitions.h"
#include "shared/counters.h"
#include "shared/registry.h"
#include "shared/shmem.h"

PG_FUNCTION_INFO_V1(realtime_maintain_partitions);

static void
begin_transaction(void)
{
	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	PushActiveSnapshot(GetTransactionSnapshot());
	pgstat_report_activity(STATE_RUNNING, "maintaining the partitions of realtime.messages");
}

static void
end_transaction(void)
{
	PopActiveSnapshot();
	CommitTransactionCommand();
	pgstat_report_stat(false);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Say what failed, once: the same thing fails again in each round. */
static void
log_failure(const PartitionRound *round)
{
	static char last[PARTITION_TEXT_SIZE];

	if (strcmp(last, round->detail) == 0)
		return;
	strlcpy(last, round->detail, sizeof(last));
	ereport(LOG,
			(errmsg("%s", round->detail),
			 errhint("%s", round->hint)));
}

/*
 * An error in a step, or in planning (step NULL). A lock that was not to be had in time is none; a cancel is one that
 * somebody sent us.
 */
static void
note_error(const PartitionStep *step, PartitionRound *round)
{
	ErrorData  *error = CopyErrorData();

	FlushErrorState();
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || error->sqlerrcode == ERRCODE_QUERY_CANCELED ||
		error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED)
	{
		round->later = true;
		if (round->detail[0] == '\0')
			snprintf(round->detail, PARTITION_TEXT_SIZE, "%s: %s", step ? step->name : "realtime.messages",
					 error->message);
	}
	else
	{
		round->failed = true;
		snprintf(round->detail, PARTITION_TEXT_SIZE, "%s: partition %s of realtime.messages: %s",
				 step && step->kind == STEP_DROP ? "PartitionDropFailed" : "PartitionCreationFailed",
				 step ? step->name : "(none)", error->message);
		strlcpy(round->hint, error->hint ? error->hint :
				"Messages of that day are kept in realtime.messages_default. It is tried again each hour, after a reload "
				"and by realtime.maintain_partitions().", PARTITION_TEXT_SIZE);
		log_failure(round);
	}
	FreeErrorData(error);
}

/* In the launcher: what is to be done, in the caller's memory context. */
static List *
plan_round(PartitionRound *round)
{
	MemoryContext context = CurrentMemoryContext;
	List	   *volatile steps = NIL;

	PG_TRY();
	{
		begin_transaction();
		MemoryContextSwitchTo(context);
		steps = partition_steps_plan();
		end_transaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		note_error(NULL, round);
		AbortCurrentTransaction();
		steps = NIL;
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	return steps;
}

/* In the launcher: one step in a transaction of its own. */
static void
do_step(const PartitionStep *step, PartitionRound *round)
{
	MemoryContext context = CurrentMemoryContext;
	char		obstacle[PARTITION_TEXT_SIZE] = "";

	PG_TRY();
	{
		begin_transaction();
		if (partition_step_do(step, obstacle))
			end_transaction();
		else
		{
			round->later = true;
			snprintf(round->detail, PARTITION_TEXT_SIZE, "%s waits: %.150s", step->name, obstacle);
			strlcpy(round->hint, "It is tried again until that transaction has ended; nothing else waits for it.",
					PARTITION_TEXT_SIZE);
			AbortCurrentTransaction();
		}
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		note_error(step, round);
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Seconds since 1970 of the first moment of the oldest partition that has one; 0: there is none. */
static int64
oldest_of(const PartitionList *list, int *count)
{
	Timestamp	oldest = DT_NOEND;

	*count = 0;
	for (int i = 0; i < list->count; i++)
	{
		const Partition *partition = &list->partitions[i];

		if (!partition->ours || partition->is_default)
			continue;
		(*count)++;
		if (!TIMESTAMP_NOT_FINITE(partition->lower))
			oldest = Min(oldest, partition->lower);
	}
	return oldest == DT_NOEND ? 0 : oldest / USECS_PER_SEC +
		(int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY;
}

/* In the launcher: tell realtime.stats what there is. */
static void
publish_figures(PartitionRound *round)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		PartitionList list;
		int			count;

		begin_transaction();
		list = partition_list_read();
		counter_set(COUNTER_OLDEST_PARTITION, oldest_of(&list, &count));
		counter_set(COUNTER_PARTITIONS, count);
		end_transaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		note_error(NULL, round);
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
}

void
partitions_maintain(PartitionRound *round)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "realtime partitions", ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	ListCell   *cell;
	bool		drops_wait = false;

	memset(round, 0, sizeof(PartitionRound));
	foreach(cell, plan_round(round))
	{
		const PartitionStep *step = lfirst(cell);
		bool		later = round->later;

		CHECK_FOR_INTERRUPTS();
		if (registry_is_held())
			break;
		if (step->kind == STEP_DROP && drops_wait)
			continue;
		round->later = false;
		do_step(step, round);
		if (step->kind == STEP_DROP)
			drops_wait = round->later;
		round->later |= later;
	}
	publish_figures(round);
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

/*
 * One step of the function, in a subtransaction, so that a step that fails or has to wait leaves nothing behind and the
 * others are done all the same.
 */
static void
do_step_here(const PartitionStep *step)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	char		obstacle[PARTITION_TEXT_SIZE] = "";
	ErrorData  *volatile error = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (partition_step_do(step, obstacle))
			ReleaseCurrentSubTransaction();
		else
			RollbackAndReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	CommandCounterIncrement();

	if (error != NULL && error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		ReThrowError(error);
	if (error != NULL)
		ereport(WARNING,
				(errcode(error->sqlerrcode),
				 errmsg("partition %s of realtime.messages: %s", step->name, error->message),
				 error->detail ? errdetail_internal("%s", error->detail) : 0,
				 errhint("Mend that, and call realtime.maintain_partitions() again.")));
	else if (obstacle[0] != '\0')
		ereport(NOTICE,
				(errmsg("partition %s has to wait: %s", step->name, obstacle),
				 errhint("Call realtime.maintain_partitions() again when that transaction has ended.")));
}

/* realtime.maintain_partitions() */
Datum
realtime_maintain_partitions(PG_FUNCTION_ARGS)
{
	ListCell   *cell;

	if (!superuser())
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("must be superuser to maintain the partitions of realtime.messages")));
	shmem_require();
	foreach(cell, partition_steps_plan())
		do_step_here(lfirst(cell));
	PG_RETURN_VOID();
}
