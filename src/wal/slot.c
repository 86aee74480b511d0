/*
 * slot.c
 *	  Replication slots of the decoder and the launcher.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/lwlock.h"
#include "storage/spin.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/resowner.h"

#include "wal/slot.h"

/*
 * Newer minor releases keep a list of the libraries that may be output plugins. Users of the slot functions
 * have to put ours on it; our own workers, which are superusers, append it for themselves.
 */
void
slot_allow_plugin(void)
{
	const char *allowed = GetConfigOption("output_plugin_libraries", true, false);
	char	   *longer;

	if (allowed == NULL)
		return;
	longer = psprintf("%s%s%s", allowed, allowed[0] != '\0' ? ", " : "", OUTPUT_PLUGIN_NAME);
	SetConfigOption("output_plugin_libraries", longer, PGC_SUSET, PGC_S_SESSION);
	pfree(longer);
}

int
slot_count_free(void)
{
	int			n = 0;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
		if (!ReplicationSlotCtl->replication_slots[i].in_use)
			n++;
	LWLockRelease(ReplicationSlotControlLock);
	return n;
}

bool
slot_look(const char *name, SlotPoint *point)
{
	ReplicationSlot *slot;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		point->owner = slot->active_pid;
		point->restart = slot->data.restart_lsn;
		point->confirmed = slot->data.confirmed_flush;
		point->catalog_xmin = slot->data.catalog_xmin;
		point->effective_catalog_xmin = slot->effective_catalog_xmin;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	return slot != NULL;
}

/* A candidate from before the new restart point would take it back again. */
bool
slot_move_restart(const char *name, XLogRecPtr restart)
{
	ReplicationSlot *slot;
	bool		moved = false;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		if (slot->data.restart_lsn < restart)
		{
			slot->data.restart_lsn = restart;
			moved = true;
		}
		if (slot->candidate_restart_lsn < slot->data.restart_lsn)
		{
			slot->candidate_restart_lsn = InvalidXLogRecPtr;
			slot->candidate_restart_valid = InvalidXLogRecPtr;
		}
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	if (moved)
		ReplicationSlotsComputeRequiredLSN();
	return moved;
}

/* Temporary slots don't outlive a crash, so nothing of this has to be on disk. */
void
slot_stand_at(const char *name, const SlotPoint *point)
{
	ReplicationSlot *slot;

	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(name, false);
	if (slot != NULL && slot->data.persistency == RS_TEMPORARY)
	{
		SpinLockAcquire(&slot->mutex);
		if (slot->data.restart_lsn <= point->restart)
		{
			slot->data.restart_lsn = point->restart;
			slot->data.confirmed_flush = point->confirmed;
			slot->data.catalog_xmin = point->catalog_xmin;
			slot->effective_catalog_xmin = point->effective_catalog_xmin;
		}
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
	ReplicationSlotsComputeRequiredXmin(false);
	ReplicationSlotsComputeRequiredLSN();
}

void
slot_drop(const char *name)
{
	SlotPoint	point;

	if (MyReplicationSlot != NULL)
		ReplicationSlotRelease();
	if (slot_look(name, &point) && point.owner == MyProcPid)
		ReplicationSlotDrop(name, true);
}

/* The SQL function knows best how to copy a slot in the server that we run in. */
bool
slot_copy(const char *from, const char *to)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool copied = false;
	NameData	source;
	NameData	target;

	namestrcpy(&source, from);
	namestrcpy(&target, to);
	PG_TRY();
	{
		StartTransactionCommand();
		OidFunctionCall3(F_PG_COPY_LOGICAL_REPLICATION_SLOT_NAME_NAME_BOOL,
						 NameGetDatum(&source), NameGetDatum(&target), BoolGetDatum(true));
		CommitTransactionCommand();
		copied = true;
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		EmitErrorReport();
		FlushErrorState();
		AbortCurrentTransaction();
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	if (!copied)
		slot_drop(to);
	return copied;
}
