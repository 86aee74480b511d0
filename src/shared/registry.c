/*
 * registry.c
 *	  Who is there, how to wake it, and whether it is wanted.
 */
#include "postgres.h"

#include <signal.h>

#include "access/xlog.h"
#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/pmsignal.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "shared/compat.h"
#include "shared/elapsed.h"
#include "shared/registry.h"
#include "shared/settings.h"

#define NO_PROCESS		PG_UINT32_MAX

/* A process that ends sooner is taken for one that failed, in milliseconds. */
#define SHORT_LIFE		2000
#define LONGEST_PAUSE	1000

/* The postmaster has started a worker again long before, in milliseconds. */
#define LATE_START		150

/* Of the launcher and of both decoders and the changes worker there is one each. */
#define SINGLES			4
#define ENTRIES			(SINGLES + REALTIME_MAX_LISTENERS + REALTIME_MAX_AUTHORIZERS)

typedef struct Entry
{
	bool		registered;
	pg_atomic_uint32 procno;	/* NO_PROCESS if there is none: read without the mutex by those who wake */
	slock_t		mutex;			/* guards info */
	WorkerInfo	info;
	TimestampTz attached_at;	/* and the pause at its start is over */
	TimestampTz detached_at;
	int			short_lives;	/* processes in a row that ended within SHORT_LIFE of their start */
	bool		left;			/* the last one was not wanted any more, and left by itself */
} Entry;

typedef struct Registry
{
	pg_atomic_uint32 database;
	pg_atomic_uint32 holder;	/* pid of the backend that drops the database, 0: nobody */
	Entry		entries[ENTRIES];
} Registry;

static Registry *registry;
static Entry *mine;

static const char *const kind_names[] = {
	[WORKER_LAUNCHER] = "realtime launcher",
	[WORKER_LISTENER] = "realtime listener",
	[WORKER_AUTHORIZER] = "realtime authorizer",
	[WORKER_MESSAGE_DECODER] = "realtime decoder",
	[WORKER_CHANGE_DECODER] = "realtime change decoder",
	[WORKER_CHANGES] = "realtime changes",
};
static const char *const state_names[] = {"not started", "sleeping", "starting", "running", "failing", "waiting"};

/* Each kind has a fixed place. */
static Entry *
entry_of(WorkerKind kind, int index)
{
	switch (kind)
	{
		case WORKER_LAUNCHER:
			return &registry->entries[0];
		case WORKER_MESSAGE_DECODER:
			return &registry->entries[1];
		case WORKER_CHANGE_DECODER:
			return &registry->entries[2];
		case WORKER_CHANGES:
			return &registry->entries[3];
		case WORKER_LISTENER:
			Assert(index >= 0 && index < REALTIME_MAX_LISTENERS);
			return &registry->entries[SINGLES + index];
		default:
			Assert(index >= 0 && index < REALTIME_MAX_AUTHORIZERS);
			return &registry->entries[SINGLES + REALTIME_MAX_LISTENERS + index];
	}
}

static void
init_entry(WorkerKind kind, int index, bool registered)
{
	Entry	   *entry = entry_of(kind, index);

	entry->registered = registered;
	pg_atomic_init_u32(&entry->procno, NO_PROCESS);
	SpinLockInit(&entry->mutex);
	entry->info.kind = kind;
	entry->info.index = index;
	entry->info.state = WORKER_NOT_STARTED;
	entry->info.procno = -1;
	entry->info.since = GetCurrentTimestamp();
}

Size
registry_shmem_size(void)
{
	return sizeof(Registry);
}

void
registry_shmem_init(void)
{
	bool		found;

	registry = ShmemInitStruct("realtime registry", sizeof(Registry), &found);
	if (found)
		return;
	memset(registry, 0, sizeof(Registry));
	pg_atomic_init_u32(&registry->database, InvalidOid);
	pg_atomic_init_u32(&registry->holder, 0);
	init_entry(WORKER_LAUNCHER, 0, true);
	init_entry(WORKER_MESSAGE_DECODER, 0, true);
	init_entry(WORKER_CHANGE_DECODER, 0, true);
	init_entry(WORKER_CHANGES, 0, true);
	for (int i = 0; i < REALTIME_MAX_LISTENERS; i++)
		init_entry(WORKER_LISTENER, i, i < realtime_listeners);
	for (int i = 0; i < REALTIME_MAX_AUTHORIZERS; i++)
		init_entry(WORKER_AUTHORIZER, i, i < realtime_authorizers);
}

