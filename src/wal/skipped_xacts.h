/*
 * skipped_xacts.h
 *	  What has to be remembered of records that are skipped: whose subtransaction theirs was, and half-done row moves.
 *
 * The WAL names the top-level transaction once, in the first record of a subtransaction; if that one is
 * skipped, logical decoding has to be told before it sees another record of it. An UPDATE that moves a row to
 * another partition writes a DELETE that says so and then an INSERT that looks like any other.
 *
 * Entries go when their transaction ends. An entry of the first kind takes 12 bytes, where the reorder buffer
 * would take hundreds. Throws when memory runs out. Message decoder only.
 */
#ifndef REALTIME_SKIPPED_XACTS_H
#define REALTIME_SKIPPED_XACTS_H

/* Forget everything. */
extern void skipped_xacts_reset(void);

/* This transaction is a subtransaction of top. */
extern void skipped_xacts_add(TransactionId xid, TransactionId top);

/* The top-level transaction of xid if it was remembered, which it no longer is; else Invalid. */
extern TransactionId skipped_xacts_take(TransactionId xid);

/* A row of realtime.messages was deleted by this transaction in order to be inserted elsewhere. */
extern void row_moves_add(TransactionId xid);

/* Is a row move of this transaction half done? With take it is taken for done from here on. */
extern bool row_moves_pending(TransactionId xid);
extern bool row_moves_take(TransactionId xid);

/* Is anything remembered at all? */
extern bool skipped_xacts_any(void);

/* This transaction and its subtransactions have ended. */
extern void skipped_xacts_end(TransactionId xid, int nsubxacts, const TransactionId *subxacts);

/* All transactions before this one have ended. */
extern void skipped_xacts_end_before(TransactionId oldest);

#endif							/* REALTIME_SKIPPED_XACTS_H */
