/*
 * published.c
 *	  The tables of realtime.publication as of now.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "changes/published.h"
#include "shared/settings.h"

static MemoryContext context;	/* holds the list; reset when it is made anew */
static PublishedTable *tables;
static int	table_count;
static char publication[NAMEDATALEN];
static bool stale = true;

static void
relation_changed(Datum argument, Oid relation)
{
	stale = true;
}

static void
publication_changed(Datum argument, int cache, uint32 hash)
{
	stale = true;
}

void
published_init(void)
{
	context = AllocSetContextCreate(TopMemoryContext, "realtime published tables", ALLOCSET_DEFAULT_SIZES);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PUBLICATIONOID, publication_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PUBLICATIONRELMAP, publication_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(PUBLICATIONNAMESPACEMAP, publication_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, publication_changed, (Datum) 0);
}

static void
keep_rows(void)
{
	MemoryContext previous;

	MemoryContextReset(context);
	previous = MemoryContextSwitchTo(context);
	tables = palloc(sizeof(PublishedTable) * Max(SPI_processed, 1));
	for (uint64 i = 0; i < SPI_processed; i++)
	{
		HeapTuple	tuple = SPI_tuptable->vals[i];
		bool		null;

		tables[i].relation = DatumGetObjectId(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 1, &null));
		tables[i].schema = pstrdup(NameStr(*DatumGetName(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 2, &null))));
		tables[i].name = pstrdup(NameStr(*DatumGetName(SPI_getbinval(tuple, SPI_tuptable->tupdesc, 3, &null))));
	}
	table_count = SPI_processed;
	MemoryContextSwitchTo(previous);
}

/* All names are written out, so that it does not matter what the search path is. */
static void
look_up(void)
{
	static const char query[] =
		"select c.oid, n.nspname, c.relname"
		" from pg_catalog.pg_publication p, lateral pg_catalog.pg_get_publication_tables(p.pubname) g"
		" join pg_catalog.pg_class c on c.oid operator(pg_catalog.=) g.relid"
		" join pg_catalog.pg_namespace n on n.oid operator(pg_catalog.=) c.relnamespace"
		" where p.pubname operator(pg_catalog.=) $1"
		" and n.nspname operator(pg_catalog.<>) all ('{pg_catalog,information_schema,realtime}'::pg_catalog.name[])";
	Oid			types[] = {NAMEOID};
	NameData	name;
	Datum		values[1];

	namestrcpy(&name, realtime_publication);
	values[0] = NameGetDatum(&name);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute_with_args(query, lengthof(types), types, values, NULL, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not look up the tables of publication \"%s\"", realtime_publication);
	keep_rows();
	SPI_finish();
}

/* An invalidation that comes while we look makes it stale again. */
const PublishedTable *
published_tables(int *n)
{
	if (stale || strncmp(publication, realtime_publication, NAMEDATALEN - 1) != 0)
	{
		stale = false;
		tables = NULL;
		table_count = 0;
		strlcpy(publication, realtime_publication, NAMEDATALEN);
		PG_TRY();
		{
			look_up();
		}
		PG_CATCH();
		{
			stale = true;
			PG_RE_THROW();
		}
		PG_END_TRY();
	}
	*n = table_count;
	return tables;
}
