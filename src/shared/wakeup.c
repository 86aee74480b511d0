/*
 * wakeup.c
 *	  Wakes the decoders after commits.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "port/atomics.h"
#include "storage/shmem.h"

#include "shared/registry.h"
#include "shared/shmem.h"
#include "shared/wakeup.h"

typedef struct Wakeup
{
	pg_atomic_uint64 message_commit;	/* end of the latest commit that published */
	pg_atomic_uint64 commit;	/* end of the latest of all commits, while the change decoder reads */
	pg_atomic_uint32 all_wanted;	/* the change decoder reads */
} Wakeup;

static Wakeup *wakeup;
static bool published;			/* by the transaction of this backend */

Size
wakeup_shmem_size(void)
{
	return sizeof(Wakeup);
}

void
wakeup_shmem_init(void)
{
	bool		found;

	wakeup = ShmemInitStruct("realtime wakeup", sizeof(Wakeup), &found);
	if (found)
		return;
	pg_atomic_init_u64(&wakeup->message_commit, InvalidXLogRecPtr);
	pg_atomic_init_u64(&wakeup->commit, InvalidXLogRecPtr);
	pg_atomic_init_u32(&wakeup->all_wanted, 0);
}

void
wakeup_note_message(void)
{
	published = true;
}

/* Raise a position to this one. */
static void
raise_to(pg_atomic_uint64 *position, XLogRecPtr to)
{
	uint64		known = pg_atomic_read_u64(position);

	while (known < to && !pg_atomic_compare_exchange_u64(position, &known, to))
		;
}

/*
 * XactLastCommitEnd moves with each commit of this backend that wrote WAL (that of a prepared transaction too, which is
 * always flushed), and the callback runs after the flush, if there was one.
 */
static void
after_transaction(XactEvent event, void *arg)
{
	static XLogRecPtr last = InvalidXLogRecPtr;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT && event != XACT_EVENT_PREPARE)
		return;
	if (event == XACT_EVENT_COMMIT && XactLastCommitEnd != last)
	{
		last = XactLastCommitEnd;
		if (published)
			raise_to(&wakeup->message_commit, last);
		registry_wake(WORKER_MESSAGE_DECODER, 0);
		if (pg_atomic_read_u32(&wakeup->all_wanted) != 0)
		{
			raise_to(&wakeup->commit, last);
			registry_wake(WORKER_CHANGE_DECODER, 0);
		}
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
	return pg_atomic_read_u64(&wakeup->message_commit);
}

void
wakeup_want_all(bool wanted)
{
	pg_atomic_write_u32(&wakeup->all_wanted, wanted);
}

XLogRecPtr
wakeup_any_commit_lsn(void)
{
	return pg_atomic_read_u64(&wakeup->commit);
}
