/*
 * health.c
 *	  realtime.health(): one row for each thing that can be wrong, with what to do about it.
 *
 * It runs as the owner of the extension (SECURITY DEFINER) and works in any database and without
 * shared_preload_libraries.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "commands/dbcommands.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/lmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/varlena.h"

#include "launcher/partition_list.h"
#include "shared/change_stream.h"
#include "shared/message_files.h"
#include "shared/registry.h"
#include "shared/replication.h"
#include "shared/settings.h"
#include "shared/shmem.h"
#include "wal/wal_shared.h"

PG_FUNCTION_INFO_V1(realtime_health);

/* Slots that we need at a time: the decoder's, the anchor, and its copy while a decoder starts again. */
#define NEEDED_SLOTS	4

/* Rows of the default partition that are counted. */
#define MAX_COUNTED		10000

/* Where the rows go. */
static ReturnSetInfo *result;

/* One row. detail and hint may be NULL. */
static void
put(const char *check, bool ok, const char *detail, const char *hint)
{
	Datum		values[4] = {CStringGetTextDatum(check), BoolGetDatum(ok)};
	bool		nulls[4] = {false};

	nulls[2] = detail == NULL || detail[0] == '\0';
	nulls[3] = hint == NULL || hint[0] == '\0';
	if (!nulls[2])
		values[2] = CStringGetTextDatum(detail);
	if (!nulls[3])
		values[3] = CStringGetTextDatum(hint);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* Run a query; returns the number of its rows. */
static uint64
query(const char *text)
{
	if (SPI_execute(text, true, 0) != SPI_OK_SELECT)
		elog(ERROR, "could not run: %s", text);
	return SPI_processed;
}

static char *
column(int number)
{
	return SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number);
}

/* Whose transaction this is. */
static char *
transaction_owner(TransactionId xid)
{
	if (query(psprintf("select coalesce('pid ' || l.pid, 'prepared ' || quote_literal(p.gid), 'ended')"
					   " from (values ('%u'::xid)) x(id)"
					   " left join pg_locks l on l.locktype = 'transactionid' and l.transactionid = x.id and l.granted"
					   " left join pg_prepared_xacts p on p.transaction = x.id", xid)) == 0)
		return "ended";
	return column(1);
}

/* ------------------------------------------------------ the server -------------------------------------------------- */

static void
check_preloaded(void)
{
	if (shmem_ready())
		put("preloaded", true, "realtime is in shared_preload_libraries", NULL);
	else
		put("preloaded", false, "realtime is not loaded at server start: nothing is served",
			"Add realtime to shared_preload_libraries and restart the server.");
}

/* A standby can be read, health() too, but its workers have to wait. */
static void
check_recovery(void)
{
	if (!RecoveryInProgress())
		put("recovery", true, "the server is not in recovery", NULL);
	else
		put("recovery", false, "this server is a standby, or is recovering: its workers wait for the end of that",
			"Let clients connect to the primary. The workers start by themselves when this server is promoted "
			"(pg_promote()).");
}

static void
check_wal_level(void)
{
	if (wal_level >= WAL_LEVEL_LOGICAL)
		put("wal_level", true, "wal_level is logical", NULL);
	else
		put("wal_level", false,
			psprintf("wal_level is %s: messages from the database can't be delivered",
					 GetConfigOption("wal_level", false, false)),
			"Set wal_level = logical and restart the server.");
}

/* Our decoder allows the library for itself; others need the setting. Servers before 15.19 and its like lack it. */
static void
check_output_plugin(void)
{
	const char *setting = GetConfigOption("output_plugin_libraries", true, false);
	List	   *libraries;
	ListCell   *cell;

	if (setting == NULL || !SplitDirectoriesString(pstrdup(setting), ',', &libraries))
	{
		put("output_plugin", true, "output plugins are not restricted", NULL);
		return;
	}
	foreach(cell, libraries)
		if (strcmp(lfirst(cell), "realtime") == 0)
		{
			put("output_plugin", true, "output_plugin_libraries lists realtime", NULL);
			return;
		}
	put("output_plugin", true, "realtime allows its output plugin for its own slots only",
		"To use it in pg_create_logical_replication_slot() add realtime to output_plugin_libraries.");
}

