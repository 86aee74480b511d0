/*
 * message_row.c
 *	  From a row of realtime.messages to a record for the bus.
 */
#include "postgres.h"

#include "access/detoast.h"
#include "access/htup_details.h"
#include "access/relation.h"
#include "catalog/partition.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/uuid.h"

#include "shared/server_text.h"
#include "shared/settings.h"
#include "wal/message_row.h"

/* The text of a jsonb is never longer than this many times the jsonb (control characters become \u0000). */
#define JSONB_GROWTH	6

/* The columns that a message is made of. */
typedef enum Column
{
	COLUMN_TOPIC,
	COLUMN_EVENT,
	COLUMN_PAYLOAD,
	COLUMN_BINARY_PAYLOAD,
	COLUMN_PRIVATE,
	COLUMN_ID,
	COLUMN_INSERTED_AT,
	COLUMNS
} Column;

static const struct
{
	const char *name;
	Oid			type;
}			columns[COLUMNS] =
{
	[COLUMN_TOPIC] = {"topic", TEXTOID},
	[COLUMN_EVENT] = {"event", TEXTOID},
	[COLUMN_PAYLOAD] = {"payload", JSONBOID},
	[COLUMN_BINARY_PAYLOAD] = {"binary_payload", BYTEAOID},
	[COLUMN_PRIVATE] = {"private", BOOLOID},
	[COLUMN_ID] = {"id", UUIDOID},
	[COLUMN_INSERTED_AT] = {"inserted_at", TIMESTAMPOID},
};

typedef struct KnownRelation
{
	Oid			relid;			/* hash key */
	bool		valid;			/* cleared by invalidations */
	bool		is_partition;
	AttrNumber	attnums[COLUMNS];	/* 0: there is none of that name and type */
} KnownRelation;

static HTAB *known_relations;

/* May come at any time, also while an entry is being filled. */
static void
forget_relation(Datum arg, Oid relid)
{
	HASH_SEQ_STATUS status;
	KnownRelation *known;

	if (OidIsValid(relid))
	{
		known = hash_search(known_relations, &relid, HASH_FIND, NULL);
		if (known != NULL)
			known->valid = false;
		return;
	}
	hash_seq_init(&status, known_relations);
	while ((known = hash_seq_search(&status)) != NULL)
		known->valid = false;
}

static void
make_cache(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(KnownRelation), .hcxt = TopMemoryContext};

	known_relations = hash_create("realtime known relations", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
}

static bool
is_messages_table(Oid relid)
{
	char	   *name = get_rel_name(relid);
	char	   *schema = get_namespace_name(get_rel_namespace(relid));

	return name != NULL && schema != NULL && strcmp(name, "messages") == 0 && strcmp(schema, "realtime") == 0;
}

static bool
is_partition(Relation relation)
{
	List	   *ancestors;
	bool		found;

	if (!relation->rd_rel->relispartition)
		return false;
	ancestors = get_partition_ancestors(RelationGetRelid(relation));
	found = ancestors != NIL && is_messages_table(llast_oid(ancestors));
	list_free(ancestors);
	return found;
}

static AttrNumber
find_column(TupleDesc desc, Column column)
{
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);

		if (!attribute->attisdropped && attribute->atttypid == columns[column].type &&
			strcmp(NameStr(attribute->attname), columns[column].name) == 0)
			return attribute->attnum;
	}
	return 0;
}

static KnownRelation *
know(Relation relation)
{
	Oid			relid = RelationGetRelid(relation);
	KnownRelation *known;
	bool		found;

	if (known_relations == NULL)
		make_cache();
	known = hash_search(known_relations, &relid, HASH_ENTER, &found);
	if (found && known->valid)
		return known;
	known->valid = true;
	known->is_partition = false;
	if (is_partition(relation))
	{
		known->is_partition = true;
		for (int i = 0; i < COLUMNS; i++)
			known->attnums[i] = find_column(RelationGetDescr(relation), i);
	}
	return known;
}

bool
message_row_is_of(Relation relation)
{
	return know(relation)->is_partition;
}

/* The value of a column; false if it is null or the column is not there. */
static bool
get(Relation relation, HeapTuple tuple, Column column, Datum *value)
{
	AttrNumber	attnum = know(relation)->attnums[column];
	bool		null = true;

	if (attnum != 0)
		*value = heap_getattr(tuple, attnum, RelationGetDescr(relation), &null);
	return !null;
}

/* A value that lies in the TOAST table can't be read here; the WAL of an INSERT always holds all of its TOAST. */
static bool
is_out_of_reach(Datum value)
{
	return VARATT_IS_EXTERNAL_ONDISK(DatumGetPointer(value));
}

