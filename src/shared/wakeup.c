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
static bool published;			/* by the transaction of this backend */

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

void
wakeup_note_message(void)
{
	published = true;
}

/*
 * XactLastCommitEnd moves with each commit of this backend that wrote WAL (that of a prepared transaction too, which is
 * always flushed), and the callback runs after the flush, if there was one.
 */
static void
after_transaction(XactEvent event, void *arg)
{
	static XLogRecPtr last = InvalidXLogRecPtr;
	uint64		known;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT && XactLastCommitEnd != last)
	{
		last = XactLastCommitEnd;
		known = pg_atomic_read_u64(commit_lsn);
		while (published && known < last && !pg_atomic_compare_exchange_u64(commit_lsn, &known, last))
			;
		registry_wake(WORKER_MESSAGE_DECODER, 0);
	}
	published = false;
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
