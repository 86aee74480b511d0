/*
 * partition_steps.c
 *	  The single steps of a round over the partitions of realtime.messages.
 */
#include "postgres.h"

#include "access/table.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "replication/origin.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "launcher/partition_steps.h"
#include "shared/compat.h"
#include "shared/counters.h"
#include "shared/message_files.h"

#define LOCK_TIMEOUT	"200ms"
#define MAX_FILES		128

/* Days whose rows in the default partition are looked after in one round. */
#define MAX_HOMES		"64"

/* What becomes true when the transaction commits. */
static struct
{
	int64		made;
	int64		dropped;
	int64		moved;
	int			files;
	RelationFile file[MAX_FILES];	/* of dropped partitions and their TOAST tables */
} pending;

static void
after_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT)
	{
		for (int i = 0; i < pending.files; i++)
			message_files_forget(pending.file[i], GetXLogInsertRecPtr());
		if (pending.made != 0)
			counter_add(COUNTER_PARTITIONS_MADE, pending.made);
		if (pending.dropped != 0)
			counter_add(COUNTER_PARTITIONS_DROPPED, pending.dropped);
		if (pending.moved != 0)
			counter_add(COUNTER_ROWS_MOVED_HOME, pending.moved);
	}
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		memset(&pending, 0, sizeof(pending));
}

/* A file that is not forgotten costs an entry, one that is forgotten and still there costs messages. */
static void
after_subtransaction(SubXactEvent event, SubTransactionId mine, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		memset(&pending, 0, sizeof(pending));
}

static void
watch_transactions(void)
{
	static bool watching = false;

	if (watching)
		return;
	RegisterXactCallback(after_transaction, NULL);
	RegisterSubXactCallback(after_subtransaction, NULL);
	watching = true;
}

static void
set_locally(const char *name, const char *value)
{
	(void) set_config_option(name, value, PGC_SUSET, PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
}

/* Settings for the statements of a step; end_settings takes them back, as an error does. */
static int
begin_settings(void)
{
	int			level = NewGUCNestLevel();

	set_locally("search_path", "pg_catalog, pg_temp");
	set_locally("lock_timeout", LOCK_TIMEOUT);
	return level;
}

static void
end_settings(int level)
{
	AtEOXact_GUC(true, level);
}

/* Run one statement; returns the number of rows. */
static uint64 run(const char *format,...) pg_attribute_printf(1, 2);

static uint64
run(const char *format,...)
{
	StringInfoData statement;
	int			result;

	initStringInfo(&statement);
	for (;;)
	{
		va_list		arguments;
		int			needed;

		va_start(arguments, format);
		needed = appendStringInfoVA(&statement, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&statement, needed);
	}
	result = SPI_execute(statement.data, false, 0);
	if (result < 0)
		elog(ERROR, "%s: %s", SPI_result_code_string(result), statement.data);
	pfree(statement.data);
	return SPI_processed;
}

/* First column of row number row of the last statement, NULL if it is null. */
static char *
value_of(uint64 row)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, 1);
}

static char *
qualified_name(Oid relid)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid));
}

/* ------------------------------------------------------- locks ------------------------------------------------------ */

/* Is this relation locked by a transaction that is not about to end? obstacle gets its name. */
static bool
held_for_long(Oid relid, char *obstacle)
{
	if (run("select coalesce('process ' || l.pid, 'prepared transaction ''' || p.gid || '''', 'another transaction')"
			" from pg_catalog.pg_locks l"
			" left join pg_catalog.pg_stat_activity a on a.pid = l.pid"
			" left join pg_catalog.pg_prepared_xacts p on l.virtualtransaction = '-1/' || p.transaction"
			" where l.locktype = 'relation' and l.relation = %u and l.granted"
			" and l.database = (select oid from pg_catalog.pg_database where datname = current_database())"
			" and l.pid is distinct from pg_backend_pid()"
			" and (l.pid is null or a.xact_start < clock_timestamp() - interval '100 ms')"
			" order by a.xact_start nulls first limit 1", relid) == 0)
		return false;
	snprintf(obstacle, PARTITION_TEXT_SIZE, "%s is locked by %s", get_rel_name(relid), value_of(0));
	return true;
}

