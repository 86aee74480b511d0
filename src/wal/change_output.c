/*
 * change_output.c
 *	  Output plugin callbacks of the change decoder.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "lib/stringinfo.h"
#include "replication/logical.h"
#include "replication/origin.h"
#include "replication/reorderbuffer.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "shared/compat.h"
#include "shared/counters.h"
#include "shared/registry.h"
#include "shared/worker.h"
#include "wal/learned_filter.h"
#include "wal/change_output.h"
#include "wal/change_relation.h"
#include "wal/change_sender.h"
#include "wal/change_value.h"
#include "wal/reader.h"

/* A message buffer that has grown beyond this is given back. */
#define KEEP_BUFFER		(256 * 1024)

/* After so many changes it is looked whether we are wanted still. */
#define LOOK_EVERY		4096

/* Values of a row, in the order of the relation's own columns. */
typedef struct Image
{
	TupleDesc	desc;
	Datum	   *values;
	bool	   *nulls;
} Image;

static MemoryContext change_context;	/* reset after each change */
static StringInfoData message;
static uint64 rows;				/* of the transaction that is being decoded */

static void
startup(LogicalDecodingContext *ctx, OutputPluginOptions *options, bool is_init)
{
	options->output_type = OUTPUT_PLUGIN_BINARY_OUTPUT;
	options->receive_rewrites = false;
	if (change_context == NULL)
		change_context = AllocSetContextCreate(TopMemoryContext, "realtime change", ALLOCSET_DEFAULT_SIZES);
}

static void
begin_message(void)
{
	if (message.data != NULL && message.maxlen > KEEP_BUFFER)
	{
		pfree(message.data);
		message.data = NULL;
	}
	if (message.data == NULL)
	{
		MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);

		initStringInfo(&message);
		MemoryContextSwitchTo(before);
	}
	resetStringInfo(&message);
}

void
change_output_mark(ChangeMessage kind, TransactionId xid, XLogRecPtr end, TimestampTz at)
{
	ChangeMark	mark = {.xid = xid, .end = end, .at = at};

	begin_message();
	change_mark_pack(&message, kind, &mark);
	change_send(&message, true);
}

/*
 * The publication of an old transaction may be older than the one that was last looked at: what is cached of the one must
 * not be taken for the other. Locks see to it that nothing like that can be of a table.
 */
static void
forget_other_catalogs(ReorderBufferTXN *txn)
{
	if (txn->base_snapshot_lsn < learned_filter_last_reset())
		InvalidateSystemCaches();
}

static void
begin_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn)
{
	rows = 0;
	forget_other_catalogs(txn);
}

static void
commit_transaction(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, XLogRecPtr commit_lsn)
{
	forget_other_catalogs(txn);
	if (rows == 0)
		return;
	counter_add(COUNTER_CHANGES_DECODED, rows);
	change_output_mark(CHANGE_MESSAGE_COMMIT, txn->xid, txn->end_lsn, txn->xact_time.commit_time);
}

static Image
read_image(HeapTuple tuple, TupleDesc desc)
{
	Image		image = {.desc = desc};

	image.values = palloc(sizeof(Datum) * desc->natts);
	image.nulls = palloc(sizeof(bool) * desc->natts);
	heap_deform_tuple(tuple, desc, image.values, image.nulls);
	return image;
}

/* A value that an UPDATE has not touched and that lies out of line is not in the WAL. */
static void
show(const Image *image, const ChangeLayoutColumn *column, ChangeValue *value)
{
	Datum		datum;

	if (column->source != InvalidAttrNumber && is_virtual_column(TupleDescAttr(image->desc, column->source - 1)))
	{
		value->kind = VALUE_ABSENT;
		return;
	}
	if (column->source == InvalidAttrNumber || image->nulls[column->source - 1])
	{
		value->kind = VALUE_NULL;
		return;
	}
	datum = image->values[column->source - 1];
	if (value_is_out_of_line(column->type, datum))
		value->kind = VALUE_UNCHANGED;
	else
		value_show(column->type, datum, value);
}

