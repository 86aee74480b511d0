/*
 * change_stream.c
 *	  The way of changes from the change decoder to the changes worker.
 *
 * The queue lies at a fixed place and is made anew each time it is opened, so its receiver waits until the sender of
 * before has let go of it. There is no segment whose end would detach the two: callbacks at exit do.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/proc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "shared/change_stream.h"
#include "shared/counters.h"
#include "shared/elapsed.h"
#include "shared/registry.h"
#include "shared/worker.h"

#define QUEUE_SIZE		(4 * 1024 * 1024)

/* While a sender of before is there, it is looked for so often, in milliseconds. */
#define LOOK_FOR_SENDER	20

typedef struct ChangeStream
{
	slock_t		mutex;
	ChangeStreamInfo info;
	int			receiver;		/* pid; 0 if there is none */
	int			sender;
	bool		is_new;			/* the queue has had no sender yet: it can't have two */
	pg_atomic_uint64 wanted_at; /* the last time that a channel was known to subscribe; 0: never */
} ChangeStream;

static ChangeStream *stream;
static char *queue_memory;

/* This process's end of the queue. */
static shm_mq_handle *handle;

Size
change_stream_shmem_size(void)
{
	return add_size(MAXALIGN(sizeof(ChangeStream)), QUEUE_SIZE);
}

void
change_stream_shmem_init(void)
{
	bool		found;

	stream = ShmemInitStruct("realtime change stream", change_stream_shmem_size(), &found);
	queue_memory = (char *) stream + MAXALIGN(sizeof(ChangeStream));
	if (found)
		return;
	memset(stream, 0, sizeof(ChangeStream));
	SpinLockInit(&stream->mutex);
	pg_atomic_init_u64(&stream->wanted_at, 0);
}

/* ------------------------------------------------- is it wanted at all ---------------------------------------------- */

static void
note_wanted(void)
{
	pg_atomic_write_u64(&stream->wanted_at, (uint64) GetCurrentTimestamp());
}

bool
change_stream_wanted(void)
{
	TimestampTz at;

	if (counter_get(COUNTER_SUBSCRIBED_CHANNELS) > 0)
	{
		note_wanted();
		return true;
	}
	at = (TimestampTz) pg_atomic_read_u64(&stream->wanted_at);
	return at != 0 && !elapsed(at, GetCurrentTimestamp(), CHANGE_STREAM_LINGER);
}

void
change_stream_note_subscription(void)
{
	note_wanted();
	registry_wake(WORKER_CHANGES, 0);
	registry_wake(WORKER_CHANGE_DECODER, 0);
}

/* -------------------------------------------------------- state ----------------------------------------------------- */

void
change_stream_get(ChangeStreamInfo *info)
{
	SpinLockAcquire(&stream->mutex);
	*info = stream->info;
	SpinLockRelease(&stream->mutex);
}

/* Under the mutex. True if something changed. */
static bool
enter(ChangeStreamState state, const char *text)
{
	bool		changed = stream->info.state != state || strcmp(stream->info.text, text) != 0;

	stream->info.state = state;
	strcpy(stream->info.text, text);
	if (state != CHANGE_STREAM_STARTING)
		stream->info.waiting_for = InvalidTransactionId;
	return changed;
}

void
change_stream_set(ChangeStreamState state, const char *text)
{
	char		copy[CHANGE_STREAM_TEXT_SIZE];
	bool		changed;

	strlcpy(copy, text != NULL ? text : "", sizeof(copy));
	SpinLockAcquire(&stream->mutex);
	changed = enter(state, copy);
	SpinLockRelease(&stream->mutex);
	if (changed)
		registry_wake(WORKER_CHANGES, 0);
}

void
change_stream_explain(const char *text)
{
	char		copy[CHANGE_STREAM_TEXT_SIZE];
	bool		changed = false;

	strlcpy(copy, text, sizeof(copy));
	SpinLockAcquire(&stream->mutex);
	if (stream->info.state == CHANGE_STREAM_STARTING)
		changed = enter(CHANGE_STREAM_STARTING, copy);
	SpinLockRelease(&stream->mutex);
	if (changed)
		registry_wake(WORKER_CHANGES, 0);
}

void
change_stream_set_waiting_for(TransactionId xid)
{
	SpinLockAcquire(&stream->mutex);
	stream->info.waiting_for = xid;
	SpinLockRelease(&stream->mutex);
}

void
change_stream_set_reading(XLogRecPtr reading)
{
	SpinLockAcquire(&stream->mutex);
	stream->info.reading = reading;
	SpinLockRelease(&stream->mutex);
}

