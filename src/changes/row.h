/*
 * row.h
 *	  A change as a row of its table, for policies: the version that was committed, in the table's form of now.
 *
 * A column that has another type now, or whose value is not in the change, can't be had; whoever needs it must be told so. One
 * that was added later has the value that it has in all rows of before.
 */
#ifndef REALTIME_CHANGES_ROW_H
#define REALTIME_CHANGES_ROW_H

#include "executor/tuptable.h"
#include "nodes/bitmapset.h"
#include "utils/relcache.h"

#include "changes/table.h"
#include "shared/change_record.h"

/* The row of this change from here on: after it, for DELETE the one before. In a transaction, with the relation open and locked. */
extern void row_begin(Table *table, Relation relation, const ChangeRecord *record);

/* Can all these columns be had? Attribute numbers are offset by FirstLowInvalidHeapAttributeNumber. */
extern bool row_has(const Bitmapset *columns);

/*
 * The row, with these columns, which can be had; others may be null. Values are made from their texts once, as the role that is the
 * first to need them, since domains may have checks of their own. Valid until the next row_begin. Raises what the types' input
 * functions raise; what they set does not stay.
 */
extern TupleTableSlot *row_slot(Oid role, const Bitmapset *columns);

#endif							/* REALTIME_CHANGES_ROW_H */