/* A whole old image has what the new one lacks. */
static void
show_new(const ChangeRelation *relation, const ChangeLayoutColumn *column, const Image *new, const Image *old,
		 ChangeValue *value)
{
	show(new, column, value);
	if (value->kind == VALUE_UNCHANGED && relation->identity_full && old != NULL)
		show(old, column, value);
}

/* Without an old image the identity has not changed. */
static void
show_old(const ChangeLayoutColumn *column, const Image *new, const Image *old, ChangeValue *value)
{
	const Image *image = old != NULL ? old : new;

	if (image != NULL && column->column.is_identity)
		show(image, column, value);
}

static void
fill_columns(const ChangeRelation *relation, ChangeAction action, const Image *new, const Image *old,
			 ChangeColumn *columns)
{
	for (int i = 0; i < relation->column_count; i++)
	{
		const ChangeLayoutColumn *from = &relation->columns[i];
		ChangeColumn *column = &columns[i];

		*column = from->column;
		column->new.kind = VALUE_ABSENT;
		column->old.kind = VALUE_ABSENT;
		if (new != NULL)
			show_new(relation, from, new, old, &column->new);
		if (action != CHANGE_INSERT)
			show_old(from, new, old, &column->old);
	}
}

static ChangeAction
action_of(const ReorderBufferChange *change)
{
	switch (change->action)
	{
		case REORDER_BUFFER_CHANGE_INSERT:
			return CHANGE_INSERT;
		case REORDER_BUFFER_CHANGE_UPDATE:
			return CHANGE_UPDATE;
		default:
			return CHANGE_DELETE;
	}
}

static void
send_change(ReorderBufferTXN *txn, const ChangeRelation *known, Relation relation, ReorderBufferChange *change)
{
	TupleDesc	desc = RelationGetDescr(relation);
	ChangeRecord record = {
		.action = action_of(change),
		.identity_full = known->identity_full,
		.via_root = known->published_as != known->relation,
		.xid = txn->xid,
		.commit = txn->final_lsn,
		.commit_end = txn->end_lsn,
		.committed_at = txn->xact_time.commit_time,
		.relation = known->published_as,
		.schema = known->schema,
		.table = known->table,
		.column_count = known->column_count
	};
	Image		new;
	Image		old;
	bool		has_new = change->data.tp.newtuple != NULL;
	bool		has_old = change->data.tp.oldtuple != NULL;

	if (has_new)
		new = read_image(CHANGE_TUPLE(change->data.tp.newtuple), desc);
	if (has_old)
		old = read_image(CHANGE_TUPLE(change->data.tp.oldtuple), desc);
	record.columns = palloc0(sizeof(ChangeColumn) * Max(known->column_count, 1));
	fill_columns(known, record.action, has_new ? &new : NULL, has_old ? &old : NULL, record.columns);
	begin_message();
	change_record_pack(&message, &record);
	change_send(&message, false);
	rows++;
}

/* A long transaction must not keep DROP EXTENSION's workers from leaving. */
static void
look_around(void)
{
	static int	changes;

	if (++changes < LOOK_EVERY)
		return;
	changes = 0;
	if (!registry_wanted())
		worker_leave();
}

static void
change(LogicalDecodingContext *ctx, ReorderBufferTXN *txn, Relation relation, ReorderBufferChange *change)
{
	MemoryContext before = MemoryContextSwitchTo(change_context);
	const ChangeRelation *known = change_relation(relation);

	look_around();
	if (known->actions[action_of(change)] &&
		(change->data.tp.newtuple != NULL || change->data.tp.oldtuple != NULL))
		send_change(txn, known, relation, change);
	MemoryContextSwitchTo(before);
	MemoryContextReset(change_context);
}

/* Rows that are moved between partitions of realtime.messages are no changes. */
static bool
refuse_origin(LogicalDecodingContext *ctx, RepOriginId origin)
{
	return origin == DoNotReplicateId || reader_refuses();
}

void
change_output_plugin_init(OutputPluginCallbacks *callbacks)
{
	callbacks->startup_cb = startup;
	callbacks->begin_cb = begin_transaction;
	callbacks->change_cb = change;
	callbacks->commit_cb = commit_transaction;
	callbacks->filter_by_origin_cb = refuse_origin;
}
