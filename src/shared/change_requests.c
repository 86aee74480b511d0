/*
 * change_requests.c
 *	  What the listeners ask of the changes worker.
 */
#include "postgres.h"

#include "port/atomics.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"

#include "shared/change_requests.h"
#include "shared/registry.h"
#include "shared/shmem.h"

#define RING_SIZE		(4 * 1024 * 1024)

/* Positions are bytes since server start: begin <= end <= begin + RING_SIZE. */
typedef struct Ring
{
	pg_atomic_uint64 begin;		/* changed by the worker, under the lock */
	pg_atomic_uint64 end;
	char		bytes[RING_SIZE];
} Ring;

/* How a request lies in the ring: this, then topic, role, claims and entries. */
typedef struct Stored
{
	uint32		size;			/* of all */
	ChangeRequest request;		/* its slices have lengths only */
} Stored;

static Ring *ring;

Size
change_requests_shmem_size(void)
{
	return sizeof(Ring);
}

void
change_requests_shmem_init(void)
{
	bool		found;

	ring = ShmemInitStruct("realtime change requests", sizeof(Ring), &found);
	if (found)
		return;
	pg_atomic_init_u64(&ring->begin, 0);
	pg_atomic_init_u64(&ring->end, 0);
}

/* The ring's end may lie within what is copied. */
static void
copy_in(uint64 *position, const void *bytes, Size size)
{
	Size		at = *position % RING_SIZE;
	Size		first = Min(size, RING_SIZE - at);

	if (size == 0)
		return;
	memcpy(ring->bytes + at, bytes, first);
	memcpy(ring->bytes, (const char *) bytes + first, size - first);
	*position += size;
}

static void
copy_out(uint64 position, void *bytes, Size size)
{
	Size		at = position % RING_SIZE;
	Size		first = Min(size, RING_SIZE - at);

	memcpy(bytes, ring->bytes + at, first);
	memcpy((char *) bytes + first, ring->bytes, size - first);
}

bool
change_request_put(const ChangeRequest *request, bool *too_large)
{
	Stored		stored = {.request = *request};
	Size		size = sizeof(Stored) + request->topic.len + request->role.len + request->claims.len + request->entries.len;
	uint64		position;
	bool		fits;

	*too_large = size > CHANGE_REQUEST_MAX;
	if (*too_large)
		return false;
	stored.size = size;
	LWLockAcquire(realtime_lock(LOCK_CHANGE_REQUESTS), LW_EXCLUSIVE);
	position = pg_atomic_read_u64(&ring->end);
	fits = position + size - pg_atomic_read_u64(&ring->begin) <= RING_SIZE;
	if (fits)
	{
		copy_in(&position, &stored, sizeof(Stored));
		copy_in(&position, request->topic.data, request->topic.len);
		copy_in(&position, request->role.data, request->role.len);
		copy_in(&position, request->claims.data, request->claims.len);
		copy_in(&position, request->entries.data, request->entries.len);
		pg_write_barrier();
		pg_atomic_write_u64(&ring->end, position);
	}
	LWLockRelease(realtime_lock(LOCK_CHANGE_REQUESTS));
	if (fits)
		registry_wake(WORKER_CHANGES, 0);
	return fits;
}

static bool
is_empty(void)
{
	return pg_atomic_read_u64(&ring->end) == pg_atomic_read_u64(&ring->begin);
}

static Slice
next_part(char **at, Size len)
{
	Slice		part = slice_make(*at, len);

	*at += len;
	return part;
}

/* Only the worker moves begin, so what lies between begin and an end that was once read does not change. */
bool
change_request_take(ChangeRequest *request, char **buffer, Size *size)
{
	uint64		begin = pg_atomic_read_u64(&ring->begin);
	Stored		stored;
	char	   *at;

	if (is_empty())
		return false;
	pg_read_barrier();
	copy_out(begin, &stored, sizeof(Stored));
	if (stored.size > *size)
	{
		*buffer = repalloc(*buffer, stored.size);
		*size = stored.size;
	}
	copy_out(begin, *buffer, stored.size);
	*request = stored.request;
	at = *buffer + sizeof(Stored);
	request->topic = next_part(&at, stored.request.topic.len);
	request->role = next_part(&at, stored.request.role.len);
	request->claims = next_part(&at, stored.request.claims.len);
	request->entries = next_part(&at, stored.request.entries.len);

	LWLockAcquire(realtime_lock(LOCK_CHANGE_REQUESTS), LW_EXCLUSIVE);
	pg_atomic_write_u64(&ring->begin, begin + stored.size);
	LWLockRelease(realtime_lock(LOCK_CHANGE_REQUESTS));
	return true;
}
