/*
 * realtime.c
 *	  The front door: module magic, settings, shared memory, hooks, and the registration of the workers.
 */
#include "postgres.h"

#include <sys/stat.h>

#include "access/xlog.h"
#include "fmgr.h"
#include "miscadmin.h"

#include "shared/figures.h"
#include "shared/hooks.h"
#include "shared/settings.h"
#include "shared/shmem.h"
#include "shared/wakeup.h"
#include "shared/worker.h"
#include "wal/wal_shared.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

/* The launcher, the decoders, the changes worker, the listeners and the authorizers. */
static void
register_workers(void)
{
	int			needed = 4 + realtime_listeners + realtime_authorizers;

	if (max_worker_processes < needed)
		ereport(WARNING,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("realtime needs %d worker processes, but max_worker_processes is %d", needed,
						max_worker_processes),
				 errhint("Set max_worker_processes to at least %d and restart the server.", needed + 8)));
	worker_register(WORKER_LAUNCHER, 0, "realtime_launcher_main");
	worker_register(WORKER_MESSAGE_DECODER, 0, "realtime_message_decoder_main");
	worker_register(WORKER_CHANGE_DECODER, 0, "realtime_change_decoder_main");
	worker_register(WORKER_CHANGES, 0, "realtime_changes_main");
	for (int i = 0; i < realtime_listeners; i++)
		worker_register(WORKER_LISTENER, i, "realtime_listener_main");
	for (int i = 0; i < realtime_authorizers; i++)
		worker_register(WORKER_AUTHORIZER, i, "realtime_authorizer_main");
}

/* On a standby workers are started at the end of recovery, which may never come: say so. */
static void
say_if_standby(void)
{
	struct stat unused;

	if (stat(STANDBY_SIGNAL_FILE, &unused) == 0 || stat(RECOVERY_SIGNAL_FILE, &unused) == 0)
		ereport(LOG,
				(errmsg("realtime: the workers wait for the end of recovery"),
				 errhint("Let clients connect to the primary. The workers start when this server is promoted.")));
}

/*
 * Loaded without shared_preload_libraries we define only the setting that realtime.topic() reads; functions that need
 * shared memory then raise an error that says what to do. pg_upgrade gets no workers.
 */
void
_PG_init(void)
{
	bool		preloaded = process_shared_preload_libraries_in_progress;

	settings_define(preloaded);
	if (!preloaded)
		return;
	shmem_add_part(wal_shared_shmem_size, wal_shared_shmem_init);
	figures_add("wal_retained", FIGURE_BYTES, wal_shared_retained, "WAL that the server keeps for our slots.");
	figures_add("wal_retained_bound", FIGURE_BYTES, wal_shared_bound, "WAL that our slots may make the server keep.");
	shmem_install();
	wakeup_install();
	hooks_install();
	if (IsBinaryUpgrade)
		return;
	register_workers();
	say_if_standby();
}
