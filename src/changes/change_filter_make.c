/*
 * change_filter_make.c
 *	  Check the conditions of a filter against the table, and make them ready to be tested.
 *
 * Comparisons are those of the default operator class of the column's type, as everywhere in PostgreSQL where values
 * are compared without naming an operator. No operator is looked for on the search path: a subscriber may have one of
 * any name.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/stratnum.h"
#include "catalog/pg_namespace.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "changes/change_filter.h"
#include "changes/change_filter_private.h"
#include "shared/compat.h"

/* A condition while it is made ready. */
typedef struct Making
{
	FilterTest *test;
	Oid			role;
	Oid			base;			/* the type of the column, or the one beneath if that is a domain */
	const char *value;			/* as the subscriber wrote it, in the encoding of the database */
} Making;

/* A text of the subscriber in the encoding of the database, with a zero byte behind it. It must not have one inside. */
static char *
to_server(Slice text)
{
	char	   *copy = pnstrdup(text.data != NULL ? text.data : "", text.len);

	if (slice_has_byte(text, '\0'))
		ereport(ERROR, (errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE), errmsg("a name or value has a zero byte in it")));
	return pg_any_to_server(copy, text.len, PG_UTF8);
}

/* ----------------------------------------------------- columns ---------------------------------------------------- */

static bool
is_readable(Oid table, AttrNumber attnum, Oid role)
{
	return pg_class_aclcheck(table, role, ACL_SELECT) == ACLCHECK_OK ||
		pg_attribute_aclcheck(table, attnum, role, ACL_SELECT) == ACLCHECK_OK;
}

/*
 * A column that a subscriber names, for the sake of a filter or of select. One that it may not read is as good as
 * none.
 */
static Form_pg_attribute
find_column(Relation table, Oid role, const char *name, const char *purpose)
{
	TupleDesc	desc = RelationGetDescr(table);

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && strcmp(NameStr(attribute->attname), name) == 0 &&
			is_readable(RelationGetRelid(table), attribute->attnum, role))
			return attribute;
	}
	ereport(ERROR, (errcode(ERRCODE_RAISE_EXCEPTION), errmsg("invalid column for %s %s", purpose, name)));
}

void
change_select_check(Relation table, Oid role, const Slice *names, int n)
{
	for (int i = 0; i < n; i++)
		find_column(table, role, to_server(names[i]), "select");
}

/* ----------------------------------------------------- operators -------------------------------------------------- */

static Oid
operator_in(Oid schema, const char *name, Oid left, Oid right)
{
	return GetSysCacheOid4(OPERNAMENSP, Anum_pg_operator_oid, CStringGetDatum(name), ObjectIdGetDatum(left),
						   ObjectIdGetDatum(right), ObjectIdGetDatum(schema));
}

/* An operator for exactly these types, of PostgreSQL itself or made along with the type. */
static Oid
exact_operator(const char *name, Oid type, Oid right)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	Oid			found = InvalidOid;

	if (HeapTupleIsValid(tuple))
	{
		found = operator_in(((Form_pg_type) GETSTRUCT(tuple))->typnamespace, name, type, right);
		ReleaseSysCache(tuple);
	}
	return OidIsValid(found) ? found : operator_in(PG_CATALOG_NAMESPACE, name, type, right);
}

/* An operator that compares two values of the type, or InvalidOid. A few types have some without an operator class. */
static Oid
comparison_operator(Oid type, FilterOp op)
{
	TypeCacheEntry *entry = lookup_type_cache(type, TYPECACHE_EQ_OPR | TYPECACHE_LT_OPR | TYPECACHE_GT_OPR);
	bool		ordered = OidIsValid(entry->lt_opr);
	Oid			found;

	switch (op)
	{
		case FILTER_LT:
			return ordered ? entry->lt_opr : exact_operator("<", type, type);
		case FILTER_GT:
			return ordered ? entry->gt_opr : exact_operator(">", type, type);
		case FILTER_LTE:
			found = ordered ? get_opfamily_member(entry->btree_opf, entry->btree_opintype, entry->btree_opintype,
												  BTLessEqualStrategyNumber) : InvalidOid;
			return OidIsValid(found) ? found : exact_operator("<=", type, type);
		case FILTER_GTE:
			found = ordered ? get_opfamily_member(entry->btree_opf, entry->btree_opintype, entry->btree_opintype,
												  BTGreaterEqualStrategyNumber) : InvalidOid;
			return OidIsValid(found) ? found : exact_operator(">=", type, type);
		default:
			return OidIsValid(entry->eq_opr) ? entry->eq_opr : exact_operator("=", type, type);
	}
}

