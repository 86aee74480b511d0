/*
 * registry.h
 *	  Who is there: one entry in shared memory for each worker, how to wake it, and what it says about itself.
 *
 * Entries are made at server start, one for each worker that _PG_init registers, and live as long as the shared
 * memory. A worker attaches when it starts; a callback in on_shmem_exit detaches it. Processes are addressed by
 * their number in the array of PGPROCs, never by a pointer to a latch; setting the latch of a process number that
 * has been taken by somebody else meanwhile is harmless.
 */
#ifndef REALTIME_REGISTRY_H
#define REALTIME_REGISTRY_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"

#define REALTIME_MAX_LISTENERS	8
#define REALTIME_MAX_AUTHORIZERS	16
#define WORKER_DETAIL_SIZE		256

typedef enum WorkerKind
{
	WORKER_LAUNCHER,
	WORKER_LISTENER,
	WORKER_AUTHORIZER,
	WORKER_MESSAGE_DECODER,
	WORKER_CHANGE_DECODER,
	WORKER_CHANGES,
	WORKER_KINDS
} WorkerKind;

typedef enum WorkerState
{
	WORKER_NOT_STARTED,			/* no process has attached yet, or the last one ended */
	WORKER_SLEEPING,			/* attached, but not wanted */
	WORKER_STARTING,			/* wanted, getting ready */
	WORKER_RUNNING,				/* does its work */
	WORKER_FAILING,				/* wanted, but can't; detail and hint say why */
	WORKER_WAITING				/* the server is in recovery, where no worker is started; only in copies of an entry */
} WorkerState;

/* A copy of one entry, for the views and health(). */
typedef struct WorkerInfo
{
	WorkerKind	kind;
	int			index;			/* 0 but for listeners and authorizers */
	WorkerState state;
	int			pid;			/* 0 if there is no process */
	int			procno;			/* -1 if there is no process */
	uint32		generation;		/* how many processes have attached since server start */
	TimestampTz since;			/* when the state was entered */
	XLogRecPtr	position;		/* decoder: delivered up to here */
	uint64		lag;			/* decoder: bytes of flushed WAL not yet delivered; listener: bytes of the bus not yet read */
	char		detail[WORKER_DETAIL_SIZE];
	char		hint[WORKER_DETAIL_SIZE];
} WorkerInfo;

/* Memory and initialisation; called by shmem.c only. */
extern Size registry_shmem_size(void);
extern void registry_shmem_init(void);

/*
 * Take the entry of this worker: called once, first thing, by the worker itself. Detaches by itself at exit. A second
 * process for an entry whose process is alive can't happen, since all workers are static; it is FATAL. Returns how many
 * milliseconds to pause first, 0 unless the processes before this one ended right after their start.
 */
extern int	registry_attach(WorkerKind kind, int index);

/* This worker is about to exit because it is not wanted: the next process for its entry need not pause. */
extern void registry_note_leaving(void);

/*
 * Say what this worker is at. detail and hint may be NULL; they are cut to WORKER_DETAIL_SIZE. Called by the worker
 * itself; never throws, may be called within libwebsockets callbacks.
 */
extern void registry_set_state(WorkerState state, const char *detail, const char *hint);

/* Publish position and lag of this worker. Never throws. */
extern void registry_set_position(XLogRecPtr position, uint64 lag);

/* Copy an entry; false if no such worker was registered. Any process. */
extern bool registry_get(WorkerKind kind, int index, WorkerInfo *info);

/* Copy the n-th of all entries that were registered, from 0 on; false past the last. Any process. */
extern bool registry_nth(int n, WorkerInfo *info);

/* Name of a kind and of a state, as in realtime.workers; and of a kind as in pg_stat_activity.backend_type. */
extern const char *worker_kind_name(WorkerKind kind);
extern const char *worker_kind_type(WorkerKind kind);
extern const char *worker_state_name(WorkerState state);

/*
 * Is a worker gone and not back? The postmaster may sleep on after a worker has ended: a signal that comes between its
 * look at what there is to do and its sleep does not wake it. Whoever sees one missing for a while reminds the
 * postmaster (worker_wait does). Any process; never throws.
 */
extern bool registry_someone_is_missing(void);
extern void registry_remind_postmaster(void);

/* Set the latch of a worker, if it is there. Any process; never throws; async-signal-safe it is not. */
extern void registry_wake(WorkerKind kind, int index);
extern void registry_wake_all(void);

/*
 * Is this worker wanted? Every worker but the launcher asks each time its latch is set: it is wanted while the
 * extension exists in realtime.database and nobody is dropping that database. A worker that has connected to the
 * database and is no longer wanted exits with code 1, so that the postmaster starts it again, asleep.
 */
extern bool registry_wanted(void);

/* The database that the workers belong to: InvalidOid until the launcher has found the extension in it. */
extern Oid	registry_database(void);

/* Launcher only: the extension was found in this database (InvalidOid: not, or no longer). Wakes all workers if it changed. */
extern void registry_set_database(Oid database);

/*
 * A backend is about to drop the database: workers in it have to leave, and none may come back until it has ended its
 * transaction. hold sends them away, waits up to timeout_ms for them to be gone and returns how many are not; release lets them back.
 * registry_held_by_me tells whether release is owed. Called by the backend that drops.
 */
extern int	registry_hold(Oid database, int timeout_ms);
extern void registry_release(void);
extern bool registry_held_by_me(void);

/* Is some backend dropping this database? The launcher asks before it connects. */
extern bool registry_is_held(void);

#endif							/* REALTIME_REGISTRY_H */
