/*
 * shmem.c
 *	  Asks for the shared memory of all modules and lets each lay out its part.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shared/bus.h"
#include "shared/change_requests.h"
#include "shared/change_stream.h"
#include "shared/counters.h"
#include "shared/history.h"
#include "shared/histograms.h"
#include "shared/inspect.h"
#include "shared/message_files.h"
#include "shared/questions.h"
#include "shared/rates.h"
#include "shared/registry.h"
#include "shared/replication.h"
#include "shared/shmem.h"
#include "shared/wakeup.h"

#define TRANCHE		"realtime"
#define MAX_ADDED_PARTS	4

typedef struct ShmemPart
{
	Size		(*size) (void);
	void		(*init) (void);
} ShmemPart;

static shmem_request_hook_type previous_request_hook;
static shmem_startup_hook_type previous_startup_hook;
static LWLockPadded *locks;
static bool installed;

/* The parts of this room, and those that other rooms have added. */
static const ShmemPart own_parts[] =
{
	{counters_shmem_size, counters_shmem_init},
	{registry_shmem_size, registry_shmem_init},
	{bus_shmem_size, bus_shmem_init},
	{history_shmem_size, history_shmem_init},
	{replication_shmem_size, replication_shmem_init},
	{message_files_shmem_size, message_files_shmem_init},
	{inspect_shmem_size, inspect_shmem_init},
	{wakeup_shmem_size, wakeup_shmem_init},
	{questions_shmem_size, questions_shmem_init},
	{rates_shmem_size, rates_shmem_init},
	{change_requests_shmem_size, change_requests_shmem_init},
	{change_stream_shmem_size, change_stream_shmem_init},
	{histograms_shmem_size, histograms_shmem_init},
};
static ShmemPart added_parts[MAX_ADDED_PARTS];
static int	added_part_count;

void
shmem_add_part(Size (*size) (void), void (*init) (void))
{
	Assert(added_part_count < MAX_ADDED_PARTS);
	added_parts[added_part_count++] = (ShmemPart) {size, init};
}

static void
request(void)
{
	if (previous_request_hook)
		previous_request_hook();
	for (int i = 0; i < lengthof(own_parts); i++)
		RequestAddinShmemSpace(MAXALIGN(own_parts[i].size()));
	for (int i = 0; i < added_part_count; i++)
		RequestAddinShmemSpace(MAXALIGN(added_parts[i].size()));
	RequestNamedLWLockTranche(TRANCHE, REALTIME_LOCKS);
}

/* Runs in the postmaster at start and again after a crash; each init finds its memory by name and fills it if it is new. */
static void
startup(void)
{
	if (previous_startup_hook)
		previous_startup_hook();
	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	locks = GetNamedLWLockTranche(TRANCHE);
	for (int i = 0; i < lengthof(own_parts); i++)
		own_parts[i].init();
	for (int i = 0; i < added_part_count; i++)
		added_parts[i].init();
	LWLockRelease(AddinShmemInitLock);
}

void
shmem_install(void)
{
	previous_request_hook = shmem_request_hook;
	shmem_request_hook = request;
	previous_startup_hook = shmem_startup_hook;
	shmem_startup_hook = startup;
	installed = true;
}

bool
shmem_ready(void)
{
	return installed && locks != NULL;
}

void
shmem_require(void)
{
	if (!shmem_ready())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("realtime is not loaded"),
				 errhint("Add realtime to shared_preload_libraries and restart the server.")));
}

LWLock *
realtime_lock(RealtimeLock lock)
{
	return &locks[lock].lock;
}
