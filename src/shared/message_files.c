/*
 * message_files.c
 *	  The files that hold rows of realtime.messages.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "storage/smgr.h"

#include "shared/message_files.h"
#include "shared/shmem.h"

typedef struct MessageFile
{
	RelationFile file;
	bool		used;
	XLogRecPtr	forgotten_at;	/* Invalid while its relation may be there */
} MessageFile;

typedef struct MessageFiles
{
	pg_atomic_uint64 generation;
	bool		overflowed;
	MessageFile entries[MESSAGE_FILES_MAX];
} MessageFiles;

static MessageFiles *set;

static bool
same_file(RelationFile a, RelationFile b)
{
	return RELATION_FILE_NUMBER(a) == RELATION_FILE_NUMBER(b) &&
		RELATION_FILE_DB(a) == RELATION_FILE_DB(b) &&
		RELATION_FILE_SPC(a) == RELATION_FILE_SPC(b);
}

Size
message_files_shmem_size(void)
{
	return sizeof(MessageFiles);
}

void
message_files_shmem_init(void)
{
	bool		found;

	set = ShmemInitStruct("realtime message files", sizeof(MessageFiles), &found);
	if (!found)
	{
		memset(set, 0, sizeof(MessageFiles));
		pg_atomic_init_u64(&set->generation, 1);
	}
}

/* The entry of this file, else a free one, else NULL. Under the lock. */
static MessageFile *
find_entry(RelationFile file)
{
	MessageFile *vacant = NULL;

	for (int i = 0; i < MESSAGE_FILES_MAX; i++)
	{
		MessageFile *entry = &set->entries[i];

		if (!entry->used)
			vacant = vacant ? vacant : entry;
		else if (same_file(entry->file, file))
			return entry;
	}
	return vacant;
}

/*
 * The generation is raised inside the lock, before the caller writes the row's WAL; the decoder reads it after it has
 * read that WAL, so it can't miss the file.
 */
void
message_files_add(RelationFile file)
{
	MessageFile *entry;

	LWLockAcquire(realtime_lock(LOCK_MESSAGE_FILES), LW_EXCLUSIVE);
	entry = find_entry(file);
	if (entry == NULL)
	{
		set->overflowed = true;
		pg_atomic_fetch_add_u64(&set->generation, 1);
	}
	else if (!entry->used || entry->forgotten_at != InvalidXLogRecPtr)
	{
		entry->file = file;
		entry->used = true;
		entry->forgotten_at = InvalidXLogRecPtr;
		pg_atomic_fetch_add_u64(&set->generation, 1);
	}
	LWLockRelease(realtime_lock(LOCK_MESSAGE_FILES));
}

/* Backends remember what they have added while the generation is the same. Under the lock. */
static void
forget(MessageFile *entry, XLogRecPtr lsn)
{
	entry->forgotten_at = lsn;
	pg_atomic_fetch_add_u64(&set->generation, 1);
}

void
message_files_forget(RelationFile file, XLogRecPtr lsn)
{
	MessageFile *entry;

	LWLockAcquire(realtime_lock(LOCK_MESSAGE_FILES), LW_EXCLUSIVE);
	entry = find_entry(file);
	if (entry != NULL && entry->used)
		forget(entry, lsn);
	LWLockRelease(realtime_lock(LOCK_MESSAGE_FILES));
}

static bool
is_removed(RelationFile file)
{
	SMgrRelation relation = open_relation_file(file);
	bool		removed = !smgrexists(relation, MAIN_FORKNUM);

	smgrclose(relation);
	return removed;
}

/*
 * The lock is kept meanwhile: whoever adds a file of that number anew finds the entry as it was before or forgotten. All
 * WAL of a file that is gone lies before the present.
 */
void
message_files_forget_removed(void)
{
	LWLockAcquire(realtime_lock(LOCK_MESSAGE_FILES), LW_EXCLUSIVE);
	for (int i = 0; i < MESSAGE_FILES_MAX; i++)
	{
		MessageFile *entry = &set->entries[i];

		if (entry->used && entry->forgotten_at == InvalidXLogRecPtr && is_removed(entry->file))
			forget(entry, GetXLogInsertRecPtr());
	}
	LWLockRelease(realtime_lock(LOCK_MESSAGE_FILES));
}

void
message_files_passed(XLogRecPtr lsn)
{
	bool		changed = false;

	LWLockAcquire(realtime_lock(LOCK_MESSAGE_FILES), LW_EXCLUSIVE);
	for (int i = 0; i < MESSAGE_FILES_MAX; i++)
	{
		MessageFile *entry = &set->entries[i];

		if (entry->used && entry->forgotten_at != InvalidXLogRecPtr && entry->forgotten_at <= lsn)
		{
			entry->used = false;
			changed = true;
		}
	}
	if (changed)
		pg_atomic_fetch_add_u64(&set->generation, 1);
	LWLockRelease(realtime_lock(LOCK_MESSAGE_FILES));
}

uint64
message_files_generation(void)
{
	uint64		generation = pg_atomic_read_u64(&set->generation);

	pg_read_barrier();
	return generation;
}

int
message_files_copy(RelationFile *files, bool *overflowed)
{
	int			n = 0;

	LWLockAcquire(realtime_lock(LOCK_MESSAGE_FILES), LW_SHARED);
	for (int i = 0; i < MESSAGE_FILES_MAX; i++)
		if (set->entries[i].used)
			files[n++] = set->entries[i].file;
	*overflowed = set->overflowed;
	LWLockRelease(realtime_lock(LOCK_MESSAGE_FILES));
	return n;
}