/* An operator that matches a value with a pattern of type *right, or InvalidOid. */
static Oid
pattern_operator(Oid type, FilterOp op, Oid *right)
{
	const char *name = op == FILTER_LIKE ? "~~" : op == FILTER_ILIKE ? "~~*" : op == FILTER_MATCH ? "~" : "~*";
	Oid			found = exact_operator(name, type, *right = type);

	if (!OidIsValid(found))
		found = exact_operator(name, type, *right = TEXTOID);
	if (!OidIsValid(found) && IsBinaryCoercible(type, TEXTOID))
		found = exact_operator(name, TEXTOID, TEXTOID);
	return found;
}

/* As the executor asks before it calls a function. */
static void
use_operator(Making *making, Oid op)
{
	Oid			function = get_opcode(op);

	if (!RegProcedureIsValid(function))
		elog(ERROR, "operator %u has no function", op);
	if (function_aclcheck(function, making->role, ACL_EXECUTE) != ACLCHECK_OK)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FUNCTION, get_func_name(function));
	fmgr_info(function, &making->test->compare);
}

/* ----------------------------------------------------- values ----------------------------------------------------- */

/* The text as a value of the type; with a domain it must satisfy its constraints. */
static Datum
make_value(Oid type, const char *text)
{
	Oid			input;
	Oid			param;

	getTypeInputInfo(type, &input, &param);
	return OidInputFunctionCall(input, (char *) text, param, -1);
}

static void
set_value(FilterTest *test, Datum value)
{
	test->values = palloc(sizeof(Datum));
	test->values[0] = value;
	test->value_count = 1;
}

/*
 * The list is read as an array of text, each element of which is then read as a value of the column's type. So types
 * whose arrays are written differently, and arrays themselves, can be in it.
 */
static void
set_list(Making *making)
{
	FilterTest *test = making->test;
	ArrayType  *array = DatumGetArrayTypeP(make_value(TEXTARRAYOID, making->value));
	Datum	   *texts;
	bool	   *nulls;
	int			count;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &texts, &nulls, &count);
	if (count > CHANGE_FILTER_MAX_IN)
		ereport(ERROR,
				(errcode(ERRCODE_RAISE_EXCEPTION),
				 errmsg("too many values for `in` filter. Maximum %d", CHANGE_FILTER_MAX_IN)));
	test->values = palloc(sizeof(Datum) * Max(count, 1));
	for (int i = 0; i < count; i++)
	{
		if (nulls[i])
			test->list_has_null = true;
		else
			test->values[test->value_count++] = make_value(test->type, TextDatumGetCString(texts[i]));
	}
}

/* PostgreSQL would complain of this one only when it meets a value that agrees up to there. */
static void
check_like_pattern(const char *pattern)
{
	while (*pattern != '\0')
		if (*pattern++ == '\\' && *pattern++ == '\0')
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_ESCAPE_SEQUENCE), errmsg("LIKE pattern must not end with escape character")));
}

/*
 * What an operator has to say against its arguments, a collation for instance, should be heard now and not with each
 * change.
 */
static void
try_operator(const Making *making, Datum value)
{
	LOCAL_FCINFO(call, 2);

	if (making->test->value_count == 0)
		return;
	InitFunctionCallInfoData(*call, &making->test->compare, 2, making->test->collation, NULL, NULL);
	call->args[0] = (NullableDatum){value, false};
	call->args[1] = (NullableDatum){making->test->values[0], false};
	FunctionCallInvoke(call);
}

/* A pattern is read when something is matched with it: an empty value is. */
static void
try_pattern(const Making *making)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		try_operator(making, make_value(making->base, ""));
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (error->sqlerrcode != ERRCODE_INVALID_REGULAR_EXPRESSION)
			PG_RE_THROW();
		FlushErrorState();
		ereport(ERROR,
				(errcode(ERRCODE_RAISE_EXCEPTION),
				 errmsg("invalid regular expression for %s filter: %s", filter_op_name(making->test->op), error->message)));
	}
	PG_END_TRY();
}

/* ----------------------------------------------------- conditions ------------------------------------------------- */

static void
make_comparison(Making *making)
{
	FilterTest *test = making->test;
	Oid			op = comparison_operator(making->base, test->op);

	if (!OidIsValid(op))
		ereport(ERROR,
				(errcode(ERRCODE_RAISE_EXCEPTION),
				 errmsg("operator %s requires a column type that can be compared, got %s", filter_op_name(test->op),
						format_type_be(test->type))));
	use_operator(making, op);
	test->invert = test->op == FILTER_NEQ || test->op == FILTER_ISDISTINCT;
	if (test->op == FILTER_IN)
		set_list(making);
	else
		set_value(test, make_value(test->type, making->value));
	try_operator(making, test->value_count > 0 ? test->values[0] : (Datum) 0);
}