/* Take AccessExclusiveLock if nobody else has any lock. */
static bool
lock_if_free(Oid relid, char *obstacle)
{
	if (ConditionalLockRelationOid(relid, AccessExclusiveLock))
		return true;
	if (!held_for_long(relid, obstacle))
		snprintf(obstacle, PARTITION_TEXT_SIZE, "%s is in use", get_rel_name(relid));
	return false;
}

/*
 * Take AccessExclusiveLock without making others wait for one that has it for long. Where short transactions come and
 * go without a gap we have to queue, which costs those behind us one such transaction, at most the lock timeout.
 */
static bool
lock_exclusively(Oid relid, char *obstacle)
{
	for (int attempt = 0; attempt < 3; attempt++)
	{
		if (ConditionalLockRelationOid(relid, AccessExclusiveLock))
			return true;
		pg_usleep(1000);
	}
	if (held_for_long(relid, obstacle))
		return false;
	LockRelationOid(relid, AccessExclusiveLock);
	return true;
}

/* Keep others from changing the partitions: the lock conflicts with itself, not with publishers. */
static bool
lock_parent(Oid parent, char *obstacle)
{
	if (ConditionalLockRelationOid(parent, ShareUpdateExclusiveLock))
		return true;
	strlcpy(obstacle, "realtime.messages is locked by another session", PARTITION_TEXT_SIZE);
	return false;
}

/* ------------------------------------------------- the default partition -------------------------------------------- */

/*
 * Change rows without anybody noticing: as the table's owner, without triggers, and with an origin that the output
 * plugin refuses, so that a row that was delivered is not delivered again. Returns the number of rows.
 */
