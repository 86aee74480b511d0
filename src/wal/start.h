/*
 * start.h
 *	  How a decoder comes to a slot and a place in the WAL to start from.
 *
 * Interruptible; ends the process if it is no longer wanted. Decoders only.
 */
#ifndef REALTIME_START_H
#define REALTIME_START_H

#include "replication/logical.h"

/* What a decoder wants to know on the way. */
typedef struct StartObserver
{
	/* the slot is there, and then: it keeps WAL from reading on */
	void		(*slot_made) (const char *name, XLogRecPtr reading);

	/* it waits for this transaction to end; Invalid: no longer. is_fresh: there is no starting point yet */
	void		(*waits_for) (TransactionId xid, bool is_fresh);

	/* everything flushed has been read */
	void		(*has_read) (XLogRecPtr position);

	/* asked again and again while there is no starting point: does the slot keep so much WAL that it is to be made anew? */
	bool		(*keeps_too_much) (void);
} StartObserver;

/*
 * Create a temporary slot of this name, which is then acquired: takes until all transactions that have written are over.
 */
extern void start_create_slot(const char *name, const StartObserver *observer);

/* Read from the slot that is acquired up to the point from which on everything is decoded. */
extern LogicalDecodingContext *start_from_slot(const StartObserver *observer);

#endif							/* REALTIME_START_H */
