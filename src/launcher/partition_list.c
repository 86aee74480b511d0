/*
 * partition_list.c
 *	  What the partitions of realtime.messages are, and by which clock they go.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_type.h"
#include "commands/extension.h"
#include "nodes/parsenodes.h"
#include "nodes/pg_list.h"
#include "nodes/primnodes.h"
#include "storage/lockdefs.h"
#include "utils/builtins.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "launcher/partition_list.h"
#include "shared/settings.h"

/* The extension's own table realtime.messages. Somebody else's of that name is not touched. */
static Oid
find_parent(Oid extension)
{
	Oid			schema = get_namespace_oid("realtime", true);
	Oid			parent = OidIsValid(schema) ? get_relname_relid("messages", schema) : InvalidOid;

	if (!OidIsValid(parent) || get_rel_relkind(parent) != RELKIND_PARTITIONED_TABLE ||
		getExtensionOfObject(RelationRelationId, parent) != extension)
		return InvalidOid;
	return parent;
}

/* One bound of a range. */
static Timestamp
bound_value(List *datums)
{
	PartitionRangeDatum *datum = linitial_node(PartitionRangeDatum, datums);

	switch (datum->kind)
	{
		case PARTITION_RANGE_DATUM_MINVALUE:
			return DT_NOBEGIN;
		case PARTITION_RANGE_DATUM_MAXVALUE:
			return DT_NOEND;
		default:
			return DatumGetTimestamp(castNode(Const, datum->value)->constvalue);
	}
}

/* Fill in one partition; false if its relation is gone. */
static bool
read_partition(Oid relid, Oid extension, Partition *partition)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Datum		bound;
	bool		isnull;
	PartitionBoundSpec *spec;

	if (!HeapTupleIsValid(tuple))
		return false;
	bound = SysCacheGetAttr(RELOID, tuple, Anum_pg_class_relpartbound, &isnull);
	if (isnull)
	{
		ReleaseSysCache(tuple);
		return false;
	}
	spec = castNode(PartitionBoundSpec, stringToNode(TextDatumGetCString(bound)));
	partition->relid = relid;
	strlcpy(partition->name, NameStr(((Form_pg_class) GETSTRUCT(tuple))->relname), NAMEDATALEN);
	ReleaseSysCache(tuple);

	partition->ours = getExtensionOfObject(RelationRelationId, relid) == extension;
	partition->is_default = spec->is_default;
	partition->lower = spec->is_default ? 0 : bound_value(spec->lowerdatums);
	partition->upper = spec->is_default ? 0 : bound_value(spec->upperdatums);
	return true;
}

PartitionList
partition_list_read(void)
{
	PartitionList list = {.extension = get_extension_oid("realtime", true),.default_at = -1};
	List	   *children;
	ListCell   *cell;

	if (OidIsValid(list.extension))
		list.parent = find_parent(list.extension);
	if (!OidIsValid(list.parent))
		return list;

	children = find_inheritance_children(list.parent, NoLock);
	list.partitions = palloc0(sizeof(Partition) * Max(list_length(children), 1));
	foreach(cell, children)
	{
		if (!read_partition(lfirst_oid(cell), list.extension, &list.partitions[list.count]))
			continue;
		if (list.partitions[list.count].is_default)
			list.default_at = list.count;
		list.count++;
	}
	return list;
}

bool
partition_list_covers(const PartitionList *list, int day)
{
	for (int i = 0; i < list->count; i++)
	{
		const Partition *partition = &list->partitions[i];

		if (!partition->is_default && partition->lower <= partition_day_begin(day) &&
			partition->upper >= partition_day_begin(day + 1))
			return true;
	}
	return false;
}

/* Now, in UTC. The check hook of the setting has seen to it that it can be read. */
static Timestamp
clock_now(void)
{
	if (realtime_partition_clock != NULL && realtime_partition_clock[0] != '\0')
		return DatumGetTimestamp(DirectFunctionCall3(timestamp_in, CStringGetDatum(realtime_partition_clock),
													 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	return (Timestamp) GetCurrentTimestamp();
}

int
partition_today(void)
{
	return partition_day_of(clock_now());
}

Timestamp
partition_horizon(void)
{
	return clock_now() - (Timestamp) realtime_retention * USECS_PER_MINUTE;
}

Timestamp
partition_day_begin(int day)
{
	return (Timestamp) day * USECS_PER_DAY;
}

int
partition_day_of(Timestamp moment)
{
	int64		day = moment / USECS_PER_DAY;

	if (moment % USECS_PER_DAY < 0)
		day--;
	return (int) day;
}

char *
partition_day_text(int day, char separator)
{
	int			year;
	int			month;
	int			mday;

	j2date(day + POSTGRES_EPOCH_JDATE, &year, &month, &mday);
	return psprintf("%04d%c%02d%c%02d%s", year > 0 ? year : 1 - year, separator, month, separator, mday,
					year > 0 ? "" : separator == '_' ? "_bc" : " BC");
}
