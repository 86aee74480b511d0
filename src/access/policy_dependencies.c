/*
 * policy_dependencies.c
 *	  What prepared policies depend on, and whether it has changed.
 */
#include "postgres.h"

#include "nodes/plannodes.h"
#include "utils/inval.h"
#include "utils/syscache.h"

#include "access/policy_dependencies.h"

#define MAX_TABLES		256
#define MAX_TYPES		64

static uint64 generation = 1;
static bool stale;				/* something changed in this generation */
static uint64 role_changes;

/* Tables that are depended on. If there are too many, each table counts as one of them. */
static Oid	tables[MAX_TABLES];
static int	table_count;
static bool all_tables;

/* Types likewise, by the hash of their key. */
static uint32 types[MAX_TYPES];
static int	type_count;
static bool all_types;

void
policy_depends_on_table(Oid table)
{
	for (int i = 0; i < table_count; i++)
		if (tables[i] == table)
			return;
	if (table_count == MAX_TABLES)
		all_tables = true;
	else
		tables[table_count++] = table;
}

static void
depend_on_type(uint32 hash)
{
	for (int i = 0; i < type_count; i++)
		if (types[i] == hash)
			return;
	if (type_count == MAX_TYPES)
		all_types = true;
	else
		types[type_count++] = hash;
}

/*
 * Of system caches only types are of interest, for the constraints of domains: all changes of the
 * others count anyway.
 */
void
policy_depends_on(List *relations, List *items)
{
	ListCell   *cell;

	foreach(cell, relations)
		policy_depends_on_table(lfirst_oid(cell));
	foreach(cell, items)
		if (lfirst_node(PlanInvalItem, cell)->cacheId == TYPEOID)
			depend_on_type(lfirst_node(PlanInvalItem, cell)->hashValue);
}

/* Every table that is made has a type: only those that are depended on count. */
static void
type_changed(Datum argument, int cache, uint32 hash)
{
	if (hash == 0 || all_types)
		stale = true;
	for (int i = 0; i < type_count && !stale; i++)
		stale = types[i] == hash;
}

static void
table_changed(Datum argument, Oid table)
{
	if (table == InvalidOid || all_tables)
		stale = true;
	for (int i = 0; i < table_count && !stale; i++)
		stale = tables[i] == table;
}

static void
function_changed(Datum argument, int cache, uint32 hash)
{
	stale = true;
}

static void
role_changed(Datum argument, int cache, uint32 hash)
{
	stale = true;
	role_changes++;
}

void
policy_dependencies_init(void)
{
	static bool registered;

	if (registered)
		return;
	registered = true;
	CacheRegisterRelcacheCallback(table_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PROCOID, function_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, role_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMMEMROLE, role_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, role_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(TYPEOID, type_changed, (Datum) 0);
}

uint64
policy_dependencies_generation(void)
{
	if (stale)
	{
		table_count = 0;
		all_tables = false;
		type_count = 0;
		all_types = false;
		stale = false;
		generation++;
	}
	return generation;
}

bool
policy_dependencies_stale(void)
{
	return stale;
}

uint64
policy_dependencies_roles(void)
{
	return role_changes;
}
