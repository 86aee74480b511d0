/*
 * change_value.c
 *	  Values of columns as the change record shows them.
 *
 * to_jsonb() itself would not do: for a type that somebody has given a cast to json it calls that, whoever wrote it, and
 * we are a superuser. Output functions are written in C.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "access/tupmacs.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "parser/parse_coerce.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/numeric.h"
#include "utils/syscache.h"
#include "utils/typcache.h"

#include "wal/change_value.h"

/* More than a change may have as JSON, see PROTOCOL 6.10. */
#define TOO_LARGE	(1024 * 1024 + 1024)

/* How a value is shown as JSON. */
typedef enum Shape
{
	SHAPE_STRING,				/* its text */
	SHAPE_INTEGER,
	SHAPE_NUMERIC,				/* a number, unless it is infinite or none */
	SHAPE_FLOAT,				/* the same, but its text may have an exponent */
	SHAPE_JSON,
	SHAPE_BOOL,
	SHAPE_DATETIME,
	SHAPE_BYTEA,
	SHAPE_ARRAY,
	SHAPE_COMPOSITE,
	SHAPE_CAST					/* a cast to json shows it */
} Shape;

struct ValueType
{
	Oid			type;			/* hash key */
	Oid			base;			/* of a domain */
	Shape		shape;
	bool		is_varlena;
	FmgrInfo	output;
	FmgrInfo	cast;			/* SHAPE_CAST */
	Oid			element;		/* SHAPE_ARRAY */
	int16		element_length;
	bool		element_by_value;
	char		element_align;
};

static MemoryContext context;
static HTAB *types;

static void append_json(StringInfo out, const ValueType *type, Datum datum);

/* ------------------------------------------------------- types ------------------------------------------------------ */

static Shape
shape_of_builtin(Oid base)
{
	switch (base)
	{
		case INT2OID:
		case INT4OID:
		case INT8OID:
			return SHAPE_INTEGER;
		case NUMERICOID:
			return SHAPE_NUMERIC;
		case FLOAT4OID:
		case FLOAT8OID:
			return SHAPE_FLOAT;
		case JSONOID:
		case JSONBOID:
			return SHAPE_JSON;
		case BOOLOID:
			return SHAPE_BOOL;
		case DATEOID:
		case TIMESTAMPOID:
		case TIMESTAMPTZOID:
			return SHAPE_DATETIME;
		case BYTEAOID:
			return SHAPE_BYTEA;
		default:
			return SHAPE_STRING;
	}
}

/* The function of a cast to json if it is written in C; such functions are those of superusers. */
static Oid
find_trusted_cast(Oid base)
{
	Oid			function;
	HeapTuple	tuple;
	Oid			language;

	if (base < FirstNormalObjectId ||
		find_coercion_pathway(JSONOID, base, COERCION_EXPLICIT, &function) != COERCION_PATH_FUNC)
		return InvalidOid;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(function));
	if (!HeapTupleIsValid(tuple))
		return InvalidOid;
	language = ((Form_pg_proc) GETSTRUCT(tuple))->prolang;
	ReleaseSysCache(tuple);
	return language == ClanguageId || language == INTERNALlanguageId ? function : InvalidOid;
}

static void
look_up(ValueType *type)
{
	Oid			output;
	Oid			cast;

	type->base = getBaseType(type->type);
	getTypeOutputInfo(type->type, &output, &type->is_varlena);
	fmgr_info_cxt(output, &type->output, context);
	type->shape = shape_of_builtin(type->base);
	if (type->shape != SHAPE_STRING)
		return;
	type->element = get_element_type(type->base);
	if (OidIsValid(type->element))
	{
		type->shape = SHAPE_ARRAY;
		get_typlenbyvalalign(type->element, &type->element_length, &type->element_by_value, &type->element_align);
	}
	else if (type_is_rowtype(type->base))
		type->shape = SHAPE_COMPOSITE;
	else if (OidIsValid(cast = find_trusted_cast(type->base)))
	{
		type->shape = SHAPE_CAST;
		fmgr_info_cxt(cast, &type->cast, context);
	}
}

