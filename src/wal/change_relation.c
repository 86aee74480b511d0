/*
 * change_relation.c
 *	  What is published of a relation, and how its rows are described.
 *
 * What is published is decided as pgoutput does, for one publication; its row filters and column lists are not applied, as
 * in the reference.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/partition.h"
#include "catalog/pg_index.h"
#include "catalog/pg_publication.h"
#include "catalog/pg_type.h"
#include "nodes/bitmapset.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/relcache.h"
#include "utils/syscache.h"

#include "shared/settings.h"
#include "wal/change_relation.h"

/* Beyond so many, all are forgotten: tables come and go. */
#define RELATIONS_MAX	4096

static HTAB *relations;

/* All that was learned before this generation is stale: the catalogs in general, and those of partitions. */
static uint64 generation = 1;
static uint64 partition_generation = 1;
static bool types_are_stale;

/* ---------------------------------------------------- invalidations ------------------------------------------------- */

/* May come at any time, also while an entry is being made. */
static void
forget_relation(Datum arg, Oid relation)
{
	ChangeRelation *known;

	partition_generation++;
	if (!OidIsValid(relation))
	{
		generation++;
		return;
	}
	known = hash_search(relations, &relation, HASH_FIND, NULL);
	if (known != NULL)
		known->valid = false;
}

static void
forget_all(Datum arg, int cache, uint32 hash)
{
	generation++;
	if (cache == TYPEOID)
		types_are_stale = true;
}

void
change_relations_forget(void)
{
	generation++;
}

static void
begin(void)
{
	HASHCTL		control = {.keysize = sizeof(Oid), .entrysize = sizeof(ChangeRelation), .hcxt = TopMemoryContext};

	if (relations != NULL)
		return;
	relations = hash_create("realtime changed relations", 128, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(forget_relation, (Datum) 0);
	CacheRegisterSyscacheCallback(PUBLICATIONOID, forget_all, (Datum) 0);
	CacheRegisterSyscacheCallback(PUBLICATIONRELMAP, forget_all, (Datum) 0);
	CacheRegisterSyscacheCallback(PUBLICATIONNAMESPACEMAP, forget_all, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, forget_all, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, forget_all, (Datum) 0);
}

static uint64
present_generation(bool is_partition)
{
	return is_partition ? generation + partition_generation : generation;
}

/* ------------------------------------------------- what is published ------------------------------------------------ */

/* Tables of our own are none of anybody's. */
static bool
can_be_published(Relation relation)
{
	char	   *schema = get_namespace_name(RelationGetNamespace(relation));

	return is_publishable_relation(relation) && schema != NULL && strcmp(schema, "realtime") != 0;
}

static List *
find_ancestors(ChangeRelation *known, Relation relation)
{
	List	   *ancestors = NIL;
	ListCell   *cell;

	known->is_partition = relation->rd_rel->relispartition;
	known->n_ancestors = 0;
	if (!known->is_partition)
		return NIL;
	ancestors = get_partition_ancestors(RelationGetRelid(relation));
	foreach(cell, ancestors)
	{
		if (known->n_ancestors < CHANGE_RELATION_ANCESTORS)
			known->ancestors[known->n_ancestors] = lfirst_oid(cell);
		known->n_ancestors++;
	}
	return ancestors;
}

/* The topmost ancestor that is published by this publication, if any is. */
static Oid
published_ancestor(const Publication *publication, List *ancestors)
{
	int			level;

	if (ancestors == NIL)
		return InvalidOid;
	return publication->alltables ? llast_oid(ancestors) :
		GetTopMostAncestorInPublication(publication->oid, ancestors, &level);
}

static void
decide(ChangeRelation *known, Relation relation)
{
	List	   *ancestors = find_ancestors(known, relation);
	Oid			oid = get_publication_oid(realtime_publication, true);
	Publication *publication;
	Oid			ancestor;

	if (!OidIsValid(oid) || !can_be_published(relation))
		return;
	publication = GetPublication(oid);
	ancestor = published_ancestor(publication, ancestors);
	if (!publication->alltables && !OidIsValid(ancestor) &&
		!list_member_oid(GetRelationPublications(known->relation), oid) &&
		!list_member_oid(GetSchemaPublications(RelationGetNamespace(relation)), oid))
		return;
	known->actions[CHANGE_INSERT] = publication->pubactions.pubinsert;
	known->actions[CHANGE_UPDATE] = publication->pubactions.pubupdate;
	known->actions[CHANGE_DELETE] = publication->pubactions.pubdelete;
	for (int i = 0; i < CHANGE_ACTIONS; i++)
		known->any_action |= known->actions[i];
	if (publication->pubviaroot && OidIsValid(ancestor))
		known->published_as = ancestor;
}

/* -------------------------------------------------- how it is described --------------------------------------------- */

static Slice
copy_name(const char *name)
{
	char	   *copy = pstrdup(name);

	return slice_make(copy, strlen(copy));
}

/* The columns of the primary key, deferrable or not. */
static Bitmapset *
primary_key(Relation relation)
{
	Bitmapset  *key = NULL;
	ListCell   *cell;

	foreach(cell, RelationGetIndexList(relation))
	{
		HeapTuple	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(lfirst_oid(cell)));
		Form_pg_index index;

		if (!HeapTupleIsValid(tuple))
			continue;
		index = (Form_pg_index) GETSTRUCT(tuple);
		if (index->indisprimary)
			for (int i = 0; i < index->indnkeyatts; i++)
				key = bms_add_member(key, index->indkey.values[i]);
		ReleaseSysCache(tuple);
	}
	return key;
}

