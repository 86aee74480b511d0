/*
 * replication.c
 *	  Whether messages from the database are delivered, and if not, why.
 */
#include "postgres.h"

#include "storage/shmem.h"
#include "storage/spin.h"

#include "shared/bus.h"
#include "shared/replication.h"

typedef struct Replication
{
	slock_t		mutex;
	ReplicationState state;
	char		text[REPLICATION_TEXT_SIZE];
} Replication;

static Replication *replication;

Size
replication_shmem_size(void)
{
	return sizeof(Replication);
}

void
replication_shmem_init(void)
{
	bool		found;

	replication = ShmemInitStruct("realtime replication", sizeof(Replication), &found);
	if (!found)
	{
		memset(replication, 0, sizeof(Replication));
		SpinLockInit(&replication->mutex);
		replication->state = REPLICATION_STARTING;
	}
}

ReplicationState
replication_get(char *text)
{
	ReplicationState state;

	SpinLockAcquire(&replication->mutex);
	state = replication->state;
	if (text != NULL)
		strcpy(text, replication->text);
	SpinLockRelease(&replication->mutex);
	return state;
}

/*
 * Under the bus lock, so that what is put there last is how it is: whoever has changed it meanwhile announces that.
 */
static void
announce(ReplicationState state, const char *text)
{
	char		present[REPLICATION_TEXT_SIZE];
	BusRecord	record = {0};

	if (state != REPLICATION_READY && text[0] == '\0')
		return;
	record.kind = state == REPLICATION_READY ? BUS_DATABASE_READY : BUS_DATABASE_WAITING;
	record.origin.listener = -1;
	record.payload = slice_cstring(text);
	bus_begin();
	if (replication_get(present) == state && strcmp(present, text) == 0)
		(void) bus_append(&record);
	bus_end();
}

void
replication_set(ReplicationState state, const char *text)
{
	char		copy[REPLICATION_TEXT_SIZE];
	bool		changed;

	strlcpy(copy, text != NULL ? text : "", sizeof(copy));
	SpinLockAcquire(&replication->mutex);
	changed = replication->state != state || strcmp(replication->text, copy) != 0;
	replication->state = state;
	strcpy(replication->text, copy);
	SpinLockRelease(&replication->mutex);
	if (changed)
		announce(state, copy);
}

void
replication_explain(const char *text)
{
	char		copy[REPLICATION_TEXT_SIZE];
	bool		changed = false;

	strlcpy(copy, text, sizeof(copy));
	SpinLockAcquire(&replication->mutex);
	if (replication->state == REPLICATION_STARTING && strcmp(replication->text, copy) != 0)
	{
		strcpy(replication->text, copy);
		changed = true;
	}
	SpinLockRelease(&replication->mutex);
	if (changed)
		announce(REPLICATION_STARTING, copy);
}
