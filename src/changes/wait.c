/*
 * wait.c
 *	  What a change may have to wait for before it is judged.
 */
#include "postgres.h"

#include "access/transam.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/timestamp.h"

#include "changes/wait.h"
#include "changes/work.h"
#include "shared/compat.h"
#include "shared/elapsed.h"
#include "shared/settings.h"

/* Between two looks whether a table is still locked, or a transaction not over yet, in ms. */
#define LOOK_FOR_LOCK	2
#define LOOK_FOR_END	1

/* How long the end of a transaction is waited for, in ms, while others have been waited for in vain. */
#define SHORT_WAIT_FOR_END	10

/*
 * A row of the WAL is of no transaction that a snapshot shows until that has told everybody that it has committed. It may have taken
 * rights away: a transaction lets its locks go after it has made that known, and what is locked here already makes nobody listen. It
 * takes long only if it waits for a standby; then the next ones probably do, too. Meanwhile nothing stays locked.
 */
bool
wait_for_end(const ChangeRecord *record)
{
	static TransactionId over;
	static TransactionId in_vain;	/* the last one was waited for in vain: this one */
	TimestampTz begin = GetCurrentTimestamp();
	int			limit = realtime_policy_timeout;

	if (record->xid == over)
		return true;
	if (TransactionIdIsValid(in_vain))
		limit = record->xid == in_vain ? 0 : Min(limit, SHORT_WAIT_FOR_END);
	while (!transaction_has_ended(record->xid))
	{
		if (limit == 0 || elapsed(begin, GetCurrentTimestamp(), limit))
		{
			in_vain = record->xid;
			return false;
		}
		work_end();
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOOK_FOR_END * 1000);
		work_begin();
	}
	in_vain = InvalidTransactionId;
	over = record->xid;
	AcceptInvalidationMessages();
	work_look_again();
	return true;
}

/*
 * A table that is locked is waited for as long as a policy may take, once until it was free again; its subscribers are told, as
 * others must not wait for whoever has it. Meanwhile nothing else stays locked, and none queues up behind us: so we are no part of a
 * deadlock.
 */
bool
wait_for_table(Oid table, bool *in_vain)
{
	TimestampTz begin = GetCurrentTimestamp();
	bool		locked;

	work_begin();
	while (!(locked = ConditionalLockRelationOid(table, AccessShareLock)) && !*in_vain)
	{
		work_end();
		CHECK_FOR_INTERRUPTS();
		pg_usleep(LOOK_FOR_LOCK * 1000);
		work_begin();
		*in_vain = elapsed(begin, GetCurrentTimestamp(), realtime_policy_timeout);
	}
	if (locked)
		*in_vain = false;
	return locked;
}
