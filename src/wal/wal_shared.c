/*
 * wal_shared.c
 *	  What the message decoder and the launcher know of each other's replication slots.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "replication/slot.h"
#include "storage/shmem.h"
#include "storage/spin.h"

#include "shared/settings.h"
#include "wal/wal_shared.h"

/* MB that a decoder may be behind at least. */
#define LEAST_BOUND		16

typedef struct WalShared
{
	slock_t		mutex;
	WalInfo		info;
	IncompleteXacts incomplete;
	XLogRecPtr	attempted_commit;
	uint32		attempted_rows;
	int			attempts;
} WalShared;

static WalShared *shared;

Size
wal_shared_shmem_size(void)
{
	return sizeof(WalShared);
}

void
wal_shared_shmem_init(void)
{
	bool		found;

	shared = ShmemInitStruct("realtime wal", sizeof(WalShared), &found);
	if (found)
		return;
	memset(shared, 0, sizeof(WalShared));
	SpinLockInit(&shared->mutex);
}

void
wal_shared_get(WalInfo *info)
{
	SpinLockAcquire(&shared->mutex);
	*info = shared->info;
	info->incomplete = shared->incomplete.n;
	SpinLockRelease(&shared->mutex);
}

/* The slots themselves are asked, not what was last told of them. */
uint64
wal_shared_retained(void)
{
	XLogRecPtr	oldest = InvalidXLogRecPtr;
	XLogRecPtr	now = GetXLogInsertRecPtr();
	WalInfo		info;

	wal_shared_get(&info);
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	for (int i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		XLogRecPtr	restart;

		if (!slot->in_use ||
			(strcmp(NameStr(slot->data.name), ANCHOR_SLOT_NAME) != 0 &&
			 strcmp(NameStr(slot->data.name), info.slot) != 0))
			continue;
		SpinLockAcquire(&slot->mutex);
		restart = slot->data.restart_lsn;
		SpinLockRelease(&slot->mutex);
		if (restart != InvalidXLogRecPtr && (oldest == InvalidXLogRecPtr || restart < oldest))
			oldest = restart;
	}
	LWLockRelease(ReplicationSlotControlLock);
	return oldest == InvalidXLogRecPtr || oldest >= now ? 0 : now - oldest;
}

/*
 * Beyond max_slot_wal_keep_size the server would end our workers and wait until they are gone, even for one that is
 * stopped: stay below it. It looks at whole segments and at checkpoints only, so a decoder that goes on can live with
 * one that allows none; with no room at all it would be behind always.
 */
uint64
wal_shared_allowed(int megabytes)
{
	if (max_slot_wal_keep_size_mb >= 0)
		megabytes = Min(megabytes, Max(max_slot_wal_keep_size_mb, LEAST_BOUND));
	return (uint64) megabytes * 1024 * 1024;
}

uint64
wal_shared_bound(void)
{
	return wal_shared_allowed(realtime_max_wal_retained);
}

void
wal_shared_set_slot(const char *slot, XLogRecPtr reading)
{
	SpinLockAcquire(&shared->mutex);
	strlcpy(shared->info.slot, slot != NULL ? slot : "", NAMEDATALEN);
	shared->info.decoding = false;
	shared->info.reading = reading;
	shared->info.waiting_for = InvalidTransactionId;
	shared->info.pinned_by = InvalidTransactionId;
	SpinLockRelease(&shared->mutex);
}

void
wal_shared_set_decoding(void)
{
	SpinLockAcquire(&shared->mutex);
	shared->info.decoding = true;
	shared->info.waiting_for = InvalidTransactionId;
	SpinLockRelease(&shared->mutex);
}

void
wal_shared_set_reading(XLogRecPtr reading, TransactionId pinned_by)
{
	SpinLockAcquire(&shared->mutex);
	shared->info.reading = reading;
	shared->info.pinned_by = pinned_by;
	SpinLockRelease(&shared->mutex);
}

void
wal_shared_set_waiting_for(TransactionId xid)
{
	SpinLockAcquire(&shared->mutex);
	shared->info.waiting_for = xid;
	SpinLockRelease(&shared->mutex);
}

void
wal_shared_set_incomplete(const IncompleteXacts *xacts)
{
	SpinLockAcquire(&shared->mutex);
	shared->incomplete = *xacts;
	SpinLockRelease(&shared->mutex);
}

void
wal_shared_get_incomplete(IncompleteXacts *xacts)
{
	SpinLockAcquire(&shared->mutex);
	*xacts = shared->incomplete;
	SpinLockRelease(&shared->mutex);
}

bool
wal_shared_is_given_up(XLogRecPtr reading)
{
	bool		given_up;

	SpinLockAcquire(&shared->mutex);
	given_up = reading < shared->info.given_up;
	SpinLockRelease(&shared->mutex);
	return given_up;
}

void
wal_shared_give_up(XLogRecPtr position)
{
	SpinLockAcquire(&shared->mutex);
	shared->info.given_up = position;
	SpinLockRelease(&shared->mutex);
}

/*
 * Transactions come in the order of their commits. One that is decoded again on the way to that which ended the
 * decoder before says nothing of it.
 */
void
wal_shared_attempt(XLogRecPtr commit, uint32 rows)
{
	SpinLockAcquire(&shared->mutex);
	if (commit >= shared->attempted_commit)
	{
		if (shared->attempted_commit != commit || shared->attempted_rows != rows)
			shared->attempts = 0;
		shared->attempted_commit = commit;
		shared->attempted_rows = rows;
		shared->attempts++;
	}
	SpinLockRelease(&shared->mutex);
}

void
wal_shared_passed(XLogRecPtr position)
{
	SpinLockAcquire(&shared->mutex);
	if (shared->attempted_commit < position)
	{
		shared->attempted_commit = InvalidXLogRecPtr;
		shared->attempts = 0;
	}
	SpinLockRelease(&shared->mutex);
}

XLogRecPtr
wal_shared_hopeless(void)
{
	XLogRecPtr	commit;

	SpinLockAcquire(&shared->mutex);
	commit = shared->attempts >= HOPELESS_ATTEMPTS ? shared->attempted_commit : InvalidXLogRecPtr;
	SpinLockRelease(&shared->mutex);
	return commit;
}
