/*
 * wal_shared.h
 *	  What the message decoder and the launcher know of each other's replication slots, and health() of both.
 *
 * The decoder owns the slot that it reads from, the launcher owns the anchor, a copy that outlives the decoder:
 *
 *	  anchor's restart <= decoder's restart <= reading <= flushed <= inserted
 *
 * All functions but wal_shared_shmem_init may be called by any process and never throw.
 */
#ifndef REALTIME_WAL_SHARED_H
#define REALTIME_WAL_SHARED_H

#include "access/xlogdefs.h"

/* The slot that the launcher keeps. */
#define ANCHOR_SLOT_NAME	"realtime_anchor"

/* A transaction is hopeless when so many decoders have ended in it at the same row. */
#define HOPELESS_ATTEMPTS	5

/* How many transactions may be incomplete behind a restart point that was moved. */
#define INCOMPLETE_MAX		256

/*
 * Transactions that published before the restart point and were still open when it was moved past their start: a
 * decoder that starts there sees only a part of them, drops them whole and announces the gap.
 */
typedef struct IncompleteXacts
{
	int			n;
	TransactionId xids[INCOMPLETE_MAX];
} IncompleteXacts;

/* A copy of what is known, for health(). */
typedef struct WalInfo
{
	bool		decoding;		/* the decoder's slot has its starting point and may be copied */
	char		slot[NAMEDATALEN];	/* '' if there is none */
	XLogRecPtr	reading;		/* where the decoder reads */
	TransactionId waiting_for;	/* no starting point yet: the transaction that it waits for, else Invalid */
	TransactionId pinned_by;	/* oldest transaction that has published and is open, else Invalid */
	XLogRecPtr	given_up;		/* a decoder can't start at or before this position; Invalid: none was given up */
	int			incomplete;		/* transactions that would be lost if the decoder ended now */
} WalInfo;

/* Memory and initialisation; called by shmem.c only. */
extern Size wal_shared_shmem_size(void);
extern void wal_shared_shmem_init(void);

extern void wal_shared_get(WalInfo *info);

/* Bytes of WAL that our slots make the server keep now, and may make it keep. */
extern uint64 wal_shared_retained(void);
extern uint64 wal_shared_bound(void);

/* What max_slot_wal_keep_size leaves of so many MB, in bytes. */
extern uint64 wal_shared_allowed(int megabytes);

/* Decoder: it has a slot of this name from here on (NULL: none), whose WAL it needs from reading on. */
extern void wal_shared_set_slot(const char *slot, XLogRecPtr reading);

/* Decoder: the slot has its starting point. */
extern void wal_shared_set_decoding(void);

/* Decoder: how far it has got, and what its restart point hangs on. */
extern void wal_shared_set_reading(XLogRecPtr reading, TransactionId pinned_by);
extern void wal_shared_set_waiting_for(TransactionId xid);

/* Decoder: the transactions that its restart point cuts. */
extern void wal_shared_set_incomplete(const IncompleteXacts *xacts);
extern void wal_shared_get_incomplete(IncompleteXacts *xacts);

/*
 * Decoder: the transaction with this commit record is being decoded, of which so many rows are on the bus; and what
 * lies before this position has been. A transaction that ends decoders again and again, without getting further, is
 * hopeless; Invalid if there is none.
 */
extern void wal_shared_attempt(XLogRecPtr commit, uint32 rows);
extern void wal_shared_passed(XLogRecPtr position);
extern XLogRecPtr wal_shared_hopeless(void);

/* Decoder: has the launcher given up the WAL that is read next? */
extern bool wal_shared_is_given_up(XLogRecPtr reading);

/*
 * Launcher: no decoder can start at or before this position any more; Invalid: forget it (the decoder, at a
 * fresh start).
 */
extern void wal_shared_give_up(XLogRecPtr position);

#endif							/* REALTIME_WAL_SHARED_H */
