/*
 * launcher.c
 *	  The launcher: says which workers are wanted, keeps the partitions of realtime.messages and the anchor slot.
 *
 * A process can connect to a database only once, and trying to connect to one that is not there ends it. So it has two
 * lives, and shared memory tells the next process which one to live:
 *
 *	  connect --> connected, looks after the extension          look: connected to no database, waits until
 *	     |                          |                                 realtime.database is there, ends
 *	     | failed (FATAL)           | somebody drops the database         |
 *	     +--------------------------+-----> look -------------------------+--> connect
 *
 * While connected it holds no lock and no transaction between two rounds, so it is in nobody's way.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/transam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/pg_database.h"
#include "commands/extension.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "launcher/launcher.h"
#include "launcher/partitions.h"
#include "launcher/waiting.h"
#include "shared/change_stream.h"
#include "shared/counters.h"
#include "shared/elapsed.h"
#include "shared/message_files.h"
#include "shared/registry.h"
#include "shared/replication.h"
#include "shared/settings.h"
#include "shared/worker.h"
#include "wal/anchor.h"
#include "wal/wal_shared.h"

/* all in milliseconds */
#define LOOK_PAUSE_MAX		30000	/* between two looks for the database */
#define EXTENSION_PAUSE		30000	/* between two looks for the extension, if nothing wakes us */
#define PARTITION_PAUSE		(3600 * 1000)
#define RETRY_PAUSE_MIN		200 /* before a partition that had to wait is tried again */
#define RETRY_PAUSE_MAX		10000
#define DECODER_PAUSE		1000	/* between two looks at a decoder that is about to start */
#define EXPLAIN_AFTER		300 /* that the decoder is starting, before we look what it waits for */
#define EXPLAIN_PAUSE		500

/* What one launcher tells the next. */
typedef struct LauncherMemory
{
	bool		look_first;
	bool		said_missing;	/* the log says already that the database is not there */
	int			failures;		/* connections that have failed one after the other */
} LauncherMemory;

static LauncherMemory *memory;

/* When what is due. */
typedef struct Schedule
{
	TimestampTz extension;
	TimestampTz partitions;
	TimestampTz anchor;
	TimestampTz explain;
	int			retry_pause;
} Schedule;

/* A few bytes out of the slack of the main segment; kept until the server's memory is made anew. */
static void
attach_memory(void)
{
	bool		found;

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	memory = ShmemInitStruct("realtime launcher", sizeof(LauncherMemory), &found);
	if (!found)
		memset(memory, 0, sizeof(LauncherMemory));
	LWLockRelease(AddinShmemInitLock);
}

/* Also if it is further ahead than it can be: the clock has been set back. */
static bool
is_due(TimestampTz *when, int pause)
{
	TimestampTz now = GetCurrentTimestamp();

	if (!elapsed(TimestampTzPlusMilliseconds(*when, -pause), now, pause))
		return false;
	*when = TimestampTzPlusMilliseconds(now, pause);
	return true;
}

/* -------------------------------------------------- without a database ---------------------------------------------- */

/* Without a database there are no system caches: pg_database is read from its beginning, as autovacuum does. */
static bool
database_can_be_connected_to(void)
{
	bool		can = false;
	Relation	relation;
	TableScanDesc scan;
	HeapTuple	tuple;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	(void) GetTransactionSnapshot();
	relation = table_open(DatabaseRelationId, AccessShareLock);
	scan = table_beginscan_catalog(relation, 0, NULL);
	while (HeapTupleIsValid(tuple = heap_getnext(scan, ForwardScanDirection)))
	{
		Form_pg_database database = (Form_pg_database) GETSTRUCT(tuple);

		if (strcmp(NameStr(database->datname), realtime_database) == 0)
			can = database->datallowconn;
	}
	table_endscan(scan);
	table_close(relation, AccessShareLock);
	CommitTransactionCommand();
	return can;
}

static void
say_that_the_database_is_missing(void)
{
	char		detail[WORKER_DETAIL_SIZE];
	static const char hint[] = "Create it and allow connections to it, or set realtime.database to another one and restart.";

	snprintf(detail, sizeof(detail), "database \"%s\" does not exist or does not allow connections", realtime_database);
	registry_set_state(WORKER_FAILING, detail, hint);
	if (!memory->said_missing)
		ereport(LOG,
				(errmsg("realtime: %s", detail),
				 errhint("%s", hint)));
	memory->said_missing = true;
}

