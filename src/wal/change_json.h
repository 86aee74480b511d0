/*
 * change_json.h
 *	  A decoded change as JSON. Called in callbacks of the output plugin; throws as output functions do.
 */
#ifndef REALTIME_CHANGE_JSON_H
#define REALTIME_CHANGE_JSON_H

#include "access/htup.h"
#include "lib/stringinfo.h"
#include "utils/relcache.h"

/* Append ,"schema":…,"table":… */
extern void change_json_relation(StringInfo out, Relation relation);

/* Append ,"columns":[…]: all columns of a row as it is after the change. */
extern void change_json_columns(StringInfo out, Relation relation, HeapTuple tuple);

/*
 * Append ,"old":[…] or ,"key":[…] or nothing, as the relation's replica identity has it. old is what the WAL holds of
 * the old row, NULL if nothing; then the key has not changed and is taken from the new row.
 */
extern void change_json_identity(StringInfo out, Relation relation, HeapTuple old, HeapTuple new);

#endif							/* REALTIME_CHANGE_JSON_H */
