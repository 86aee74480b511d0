/*
 * deliver.h
 *	  One change: who has subscribed to it, who may see it, and what of it.
 */
#ifndef REALTIME_CHANGES_DELIVER_H
#define REALTIME_CHANGES_DELIVER_H

#include "shared/change_record.h"

extern void deliver_init(void);

/*
 * Judge the change for all subscriptions of its table and put it into the outbox. Begins a transaction if there is none, and may
 * leave another one behind. An error of one subscriber's policies or filters is told to him and goes no further. Throws only what is
 * nobody's own: no memory, an order to end.
 */
extern void deliver_change(const ChangeRecord *record);

#endif							/* REALTIME_CHANGES_DELIVER_H */
