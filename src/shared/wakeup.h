/*
 * wakeup.h
 *	  Transaction callback of every backend: wakes the message decoder after a commit that wrote WAL.
 *
 * Asynchronous commits are woken for before their WAL is flushed: wakeup_commit_lsn tells the decoder how far commits
 * have got, so that it can nudge the WAL writer and look again until the flush has caught up.
 */
#ifndef REALTIME_WAKEUP_H
#define REALTIME_WAKEUP_H

#include "access/xlogdefs.h"

extern Size wakeup_shmem_size(void);
extern void wakeup_shmem_init(void);

/* _PG_init, once, in the postmaster. */
extern void wakeup_install(void);

/* End of the latest commit of any backend that a decoder may have to wait for. Decoder. */
extern XLogRecPtr wakeup_commit_lsn(void);

#endif							/* REALTIME_WAKEUP_H */
