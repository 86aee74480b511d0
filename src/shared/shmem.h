/*
 * shmem.h
 *	  Shared memory of the extension: asked for once, laid out once, everything of fixed size in the main segment.
 */
#ifndef REALTIME_SHMEM_H
#define REALTIME_SHMEM_H

/* Number of the LWLocks in our tranche "realtime". */
typedef enum RealtimeLock
{
	LOCK_BUS,
	LOCK_MESSAGE_FILES,
	LOCK_QUESTIONS,
	LOCK_CHANGE_REQUESTS,
	REALTIME_LOCKS
} RealtimeLock;

/* _PG_init, when preloaded: install the hooks that ask for the memory and lay it out. */
extern void shmem_install(void);

/* _PG_init, before shmem_install: a part of another room, as the functions that give its size and lay it out. */
extern void shmem_add_part(Size (*size) (void), void (*init) (void));

/* Is there shared memory, that is, were we loaded by shared_preload_libraries? */
extern bool shmem_ready(void);

/* Raise an error with a hint if there is none: first line of each SQL function that needs it. */
extern void shmem_require(void);

/* One of our locks. */
extern struct LWLock *realtime_lock(RealtimeLock lock);

#endif							/* REALTIME_SHMEM_H */
