/*
 * worker.c
 *	  What all our background workers have in common.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "tcop/tcopprot.h"
#include "utils/backend_status.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "shared/registry.h"
#include "shared/worker.h"

/* While a worker is missing it is looked for so often, in milliseconds. */
#define WATCH_INTERVAL	200

static WorkerKind my_kind;

/*
 * A worker that ends is started again at once: clients wait for it. registry_attach makes one pause that ends again
 * and again.
 */
void
worker_register(WorkerKind kind, int index, const char *function)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS | BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = 0;
	worker.bgw_main_arg = Int32GetDatum(index);
	strlcpy(worker.bgw_library_name, "realtime", sizeof(worker.bgw_library_name));
	strlcpy(worker.bgw_function_name, function, sizeof(worker.bgw_function_name));
	strlcpy(worker.bgw_type, worker_kind_type(kind), sizeof(worker.bgw_type));
	if (kind == WORKER_LISTENER || kind == WORKER_AUTHORIZER)
		snprintf(worker.bgw_name, sizeof(worker.bgw_name), "%s %d", worker_kind_name(kind), index);
	else
		strlcpy(worker.bgw_name, worker_kind_name(kind), sizeof(worker.bgw_name));
	RegisterBackgroundWorker(&worker);
}

/* CHECK_FOR_INTERRUPTS would call it FATAL in the log, for each of our processes, whenever the server is shut down. */
void
worker_check_interrupts(void)
{
	if (ProcDiePending)
	{
		ereport(DEBUG1, (errmsg_internal("%s ends, as it was asked to", worker_kind_name(my_kind))));
		proc_exit(1);
	}

	/* As in a backend that is idle, there is nothing to cancel. */
	QueryCancelPending = false;
	CHECK_FOR_INTERRUPTS();
}

bool
worker_wait(long timeout_ms)
{
	int			events = WL_LATCH_SET | WL_EXIT_ON_PM_DEATH;
	bool		watch = registry_someone_is_missing();
	bool		woken;

	if (watch)
		timeout_ms = timeout_ms < 0 ? WATCH_INTERVAL : Min(timeout_ms, WATCH_INTERVAL);
	if (timeout_ms >= 0)
		events |= WL_TIMEOUT;
	woken = WaitLatch(MyLatch, events, timeout_ms, PG_WAIT_EXTENSION) & WL_LATCH_SET;
	ResetLatch(MyLatch);
	worker_check_interrupts();
	if (watch)
		registry_remind_postmaster();
	return woken;
}

bool
worker_sleep(long timeout_ms)
{
	(void) worker_wait(timeout_ms);
	return worker_reload_if_asked();
}

void
worker_nap(long timeout_ms)
{
	(void) worker_sleep(timeout_ms);
	if (!registry_wanted())
		worker_leave();
}

/* The latch may be set for many reasons, and is at the start of a process: a pause goes on nevertheless. */
static void
pause_for(long timeout)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), timeout);
	long		left;

	while ((left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end)) > 0)
		(void) worker_sleep(left);
}

void
worker_start(WorkerKind kind, int index)
{
	int			pause;

	pqsignal(SIGTERM, die);
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	BackgroundWorkerUnblockSignals();

	/* Until now SIGHUP was ignored, so that one may have been missed. */
	ConfigReloadPending = true;

	my_kind = kind;
	pause = registry_attach(kind, index);
	if (pause > 0)
		pause_for(pause);
}

void
worker_wait_until_wanted(void)
{
	registry_set_state(WORKER_SLEEPING, NULL, NULL);
	while (!registry_wanted())
		(void) worker_sleep(-1);
	registry_set_state(WORKER_STARTING, NULL, NULL);
}

void
worker_connect(bool to_database)
{
	if (to_database)
		BackgroundWorkerInitializeConnectionByOid(registry_database(), InvalidOid, 0);
	else
		BackgroundWorkerInitializeConnection(NULL, NULL, 0);
	pgstat_report_appname(worker_kind_name(my_kind));
	pgstat_report_activity(STATE_IDLE, NULL);
}

bool
worker_reload_if_asked(void)
{
	if (!ConfigReloadPending)
		return false;
	ConfigReloadPending = false;
	ProcessConfigFile(PGC_SIGHUP);
	return true;
}

void
worker_leave(void)
{
	registry_note_leaving();
	proc_exit(1);
}
