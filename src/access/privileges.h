/*
 * privileges.h
 *	  Which columns of a table a role may touch. Any process, inside a transaction.
 */
#ifndef REALTIME_PRIVILEGES_H
#define REALTIME_PRIVILEGES_H

#include "nodes/bitmapset.h"
#include "nodes/parsenodes.h"
#include "utils/relcache.h"

/*
 * Attribute numbers, offset by FirstLowInvalidHeapAttributeNumber, of the columns for which the
 * role has this privilege, by itself or through the table; NULL without USAGE of the schema. In the
 * current memory context.
 */
extern Bitmapset *permitted_columns(Relation table, Oid role, AclMode mode);

#endif							/* REALTIME_PRIVILEGES_H */
