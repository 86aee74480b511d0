/*
 * change_filter.c
 *	  Evaluate filters, and share the values of a record among them. See change_filter_make.c for how they come to be.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "changes/change_data.h"
#include "changes/change_filter.h"
#include "changes/change_filter_private.h"

/* A value that has been made. */
typedef struct MadeValue
{
	bool		made;
	Datum		value;
} MadeValue;

struct ChangeValues
{
	MemoryContext context;		/* of the values; emptied for each record */
	MemoryContext scratch;		/* what operators leave behind; emptied after each filter */
	const ChangeRecord *record;
	MadeValue  *made;			/* one for each column, in context; NULL until one is asked for */
};

ChangeValues *
change_values_make(MemoryContext parent)
{
	ChangeValues *values = MemoryContextAllocZero(parent, sizeof(ChangeValues));

	values->context = AllocSetContextCreate(parent, "realtime values of a change", ALLOCSET_DEFAULT_SIZES);
	values->scratch = AllocSetContextCreate(parent, "realtime filter evaluation", ALLOCSET_DEFAULT_SIZES);
	return values;
}

void
change_values_reset(ChangeValues *values, const ChangeRecord *record)
{
	MemoryContextReset(values->context);
	MemoryContextReset(values->scratch);
	values->record = record;
	values->made = NULL;
}

/*
 * Where the column is that a condition is about, or -1. It is mostly where it was when the condition was last looked
 * at.
 */
static int
find_column(FilterTest *test, const ChangeRecord *record)
{
	if (test->position < record->column_count && slice_equal(record->columns[test->position].name, test->column))
		return test->position;
	for (int i = 0; i < record->column_count; i++)
		if (slice_equal(record->columns[i].name, test->column))
			return test->position = i;
	return -1;
}

static void
check_type(const FilterTest *test, const ChangeColumn *column)
{
	if (column->type != test->type)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("the type of column \"%s\" has changed since its filter was made", test->column.data),
				 errhint("Subscribe again.")));
}

/* All conditions of a column agree in its type, and so in what its text means. */
static Datum
value_of(ChangeValues *values, FilterTest *test, int position, const ChangeValue *shown)
{
	MemoryContext caller = MemoryContextSwitchTo(values->context);
	MadeValue  *made;

	if (values->made == NULL)
		values->made = palloc0(sizeof(MadeValue) * values->record->column_count);
	made = &values->made[position];
	if (!made->made)
	{
		made->value = InputFunctionCall(&test->input, (char *) shown->text.data, test->input_param, -1);
		made->made = true;
	}
	MemoryContextSwitchTo(caller);
	return made->value;
}

/* The operator's answer; NULL counts as *null. */
static bool
compare(FilterTest *test, Datum value, Datum with, bool *null)
{
	LOCAL_FCINFO(call, 2);
	Datum		result;

	InitFunctionCallInfoData(*call, &test->compare, 2, test->collation, NULL, NULL);
	call->args[0] = (NullableDatum){value, false};
	call->args[1] = (NullableDatum){with, false};
	result = FunctionCallInvoke(call);
	*null = call->isnull;
	return !call->isnull && DatumGetBool(result) != test->invert;
}

/* value = ANY (list): NULL if nothing is equal and something is NULL. */
static bool
compare_any(FilterTest *test, Datum value, bool *null)
{
	bool		some_null = test->list_has_null;

	for (int i = 0; i < test->value_count; i++)
	{
		if (compare(test, value, test->values[i], null))
		{
			*null = false;
			return true;
		}
		some_null |= *null;
	}
	*null = some_null;
	return false;
}

/* The value is not NULL. */
static bool
test_value(FilterTest *test, Datum value, bool *null)
{
	*null = false;
	switch (test->op)
	{
		case FILTER_IN:
			return compare_any(test, value, null);
		case FILTER_IS:
			return test->is == FILTER_IS_TRUE ? DatumGetBool(value) :
				test->is == FILTER_IS_FALSE ? !DatumGetBool(value) : false;
		default:
			return compare(test, value, test->values[0], null);
	}
}

/* Only IS, IS DISTINCT FROM and an empty list have an answer about NULL. */
static bool
test_null(const FilterTest *test, bool *null)
{
	bool		empty = test->op == FILTER_IN && test->value_count == 0 && !test->list_has_null;

	*null = test->op != FILTER_IS && test->op != FILTER_ISDISTINCT && !empty;
	if (test->op == FILTER_IS)
		return test->is == FILTER_IS_NULL || test->is == FILTER_IS_UNKNOWN;
	return test->op == FILTER_ISDISTINCT;
}

static bool
test_passes(FilterTest *test, const ChangeRecord *record, ChangeValues *values)
{
	int			position = find_column(test, record);
	const ChangeColumn *column;
	const ChangeValue *shown;
	bool		null;
	bool		answer;

	if (position < 0)
		return false;
	column = &record->columns[position];
	shown = record->action == CHANGE_DELETE ? &column->old : change_column_after(column);
	if (shown->kind <= VALUE_UNCHANGED)
		return false;
	check_type(test, column);
	if (shown->kind == VALUE_NULL)
		answer = test_null(test, &null);
	else if (test->op == FILTER_IS && test->is == FILTER_IS_NULL)
		answer = null = false;
	else
		answer = test_value(test, value_of(values, test, position, shown), &null);
	return !null && answer != test->negate;
}

bool
change_filter_matches(ChangeFilter *filter, const ChangeRecord *record, ChangeValues *values)
{
	MemoryContext caller;
	bool		matches = true;

	Assert(values->record == record);
	if (filter->count == 0)
		return true;
	caller = MemoryContextSwitchTo(values->scratch);
	for (int i = 0; i < filter->count && matches; i++)
		matches = test_passes(&filter->tests[i], record, values);
	MemoryContextSwitchTo(caller);
	MemoryContextReset(values->scratch);
	return matches;
}