/* The columns of the index of the replica identity. */
static Bitmapset *
identity_key(Relation relation)
{
	Oid			identity = RelationGetReplicaIndex(relation);
	HeapTuple	tuple;
	Form_pg_index index;
	Bitmapset  *key = NULL;

	if (!OidIsValid(identity))
		return NULL;
	tuple = SearchSysCache1(INDEXRELID, ObjectIdGetDatum(identity));
	if (!HeapTupleIsValid(tuple))
		return NULL;
	index = (Form_pg_index) GETSTRUCT(tuple);
	for (int i = 0; i < index->indnkeyatts; i++)
		key = bms_add_member(key, index->indkey.values[i]);
	ReleaseSysCache(tuple);
	return key;
}

static AttrNumber
find_column(TupleDesc desc, const char *name)
{
	for (int i = 0; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped && strcmp(NameStr(TupleDescAttr(desc, i)->attname), name) == 0)
			return i + 1;
	return InvalidAttrNumber;
}

static char *
type_name(Oid type)
{
	HeapTuple	tuple = SearchSysCache1(TYPEOID, ObjectIdGetDatum(type));
	char	   *name;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for type %u", type);
	name = pstrdup(NameStr(((Form_pg_type) GETSTRUCT(tuple))->typname));
	ReleaseSysCache(tuple);
	return name;
}

/* Keys are those of the relation that has changed: its WAL has them. */
static void
describe_columns(ChangeRelation *known, Relation relation, Relation target)
{
	TupleDesc	desc = RelationGetDescr(target);
	Bitmapset  *key = primary_key(relation);
	Bitmapset  *identity = identity_key(relation);

	known->identity_full = relation->rd_rel->relreplident == REPLICA_IDENTITY_FULL;
	known->columns = palloc0(sizeof(ChangeLayoutColumn) * Max(desc->natts, 1));
	known->column_count = 0;
	for (int i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		ChangeLayoutColumn *column = &known->columns[known->column_count];

		if (attribute->attisdropped)
			continue;
		known->column_count++;
		column->source = target == relation ? i + 1 :
			find_column(RelationGetDescr(relation), NameStr(attribute->attname));
		column->type = value_type(attribute->atttypid);
		column->column.attnum = attribute->attnum;
		column->column.type = attribute->atttypid;
		column->column.typmod = attribute->atttypmod;
		column->column.name = copy_name(NameStr(attribute->attname));
		column->column.type_name = copy_name(type_name(attribute->atttypid));
		column->column.is_key = bms_is_member(column->source, key);
		column->column.is_identity = known->identity_full || bms_is_member(column->source, identity);
	}
}

static void
describe(ChangeRelation *known, Relation relation)
{
	MemoryContext before = MemoryContextSwitchTo(known->context);
	Relation	target = relation;
	char	   *schema;

	if (known->published_as != known->relation)
	{
		target = RelationIdGetRelation(known->published_as);
		if (!RelationIsValid(target))
			elog(ERROR, "could not open relation with OID %u", known->published_as);
	}
	schema = get_namespace_name(RelationGetNamespace(target));
	known->schema = copy_name(schema != NULL ? schema : "");
	known->table = copy_name(RelationGetRelationName(target));
	describe_columns(known, relation, target);
	if (target != relation)
		RelationClose(target);
	MemoryContextSwitchTo(before);
}

/* ------------------------------------------------------------------------------------------------------------------- */

/* An invalidation that comes meanwhile makes it stale again. */
static void
make(ChangeRelation *known, Relation relation)
{
	if (known->context == NULL)
		known->context = AllocSetContextCreate(TopMemoryContext, "realtime changed relation", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(known->context);
	known->valid = true;
	known->is_partition = relation->rd_rel->relispartition;
	known->generation = present_generation(known->is_partition);
	memset(known->actions, 0, sizeof(known->actions));
	known->any_action = false;
	known->published_as = known->relation;
	decide(known, relation);
	if (known->any_action)
		describe(known, relation);
}

/* Types that were forgotten take all that points to them along. */
static void
forget_stale_types(void)
{
	if (!types_are_stale)
		return;
	types_are_stale = false;
	value_types_forget();
}

static void
keep_bound(void)
{
	HASH_SEQ_STATUS status;
	ChangeRelation *known;

	if (hash_get_num_entries(relations) < RELATIONS_MAX)
		return;
	hash_seq_init(&status, relations);
	while ((known = hash_seq_search(&status)) != NULL)
	{
		if (known->context != NULL)
			MemoryContextDelete(known->context);
		(void) hash_search(relations, &known->relation, HASH_REMOVE, NULL);
	}
}

const ChangeRelation *
change_relation(Relation relation)
{
	Oid			oid = RelationGetRelid(relation);
	ChangeRelation *known;
	bool		found;

	begin();
	forget_stale_types();
	keep_bound();
	known = hash_search(relations, &oid, HASH_ENTER, &found);
	if (!found)
	{
		memset(known, 0, sizeof(ChangeRelation));
		known->relation = oid;
	}
	if (!known->valid || known->generation != present_generation(known->is_partition))
		make(known, relation);
	return known;
}