static void
make_pattern(Making *making)
{
	FilterTest *test = making->test;
	Oid			right;
	Oid			op = pattern_operator(making->base, test->op, &right);

	if (!OidIsValid(op))
		ereport(ERROR,
				(errcode(ERRCODE_RAISE_EXCEPTION),
				 errmsg("operator %s requires a text-compatible column type, got %s", filter_op_name(test->op),
						format_type_be(test->type))));
	use_operator(making, op);
	set_value(test, make_value(right, making->value));
	if (test->op == FILTER_LIKE || test->op == FILTER_ILIKE)
		check_like_pattern(making->value);
	try_pattern(making);
}

static void
make_is(Making *making)
{
	static const char *const words[] = {
		[FILTER_IS_NULL] = "null",
		[FILTER_IS_TRUE] = "true",
		[FILTER_IS_FALSE] = "false",
		[FILTER_IS_UNKNOWN] = "unknown",
	};
	int			is = 0;

	while (is < lengthof(words) && strcmp(making->value, words[is]) != 0)
		is++;
	if (is == lengthof(words))
		ereport(ERROR,
				(errcode(ERRCODE_RAISE_EXCEPTION),
				 errmsg("invalid value for is filter: must be null, true, false, or unknown")));
	if (is != FILTER_IS_NULL && making->base != BOOLOID)
		ereport(ERROR,
				(errcode(ERRCODE_RAISE_EXCEPTION),
				 errmsg("is %s filter requires a boolean column, got %s", words[is], format_type_be(making->test->type))));
	making->test->is = is;
}

static void
put_quoted(StringInfo out, const char *text)
{
	appendStringInfoChar(out, '"');
	for (; *text != '\0'; text++)
	{
		if (*text == '"' || *text == '\\')
			appendStringInfoChar(out, '\\');
		appendStringInfoChar(out, *text);
	}
	appendStringInfoChar(out, '"');
}

static char *
text_of(const char *column, const FilterCondition *condition, const char *value)
{
	StringInfoData text;

	initStringInfo(&text);
	put_quoted(&text, column);
	appendStringInfo(&text, "=%s%s.", condition->negate ? "not." : "", filter_op_name(condition->op));
	put_quoted(&text, value);
	return text.data;
}

static void
make_test(FilterTest *test, Relation table, Oid role, const FilterCondition *condition)
{
	char	   *name = to_server(condition->column);
	Form_pg_attribute attribute = find_column(table, role, name, "filter");
	Making		making = {test, role, getBaseType(attribute->atttypid), to_server(condition->value)};
	Oid			input;

	test->column = slice_cstring(name);
	test->position = attribute->attnum - 1;
	test->type = attribute->atttypid;
	test->op = condition->op;
	test->negate = condition->negate;
	test->collation = attribute->attcollation;
	test->text = text_of(name, condition, making.value);
	getTypeInputInfo(making.base, &input, &test->input_param);
	fmgr_info(input, &test->input);
	switch (condition->op)
	{
		case FILTER_IS:
			make_is(&making);
			break;
		case FILTER_LIKE:
		case FILTER_ILIKE:
		case FILTER_MATCH:
		case FILTER_IMATCH:
			make_pattern(&making);
			break;
		case FILTER_EQ:
		case FILTER_NEQ:
		case FILTER_LT:
		case FILTER_LTE:
		case FILTER_GT:
		case FILTER_GTE:
		case FILTER_IN:
		case FILTER_ISDISTINCT:
			make_comparison(&making);
			break;
	}
}

/* By column, then operator, then value and negation. */
static int
compare_tests(const void *a, const void *b)
{
	const FilterTest *left = a;
	const FilterTest *right = b;
	int			order = strcmp(left->column.data, right->column.data);

	if (order == 0 && left->op != right->op)
		order = left->op < right->op ? -1 : 1;
	return order != 0 ? order : strcmp(left->text, right->text);
}

ChangeFilter *
change_filter_make(Relation table, Oid role, const FilterCondition *conditions, int n)
{
	ChangeFilter *filter = palloc0(sizeof(ChangeFilter));

	filter->count = n;
	filter->tests = palloc0(sizeof(FilterTest) * Max(n, 1));
	for (int i = 0; i < n; i++)
		make_test(&filter->tests[i], table, role, &conditions[i]);
	qsort(filter->tests, n, sizeof(FilterTest), compare_tests);
	return filter;
}
