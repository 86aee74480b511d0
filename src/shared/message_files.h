/*
 * message_files.h
 *	  The files that hold rows of realtime.messages: the positive set that the message decoder filters by.
 *
 * The row trigger of realtime.messages adds the leaf partition's file and its TOAST table's before the row's WAL is
 * written, so the decoder, which reads that WAL later, always finds it. A stale entry costs decoding, a missing one can't
 * happen. If the set is full, the filter is off (message_files_overflowed) and health() says so.
 */
#ifndef REALTIME_MESSAGE_FILES_H
#define REALTIME_MESSAGE_FILES_H

#include "access/xlogdefs.h"

#include "shared/compat.h"

#define MESSAGE_FILES_MAX	512

extern Size message_files_shmem_size(void);
extern void message_files_shmem_init(void);

/* Add one file if it is not there. Any backend, in the row trigger. Takes an LWLock only for a new one; never throws. */
extern void message_files_add(RelationFile file);

/*
 * The file's relation was dropped and that is committed: its entry may be reused once the decoder has passed lsn, the
 * present insert position. Launcher.
 */
extern void message_files_forget(RelationFile file, XLogRecPtr lsn);

/* The same for files that are no longer there, whatever has removed them: TRUNCATE, VACUUM FULL, DROP. Launcher; may throw. */
extern void message_files_forget_removed(void);

/* Decoder: entries that were forgotten at or before this position can be reused now. */
extern void message_files_passed(XLogRecPtr lsn);

/*
 * Changes with every change of the set: the decoder keeps a copy and takes a new one when this differs. A plain atomic
 * read with a read barrier.
 */
extern uint64 message_files_generation(void);

/* Copy the set; returns the number of entries (at most MESSAGE_FILES_MAX), sets *overflowed if some did not fit. Any process. */
extern int	message_files_copy(RelationFile *files, bool *overflowed);

#endif							/* REALTIME_MESSAGE_FILES_H */