static void
check_secret(void)
{
	if (realtime_jwt_secret[0] != '\0')
		put("jwt_secret", true, "realtime.jwt_secret is set", NULL);
	else if (settings_have_keys())
		put("jwt_secret", true, "realtime.jwt_secret is not set, but realtime.jwks_file or realtime.api_keys is", NULL);
	else
		put("jwt_secret", false, "realtime.jwt_secret is not set: every token is refused",
			psprintf("Set realtime.jwt_secret to at least %d random bytes and reload the configuration.",
					 REALTIME_MIN_SECRET));
}

static void
check_database(void)
{
	char	   *here = get_database_name(MyDatabaseId);

	if (registry_database() == MyDatabaseId)
		put("database", true, psprintf("database \"%s\" is served", here), NULL);
	else if (strcmp(here, realtime_database) == 0)
		put("database", false, psprintf("database \"%s\" is not served yet", here),
			RecoveryInProgress() ? "See the row recovery." : "See the rows of the launcher and the server log.");
	else
		put("database", false,
			psprintf("realtime.database is \"%s\", this is \"%s\"", realtime_database, here),
			"Create the extension in that database, or set realtime.database to this one and restart the server.");
}

/* ------------------------------------------------------- workers ---------------------------------------------------- */

static void
check_worker_processes(void)
{
	int			needed = 0;
	int			started = 0;
	WorkerInfo	info;

	for (; registry_nth(needed, &info); needed++)
		started += info.generation > 0;

	if (started < needed && RecoveryInProgress())
	{
		put("worker_processes", false, psprintf("%d worker processes wait for the end of recovery", needed - started),
			"See the row recovery.");
		return;
	}
	put("worker_processes", started == needed,
		psprintf("%d of %d worker processes have been started; max_worker_processes is %d", started, needed,
				 max_worker_processes),
		started == needed ? NULL :
		psprintf("Set max_worker_processes to %d more than other extensions, logical replication and parallel queries "
				 "need, and restart the server.", needed));
}

/* Nobody subscribes to changes: their workers sleep, and that is well. */
static bool
may_rest(const WorkerInfo *info)
{
	return (info->kind == WORKER_CHANGE_DECODER || info->kind == WORKER_CHANGES) && info->state == WORKER_SLEEPING &&
		!change_stream_wanted();
}

static void
check_worker(WorkerInfo info)
{
	const char *check = worker_kind_name(info.kind) + strlen("realtime ");
	char	   *detail;

	if (info.kind == WORKER_LISTENER || info.kind == WORKER_AUTHORIZER)
		check = psprintf("%s %d", check, info.index);
	detail = info.pid == 0 ? pstrdup(worker_state_name(info.state)) :
		psprintf("%s, pid %d", worker_state_name(info.state), info.pid);
	if (info.detail[0] != '\0')
		detail = psprintf("%s: %s", detail, info.detail);
	if (info.state != WORKER_RUNNING && info.hint[0] == '\0')
		strlcpy(info.hint, info.state == WORKER_NOT_STARTED ? "See the server log, and the row worker_processes." :
				"If it does not get further within a minute, see the row replication and the server log.",
				sizeof(info.hint));

	/* A listener that serves some of its addresses runs, but has a hint about the others. */
	put(check, may_rest(&info) || (info.state == WORKER_RUNNING && (info.kind != WORKER_LISTENER || info.hint[0] == '\0')),
		detail, may_rest(&info) ? NULL : info.hint);
}

static void
check_workers(void)
{
	WorkerInfo	info;

	check_worker_processes();
	for (int i = 0; registry_nth(i, &info); i++)
		check_worker(info);
}

/* ----------------------------------------------------- replication -------------------------------------------------- */

static void
check_replication(void)
{
	char		text[REPLICATION_TEXT_SIZE];
	ReplicationState state = replication_get(text);

	if (state == REPLICATION_READY)
		put("replication", true, "messages from the database are delivered", NULL);
	else if (state == REPLICATION_STARTING)
		put("replication", false,
			psprintf("messages from the database are not delivered yet%s%s", text[0] ? ": " : "", text),
			text[0] ? "End that transaction (COMMIT PREPARED or ROLLBACK PREPARED a prepared one)." :
			RecoveryInProgress() ? "See the row recovery." :
			"The decoder looks for a point to start from: see its row.");
	else
		put("replication", false,
			psprintf("messages from the database are not delivered%s%s", text[0] ? ": " : "", text),
			RecoveryInProgress() ? "See the row recovery." : "See the row of the decoder.");
}

