/*
 * wakeup.c
 *	  Wakes the message decoder after commits.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/registry.h"
#include "shared/shmem.h"
#include "shared/wakeup.h"

static pg_atomic_uint64 *commit_lsn;

Size
wakeup_shmem_size(void)
{
	return sizeof(pg_atomic_uint64);
}

void
wakeup_shmem_init(void)
{
	bool		found;

	commit_lsn = ShmemInitStruct("realtime wakeup", sizeof(pg_atomic_uint64), &found);
	if (!found)
		pg_atomic_init_u64(commit_lsn, InvalidXLogRecPtr);
}

/*
 * XactLastCommitEnd moves with each commit of this backend that wrote WAL (that of a prepared transaction too), and
 * the callback runs after its flush, if it was flushed at all.
 */
static void
after_transaction(XactEvent event, void *arg)
{
	static XLogRecPtr last = InvalidXLogRecPtr;
	uint64		known;

	if (event != XACT_EVENT_COMMIT || XactLastCommitEnd == last)
		return;
	last = XactLastCommitEnd;
	known = pg_atomic_read_u64(commit_lsn);
	while (known < last && !pg_atomic_compare_exchange_u64(commit_lsn, &known, last))
		;
	registry_wake(WORKER_MESSAGE_DECODER, 0);
}

void
wakeup_install(void)
{
	RegisterXactCallback(after_transaction, NULL);
}

XLogRecPtr
wakeup_commit_lsn(void)
{
	return pg_atomic_read_u64(commit_lsn);
}
