/*
 * outbox.h
 *	  What the changes worker puts on the bus: collected, and published together.
 */
#ifndef REALTIME_CHANGES_OUTBOX_H
#define REALTIME_CHANGES_OUTBOX_H

#include "shared/bus.h"
#include "changes/subscription.h"

extern void outbox_init(void);

/* Where the bytes of records are to be allocated; reset by outbox_flush. */
extern MemoryContext outbox_context(void);

/* Add a record whose bytes live in that context. Publishes if much has come together, which may wait for listeners. */
extern void outbox_add(const BusRecord *record);

/* Publish what there is. */
extern void outbox_flush(void);

/* The answer to a subscription: form is a BusAnswer; the text, in UTF-8, is copied, NULL: none. */
extern void outbox_answer(int listener, uint32 connection, uint32 generation, uint32 number, uint32 version,
						  BusAnswer form, const char *text);

/*
 * An error for one subscription, at most one a second; those between are counted. This text and the next are in the encoding of the
 * database, and may begin the transaction. False: it was only counted.
 */
extern bool outbox_tell(Subscription *subscription, const char *text);

/* The text for all subscriptions why changes are missing; NULL: they flow again. */
extern void outbox_state(const char *text);

#endif							/* REALTIME_CHANGES_OUTBOX_H */