/* The stream of Postgres Changes: whether it flows, and how far behind it is. */
static void
check_changes(void)
{
	ChangeStreamInfo info;
	XLogRecPtr	flushed = RecoveryInProgress() ? InvalidXLogRecPtr : GetFlushRecPtr(NULL);
	uint64		behind;

	change_stream_get(&info);
	behind = info.reading != InvalidXLogRecPtr && flushed > info.reading ? flushed - info.reading : 0;
	if (!change_stream_wanted())
		put("postgres_changes", true, "no channel subscribes to changes", NULL);
	else if (info.state == CHANGE_STREAM_RUNNING)
		put("postgres_changes", behind / 1024 / 1024 <= realtime_changes_backlog / 2,
			psprintf("changes are delivered; " UINT64_FORMAT " kB of WAL are still to be read, at most %d MB", behind / 1024,
					 realtime_changes_backlog),
			behind / 1024 / 1024 <= realtime_changes_backlog / 2 ? NULL :
			"Policies or filters of subscribers are too slow for so many changes; past realtime.changes_backlog the stream "
			"starts again at the present.");
	else
		put("postgres_changes", false,
			psprintf("changes are not delivered%s%s", info.text[0] ? ": " : " yet", info.text),
			TransactionIdIsValid(info.waiting_for) ?
			"End that transaction (COMMIT PREPARED or ROLLBACK PREPARED a prepared one)." :
			"See the rows of the change decoder and of changes.");
}

static void
check_slots(void)
{
	int			all;
	int			ours;

	query("select count(*), count(*) filter (where slot_name ~ '^realtime_') from pg_replication_slots");
	all = pg_strtoint32(column(1));
	ours = pg_strtoint32(column(2));
	put("replication_slots", max_replication_slots - (all - ours) >= NEEDED_SLOTS,
		psprintf("%d of %d replication slots are in use, %d of them by realtime", all, max_replication_slots, ours),
		max_replication_slots - (all - ours) >= NEEDED_SLOTS ? NULL :
		psprintf("realtime needs %d at a time: drop slots that nobody uses, or raise max_replication_slots and restart "
				 "the server.", NEEDED_SLOTS));
}

/* How much WAL we make the server keep, and because of whom. */
static void
check_retained_wal(void)
{
	WalInfo		info;
	uint64		retained = wal_shared_retained();
	uint64		bound = wal_shared_bound();
	bool		lost;
	StringInfoData detail;

	wal_shared_get(&info);
	lost = info.slot[0] != '\0' && wal_shared_is_given_up(info.reading);
	initStringInfo(&detail);
	appendStringInfo(&detail, UINT64_FORMAT " kB of WAL are kept for realtime, at most " UINT64_FORMAT " kB",
					 retained / 1024, bound / 1024);
	if (TransactionIdIsValid(info.pinned_by))
		appendStringInfo(&detail, "; the oldest open transaction that has published is %u (%s)", info.pinned_by,
						 transaction_owner(info.pinned_by));
	if (info.incomplete > 0)
		appendStringInfo(&detail, "; if the decoder ended now, %d open transaction(s) would be lost", info.incomplete);
	if (lost)
		appendStringInfo(&detail, "; the decoder stands at %X/%X, and WAL that it has not read was given up",
						 LSN_FORMAT_ARGS(info.reading));
	put("retained_wal", retained <= bound && info.incomplete == 0 && !lost, detail.data,
		lost ? "See whether the process of the decoder is stopped. Once it goes on, clients are told of the gap." :
		retained > bound ? "The decoder does not keep up: see its row and realtime.workers. "
		"realtime.max_wal_retained is the bound." :
		info.incomplete > 0 ? "End the open transaction, or raise realtime.max_wal_retained." : NULL);
}

static void
check_message_files(void)
{
	RelationFile *files = palloc(sizeof(RelationFile) * MESSAGE_FILES_MAX);
	bool		overflowed;
	int			n = message_files_copy(files, &overflowed);

	put("message_files", !overflowed,
		psprintf("%d of %d files of messages are known; %s", n, MESSAGE_FILES_MAX,
				 overflowed ? "there are more, so that all changes of the database are decoded" :
				 "changes of other tables are not decoded"),
		overflowed ? "Lower realtime.retention, and restart the server." : NULL);
}

