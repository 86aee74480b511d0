/*
 * change_filter.h
 *	  Which changes a subscription is about: the conditions of its filter (PROTOCOL 6.2), checked and made ready when it
 *	  begins.
 *
 * Changes worker, in a transaction with a snapshot, while the subscriber's role is taken on: types and operators may
 * be the users' own. DateStyle, TimeZone, IntervalStyle and bytea_output are those that change_record.h names.
 */
#ifndef REALTIME_CHANGE_FILTER_H
#define REALTIME_CHANGE_FILTER_H

#include "access/attnum.h"
#include "utils/relcache.h"

#include "shared/change_record.h"
#include "wire/filter.h"
#include "wire/slice.h"

/* Most elements of the list of an `in`. */
#define CHANGE_FILTER_MAX_IN	100

typedef struct ChangeFilter ChangeFilter;

/* The values of one record that filters have asked for, made from their texts once. */
typedef struct ChangeValues ChangeValues;

/*
 * Check the conditions as the reference does when a subscription begins, and make them ready. Texts are UTF-8. The
 * filter lives in the current memory context, for as long as that; without conditions it matches everything. Raises
 * the reference's errors (ERRCODE_RAISE_EXCEPTION) and those of the types of the columns.
 */
extern ChangeFilter *change_filter_make(Relation table, Oid role, const FilterCondition *conditions, int n);

/* Raises an error if the role can't select one of these columns, or if there is none of that name. Names are UTF-8. */
extern void change_select_check(Relation table, Oid role, const Slice *names, int n);

extern ChangeValues *change_values_make(MemoryContext parent);

/* A new record: forget the values of the one before. The record must stay for as long as it is used. */
extern void change_values_reset(ChangeValues *values, const ChangeRecord *record);

/*
 * Does the record match? Conditions are about the row after the change, for DELETE about what is known of the one
 * before. values has been reset to this record. Raises ERRCODE_DATATYPE_MISMATCH if a column has another type than
 * when the filter was made, and whatever the operators raise.
 */
extern bool change_filter_matches(ChangeFilter *filter, const ChangeRecord *record, ChangeValues *values);

#endif							/* REALTIME_CHANGE_FILTER_H */
