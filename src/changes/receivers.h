/*
 * receivers.h
 *	  Who gets a change in which form, put together so that equal messages become one record on the bus.
 */
#ifndef REALTIME_CHANGES_RECEIVERS_H
#define REALTIME_CHANGES_RECEIVERS_H

#include "changes/table.h"

/* A form of the change. */
typedef struct Shape
{
	const RoleView *view;
	const char *select_key;		/* NULL: all columns */
	const Entry *entry;			/* one that has this select */
	const char *error;			/* instead of the row; NULL: the row */
} Shape;

/* A new change. Everything lives in the current memory context, which the caller resets. */
extern void receivers_begin(const ChangeRecord *record, bool key_only_old, bool too_large);

/* This entry of the subscription gets the change. Entries of a subscription are added in the order of their ids. */
extern void receivers_add(Subscription *subscription, const Entry *entry, const RoleView *view, const char *error);

/* How many have been added; and take back all that were added after there were so many. */
extern int	receivers_count(void);
extern void receivers_cut(int count);

/* Put the records into the outbox. */
extern void receivers_finish(void);

#endif							/* REALTIME_CHANGES_RECEIVERS_H */