/* Wait until the database is there, then make room for a launcher that connects to it. */
static _Noreturn void
look_for_database(void)
{
	long		pause = 1000;

	registry_set_database(InvalidOid);
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	/* The latch of a new process is set. */
	ResetLatch(MyLatch);
	if (memory->failures > 1)
		(void) worker_sleep(Min(1000L << Min(memory->failures, 10), LOOK_PAUSE_MAX));
	while (registry_is_held() || !database_can_be_connected_to())
	{
		if (!registry_is_held())
			say_that_the_database_is_missing();
		(void) worker_sleep(pause);
		pause = Min(pause * 2, LOOK_PAUSE_MAX);
	}
	memory->look_first = false;
	worker_leave();
}

/* --------------------------------------------------- with the database ---------------------------------------------- */

static void
connect_to_database(void)
{
	/* If this ends us, the next launcher looks. */
	memory->look_first = true;
	memory->failures++;
	BackgroundWorkerInitializeConnection(realtime_database, NULL, 0);
	memory->look_first = false;
	memory->said_missing = false;
	memory->failures = 0;

	SetConfigOption("search_path", "pg_catalog, pg_temp", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("synchronous_commit", "local", PGC_USERSET, PGC_S_OVERRIDE);
	SetConfigOption("default_transaction_read_only", "off", PGC_USERSET, PGC_S_OVERRIDE);
	pgstat_report_appname("realtime launcher");
	pgstat_report_activity(STATE_IDLE, NULL);
}

/* Somebody drops the database: leave it, and don't come back before we have seen it again. */
static void
leave_if_held(void)
{
	if (!registry_is_held())
		return;
	memory->look_first = true;
	registry_set_database(InvalidOid);
	anchor_drop();
	worker_leave();
}

/* Invalid if it does not exist. */
static Oid
find_extension(void)
{
	Oid			extension;

	SetCurrentStatementStartTimestamp();
	StartTransactionCommand();
	extension = get_extension_oid("realtime", true);
	CommitTransactionCommand();
	return extension;
}

/* The extension has come or gone. */
static void
set_wanted(bool wanted)
{
	char		detail[WORKER_DETAIL_SIZE];
	char		hint[WORKER_DETAIL_SIZE];

	if (wanted)
	{
		registry_set_state(WORKER_RUNNING, NULL, NULL);
		registry_set_database(MyDatabaseId);
		return;
	}
	snprintf(detail, sizeof(detail), "extension realtime does not exist in database \"%s\"", realtime_database);
	snprintf(hint, sizeof(hint), "Run CREATE EXTENSION realtime in that database, or set realtime.database to the one "
			 "that has it and restart.");
	registry_set_state(WORKER_SLEEPING, detail, hint);
	registry_set_database(InvalidOid);
	anchor_drop();
	counter_set(COUNTER_PARTITIONS, 0);
	counter_set(COUNTER_OLDEST_PARTITION, 0);
	ereport(LOG,
			(errmsg("realtime: %s", detail),
			 errhint("%s", hint)));
}

static void
say_if_secret_is_missing(void)
{
	static bool said = false;

	if (settings_have_keys())
		said = false;
	else if (!said)
	{
		said = true;
		ereport(LOG,
				(errmsg("realtime: realtime.jwt_secret is not set, so that every token is refused"),
				 errhint("Set it to at least %d random bytes and reload the configuration.", REALTIME_MIN_SECRET)));
	}
}

static void
maintain_partitions(Schedule *schedule)
{
	PartitionRound round;

	partitions_maintain(&round);
	message_files_forget_removed();

	/* Who waits for a lock resets the latch, and what it was set for is still to be seen. */
	SetLatch(MyLatch);
	registry_set_state(WORKER_RUNNING, round.detail, round.hint);
	if (round.later)
	{
		schedule->retry_pause = Max(RETRY_PAUSE_MIN, Min(schedule->retry_pause * 2, RETRY_PAUSE_MAX));
		schedule->partitions = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), schedule->retry_pause);
	}
	else
		schedule->retry_pause = 0;
}

static bool
messages_start(TransactionId *waiting_for)
{
	WalInfo		wal;

	wal_shared_get(&wal);
	*waiting_for = wal.waiting_for;
	return replication_get(NULL) == REPLICATION_STARTING;
}

static bool
changes_start(TransactionId *waiting_for)
{
	ChangeStreamInfo stream;

	change_stream_get(&stream);
	*waiting_for = stream.waiting_for;
	return stream.state == CHANGE_STREAM_STARTING;
}