static void
detach(int code, Datum argument)
{
	TimestampTz now = GetCurrentTimestamp();

	if (mine == NULL)
		return;
	pg_atomic_write_u32(&mine->procno, NO_PROCESS);
	SpinLockAcquire(&mine->mutex);
	mine->info.pid = 0;
	mine->info.procno = -1;
	mine->detached_at = now;
	if (mine->info.state != WORKER_FAILING)
	{
		mine->info.state = WORKER_NOT_STARTED;
		mine->info.since = now;
	}
	SpinLockRelease(&mine->mutex);
	mine = NULL;

	/* They see to it that there is a next one. */
	registry_wake_all();
}

/* The first one may have been bad luck. */
static int
pause_after(int short_lives)
{
	return short_lives < 2 ? 0 : Min(LONGEST_PAUSE, 100 << Min(short_lives - 2, 6));
}

int
registry_attach(WorkerKind kind, int index)
{
	Entry	   *entry = entry_of(kind, index);
	TimestampTz now = GetCurrentTimestamp();
	int			pause = 0;
	bool		taken;

	SpinLockAcquire(&entry->mutex);
	taken = entry->info.pid != 0;
	if (!taken)
	{
		if (!entry->left)
		{
			if (entry->info.generation > 0 &&
				!TimestampDifferenceExceeds(entry->attached_at, now, SHORT_LIFE))
				entry->short_lives++;
			else
				entry->short_lives = 0;
			pause = pause_after(entry->short_lives);
		}
		entry->left = false;
		entry->attached_at = TimestampTzPlusMilliseconds(now, pause);
		entry->info.pid = MyProcPid;
		entry->info.procno = MY_PROC_NUMBER;
		entry->info.generation++;
		entry->info.lag = 0;
	}
	SpinLockRelease(&entry->mutex);
	if (taken)
		ereport(FATAL,
				(errcode(ERRCODE_OBJECT_IN_USE),
				 errmsg("%s is already running", worker_kind_name(kind))));
	mine = entry;
	pg_atomic_write_u32(&entry->procno, MY_PROC_NUMBER);

	/* Not before_shmem_exit: whoever waits for us to be gone must find our replication slot gone too. */
	on_shmem_exit(detach, (Datum) 0);
	return pause;
}

void
registry_note_leaving(void)
{
	SpinLockAcquire(&mine->mutex);
	mine->left = true;
	SpinLockRelease(&mine->mutex);
}

void
registry_set_state(WorkerState state, const char *detail, const char *hint)
{
	TimestampTz now = GetCurrentTimestamp();
	char		new_detail[WORKER_DETAIL_SIZE];
	char		new_hint[WORKER_DETAIL_SIZE];

	strlcpy(new_detail, detail != NULL ? detail : "", WORKER_DETAIL_SIZE);
	strlcpy(new_hint, hint != NULL ? hint : "", WORKER_DETAIL_SIZE);
	SpinLockAcquire(&mine->mutex);
	if (mine->info.state != state)
		mine->info.since = now;
	mine->info.state = state;
	memcpy(mine->info.detail, new_detail, WORKER_DETAIL_SIZE);
	memcpy(mine->info.hint, new_hint, WORKER_DETAIL_SIZE);
	SpinLockRelease(&mine->mutex);
}

void
registry_set_position(XLogRecPtr position, uint64 lag)
{
	SpinLockAcquire(&mine->mutex);
	mine->info.position = position;
	mine->info.lag = lag;
	SpinLockRelease(&mine->mutex);
}

bool
registry_get(WorkerKind kind, int index, WorkerInfo *info)
{
	Entry	   *entry = entry_of(kind, index);

	if (!entry->registered)
		return false;
	SpinLockAcquire(&entry->mutex);
	*info = entry->info;
	SpinLockRelease(&entry->mutex);
	if (info->state == WORKER_NOT_STARTED && RecoveryInProgress())
	{
		info->state = WORKER_WAITING;
		strlcpy(info->detail, "for the end of recovery", WORKER_DETAIL_SIZE);
		strlcpy(info->hint, "See the row recovery.", WORKER_DETAIL_SIZE);
	}
	return true;
}

bool
registry_nth(int n, WorkerInfo *info)
{
	for (int i = 0; i < ENTRIES; i++)
	{
		Entry	   *entry = &registry->entries[i];

		if (entry->registered && n-- == 0)
			return registry_get(entry->info.kind, entry->info.index, info);
	}
	return false;
}

