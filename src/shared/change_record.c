/*
 * change_record.c
 *	  One change of a row, packed into bytes and read again. Both ends run in the same server, so numbers are as the machine has
 *	  them; but nothing is aligned.
 */
#include "postgres.h"

#include "shared/change_record.h"

static void
put(StringInfo out, const void *bytes, Size size)
{
	appendBinaryStringInfo(out, (const char *) bytes, size);
}

/* With a zero byte behind it, which its length does not count. */
static void
put_slice(StringInfo out, Slice slice)
{
	uint32		len = slice.len;

	put(out, &len, sizeof(len));
	if (len > 0)
		put(out, slice.data, len);
	appendBinaryStringInfo(out, "", 1);
}

static void
put_value(StringInfo out, const ChangeValue *value)
{
	uint8		kind = value->kind;

	put(out, &kind, sizeof(kind));
	if (value->kind > VALUE_NULL)
		put_slice(out, value->text);
	if (value->kind == VALUE_JSON)
		put_slice(out, value->json);
}

static void
put_column(StringInfo out, const ChangeColumn *column)
{
	uint8		flags = column->is_key | column->is_identity << 1;

	put(out, &column->attnum, sizeof(column->attnum));
	put(out, &column->type, sizeof(column->type));
	put(out, &column->typmod, sizeof(column->typmod));
	put(out, &flags, sizeof(flags));
	put_slice(out, column->name);
	put_slice(out, column->type_name);
	put_value(out, &column->new);
	put_value(out, &column->old);
}

void
change_record_pack(StringInfo out, const ChangeRecord *record)
{
	uint8		kind = CHANGE_MESSAGE_ROW;
	uint8		action = record->action;
	uint8		flags = record->identity_full | record->via_root << 1;
	int32		count = record->column_count;

	put(out, &kind, sizeof(kind));
	put(out, &action, sizeof(action));
	put(out, &flags, sizeof(flags));
	put(out, &record->xid, sizeof(record->xid));
	put(out, &record->commit, sizeof(record->commit));
	put(out, &record->commit_end, sizeof(record->commit_end));
	put(out, &record->committed_at, sizeof(record->committed_at));
	put(out, &record->relation, sizeof(record->relation));
	put_slice(out, record->schema);
	put_slice(out, record->table);
	put(out, &count, sizeof(count));
	for (int i = 0; i < record->column_count; i++)
		put_column(out, &record->columns[i]);
}

void
change_mark_pack(StringInfo out, ChangeMessage message, const ChangeMark *mark)
{
	uint8		kind = message;

	put(out, &kind, sizeof(kind));
	put(out, mark, sizeof(*mark));
}

/* -------------------------------------------------------- reading --------------------------------------------------- */

static void
take(Slice *from, void *bytes, Size size)
{
	Assert(from->len >= size);
	memcpy(bytes, from->data, size);
	*from = slice_skip(*from, size);
}

static uint8
take_byte(Slice *from)
{
	uint8		byte;

	take(from, &byte, sizeof(byte));
	return byte;
}

static Slice
take_slice(Slice *from)
{
	uint32		len;
	Slice		slice;

	take(from, &len, sizeof(len));
	Assert(from->len > len);
	slice = slice_make(from->data, len);
	*from = slice_skip(*from, (Size) len + 1);
	return slice;
}

static void
take_value(Slice *from, ChangeValue *value)
{
	value->kind = take_byte(from);
	value->text = value->kind > VALUE_NULL ? take_slice(from) : SLICE_EMPTY;
	value->json = value->kind == VALUE_JSON ? take_slice(from) : SLICE_EMPTY;
}

static void
take_column(Slice *from, ChangeColumn *column)
{
	uint8		flags;

	take(from, &column->attnum, sizeof(column->attnum));
	take(from, &column->type, sizeof(column->type));
	take(from, &column->typmod, sizeof(column->typmod));
	flags = take_byte(from);
	column->is_key = flags & 1;
	column->is_identity = (flags & 2) != 0;
	column->name = take_slice(from);
	column->type_name = take_slice(from);
	take_value(from, &column->new);
	take_value(from, &column->old);
}

ChangeMessage
change_message_kind(Slice message)
{
	return take_byte(&message);
}

void
change_record_read(Slice message, ChangeRecord *record)
{
	uint8		flags;
	int32		count;

	(void) take_byte(&message);
	record->action = take_byte(&message);
	flags = take_byte(&message);
	record->identity_full = flags & 1;
	record->via_root = (flags & 2) != 0;
	take(&message, &record->xid, sizeof(record->xid));
	take(&message, &record->commit, sizeof(record->commit));
	take(&message, &record->commit_end, sizeof(record->commit_end));
	take(&message, &record->committed_at, sizeof(record->committed_at));
	take(&message, &record->relation, sizeof(record->relation));
	record->schema = take_slice(&message);
	record->table = take_slice(&message);
	take(&message, &count, sizeof(count));
	record->column_count = count;
	record->columns = palloc(sizeof(ChangeColumn) * Max(count, 1));
	for (int i = 0; i < count; i++)
		take_column(&message, &record->columns[i]);
}

void
change_mark_read(Slice message, ChangeMark *mark)
{
	(void) take_byte(&message);
	take(&message, mark, sizeof(*mark));
}
