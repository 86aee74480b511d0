/*
 * work.h
 *	  The transaction in which the changes worker judges: begun when something needs it, always rolled back.
 */
#ifndef REALTIME_CHANGES_WORK_H
#define REALTIME_CHANGES_WORK_H

#include "utils/elog.h"
#include "utils/palloc.h"

/* There is a transaction with an active snapshot from here on. Stays in the memory context of the caller. */
extern void work_begin(void);

/* Take a new snapshot: what was committed before now is seen. Inside one. */
extern void work_look_again(void);

/* Roll back, if there is one; after an error as well. Stays in the memory context of the caller. */
extern void work_end(void);

/*
 * What comes next is cancelled (ERRCODE_QUERY_CANCELED) when it has taken realtime.policy_timeout, counted from the first call. Who
 * catches the error stops the clock, or has work_caught do it.
 */
extern void work_start_clock(void);
extern void work_stop_clock(void);

/* From here on a lock is waited for so many ms at most (ERRCODE_LOCK_NOT_AVAILABLE); 0: as long as it takes. work_caught sets 0. */
extern void work_limit_locks(int ms);

/*
 * In PG_CATCH: the error, copied into this memory context, which is the current one from here on. The clock is stopped and the
 * transaction, if there is one, rolled back, so that others can go on.
 */
extern ErrorData *work_caught(MemoryContext context);

#endif							/* REALTIME_CHANGES_WORK_H */
