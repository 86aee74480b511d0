/*
 * row.c
 *	  A change as a row of its table.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "executor/tuptable.h"
#include "fmgr.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "access/role.h"
#include "changes/change_data.h"
#include "changes/row.h"

/* How the texts of one column become values. */
typedef struct ColumnInput
{
	bool		known;
	FmgrInfo	function;
	Oid			param;
} ColumnInput;

/* What is kept of a table, until its form changes. */
struct RowMaker
{
	MemoryContext context;		/* holds this */
	MemoryContext values;		/* holds what the values point to; reset for each change */
	TupleDesc	desc;
	TupleTableSlot *slot;
	ColumnInput *inputs;
};

static RowMaker *maker;
static const ChangeRecord *record;
static Bitmapset *available;	/* in the values' context */
static Bitmapset *made;			/* those of which the slot has the value; likewise */

static RowMaker *
make_maker(MemoryContext parent, Relation relation)
{
	MemoryContext context = AllocSetContextCreate(parent, "realtime row", ALLOCSET_SMALL_SIZES);
	MemoryContext previous = MemoryContextSwitchTo(context);
	RowMaker   *new = palloc0(sizeof(RowMaker));

	new->context = context;
	new->values = AllocSetContextCreate(context, "realtime row values", ALLOCSET_DEFAULT_SIZES);
	new->desc = CreateTupleDescCopyConstr(RelationGetDescr(relation));
	new->slot = MakeTupleTableSlot(new->desc, &TTSOpsVirtual);
	new->inputs = palloc0(sizeof(ColumnInput) * Max(new->desc->natts, 1));
	MemoryContextSwitchTo(previous);
	return new;
}

static const ChangeValue *
value_of(const ChangeColumn *column)
{
	return record->action == CHANGE_DELETE ? &column->old : change_column_after(column);
}

/* Has the table still the column that the change speaks of? */
static bool
column_fits(const ChangeColumn *column)
{
	Form_pg_attribute attribute;

	if (column->attnum < 1 || column->attnum > maker->desc->natts)
		return false;
	attribute = TupleDescAttr(maker->desc, column->attnum - 1);
	return !attribute->attisdropped && attribute->atttypid == column->type && attribute->atttypmod == column->typmod;
}

/* A column that was added after the change, without rewriting the table. */
static bool
is_younger(Form_pg_attribute attribute)
{
	return !attribute->attisdropped && !attribute->attgenerated && (attribute->atthasmissing || !attribute->atthasdef);
}

static void
add_column(Bitmapset **columns, int attnum)
{
	*columns = bms_add_member(*columns, attnum - FirstLowInvalidHeapAttributeNumber);
}

/* Nothing but what needs no text. Who reads the whole row is said to read each column as well. */
static void
clear_slot(void)
{
	TupleTableSlot *slot = maker->slot;

	ExecClearTuple(slot);
	memset(slot->tts_values, 0, sizeof(Datum) * maker->desc->natts);
	memset(slot->tts_isnull, true, sizeof(bool) * maker->desc->natts);
	ExecStoreVirtualTuple(slot);
	add_column(&made, InvalidAttrNumber);
	add_column(&made, TableOidAttributeNumber);
}

static void
add_younger(int attnum)
{
	TupleTableSlot *slot = maker->slot;

	slot->tts_values[attnum - 1] = getmissingattr(maker->desc, attnum, &slot->tts_isnull[attnum - 1]);
	add_column(&made, attnum);
}

static void
find_available(void)
{
	int			next = 1;		/* columns before this one have been looked at */

	for (int i = 0; i < record->column_count; i++)
	{
		const ChangeColumn *column = &record->columns[i];

		if (column_fits(column) && value_of(column)->kind > VALUE_UNCHANGED)
			add_column(&available, column->attnum);
		next = column->attnum + 1;
	}
	for (int attnum = next; attnum <= maker->desc->natts; attnum++)
		if (is_younger(TupleDescAttr(maker->desc, attnum - 1)))
			add_younger(attnum);
	available = bms_add_members(available, made);
}

void
row_begin(Table *table, Relation relation, const ChangeRecord *change)
{
	MemoryContext previous;

	if (table->row != NULL && !equalTupleDescs(table->row->desc, RelationGetDescr(relation)))
	{
		MemoryContextDelete(table->row->context);
		table->row = NULL;
	}
	if (table->row == NULL)
		table->row = make_maker(table->context, relation);
	maker = table->row;
	record = change;
	made = NULL;
	available = NULL;
	MemoryContextReset(maker->values);
	previous = MemoryContextSwitchTo(maker->values);
	clear_slot();
	find_available();
	MemoryContextSwitchTo(previous);
	maker->slot->tts_tableOid = RelationGetRelid(relation);
}

bool
row_has(const Bitmapset *columns)
{
	return bms_is_subset(columns, available);
}

static ColumnInput *
input_of(int attnum)
{
	ColumnInput *input = &maker->inputs[attnum - 1];
	Oid			function;

	if (!input->known)
	{
		getTypeInputInfo(TupleDescAttr(maker->desc, attnum - 1)->atttypid, &function, &input->param);
		fmgr_info_cxt(function, &input->function, maker->context);
		input->known = true;
	}
	return input;
}

static void
fill_column(const ChangeColumn *column)
{
	const ChangeValue *value = value_of(column);
	ColumnInput *input = input_of(column->attnum);
	bool		null = value->kind == VALUE_NULL;

	maker->slot->tts_values[column->attnum - 1] =
		InputFunctionCall(&input->function, null ? NULL : unconstify(char *, value->text.data), input->param,
						  column->typmod);
	maker->slot->tts_isnull[column->attnum - 1] = null;
	add_column(&made, column->attnum);
}

/* A value that nobody asks for may be one that can't be made. */
static void
fill_slot(const Bitmapset *columns)
{
	for (int i = 0; i < record->column_count; i++)
	{
		const ChangeColumn *column = &record->columns[i];
		int			member = column->attnum - FirstLowInvalidHeapAttributeNumber;

		if (bms_is_member(member, columns) && !bms_is_member(member, made))
			fill_column(column);
	}
}

TupleTableSlot *
row_slot(Oid role, const Bitmapset *columns)
{
	if (!bms_is_subset(columns, made))
	{
		MemoryContext previous = MemoryContextSwitchTo(maker->values);
		int			level = NewGUCNestLevel();
		RoleSaved	saved;

		role_become(role, &saved);
		fill_slot(columns);
		role_return(&saved);
		AtEOXact_GUC(false, level);
		MemoryContextSwitchTo(previous);
	}
	return maker->slot;
}