/* ----------------------------------------------------- partitions --------------------------------------------------- */

/* What the launcher says about partitions that it could not make or drop. */
static char *
launcher_says(void)
{
	WorkerInfo	info;

	if (!registry_get(WORKER_LAUNCHER, 0, &info) || info.detail[0] == '\0')
		return "The launcher makes and drops partitions: see its row and the server log. A superuser can do it now with "
			"realtime.maintain_partitions().";
	return psprintf("%s. %s", info.detail, info.hint);
}

static void
check_partitions(const PartitionList *list)
{
	int			today = partition_today();
	StringInfoData missing;

	initStringInfo(&missing);
	for (int day = today; day <= today + PARTITION_DAYS_AFTER; day++)
		if (!partition_list_covers(list, day))
			appendStringInfo(&missing, "%s%s", missing.len > 0 ? ", " : "", partition_day_text(day, '-'));
	if (missing.len == 0)
		put("partitions", true, psprintf("there are partitions until %s",
										 partition_day_text(today + PARTITION_DAYS_AFTER, '-')), NULL);
	else
		put("partitions", false, psprintf("there is no partition for %s (UTC)", missing.data), launcher_says());
}

/* Rows of days to come, for which there is no partition yet, may stay; others should have been moved home. */
static void
check_default_partition(const PartitionList *list)
{
	Oid			relid = list->default_at >= 0 ? list->partitions[list->default_at].relid : InvalidOid;
	int			rows;
	int			early;

	if (!OidIsValid(relid))
	{
		put("default_partition", false, "realtime.messages has no default partition",
			"Run CREATE TABLE realtime.messages_default PARTITION OF realtime.messages DEFAULT.");
		return;
	}
	if (!ConditionalLockRelationOid(relid, AccessShareLock))
	{
		put("default_partition", false, "the default partition is locked by another session", NULL);
		return;
	}
	query(psprintf("select count(*), count(*) filter (where inserted_at >= '%s')"
				   " from (select inserted_at from only %s limit %d) rows",
				   partition_day_text(partition_today() + PARTITION_DAYS_AFTER + 1, '-'),
				   quote_qualified_identifier(get_namespace_name(get_rel_namespace(relid)), get_rel_name(relid)),
				   MAX_COUNTED));
	rows = pg_strtoint32(column(1));
	early = pg_strtoint32(column(2));
	put("default_partition", rows == early,
		rows == 0 ? "the default partition is empty" :
		psprintf("the default partition holds %s%d messages, %d of them of days that have no partition yet",
				 rows == MAX_COUNTED ? "at least " : "", rows, early),
		rows == early ? NULL : launcher_says());
}

static void
check_retention(const PartitionList *list)
{
	const Partition *oldest = NULL;
	bool		ok;

	for (int i = 0; i < list->count; i++)
	{
		const Partition *partition = &list->partitions[i];

		if (partition->ours && !partition->is_default && (oldest == NULL || partition->upper < oldest->upper))
			oldest = partition;
	}
	if (oldest == NULL)
	{
		put("retention", true, "there is no partition yet", NULL);
		return;
	}
	ok = oldest->upper > partition_day_begin(partition_day_of(partition_horizon()));
	put("retention", ok,
		psprintf("the oldest partition is %s; realtime.retention is %s", oldest->name,
				 GetConfigOptionByName("realtime.retention", NULL, false)),
		ok ? NULL : launcher_says());
}

static void
check_tables(void)
{
	PartitionList list = partition_list_read();

	if (!OidIsValid(list.parent))
	{
		put("partitions", false, "realtime.messages does not belong to the extension or is not there",
			"Create the extension anew.");
		return;
	}
	check_partitions(&list);
	check_default_partition(&list);
	check_retention(&list);
}

/* realtime.health() */
Datum
realtime_health(PG_FUNCTION_ARGS)
{
	InitMaterializedSRF(fcinfo, 0);
	result = (ReturnSetInfo *) fcinfo->resultinfo;
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");

	check_preloaded();
	if (shmem_ready())
		check_recovery();
	check_wal_level();
	check_output_plugin();
	if (shmem_ready())
	{
		check_secret();
		check_database();
		check_workers();
		check_slots();
		check_replication();
		check_changes();
		check_retained_wal();
		check_message_files();
		check_tables();
	}
	SPI_finish();
	return (Datum) 0;
}
