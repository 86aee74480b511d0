/*
 * change_json.c
 *	  A decoded change as JSON.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/sysattr.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/json.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/relcache.h"

#include "wal/change_json.h"

void
change_json_relation(StringInfo out, Relation relation)
{
	char	   *schema = get_namespace_name(RelationGetNamespace(relation));

	appendStringInfoString(out, ",\"schema\":");
	escape_json(out, schema != NULL ? schema : "");
	appendStringInfoString(out, ",\"table\":");
	escape_json(out, RelationGetRelationName(relation));
}

/*
 * NaN and infinities are the only texts of numbers that JSON does not know; they begin with a letter, perhaps
 * after a sign.
 */
static bool
is_json_number(const char *text)
{
	if (*text == '-')
		text++;
	return *text >= '0' && *text <= '9';
}

static void
append_value(StringInfo out, Oid type, Datum value)
{
	Oid			base = getBaseType(type);
	Oid			output;
	bool		is_varlena;
	char	   *text;

	getTypeOutputInfo(type, &output, &is_varlena);
	if (is_varlena)
		value = PointerGetDatum(PG_DETOAST_DATUM(value));
	text = OidOutputFunctionCall(output, value);
	switch (base)
	{
		case BOOLOID:
			appendStringInfoString(out, text[0] == 't' ? "true" : "false");
			break;
		case INT2OID:
		case INT4OID:
		case INT8OID:
		case OIDOID:
		case FLOAT4OID:
		case FLOAT8OID:
		case NUMERICOID:
			if (is_json_number(text))
				appendStringInfoString(out, text);
			else
				escape_json(out, text);
			break;
		case JSONOID:
		case JSONBOID:
			appendStringInfoString(out, text);
			break;
		default:
			escape_json(out, text);
			break;
	}
	pfree(text);
}

static void
append_column(StringInfo out, Form_pg_attribute attribute, Datum value, bool null)
{
	appendStringInfoString(out, "{\"name\":");
	escape_json(out, NameStr(attribute->attname));
	appendStringInfoString(out, ",\"type\":");
	escape_json(out, format_type_with_typemod(attribute->atttypid, attribute->atttypmod));
	if (!null && attribute->attlen == -1 && VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value)))
		appendStringInfoString(out, ",\"unchanged\":true}");
	else
	{
		appendStringInfoString(out, ",\"value\":");
		if (null)
			appendStringInfoString(out, "null");
		else
			append_value(out, attribute->atttypid, value);
		appendStringInfoChar(out, '}');
	}
}

/* Only the columns of the key, if there is one. */
static void
append_row(StringInfo out, const char *name, Relation relation, HeapTuple tuple, const Bitmapset *key)
{
	TupleDesc	desc = RelationGetDescr(relation);
	bool		first = true;

	appendStringInfo(out, ",\"%s\":[", name);
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Datum		value;
		bool		null;

		if (attribute->attisdropped ||
			(key != NULL && !bms_is_member(attribute->attnum - FirstLowInvalidHeapAttributeNumber, key)))
			continue;
		if (!first)
			appendStringInfoChar(out, ',');
		first = false;
		value = heap_getattr(tuple, attribute->attnum, desc, &null);
		append_column(out, attribute, value, null);
	}
	appendStringInfoChar(out, ']');
}

void
change_json_columns(StringInfo out, Relation relation, HeapTuple tuple)
{
	append_row(out, "columns", relation, tuple, NULL);
}

void
change_json_identity(StringInfo out, Relation relation, HeapTuple old, HeapTuple new)
{
	Bitmapset  *key;

	if (relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL && old != NULL)
	{
		append_row(out, "old", relation, old, NULL);
		return;
	}
	key = RelationGetIndexAttrBitmap(relation, INDEX_ATTR_BITMAP_IDENTITY_KEY);
	if (!bms_is_empty(key) && (old != NULL || new != NULL))
		append_row(out, "key", relation, old != NULL ? old : new, key);
	bms_free(key);
}
