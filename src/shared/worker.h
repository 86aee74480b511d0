/*
 * worker.h
 *	  What all our background workers have in common: registration, signals, start, leave.
 */
#ifndef REALTIME_WORKER_H
#define REALTIME_WORKER_H

#include "shared/registry.h"

/* _PG_init: register one static worker whose entry point is the exported function of that name. */
extern void worker_register(WorkerKind kind, int index, const char *function);

/*
 * First call of each entry point: signal handlers before signals are unblocked, registry, memory. SIGTERM is `die`, SIGHUP
 * sets ConfigReloadPending.
 */
extern void worker_start(WorkerKind kind, int index);

/*
 * Sleep without a database until the worker is wanted (registry_wanted). Processes interrupts and SIGHUP. Not for the
 * launcher.
 */
extern void worker_wait_until_wanted(void);

/*
 * Sleep until the latch is set, or for so many milliseconds (-1: no end), or less; then process interrupts. True if the
 * latch was set. A sleep ends early while some worker is missing, which the postmaster is reminded of. worker_sleep
 * processes SIGHUP as well and is true if the configuration was read again; worker_nap is for a worker that leaves if it is
 * no longer wanted. Outside of libwebsockets callbacks only.
 */
extern bool worker_wait(long timeout_ms);
extern bool worker_sleep(long timeout_ms);
extern void worker_nap(long timeout_ms);

/*
 * CHECK_FOR_INTERRUPTS for where nothing is under way: SIGTERM ends the process without a word, with exit code 1, and a
 * cancellation is ignored.
 */
extern void worker_check_interrupts(void);

/* Connect to the database of the registry (listeners: to none) and name the worker in pg_stat_activity. */
extern void worker_connect(bool to_database);

/* Reread the configuration if SIGHUP came; true if it did. Outside of libwebsockets callbacks only. */
extern bool worker_reload_if_asked(void);

/* Leave because nobody wants us any more: exit code 1, so that the postmaster starts us again, asleep. */
extern _Noreturn void worker_leave(void);

#endif							/* REALTIME_WORKER_H */
