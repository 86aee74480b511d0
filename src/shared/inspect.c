/*
 * inspect.c
 *	  How a backend looks into a listener.
 *
 * The page goes round:	FREE -> ASKED -> FILLING -> ANSWERED -> FREE
 *
 * A backend that gives up takes ASKED or ANSWERED back to FREE by itself; while the listener is FILLING it may only
 * mark the page ABANDONED, and the listener frees it. The state and the request are guarded by the mutex, the page by
 * the state.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "shared/elapsed.h"
#include "shared/inspect.h"
#include "shared/registry.h"
#include "shared/settings.h"

#define NOBODY			PG_UINT32_MAX
#define ANSWER_TIMEOUT	5000	/* ms */
#define ARGUMENT_NULL	SIZE_MAX

typedef enum PageState
{
	PAGE_FREE,
	PAGE_ASKED,
	PAGE_FILLING,
	PAGE_ANSWERED,
	PAGE_ABANDONED
} PageState;

typedef struct Inspection
{
	pg_atomic_uint32 asked;		/* listener that is asked, else NOBODY: read without the mutex in each loop turn */
	slock_t		mutex;
	PageState	state;
	int			owner;			/* pid of the backend that asks */
	InspectWhat what;
	Size		argument_length[INSPECT_ARGUMENTS]; /* ARGUMENT_NULL: null */
	char		arguments[INSPECT_ARGUMENT_SIZE];
	uint64		cursor;
	bool		finished;
	Size		length;
	ConditionVariable changed;
	char		page[INSPECT_PAGE_SIZE];
} Inspection;

static Inspection *inspection;

Size
inspect_shmem_size(void)
{
	return sizeof(Inspection);
}

void
inspect_shmem_init(void)
{
	bool		found;

	inspection = ShmemInitStruct("realtime inspection", sizeof(Inspection), &found);
	if (found)
		return;
	memset(inspection, 0, offsetof(Inspection, page));
	pg_atomic_init_u32(&inspection->asked, NOBODY);
	SpinLockInit(&inspection->mutex);
	ConditionVariableInit(&inspection->changed);
}

/* ------------------------------------------------ the listener's side ------------------------------------------------ */

/* The arguments stay as they are until the page is free again. */
static void
take_arguments(InspectWriter *writer)
{
	const char *at = inspection->arguments;

	for (int i = 0; i < INSPECT_ARGUMENTS; i++)
	{
		Size		length = inspection->argument_length[i];

		writer->arguments[i] = length == ARGUMENT_NULL ? SLICE_EMPTY : slice_make(at, length);
		at += length == ARGUMENT_NULL ? 0 : length;
	}
}

bool
inspect_pending(int listener, InspectWriter *writer)
{
	bool		mine;

	if (pg_atomic_read_u32(&inspection->asked) != (uint32) listener)
		return false;
	SpinLockAcquire(&inspection->mutex);
	mine = inspection->state == PAGE_ASKED && pg_atomic_read_u32(&inspection->asked) == (uint32) listener;
	if (mine)
	{
		inspection->state = PAGE_FILLING;
		writer->what = inspection->what;
		writer->cursor = inspection->cursor;
	}
	SpinLockRelease(&inspection->mutex);
	if (!mine)
		return false;
	take_arguments(writer);
	writer->finished = false;
	writer->page = inspection->page;
	writer->used = 0;
	writer->row_start = 0;
	writer->overflow = false;
	return true;
}

void
inspect_answer(int listener, InspectWriter *writer)
{
	pg_atomic_write_u32(&inspection->asked, NOBODY);
	SpinLockAcquire(&inspection->mutex);
	inspection->cursor = writer->cursor;
	inspection->finished = writer->finished;
	inspection->length = writer->used;
	inspection->state = inspection->state == PAGE_FILLING ? PAGE_ANSWERED : PAGE_FREE;
	SpinLockRelease(&inspection->mutex);
	ConditionVariableBroadcast(&inspection->changed);
}

void
inspect_row_begin(InspectWriter *writer)
{
	writer->row_start = writer->used;
	writer->overflow = false;
}

static void
put_field(InspectWriter *writer, uint32 length, const char *data)
{
	Size		bytes = length == INSPECT_NULL ? 0 : length;

	if (writer->overflow || sizeof(uint32) + bytes > INSPECT_PAGE_SIZE - writer->used)
	{
		writer->overflow = true;
		return;
	}
	memcpy(writer->page + writer->used, &length, sizeof(uint32));
	if (data != NULL && bytes > 0)
		memcpy(writer->page + writer->used + sizeof(uint32), data, bytes);
	writer->used += sizeof(uint32) + bytes;
}

void
inspect_text(InspectWriter *writer, Slice text)
{
	put_field(writer, text.len, text.data);
}

void
inspect_int(InspectWriter *writer, int64 value)
{
	char		text[32];

	put_field(writer, snprintf(text, sizeof(text), INT64_FORMAT, value), text);
}

void
inspect_null(InspectWriter *writer)
{
	put_field(writer, INSPECT_NULL, NULL);
}

bool
inspect_row_end(InspectWriter *writer)
{
	if (writer->overflow)
		writer->used = writer->row_start;
	return !writer->overflow;
}

/* ------------------------------------------------ the backend's side ------------------------------------------------- */

