/*
 * wakeup.h
 *	  Transaction callback of every backend: wakes the decoders after a commit that wrote WAL, the change decoder only while it reads.
 *
 * Asynchronous commits are woken for before their WAL is flushed: wakeup_commit_lsn tells the decoder how far commits
 * that published have got, so that it can nudge the WAL writer and look again until the flush has caught up. Those of others
 * cost no flush, unless the change decoder reads.
 */
#ifndef REALTIME_WAKEUP_H
#define REALTIME_WAKEUP_H

#include "access/xlogdefs.h"

extern Size wakeup_shmem_size(void);
extern void wakeup_shmem_init(void);

/* _PG_init, once, in the postmaster. */
extern void wakeup_install(void);

/* The row trigger of realtime.messages: this transaction publishes. Any backend. */
extern void wakeup_note_message(void);

/* End of the latest commit of a transaction that published. Message decoder. */
extern XLogRecPtr wakeup_commit_lsn(void);

/* Change decoder: wake me after each commit (or no longer), and how far commits have got since. */
extern void wakeup_want_all(bool wanted);
extern XLogRecPtr wakeup_any_commit_lsn(void);

#endif							/* REALTIME_WAKEUP_H */
