/*
 * message_start.h
 *	  How the message decoder comes to a slot: by copying the anchor, else by creating one.
 */
#ifndef REALTIME_MESSAGE_START_H
#define REALTIME_MESSAGE_START_H

#include "replication/logical.h"

typedef struct Start
{
	LogicalDecodingContext *context;
	bool		is_fresh;		/* nothing before confirmed can be delivered any more */
	XLogRecPtr	confirmed;		/* transactions that commit after this are decoded */
} Start;

/* Name of the slot of this process. */
extern const char *start_slot_name(void);

/*
 * Get a slot, by copying the anchor if there is one that can be used, else by creating one, which takes until
 * all transactions that have written are over; and read up to the point from which on everything is decoded.
 * Interruptible; ends the process if it is no longer wanted. A fresh start says so by REPLICATION_STARTING, and
 * announces a gap early if it has to wait; the caller announces it again, since more is lost meanwhile.
 */
extern Start start_decoding(void);

/* Tell the members of all channels that messages are missing, unless nothing was ever delivered. */
extern void start_announce_gap(XLogRecPtr position);

#endif							/* REALTIME_MESSAGE_START_H */