/* Take the page, or wait for whoever has it. */
static void
take_page(void)
{
	TimestampTz begin = GetCurrentTimestamp();

	ConditionVariablePrepareToSleep(&inspection->changed);
	for (;;)
	{
		bool		taken = false;

		SpinLockAcquire(&inspection->mutex);
		if (inspection->state == PAGE_FREE && inspection->owner == 0)
		{
			inspection->owner = MyProcPid;
			taken = true;
		}
		SpinLockRelease(&inspection->mutex);
		if (taken)
			break;
		if (elapsed(begin, GetCurrentTimestamp(), 2 * ANSWER_TIMEOUT))
			ereport(ERROR,
					(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
					 errmsg("another session is reading the state of the realtime listeners"),
					 errhint("Try again.")));
		ConditionVariableTimedSleep(&inspection->changed, 200, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
}

/* At the end, at an error and at FATAL: whatever the page is in the middle of, let go of it. */
static void
give_page_back(int code, Datum argument)
{
	SpinLockAcquire(&inspection->mutex);
	if (inspection->owner == MyProcPid)
	{
		inspection->owner = 0;
		if (inspection->state == PAGE_FILLING)
			inspection->state = PAGE_ABANDONED;
		else
		{
			inspection->state = PAGE_FREE;
			pg_atomic_write_u32(&inspection->asked, NOBODY);
		}
	}
	SpinLockRelease(&inspection->mutex);
	ConditionVariableBroadcast(&inspection->changed);
}

/* The page is ours. */
static void
put_arguments(const Slice *arguments)
{
	Size		used = 0;

	for (int i = 0; i < INSPECT_ARGUMENTS; i++)
	{
		Slice		argument = arguments == NULL ? SLICE_EMPTY : arguments[i];

		if (argument.len > INSPECT_ARGUMENT_SIZE - used)
			ereport(ERROR,
					(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
					 errmsg("the arguments are longer than %d bytes", INSPECT_ARGUMENT_SIZE)));
		inspection->argument_length[i] = argument.data == NULL ? ARGUMENT_NULL : argument.len;
		if (argument.len > 0)
			memcpy(inspection->arguments + used, argument.data, argument.len);
		used += argument.len;
	}
}

static void
ask(int listener, InspectWhat what, uint64 cursor)
{
	SpinLockAcquire(&inspection->mutex);
	inspection->what = what;
	inspection->cursor = cursor;
	inspection->state = PAGE_ASKED;
	pg_atomic_write_u32(&inspection->asked, listener);
	SpinLockRelease(&inspection->mutex);
	registry_wake(WORKER_LISTENER, listener);
}

/* Wait until the listener has answered; false if it is gone. */
static bool
wait_for_answer(int listener)
{
	TimestampTz begin = GetCurrentTimestamp();
	WorkerInfo	info;

	ConditionVariablePrepareToSleep(&inspection->changed);
	for (;;)
	{
		PageState	state;

		SpinLockAcquire(&inspection->mutex);
		state = inspection->state;
		SpinLockRelease(&inspection->mutex);
		if (state == PAGE_ANSWERED)
			break;
		if (!registry_get(WORKER_LISTENER, listener, &info) || info.state != WORKER_RUNNING)
		{
			ConditionVariableCancelSleep();
			return false;
		}
		if (elapsed(begin, GetCurrentTimestamp(), ANSWER_TIMEOUT))
			ereport(ERROR,
					(errcode(ERRCODE_QUERY_CANCELED),
					 errmsg("realtime listener %d did not answer within %d seconds", listener, ANSWER_TIMEOUT / 1000),
					 errhint("See realtime.workers and the server log.")));
		ConditionVariableTimedSleep(&inspection->changed, 100, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	return true;
}

static void
inspect_listener(int listener, InspectWhat what, InspectCallback callback, void *arg)
{
	uint64		cursor = 0;
	bool		finished = false;

	while (!finished)
	{
		char	   *page;
		Size		length;

		ask(listener, what, cursor);
		if (!wait_for_answer(listener))
			return;
		length = inspection->length;
		finished = inspection->finished;
		if (length == 0 && !finished && cursor == inspection->cursor)
			elog(ERROR, "realtime listener %d makes no progress at %llu", listener, (unsigned long long) cursor);
		cursor = inspection->cursor;
		page = palloc(Max(length, 1));
		memcpy(page, inspection->page, length);
		callback(listener, page, length, arg);
		pfree(page);
	}
}

void
inspect_all(InspectWhat what, const Slice *arguments, InspectCallback callback, void *arg)
{
	take_page();
	PG_ENSURE_ERROR_CLEANUP(give_page_back, (Datum) 0);
	{
		put_arguments(arguments);
		for (int i = 0; i < realtime_listeners; i++)
		{
			WorkerInfo	info;

			if (registry_get(WORKER_LISTENER, i, &info) && info.state == WORKER_RUNNING)
				inspect_listener(i, what, callback, arg);
		}
	}
	PG_END_ENSURE_ERROR_CLEANUP(give_page_back, (Datum) 0);
	give_page_back(0, (Datum) 0);
}

bool
inspect_next_field(const char *page, Size length, Size *offset, Slice *field)
{
	uint32		bytes;

	if (*offset + sizeof(uint32) > length)
		return false;
	memcpy(&bytes, page + *offset, sizeof(uint32));
	*offset += sizeof(uint32);
	if (bytes == INSPECT_NULL)
	{
		*field = SLICE_EMPTY;
		return true;
	}
	field->data = page + *offset;
	field->len = bytes;
	*offset += bytes;
	return true;
}