void
change_stream_set_delivered(XLogRecPtr end, TimestampTz at)
{
	SpinLockAcquire(&stream->mutex);
	stream->info.delivered = end;
	stream->info.delivered_at = at;
	SpinLockRelease(&stream->mutex);
}

/* ------------------------------------------------------ the two ends ------------------------------------------------ */

static void
let_go_of_queue(void)
{
	shm_mq_handle *mine = handle;

	handle = NULL;
	if (mine != NULL)
		shm_mq_detach(mine);
}

static void
receiver_exits(int code, Datum argument)
{
	let_go_of_queue();
	SpinLockAcquire(&stream->mutex);
	if (stream->receiver == MyProcPid)
	{
		stream->receiver = 0;
		if (stream->info.state != CHANGE_STREAM_UNAVAILABLE)
			(void) enter(CHANGE_STREAM_CLOSED, "");
	}
	SpinLockRelease(&stream->mutex);
	registry_wake(WORKER_CHANGE_DECODER, 0);
}

static void
sender_exits(int code, Datum argument)
{
	let_go_of_queue();
	SpinLockAcquire(&stream->mutex);
	if (stream->sender == MyProcPid)
	{
		stream->sender = 0;
		if (stream->info.state == CHANGE_STREAM_RUNNING || stream->info.state == CHANGE_STREAM_STARTING)
			(void) enter(stream->receiver != 0 ? CHANGE_STREAM_STARTING : CHANGE_STREAM_CLOSED, "");
	}
	SpinLockRelease(&stream->mutex);
	registry_wake(WORKER_CHANGES, 0);
}

static bool
has_sender(void)
{
	bool		has;

	SpinLockAcquire(&stream->mutex);
	has = stream->sender != 0;
	SpinLockRelease(&stream->mutex);
	return has;
}

/* The queue is not opened anew before its sender has gone, so whoever receives is the one that it had at first. */
bool
change_stream_is_received(void)
{
	bool		received;

	SpinLockAcquire(&stream->mutex);
	received = stream->receiver != 0;
	SpinLockRelease(&stream->mutex);
	return received;
}

/* While there is no receiver nobody becomes the sender. */
static void
close_stream(void)
{
	let_go_of_queue();
	SpinLockAcquire(&stream->mutex);
	stream->receiver = 0;
	stream->is_new = false;
	SpinLockRelease(&stream->mutex);
	while (has_sender())
	{
		registry_wake(WORKER_CHANGE_DECODER, 0);
		worker_nap(LOOK_FOR_SENDER);
	}
}

shm_mq_handle *
change_stream_open(void)
{
	static bool registered;
	MemoryContext before = MemoryContextSwitchTo(TopMemoryContext);
	shm_mq	   *queue;

	if (!registered)
		before_shmem_exit(receiver_exits, (Datum) 0);
	registered = true;
	close_stream();
	queue = shm_mq_create(queue_memory, QUEUE_SIZE);
	shm_mq_set_receiver(queue, MyProc);
	handle = shm_mq_attach(queue, NULL, NULL);
	SpinLockAcquire(&stream->mutex);
	stream->receiver = MyProcPid;
	stream->is_new = true;
	if (stream->info.state != CHANGE_STREAM_UNAVAILABLE)
		(void) enter(CHANGE_STREAM_STARTING, "");
	SpinLockRelease(&stream->mutex);
	registry_wake(WORKER_CHANGE_DECODER, 0);
	MemoryContextSwitchTo(before);
	return handle;
}

/* From here on the receiver does not make the queue anew, even if it lets go of it. */
static bool
become_sender(void)
{
	bool		is_open;

	SpinLockAcquire(&stream->mutex);
	is_open = stream->receiver != 0 && stream->is_new;
	if (is_open)
	{
		stream->sender = MyProcPid;
		stream->is_new = false;
	}
	SpinLockRelease(&stream->mutex);
	return is_open;
}

shm_mq_handle *
change_stream_attach(void)
{
	static bool registered;
	MemoryContext before;
	shm_mq	   *queue = (shm_mq *) queue_memory;

	if (!registered)
		before_shmem_exit(sender_exits, (Datum) 0);
	registered = true;
	if (!become_sender())
		return NULL;
	before = MemoryContextSwitchTo(TopMemoryContext);
	shm_mq_set_sender(queue, MyProc);
	handle = shm_mq_attach(queue, NULL, NULL);
	MemoryContextSwitchTo(before);
	return handle;
}