const ValueType *
value_type(Oid oid)
{
	bool		found;
	ValueType  *type;
	ValueType	new = {.type = oid};

	if (types == NULL)
	{
		HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(ValueType)};

		context = AllocSetContextCreate(TopMemoryContext, "realtime value types", ALLOCSET_DEFAULT_SIZES);
		control.hcxt = context;
		types = hash_create("realtime value types", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	}
	type = hash_search(types, &oid, HASH_FIND, NULL);
	if (type != NULL)
		return type;

	/* If this fails there is no half-made entry. */
	look_up(&new);
	type = hash_search(types, &oid, HASH_ENTER, &found);
	*type = new;
	return type;
}

void
value_types_forget(void)
{
	if (context != NULL)
		MemoryContextDelete(context);
	context = NULL;
	types = NULL;
}

/* ------------------------------------------------------- JSON ------------------------------------------------------- */

/* NaN and infinities begin with a letter, perhaps after a sign. */
static bool
is_number(const char *text)
{
	if (*text == '-')
		text++;
	return *text >= '0' && *text <= '9';
}

/* A number as numeric has it: without an exponent, and with no minus before zero. */
static char *
plain_number(char *text)
{
	Datum		number;

	if (strchr(text, 'e') == NULL && strcmp(text, "-0") != 0)
		return text;
	number = DirectFunctionCall3(numeric_in, CStringGetDatum(text), ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	return DatumGetCString(DirectFunctionCall1(numeric_out, number));
}

static char *
datetime(const ValueType *type, Datum datum)
{
	char		text[MAXDATELEN + 1];

	JsonEncodeDateTime(text, datum, type->base, NULL);
	return psprintf("\"%s\"", text);
}

/* The elements of one dimension; each may be an array itself. Returns how many elements were used. */
static int
append_dimension(StringInfo out, const ValueType *element, int n_dimensions, const int *dimensions,
				 const Datum *values, const bool *nulls)
{
	int			used = 0;

	appendStringInfoChar(out, '[');
	for (int i = 0; i < dimensions[0]; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		if (n_dimensions > 1)
			used += append_dimension(out, element, n_dimensions - 1, dimensions + 1, values + used, nulls + used);
		else if (nulls[used++])
			appendStringInfoString(out, "null");
		else
			append_json(out, element, values[used - 1]);
	}
	appendStringInfoChar(out, ']');
	return used;
}

static void
append_array(StringInfo out, const ValueType *type, Datum datum)
{
	ArrayType  *array = DatumGetArrayTypeP(datum);
	Datum	   *values;
	bool	   *nulls;
	int			n;

	if (ARR_NDIM(array) == 0)
	{
		appendStringInfoString(out, "[]");
		return;
	}
	deconstruct_array(array, type->element, type->element_length, type->element_by_value, type->element_align,
					  &values, &nulls, &n);
	append_dimension(out, value_type(type->element), ARR_NDIM(array), ARR_DIMS(array), values, nulls);
}

static void
append_composite(StringInfo out, Datum datum)
{
	HeapTupleHeader header = DatumGetHeapTupleHeader(datum);
	TupleDesc	desc = lookup_rowtype_tupdesc_copy(HeapTupleHeaderGetTypeId(header), HeapTupleHeaderGetTypMod(header));
	HeapTupleData tuple = {.t_len = HeapTupleHeaderGetDatumLength(header), .t_data = header};
	const char *separator = "{";

	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Datum		value;
		bool		null;

		if (attribute->attisdropped)
			continue;
		appendStringInfoString(out, separator);
		escape_json(out, NameStr(attribute->attname));
		appendStringInfoChar(out, ':');
		value = heap_getattr(&tuple, i + 1, desc, &null);
		if (null)
			appendStringInfoString(out, "null");
		else
			append_json(out, value_type(attribute->atttypid), value);
		separator = ",";
	}
	appendStringInfoString(out, separator[0] == '{' ? "{}" : "}");
}

