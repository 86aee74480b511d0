/*
 * anchor.h
 *	  The anchor: a replication slot of the launcher that stands where the decoder's does and outlives it.
 *
 * Creating a slot waits for all transactions that have written; copying one does not. So a decoder that ends, for
 * whatever reason, is followed by one that copies the anchor and goes on where the first was.
 */
#ifndef REALTIME_ANCHOR_H
#define REALTIME_ANCHOR_H

/*
 * Make the anchor stand where the decoder's slot stands, make it if there is none, and see to it that neither
 * keeps more than its share of WAL, if need be at the price of a gap. Called by the launcher, outside of a
 * transaction, on each wake-up while it is in the database, and again after at most the number of milliseconds
 * that is returned (-1: only on the next wake-up). Cheap if nothing has changed. May throw, in the way of any
 * SQL function.
 */
extern int	anchor_keep(void);

/* Drop the anchor, if there is one: the launcher, before it leaves the database. */
extern void anchor_drop(void);

#endif							/* REALTIME_ANCHOR_H */