const char *
worker_kind_name(WorkerKind kind)
{
	return kind_names[kind];
}

/* Both decoders are decoders to the server. */
const char *
worker_kind_type(WorkerKind kind)
{
	return kind_names[kind == WORKER_CHANGE_DECODER ? WORKER_MESSAGE_DECODER : kind];
}

const char *
worker_state_name(WorkerState state)
{
	return state_names[state];
}

/* Since when an entry has had no process; 0: it has one, or never had. */
static TimestampTz
missing_since(Entry *entry)
{
	TimestampTz since;

	if (!entry->registered || pg_atomic_read_u32(&entry->procno) != NO_PROCESS)
		return 0;
	SpinLockAcquire(&entry->mutex);
	since = entry->info.pid == 0 ? entry->detached_at : 0;
	SpinLockRelease(&entry->mutex);
	return since;
}

bool
registry_someone_is_missing(void)
{
	for (int i = 0; i < ENTRIES; i++)
		if (missing_since(&registry->entries[i]) != 0)
			return true;
	return false;
}

void
registry_remind_postmaster(void)
{
	TimestampTz now = GetCurrentTimestamp();

	for (int i = 0; i < ENTRIES; i++)
	{
		TimestampTz since = missing_since(&registry->entries[i]);

		if (since != 0 && elapsed(since, now, LATE_START))
		{
			SendPostmasterSignal(PMSIGNAL_BACKGROUND_WORKER_CHANGE);
			return;
		}
	}
}

static void
wake(Entry *entry)
{
	uint32		procno = pg_atomic_read_u32(&entry->procno);

	if (procno != NO_PROCESS)
		SetLatch(&GetPGProcByNumber(procno)->procLatch);
}

void
registry_wake(WorkerKind kind, int index)
{
	wake(entry_of(kind, index));
}

void
registry_wake_all(void)
{
	for (int i = 0; i < ENTRIES; i++)
		wake(&registry->entries[i]);
}

bool
registry_wanted(void)
{
	return registry_database() != InvalidOid && !registry_is_held();
}

Oid
registry_database(void)
{
	return pg_atomic_read_u32(&registry->database);
}

void
registry_set_database(Oid database)
{
	if (pg_atomic_exchange_u32(&registry->database, database) != database)
		registry_wake_all();
}

bool
registry_is_held(void)
{
	return pg_atomic_read_u32(&registry->holder) != 0;
}

bool
registry_held_by_me(void)
{
	return pg_atomic_read_u32(&registry->holder) == (uint32) MyProcPid;
}

/* Processes of ours that are connected to this database, by pid. The listeners are connected to none. */
static int
connected_workers(Oid database, int *pids)
{
	int			n = 0;

	for (int i = 0; i < ENTRIES; i++)
	{
		uint32		procno = pg_atomic_read_u32(&registry->entries[i].procno);
		PGPROC	   *proc;

		if (procno == NO_PROCESS)
			continue;
		proc = GetPGProcByNumber(procno);
		if (proc->databaseId == database && proc->pid != 0)
			pids[n++] = proc->pid;
	}
	return n;
}

/*
 * They are asked by a flag and their latch first; one that waits for a lock or a transaction, and so does not look at
 * its latch, gets SIGTERM after a fifth of a second.
 */
int
registry_hold(Oid database, int timeout_ms)
{
	int			pids[ENTRIES];
	uint32		nobody = 0;
	TimestampTz begin = GetCurrentTimestamp();
	bool		signalled = false;

	if (!OidIsValid(database) ||
		(database != registry_database() && connected_workers(database, pids) == 0))
		return 0;
	if (!pg_atomic_compare_exchange_u32(&registry->holder, &nobody, MyProcPid) && !registry_held_by_me())
		return 0;
	registry_wake_all();

	for (;;)
	{
		TimestampTz now = GetCurrentTimestamp();
		int			n = connected_workers(database, pids);

		if (n == 0 || TimestampDifferenceExceeds(begin, now, timeout_ms))
			return n;
		if (!signalled && TimestampDifferenceExceeds(begin, now, 200))
		{
			for (int i = 0; i < n; i++)
				kill(pids[i], SIGTERM);
			signalled = true;
		}
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, 5, PG_WAIT_EXTENSION);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
registry_release(void)
{
	pg_atomic_write_u32(&registry->holder, 0);
	registry_wake_all();
}
