/*
 * restart_point.h
 *	  Keeps the decoder's slot from holding more WAL than it may.
 *
 * Only a decoder that starts again reads from the restart point, and it hangs on the oldest open transaction that has
 * published. When half of what is allowed is kept, the point is moved forward to a record of running transactions at
 * which a snapshot was saved; the transactions that this cuts are remembered.
 */
#ifndef REALTIME_RESTART_POINT_H
#define REALTIME_RESTART_POINT_H

#include "replication/logical.h"

/* A new decoder: take over what the last one has noted of transactions that its restart point cuts. */
extern void restart_point_begin(LogicalDecodingContext *context);

/*
 * Tell the slot that everything before this position is delivered, and move the restart point if it has to be.
 * Decoder, outside of a transaction, with nothing collected that is not on the bus.
 */
extern void restart_point_confirm(LogicalDecodingContext *context, XLogRecPtr position);

/* The oldest open transaction that the restart point hangs on; Invalid if there is none. */
extern TransactionId restart_point_pinned_by(LogicalDecodingContext *context);

#endif							/* REALTIME_RESTART_POINT_H */
