/*
 * message_trigger.c
 *	  The row trigger of realtime.messages: tells the message decoder which files hold messages.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "storage/proc.h"
#include "utils/rel.h"

#include "shared/compat.h"
#include "shared/message_files.h"
#include "shared/shmem.h"
#include "shared/wakeup.h"

PG_FUNCTION_INFO_V1(realtime_note_message_file);

/* The files that this backend has told of last, and the set that they were in. */
static struct
{
	RelationFile heap;
	RelationFile toast;
	uint64		generation;
} told;

/*
 * The heap and the (sub)transaction of the last row. While these are the same nothing can have changed: the insert
 * locks the partition, and we lock its TOAST table.
 */
static struct
{
	RelationFile heap;
	LocalTransactionId transaction;
	SubTransactionId subtransaction;
} last;

static inline bool
same_file(RelationFile a, RelationFile b)
{
	return RELATION_FILE_NUMBER(a) == RELATION_FILE_NUMBER(b) &&
		RELATION_FILE_SPC(a) == RELATION_FILE_SPC(b) &&
		RELATION_FILE_DB(a) == RELATION_FILE_DB(b);
}

/* File of the TOAST table, all zeroes if there is none. The lock keeps VACUUM FULL from giving it another file. */
static RelationFile
toast_file(Relation relation)
{
	RelationFile file;
	Relation	toast;

	memset(&file, 0, sizeof(file));
	if (!OidIsValid(relation->rd_rel->reltoastrelid))
		return file;
	toast = table_open(relation->rd_rel->reltoastrelid, RowExclusiveLock);
	file = RELATION_FILE(toast);
	table_close(toast, NoLock);
	return file;
}

static void
tell(Relation relation)
{
	RelationFile heap = RELATION_FILE(relation);
	RelationFile toast = toast_file(relation);

	if (same_file(told.heap, heap) && same_file(told.toast, toast) &&
		told.generation == message_files_generation())
		return;
	message_files_add(heap);
	if (RELATION_FILE_NUMBER(toast) != 0)
		message_files_add(toast);
	told.heap = heap;
	told.toast = toast;
	told.generation = message_files_generation();
}

/*
 * BEFORE INSERT OR UPDATE OF inserted_at FOR EACH ROW on each partition: the row's WAL is not written yet. Rows that
 * follow one another in the same partition cost a comparison.
 */
Datum
realtime_note_message_file(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	LocalTransactionId transaction = MY_LOCAL_TRANSACTION;
	SubTransactionId subtransaction = GetCurrentSubTransactionId();

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(trigger->tg_event) ||
		!TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		!(TRIGGER_FIRED_BY_INSERT(trigger->tg_event) || TRIGGER_FIRED_BY_UPDATE(trigger->tg_event)))
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("realtime.note_message_file is for the trigger of realtime.messages only")));

	if (last.transaction != transaction || last.subtransaction != subtransaction ||
		!same_file(last.heap, RELATION_FILE(trigger->tg_relation)))
	{
		shmem_require();
		tell(trigger->tg_relation);
		wakeup_note_message();
		last.heap = RELATION_FILE(trigger->tg_relation);
		last.transaction = transaction;
		last.subtransaction = subtransaction;
	}
	return PointerGetDatum(TRIGGER_FIRED_BY_UPDATE(trigger->tg_event) ? trigger->tg_newtuple : trigger->tg_trigtuple);
}
