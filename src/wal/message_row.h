/*
 * message_row.h
 *	  From a row of realtime.messages to a record for the bus.
 *
 * All of it runs in callbacks of the output plugin, that is, in a transaction with a historic snapshot. Message
 * decoder only.
 */
#ifndef REALTIME_MESSAGE_ROW_H
#define REALTIME_MESSAGE_ROW_H

#include "access/htup.h"
#include "utils/relcache.h"

#include "shared/bus.h"

/* Is this relation a partition of realtime.messages? Remembered until the relation changes. */
extern bool message_row_is_of(Relation relation);

/*
 * Fill the record from a new row of such a relation, as far as the row has it; commit position and time are
 * left alone. NULL if the row is a message, else what is wrong with it (with the topic filled in if it has a
 * usable one). What the record points to is palloc'd in the current context. Does not throw for anything that a
 * row may hold.
 */
extern const char *message_row_fill(Relation relation, HeapTuple tuple, BusRecord *record);

#endif							/* REALTIME_MESSAGE_ROW_H */