/* The tuple does not live as long as the record. */
static Slice
slice_of_varlena(Datum value)
{
	struct varlena *bytes = PG_DETOAST_DATUM_PACKED(value);
	Size		length = VARSIZE_ANY_EXHDR(bytes);
	char	   *copy;

	if ((Pointer) bytes != DatumGetPointer(value))
		return slice_make(VARDATA_ANY(bytes), length);
	copy = palloc(Max(length, 1));
	memcpy(copy, VARDATA_ANY(bytes), length);
	return slice_make(copy, length);
}

static const char *
fill_topic(Relation relation, HeapTuple tuple, BusRecord *record)
{
	Datum		value;
	Slice		topic;

	if (!get(relation, tuple, COLUMN_TOPIC, &value))
		return "topic is null";
	if (is_out_of_reach(value) || toast_raw_datum_size(value) - VARHDRSZ > REALTIME_MAX_TOPIC)
		return psprintf("topic is longer than %d bytes", REALTIME_MAX_TOPIC);
	topic = slice_of_varlena(value);
	if (topic.len == 0)
		return "topic is empty";
	if (!utf8_of_server_text(&topic))
		return "topic has bytes that have no form in UTF-8";
	if (topic.len > REALTIME_MAX_TOPIC)
		return psprintf("topic is longer than %d bytes", REALTIME_MAX_TOPIC);
	record->topic = topic;
	return NULL;
}

static const char *
fill_event(Relation relation, HeapTuple tuple, BusRecord *record)
{
	Datum		value;

	if (!get(relation, tuple, COLUMN_EVENT, &value))
		return "event is null";
	if (is_out_of_reach(value) || toast_raw_datum_size(value) > settings_max_payload())
		return "event is too long";
	record->event = slice_of_varlena(value);
	return utf8_of_server_text(&record->event) ? NULL : "event has bytes that have no form in UTF-8";
}

static const char *
too_large(Size length)
{
	return psprintf("payload of %zu bytes is larger than %zu bytes", length, settings_max_payload());
}

static const char *
fill_binary_payload(Datum value, BusRecord *record)
{
	Size		length = toast_raw_datum_size(value) - VARHDRSZ;

	if (is_out_of_reach(value))
		return "payload is not in the WAL";
	if (length > settings_max_payload())
		return too_large(length);
	record->form = BUS_FORM_BINARY;
	record->payload = slice_of_varlena(value);
	return NULL;
}

/*
 * A jsonb is at most about five times as long as its text, so one that is eight times too long is refused
 * unseen, and one whose text might not fit into a string of the server too.
 */
static const char *
fill_json_payload(Datum value, BusRecord *record)
{
	Size		stored = toast_raw_datum_size(value) - VARHDRSZ;
	Jsonb	   *jsonb;
	StringInfoData text;

	if (is_out_of_reach(value))
		return "payload is not in the WAL";
	if (stored / 8 > settings_max_payload() || stored > MaxAllocSize / JSONB_GROWTH)
		return too_large(stored);
	jsonb = DatumGetJsonbP(value);
	initStringInfo(&text);
	JsonbToCString(&text, &jsonb->root, VARSIZE(jsonb));
	if ((Size) text.len > settings_max_payload())
		return too_large(text.len);
	record->form = BUS_FORM_JSON;
	record->payload = slice_make(text.data, text.len);
	return utf8_of_server_text(&record->payload) ? NULL : "payload has bytes that have no form in UTF-8";
}

static const char *
fill_payload(Relation relation, HeapTuple tuple, BusRecord *record)
{
	Datum		value;

	if (get(relation, tuple, COLUMN_BINARY_PAYLOAD, &value))
		return fill_binary_payload(value, record);
	if (get(relation, tuple, COLUMN_PAYLOAD, &value))
		return fill_json_payload(value, record);
	return "payload and binary_payload are null";
}

const char *
message_row_fill(Relation relation, HeapTuple tuple, BusRecord *record)
{
	const char *wrong;
	Datum		value;

	record->kind = BUS_BROADCAST;
	record->origin.listener = -1;
	if ((wrong = fill_topic(relation, tuple, record)) != NULL)
		return wrong;
	if (!get(relation, tuple, COLUMN_PRIVATE, &value))
		return "private is null";
	record->is_private = DatumGetBool(value);
	if (!get(relation, tuple, COLUMN_ID, &value))
		return "id is null";
	record->has_id = true;
	memcpy(record->id, DatumGetUUIDP(value)->data, UUID_LEN);
	if (!get(relation, tuple, COLUMN_INSERTED_AT, &value))
		return "inserted_at is null";
	if ((wrong = fill_event(relation, tuple, record)) != NULL)
		return wrong;
	if ((wrong = fill_payload(relation, tuple, record)) != NULL)
		return wrong;
	return bus_record_size(record) <= bus_max_record() ? NULL : "message is too large";
}