static uint64
change_silently(Oid parent, const char *statement)
{
	Oid			user;
	int			context;
	RepOriginId origin = replorigin_session_origin;
	int			level = NewGUCNestLevel();
	uint64		rows = 0;

	set_locally("session_replication_role", "replica");
	GetUserIdAndSecContext(&user, &context);
	PG_TRY();
	{
		Relation	relation = table_open(parent, AccessShareLock);

		replorigin_session_origin = DoNotReplicateId;
		SetUserIdAndSecContext(relation->rd_rel->relowner,
							   context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
		table_close(relation, AccessShareLock);
		rows = run("%s", statement);
	}
	PG_FINALLY();
	{
		replorigin_session_origin = origin;
		SetUserIdAndSecContext(user, context);
	}
	PG_END_TRY();
	AtEOXact_GUC(true, level);
	return rows;
}

/* The columns of realtime.messages that can be written, with commas between them. */
static char *
column_list(Oid parent)
{
	Relation	relation = table_open(parent, AccessShareLock);
	TupleDesc	columns = RelationGetDescr(relation);
	StringInfoData list;

	initStringInfo(&list);
	for (int i = 0; i < columns->natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(columns, i);

		if (column->attisdropped || column->attgenerated != '\0')
			continue;
		appendStringInfo(&list, "%s%s", list.len > 0 ? ", " : "", quote_identifier(NameStr(column->attname)));
	}
	table_close(relation, AccessShareLock);
	return list.data;
}

/* A condition for the rows of these days. */
static char *
of_days(int first, int end)
{
	return psprintf("inserted_at >= '%s' and inserted_at < '%s'", partition_day_text(first, '-'),
					partition_day_text(end, '-'));
}

/* Move the rows of a day from the default partition, which is locked, into the table that is to be their partition. */
static void
move_home(const PartitionList *list, int day, const char *table)
{
	const char *from = qualified_name(list->partitions[list->default_at].relid);
	const char *condition = of_days(day, day + 1);
	const char *columns;

	if (run("select from only %s where %s limit 1", from, condition) == 0)
		return;
	columns = column_list(list->parent);
	pending.moved += change_silently(list->parent,
									 psprintf("with moved as (delete from only %s where %s returning %s)"
											  " insert into %s (%s) overriding system value select %s from moved",
											  from, condition, columns, table, columns, columns));
}

static bool
purge(const PartitionList *list, int day)
{
	if (list->default_at >= 0)
		change_silently(list->parent,
						psprintf("delete from only %s where inserted_at < '%s'",
								 qualified_name(list->partitions[list->default_at].relid),
								 partition_day_text(day, '-')));
	return true;
}

/* ------------------------------------------------- make and drop ---------------------------------------------------- */

/*
 * A table like realtime.messages that belongs to its owner and to the extension, with no privileges for anybody else,
 * whatever the default privileges are: who could read a partition would get around the policies.
 */
static void
make_table(const PartitionList *list, const char *table)
{
	char	   *grantees;

	run("create table %s (like realtime.messages including defaults including constraints"
		" including storage including compression)", table);
#if PG_VERSION_NUM < 170000
	/* Only from 17 on do partitions inherit the identity; before, a row that is inserted here directly needs this. */
	run("select pg_catalog.quote_literal(pg_catalog.pg_get_serial_sequence('realtime.messages', 'position'))");
	run("alter table %s alter column \"position\" set default pg_catalog.nextval(%s)", table, value_of(0));
#endif
	run("select o.rolname from pg_catalog.pg_class c join pg_catalog.pg_authid o on o.oid = c.relowner"
		" where c.oid = %u", list->parent);
	run("alter table %s owner to %s", table, quote_identifier(value_of(0)));

	run("select string_agg(distinct case a.grantee when 0 then 'public' else a.grantee::regrole::text end, ', ')"
		" from pg_catalog.pg_class c, pg_catalog.aclexplode(c.relacl) a"
		" where c.oid = '%s'::regclass and a.grantee <> c.relowner", table);
	grantees = value_of(0);
	if (grantees != NULL)
		run("revoke all on table %s from %s", table, grantees);
	run("alter extension realtime add table %s", table);
}

/*
 * Might somebody insert into this day right now, and so, as long as it has no partition, into the default partition?
 * The server lets such an insert wait for our lock and then fail, since it has chosen the default partition before.
 */
static bool
is_inserted_into(const PartitionList *list, int day)
{
	int			today = partition_day_of((Timestamp) GetCurrentTimestamp());

	return abs(day - today) <= 1 ||
		run("select from only %s where %s limit 1", qualified_name(list->partitions[list->default_at].relid),
			of_days(day, day + 1)) > 0;
}

/*
 * The default partition is locked last: who reads realtime.messages waits from there to the commit. Days that are
 * still to come, which is nearly all that is ever made, are made beside publishers; for others these are kept out.
 */
static bool
make(const PartitionList *list, int day, char *obstacle)
{
	char	   *table = psprintf("realtime.messages_%s", partition_day_text(day, '_'));

	if (partition_list_covers(list, day))
		return true;
	make_table(list, table);
	if (list->default_at >= 0)
	{
		if (is_inserted_into(list, day) && !lock_exclusively(list->parent, obstacle))
			return false;
		if (!lock_exclusively(list->partitions[list->default_at].relid, obstacle))
			return false;
		move_home(list, day, table);
	}
	run("alter table realtime.messages attach partition %s for values from ('%s') to ('%s')", table,
		partition_day_text(day, '-'), partition_day_text(day + 1, '-'));
	pending.made++;
	return true;
}

static void
forget_file_at_commit(RelationFile file)
{
	if (pending.files < MAX_FILES)
		pending.file[pending.files++] = file;
}

/* Note the files of a partition that is locked. */
static void
forget_files_at_commit(Oid relid)
{
	Relation	relation = table_open(relid, NoLock);
	Oid			toast_relid = relation->rd_rel->reltoastrelid;

	forget_file_at_commit(RELATION_FILE(relation));
	table_close(relation, NoLock);
	if (OidIsValid(toast_relid))
	{
		Relation	toast = table_open(toast_relid, AccessShareLock);

		forget_file_at_commit(RELATION_FILE(toast));
		table_close(toast, NoLock);
	}
}

static bool
is_partition(const PartitionList *list, Oid relid)
{
	for (int i = 0; i < list->count; i++)
		if (list->partitions[i].relid == relid && list->partitions[i].ours && !list->partitions[i].is_default)
			return true;
	return false;
}

/*
 * realtime.messages is locked first, as publishers do it, and everything else only if it is free: whoever has that
 * may be about to lock realtime.messages.
 */
static bool
drop(const PartitionList *list, Oid relid, char *obstacle)
{
	char	   *table;

	if (!is_partition(list, relid))
		return true;
	table = qualified_name(relid);
	if (!lock_exclusively(list->parent, obstacle) || !lock_if_free(relid, obstacle) ||
		(list->default_at >= 0 && !lock_if_free(list->partitions[list->default_at].relid, obstacle)))
		return false;
	forget_files_at_commit(relid);
	run("alter extension realtime drop table %s", table);
	run("drop table %s", table);
	pending.dropped++;
	return true;
}

bool
partition_step_do(const PartitionStep *step, char *obstacle)
{
	PartitionList list = partition_list_read();
	int			level;
	bool		done = false;

	if (!OidIsValid(list.parent))
		return true;
	if (!lock_parent(list.parent, obstacle))
		return false;
	list = partition_list_read();
	if (!OidIsValid(list.parent))
		return true;

	watch_transactions();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	level = begin_settings();
	switch (step->kind)
	{
		case STEP_MAKE:
			done = make(&list, step->day, obstacle);
			break;
		case STEP_PURGE:
			done = purge(&list, step->day);
			break;
		case STEP_DROP:
			done = drop(&list, step->relid, obstacle);
			break;
	}
	end_settings(level);
	SPI_finish();
	return done;
}

/* -------------------------------------------------------- plan ------------------------------------------------------ */

static List *
add_step(List *steps, MemoryContext context, StepKind kind, int day, const Partition *partition)
{
	MemoryContext old = MemoryContextSwitchTo(context);
	PartitionStep *step = palloc0(sizeof(PartitionStep));
	char	   *text = partition_day_text(day, '_');

	step->kind = kind;
	step->day = day;
	snprintf(step->name, NAMEDATALEN, "messages_%s", text);
	pfree(text);
	if (partition != NULL)
	{
		step->relid = partition->relid;
		strlcpy(step->name, partition->name, NAMEDATALEN);
	}
	steps = lappend(steps, step);
	MemoryContextSwitchTo(old);
	return steps;
}

/* Days outside of the usual ones of which the default partition holds rows, and whether it holds older ones. */
static List *
plan_default(List *steps, MemoryContext context, const PartitionList *list, int first_kept)
{
	const char *table = qualified_name(list->partitions[list->default_at].relid);
	int			today = partition_today();
	uint64		days;

	days = run("select distinct inserted_at::date - date '2000-01-01' from only %s where %s limit " MAX_HOMES, table,
			   of_days(first_kept, today + PARTITION_DAYS_AFTER + 1));
	for (uint64 i = 0; i < days; i++)
	{
		int			day = pg_strtoint32(value_of(i));

		if (day < today - PARTITION_DAYS_BEFORE)
			steps = add_step(steps, context, STEP_MAKE, day, NULL);
	}
	if (run("select from only %s where inserted_at < '%s' limit 1", table, partition_day_text(first_kept, '-')) > 0)
		steps = add_step(steps, context, STEP_PURGE, first_kept, NULL);
	return steps;
}

List *
partition_steps_plan(void)
{
	MemoryContext context = CurrentMemoryContext;
	PartitionList list = partition_list_read();
	int			today = partition_today();
	int			first_kept = partition_day_of(partition_horizon());
	List	   *steps = NIL;
	int			level;

	if (!OidIsValid(list.parent))
		return NIL;
	for (int day = today; day <= today + PARTITION_DAYS_AFTER; day++)
		if (!partition_list_covers(&list, day))
			steps = add_step(steps, context, STEP_MAKE, day, NULL);
	for (int day = today - 1; day >= Max(today - PARTITION_DAYS_BEFORE, first_kept); day--)
		if (!partition_list_covers(&list, day))
			steps = add_step(steps, context, STEP_MAKE, day, NULL);

	if (list.default_at >= 0)
	{
		if (SPI_connect() != SPI_OK_CONNECT)
			elog(ERROR, "SPI_connect failed");
		level = begin_settings();
		steps = plan_default(steps, context, &list, first_kept);
		end_settings(level);
		SPI_finish();
	}

	for (int i = 0; i < list.count; i++)
	{
		const Partition *partition = &list.partitions[i];

		if (partition->ours && !partition->is_default && partition->upper <= partition_day_begin(first_kept))
			steps = add_step(steps, context, STEP_DROP, partition_day_of(partition->lower), partition);
	}
	return steps;
}
