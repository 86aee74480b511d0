/*
 * change_value.h
 *	  Values of columns as the change record shows them: as text, and as JSON (PROTOCOL 6.6).
 *
 * JSON is that of to_jsonb(), but nothing that a user has written is ever run: casts to json count only if they are
 * written in C. Called in the change callback, under a historic snapshot. Change decoder only.
 */
#ifndef REALTIME_CHANGE_VALUE_H
#define REALTIME_CHANGE_VALUE_H

#include "shared/change_record.h"

/* What is known of a type: opaque, valid until types are forgotten. */
typedef struct ValueType ValueType;

/* Look a type up. Throws if it does not exist. */
extern const ValueType *value_type(Oid type);

/* Forget all types: one was changed. */
extern void value_types_forget(void);

/* Does the datum say only where the value lies on disk? */
extern bool value_is_out_of_line(const ValueType *type, Datum datum);

/*
 * The value, which is not null and not out of line on disk. Texts are allocated in the current memory context and have the
 * encoding of the server. A value of more than VALUE_MAX bytes is not shown at all: its text is asterisks, more than a
 * change may have (PROTOCOL 6.10).
 */
#define VALUE_MAX	(16 * 1024 * 1024)
extern void value_show(const ValueType *type, Datum datum, ChangeValue *value);

#endif							/* REALTIME_CHANGE_VALUE_H */