/* The decoders: whether they have no starting point yet and what for, and whom that is told. */
static const struct
{
	WorkerKind	kind;
	bool		(*is_starting) (TransactionId *waiting_for);
	void		(*explain) (const char *text);
}			decoders[] =
{
	{WORKER_MESSAGE_DECODER, messages_start, replication_explain},
	{WORKER_CHANGE_DECODER, changes_start, change_stream_explain}
};

/* Is a decoder still waiting for its starting point? */
static bool
decoder_is_starting(int n, WorkerInfo *decoder, TransactionId *waiting_for)
{
	(void) registry_get(decoders[n].kind, 0, decoder);
	return decoders[n].is_starting(waiting_for) && decoder->state == WORKER_STARTING && decoder->pid != 0;
}

/* Tell clients what a decoder waits for. */
static void
explain_start(int n)
{
	WorkerInfo	decoder;
	TransactionId waiting_for;
	char		text[Max(REPLICATION_TEXT_SIZE, CHANGE_STREAM_TEXT_SIZE)];

	if (decoder_is_starting(n, &decoder, &waiting_for) &&
		elapsed(decoder.since, GetCurrentTimestamp(), EXPLAIN_AFTER) &&
		TransactionIdIsValid(waiting_for) && waiting_describe(waiting_for, text, sizeof(text)))
		decoders[n].explain(text);
}

static bool
some_decoder_is_starting(void)
{
	WorkerInfo	decoder;
	TransactionId waiting_for;

	for (int i = 0; i < lengthof(decoders); i++)
		if (decoder_is_starting(i, &decoder, &waiting_for))
			return true;
	return false;
}

static void
explain_starts(Schedule *schedule)
{
	if (!some_decoder_is_starting() || !is_due(&schedule->explain, EXPLAIN_PAUSE))
		return;
	for (int i = 0; i < lengthof(decoders); i++)
		explain_start(i);
}

/* Milliseconds until there may be something to do; by a clock that was set back that might seem far. */
static long
time_to_sleep(const Schedule *schedule, bool wanted)
{
	TimestampTz next = schedule->extension;
	WorkerInfo	decoder;

	if (wanted)
	{
		next = Min(next, Min(schedule->partitions, schedule->anchor));
		(void) registry_get(WORKER_MESSAGE_DECODER, 0, &decoder);
		if (some_decoder_is_starting())
			next = Min(next, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), EXPLAIN_AFTER));
		else if (decoder.state == WORKER_SLEEPING || decoder.state == WORKER_NOT_STARTED)
			next = Min(next, TimestampTzPlusMilliseconds(GetCurrentTimestamp(), DECODER_PAUSE));
	}
	return Max(Min(TimestampDifferenceMilliseconds(GetCurrentTimestamp(), next), EXTENSION_PAUSE), 1);
}

static void
keep_anchor(Schedule *schedule)
{
	int			pause = anchor_keep();

	schedule->anchor = pause < 0 ? DT_NOEND : TimestampTzPlusMilliseconds(GetCurrentTimestamp(), pause);
}

static _Noreturn void
run(void)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext, "realtime launcher", ALLOCSET_DEFAULT_SIZES);
	Schedule	schedule = {0};
	bool		woken = true;
	bool		known = false;
	Oid			extension = InvalidOid;

	MemoryContextSwitchTo(context);
	say_if_secret_is_missing();
	for (;;)
	{
		leave_if_held();
		if (is_due(&schedule.extension, EXTENSION_PAUSE) || woken)
		{
			Oid			found = find_extension();

			if (!known || OidIsValid(found) != OidIsValid(extension))
				set_wanted(OidIsValid(found));

			/* One that was dropped and made anew in one transaction has new tables. */
			if (found != extension)
				schedule.partitions = 0;
			known = true;
			extension = found;
		}
		if (OidIsValid(extension))
		{
			keep_anchor(&schedule);
			if (is_due(&schedule.partitions, PARTITION_PAUSE))
				maintain_partitions(&schedule);
			explain_starts(&schedule);
		}
		MemoryContextReset(context);
		MemoryContextSwitchTo(context);

		woken = worker_wait(time_to_sleep(&schedule, OidIsValid(extension)));
		if (worker_reload_if_asked())
		{
			say_if_secret_is_missing();
			schedule.partitions = 0;
		}
	}
}

void
realtime_launcher_main(Datum argument)
{
	worker_start(WORKER_LAUNCHER, 0);
	attach_memory();
	registry_set_state(WORKER_STARTING, NULL, NULL);
	while (registry_is_held())
	{
		memory->look_first = true;
		(void) worker_sleep(1000);
	}
	if (memory->look_first)
		look_for_database();
	connect_to_database();
	run();
}
