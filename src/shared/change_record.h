/*
 * change_record.h
 *	  One change of a row, as the change decoder describes it to the changes worker: everything that is known of it under the
 *	  catalogs of the moment at which it was committed, so that it can be shown in that form whatever has become of the table.
 *
 * Each value comes as the text of the type's output function (DateStyle ISO, TimeZone UTC, IntervalStyle postgres,
 * bytea_output hex) for filters and policies, and says how it is shown as JSON. Packing allocates in the current memory
 * context and throws when memory runs out; reading never throws and allocates only the array of columns.
 */
#ifndef REALTIME_CHANGE_RECORD_H
#define REALTIME_CHANGE_RECORD_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "lib/stringinfo.h"

#include "wire/slice.h"

/* What a message of the change stream is: its first byte. */
typedef enum ChangeMessage
{
	CHANGE_MESSAGE_START,		/* decoding has begun: all transactions that commit after end are delivered */
	CHANGE_MESSAGE_ROW,			/* a change */
	CHANGE_MESSAGE_COMMIT		/* all changes of a transaction have been sent, the rows before belong to it */
} ChangeMessage;

typedef enum ChangeAction
{
	CHANGE_INSERT,
	CHANGE_UPDATE,
	CHANGE_DELETE
} ChangeAction;

#define CHANGE_ACTIONS	3

/* What an image of the row holds of a column. */
typedef enum ChangeValueKind
{
	VALUE_ABSENT,				/* the image does not have it */
	VALUE_UNCHANGED,			/* an out-of-line value that the UPDATE has not touched: it is not in the WAL */
	VALUE_NULL,
	VALUE_RAW,					/* its text is JSON as it stands: numbers, json, jsonb */
	VALUE_STRING,				/* shown as a JSON string of its text */
	VALUE_JSON					/* shown as json says */
} ChangeValueKind;

typedef struct ChangeValue
{
	ChangeValueKind kind;
	Slice		text;			/* followed by a zero byte; not for ABSENT, UNCHANGED and NULL */
	Slice		json;			/* VALUE_JSON only */
} ChangeValue;

typedef struct ChangeColumn
{
	int16		attnum;
	Oid			type;
	int32		typmod;
	bool		is_key;			/* of the primary key */
	bool		is_identity;	/* of the replica identity; with FULL every column */
	Slice		name;			/* followed by a zero byte, as is type_name */
	Slice		type_name;		/* pg_type.typname */
	ChangeValue new;			/* ABSENT for DELETE */
	ChangeValue old;			/* what is known of the row before: old image, or for an UPDATE without one the key of the new row; ABSENT for INSERT */
} ChangeColumn;

typedef struct ChangeRecord
{
	ChangeAction action;
	bool		identity_full;
	bool		via_root;		/* table and schema are those of the partitioned table, columns too; relation is its OID */
	TransactionId xid;
	XLogRecPtr	commit;			/* LSN of the commit record */
	XLogRecPtr	commit_end;
	TimestampTz committed_at;
	Oid			relation;
	Slice		schema;			/* followed by a zero byte, as is table */
	Slice		table;
	int			column_count;
	ChangeColumn *columns;		/* in the order of attnum; dropped ones are left out */
} ChangeRecord;

/* The other messages. */
typedef struct ChangeMark
{
	TransactionId xid;
	XLogRecPtr	end;			/* START: transactions that commit after this; COMMIT: end of the commit record */
	TimestampTz at;				/* START: now; COMMIT: when it was committed */
} ChangeMark;

/* Append a message, first byte and all. Change decoder. */
extern void change_record_pack(StringInfo out, const ChangeRecord *record);
extern void change_mark_pack(StringInfo out, ChangeMessage message, const ChangeMark *mark);

/*
 * Read a message that was packed: slices point into it, columns is allocated in the current memory context. Changes worker.
 */
extern ChangeMessage change_message_kind(Slice message);
extern void change_record_read(Slice message, ChangeRecord *record);
extern void change_mark_read(Slice message, ChangeMark *mark);

#endif							/* REALTIME_CHANGE_RECORD_H */