static void
append_cast(StringInfo out, const ValueType *type, Datum datum)
{
	Datum		json = FunctionCall1(unconstify(FmgrInfo *, &type->cast), datum);

	appendStringInfoString(out, TextDatumGetCString(json));
}

/* A value inside of another one. */
static void
append_json(StringInfo out, const ValueType *type, Datum datum)
{
	char	   *text;

	check_stack_depth();
	switch (type->shape)
	{
		case SHAPE_ARRAY:
			append_array(out, type, datum);
			return;
		case SHAPE_COMPOSITE:
			append_composite(out, datum);
			return;
		case SHAPE_CAST:
			append_cast(out, type, datum);
			return;
		case SHAPE_DATETIME:
			appendStringInfoString(out, datetime(type, datum));
			return;
		case SHAPE_BOOL:
			appendStringInfoString(out, DatumGetBool(datum) ? "true" : "false");
			return;
		default:
			break;
	}
	text = OutputFunctionCall(unconstify(FmgrInfo *, &type->output), datum);
	if (type->shape == SHAPE_INTEGER || type->shape == SHAPE_JSON ||
		(type->shape == SHAPE_NUMERIC && is_number(text)))
		appendStringInfoString(out, text);
	else if (type->shape == SHAPE_FLOAT && is_number(text))
		appendStringInfoString(out, plain_number(text));
	else
		escape_json(out, text);
}

/* ------------------------------------------------------- values ----------------------------------------------------- */

static Slice
slice_of(char *text)
{
	return slice_make(text, strlen(text));
}

static void
show_float(ChangeValue *value, char *text)
{
	char	   *json;

	if (!is_number(text))
		return;
	json = plain_number(text);
	value->kind = json == text ? VALUE_RAW : VALUE_JSON;
	if (json != text)
		value->json = slice_of(json);
}

static void
show_nested(ChangeValue *value, const ValueType *type, Datum datum)
{
	StringInfoData json;

	initStringInfo(&json);
	append_json(&json, type, datum);
	value->kind = VALUE_JSON;
	value->json = slice_make(json.data, json.len);
}

static void
show_json(ChangeValue *value, char *json)
{
	value->kind = VALUE_JSON;
	value->json = slice_of(json);
}

static char *
asterisks(void)
{
	char	   *text = palloc(TOO_LARGE + 1);

	memset(text, '*', TOO_LARGE);
	text[TOO_LARGE] = '\0';
	return text;
}

bool
value_is_out_of_line(const ValueType *type, Datum datum)
{
	return type->is_varlena && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(datum));
}

void
value_show(const ValueType *type, Datum datum, ChangeValue *value)
{
	char	   *text;

	value->kind = VALUE_STRING;
	value->json = SLICE_EMPTY;
	if (type->is_varlena && toast_raw_datum_size(datum) > VALUE_MAX)
	{
		value->text = slice_of(asterisks());
		return;
	}
	if (type->is_varlena)
		datum = PointerGetDatum(PG_DETOAST_DATUM_PACKED(datum));
	text = OutputFunctionCall(unconstify(FmgrInfo *, &type->output), datum);
	value->text = slice_of(text);
	switch (type->shape)
	{
		case SHAPE_STRING:
			break;
		case SHAPE_INTEGER:
		case SHAPE_JSON:
			value->kind = VALUE_RAW;
			break;
		case SHAPE_NUMERIC:
			value->kind = is_number(text) ? VALUE_RAW : VALUE_STRING;
			break;
		case SHAPE_FLOAT:
			show_float(value, text);
			break;
		case SHAPE_BOOL:
			show_json(value, pstrdup(DatumGetBool(datum) ? "true" : "false"));
			break;
		case SHAPE_DATETIME:
			show_json(value, datetime(type, datum));
			break;
		case SHAPE_BYTEA:
			show_json(value, psprintf("\"%s\"", text + strlen("\\x")));
			break;
		case SHAPE_ARRAY:
		case SHAPE_COMPOSITE:
		case SHAPE_CAST:
			show_nested(value, type, datum);
			break;
	}
}
