/*
 * output.c
 *	  From queues to sockets.
 *
 * A send costs the same whether it carries one frame or fifty, so a connection that has something to get is put on a
 * list and written to once per turn, with all its frames in one buffer. In a fan-out the connections of a topic have
 * the very same frames queued; the buffer that was put together for the last of them is then used again. What a
 * socket does not take stays in the queue, where all connections share it.
 */
#include "postgres.h"

#include "listener/discard.h"
#include "listener/limits.h"
#include "listener/output.h"
#include "listener/server.h"
#include "listener/tally.h"
#include "shared/settings.h"

#define WRITE_MAX			(64 * 1024) /* bytes that are put together for one write */
#define TURN_MAX			(1024 * 1024)	/* bytes for one connection in one turn */
#define QUEUE_MIN			8		/* frames */
#define QUEUE_KEPT			64		/* a larger queue is given back when it is empty */
#define GATHER_MAX			1024	/* frames in one write */

/* Frames that are dropped in one turn when there is no memory left for queues: some milliseconds of it. */
#define EVICTED_PER_TURN	500000

static Connection *list_head;
static Connection *list_tail;
static Size references;			/* bytes of all queues; what they refer to is counted by frame.c */
static Size told_memory;		/* of it all, as realtime.stats has it */
static bool evicting;			/* it has been over queue_memory */

/* Frames that were put together last, and the bytes that came of it; valid within one turn. */
static Frame *gathered[GATHER_MAX];
static uint32 gathered_count;
static unsigned char gather_buffer[WRITE_MAX];

void
output_wants_turn(Connection *connection)
{
	if (connection->on_output_list)
		return;
	connection->on_output_list = true;
	connection->next_output = NULL;
	if (list_tail != NULL)
		list_tail->next_output = connection;
	else
		list_head = connection;
	list_tail = connection;
}

bool
output_waiting(void)
{
	return list_head != NULL || discard_waiting();
}

/* Give the queue this capacity, enough for what is in it from its beginning on; false: no memory. */
static bool
resize(Connection *connection, uint32 capacity)
{
	Frame	  **queue = realloc(connection->queue, capacity * sizeof(Frame *));

	if (queue == NULL)
		return false;
	references += (Size) capacity * sizeof(Frame *);
	references -= (Size) connection->queue_capacity * sizeof(Frame *);
	connection->queue = queue;
	connection->queue_capacity = capacity;
	return true;
}

/* The whole queue goes. */
static void
discard_queue(Connection *connection)
{
	references -= (Size) connection->queue_capacity * sizeof(Frame *);
	discard_frames(connection->queue, connection->queue_head, connection->queue_count, connection->queue_capacity);
	connection->queue = NULL;
	connection->queue_capacity = connection->queue_head = connection->queue_count = 0;
}

/* What is done goes away. */
static void
move_to_front(Connection *connection)
{
	connection->queue_count -= connection->queue_head;
	memmove(connection->queue, connection->queue + connection->queue_head, connection->queue_count * sizeof(Frame *));
	connection->queue_head = 0;
}

/* Make room for one more frame: move the queue to the front, or make it larger. */
static bool
make_room(Connection *connection)
{
	if (connection->queue_count < connection->queue_capacity)
		return true;
	if (connection->queue_head > connection->queue_capacity / 2)
	{
		move_to_front(connection);
		return true;
	}
	return resize(connection, Max(connection->queue_capacity * 2, QUEUE_MIN));
}

/* Keep an eye on one that is over the soft limit. */
static void
watch_soft_limit(Connection *connection)
{
	if (!limits_queue_over(connection, connection->queued_bytes, LIMIT_QUEUE_SOFT))
		connection->over_soft_since = 0;
	else if (connection->over_soft_since == 0 && connection->state == CONNECTION_OPEN)
	{
		connection->over_soft_since = connection_clock();
		connection_schedule(connection);
	}
}

void
output_reloaded(Connection *connection)
{
	if (connection->blocked)
		watch_soft_limit(connection);
}

/* So many bytes are queued. */
static void
set_queued_bytes(Connection *connection, Size bytes)
{
	tally(COUNTER_QUEUED_BYTES, (int64) bytes - (int64) connection->queued_bytes);
	connection->queued_bytes = bytes;
}

static void
append(Connection *connection, Frame *frame)
{
	connection->queue[connection->queue_count++] = frame_ref(frame);
	set_queued_bytes(connection, connection->queued_bytes + frame->len);
	if (!connection->blocked)
		output_wants_turn(connection);
}

void
output_queue(Connection *connection, Frame *frame)
{
	if (connection->state != CONNECTION_OPEN && connection->state != CONNECTION_HTTP)
		return;
	if (frame == NULL || !make_room(connection))
	{
		if (connection->state == CONNECTION_HTTP)
			connection_cut(connection);
		connection_close(connection, CLOSE_INTERNAL, "out of memory", true);
		return;
	}
	/* a single message over the limit is let through, or its sender could never be told */
	if (connection->queued_bytes > 0 &&
		limits_queue_over(connection, connection->queued_bytes + frame->len, LIMIT_QUEUE))
	{
		tally(COUNTER_SLOW_CONSUMERS_CLOSED, 1);
		connection_close(connection, CLOSE_TRY_LATER, "too slow: over client_queue_size, connect again and resume", true);
		return;
	}
	append(connection, frame);
	connection->sent += frame->messages;
	if (connection->blocked)
		watch_soft_limit(connection);
}

void
output_send(Connection *connection, Frame *frame)
{
	output_queue(connection, frame);
	frame_unref(frame);
}

void
output_last(Connection *connection, Frame *frame)
{
	if (frame != NULL && make_room(connection))
		append(connection, frame);
	frame_unref(frame);
}

/* An empty queue that has become large is given back. */
static void
queue_emptied(Connection *connection)
{
	connection->queue_head = connection->queue_count = 0;
	connection->head_offset = 0;
	if (connection->queue_capacity > QUEUE_KEPT)
		discard_queue(connection);
}

/* All but the first frame goes. Without memory for a new queue it goes at once, and the old one stays. */
static void
discard_all_but_first(Connection *connection)
{
	Frame	   *first = connection->queue[connection->queue_head];
	Frame	  **queue = malloc(QUEUE_MIN * sizeof(Frame *));

	if (queue == NULL)
	{
		while (connection->queue_count > connection->queue_head + 1)
			frame_unref(connection->queue[--connection->queue_count]);
		return;
	}
	queue[0] = frame_ref(first);
	discard_queue(connection);
	connection->queue = queue;
	connection->queue_count = 1;
	connection->queue_capacity = QUEUE_MIN;
	references += QUEUE_MIN * sizeof(Frame *);
}

/* A frame that is half sent has to be sent whole, or what comes after it could not be read. */
void
output_drop(Connection *connection)
{
	connection->over_soft_since = 0;
	if (connection->head_offset > 0)
	{
		set_queued_bytes(connection, connection->queue[connection->queue_head]->len - connection->head_offset);
		discard_all_but_first(connection);
	}
	else
	{
		set_queued_bytes(connection, 0);
		discard_queue(connection);
	}
}

void
output_free(Connection *connection)
{
	connection->head_offset = 0;
	output_drop(connection);
}

/* So many bytes of the queue have been sent. */
static void
advance(Connection *connection, Size bytes)
{
	set_queued_bytes(connection, connection->queued_bytes - bytes);
	while (bytes > 0)
	{
		Frame	   *frame = connection->queue[connection->queue_head];
		Size		left = frame->len - connection->head_offset;

		if (bytes < left)
		{
			connection->head_offset += bytes;
			break;
		}
		bytes -= left;
		frame_unref(frame);
		connection->queue_head++;
		connection->head_offset = 0;
	}
	if (connection->queue_head == connection->queue_count)
		queue_emptied(connection);
}

/*
 * The next bytes to be sent: of the first frame alone if it is half sent, large, or the only one; else of as many
 * frames as fit, put together, unless that has just been done for another connection.
 */
static const unsigned char *
gather(const Connection *connection, Size *bytes)
{
	Frame	  **frames = connection->queue + connection->queue_head;
	uint32		left = Min(connection->queue_count - connection->queue_head, GATHER_MAX);
	uint32		n = 0;
	Size		at = 0;

	*bytes = 0;
	if (connection->head_offset == 0)
		while (n < left && *bytes + frames[n]->len <= WRITE_MAX)
			*bytes += frames[n++]->len;
	if (n <= 1)
	{
		*bytes = Min(frames[0]->len - connection->head_offset, TURN_MAX);
		return frames[0]->bytes + connection->head_offset;
	}
	if (n == gathered_count && memcmp(frames, gathered, n * sizeof(Frame *)) == 0)
		return gather_buffer;
	for (uint32 i = 0; i < n; i++)
	{
		memcpy(gather_buffer + at, frames[i]->bytes, frames[i]->len);
		at += frames[i]->len;
	}
	memcpy(gathered, frames, n * sizeof(Frame *));
	gathered_count = n;
	return gather_buffer;
}

/* Addresses of frames may be used again for others between two turns. */
static void
forget_gathered(void)
{
	gathered_count = 0;
}

/* Write until the queue is empty, the socket is full or it is the others' turn. False: the socket is broken. */
static bool
flush(Connection *connection)
{
	Size		total = 0;

	while (connection->queue_head < connection->queue_count && !connection->blocked)
	{
		Size		bytes;
		const unsigned char *from = gather(connection, &bytes);
		bool		full;
		ssize_t		sent = server_send(connection, from, bytes, &full);

		if (sent < 0)
			return false;
		tally(COUNTER_BYTES_SENT, sent);
		advance(connection, sent);
		total += sent;
		if (full)
		{
			connection->blocked = true;
			server_want_writeable(connection);
		}
		else if (total >= TURN_MAX)
		{
			output_wants_turn(connection);
			break;
		}
	}
	if (connection->blocked || connection->over_soft_since != 0)
		watch_soft_limit(connection);
	return true;
}

/* Write, and end what then has nothing left to get: also what TLS has kept is sent. False: the socket is broken. */
static bool
serve(Connection *connection)
{
	if (!flush(connection))
	{
		connection_cut(connection);
		return false;
	}
	if (connection->state == CONNECTION_CLOSING && connection->queue_head == connection->queue_count &&
		!connection->blocked)
		connection_drained(connection);
	return true;
}

static bool
may_write(const Connection *connection)
{
	return connection->state == CONNECTION_HTTP || connection->state == CONNECTION_OPEN ||
		connection->state == CONNECTION_CLOSING;
}

void
output_turn(void)
{
	Connection *next = list_head;

	forget_gathered();
	list_head = list_tail = NULL;
	while (next != NULL)
	{
		Connection *connection = next;

		next = connection->next_output;
		connection->on_output_list = false;
		if (may_write(connection))
			(void) serve(connection);
	}
	forget_gathered();
}

void
output_now(Connection *connection)
{
	forget_gathered();
	if (may_write(connection))
		(void) serve(connection);
}

bool
output_writeable(Connection *connection)
{
	connection->blocked = false;
	if (!may_write(connection))
		return true;
	forget_gathered();
	return serve(connection);
}

/* What waits to be sent, and the queues themselves. */
static Size
memory_used(void)
{
	return frame_memory() + references + discard_memory();
}

/* A queue costs what it holds and its references; shared frames count for each, since all of them keep them alive. */
static Size
cost(const Connection *connection)
{
	if (connection->state != CONNECTION_OPEN || !connection->blocked)
		return 0;
	return connection->queued_bytes + connection->queue_capacity * sizeof(Frame *);
}

static Size
highest_cost(void)
{
	Size		highest = 0;

	for (uint32 slot = 0; slot < connections_slots(); slot++)
	{
		Connection *connection = connection_at(slot);

		if (connection != NULL)
			highest = Max(highest, cost(connection));
	}
	return highest;
}

/* Close those above this cost, until enough is free or it is enough work for one turn. */
static void
evict_above(Size limit, Size enough)
{
	Size		dropped = 0;

	for (uint32 slot = 0; slot < connections_slots() && memory_used() > enough && dropped < EVICTED_PER_TURN; slot++)
	{
		Connection *connection = connection_at(slot);

		if (connection == NULL || cost(connection) <= limit)
			continue;
		dropped += connection->queue_count - connection->queue_head;
		tally(COUNTER_SLOW_CONSUMERS_CLOSED, 1);
		connection_close(connection, CLOSE_TRY_LATER, "too slow: over queue_memory, connect again and resume", true);
		discard_turn(true);
	}
}

/*
 * The longest queues go first, down to half of the longest of all: so those who are merely a little behind stay, and it
 * takes no order among all. Once begun it goes on, a part in each turn, until a quarter of the budget is free. Nobody is
 * closed as long as queues are left that nobody sends any more.
 */
void
output_keep_budget(void)
{
	Size		budget = (Size) realtime_queue_memory * 1024 * 1024;

	discard_turn(budget > 0 && memory_used() > budget);
	if (budget == 0 || memory_used() <= (evicting ? budget / 4 * 3 : budget))
		evicting = false;
	else if (!discard_waiting())
	{
		Size		highest = highest_cost();

		evicting = highest > 0;
		if (evicting)
			evict_above(highest / 2, budget / 4 * 3);
	}
	tally(COUNTER_QUEUE_MEMORY, (int64) memory_used() - (int64) told_memory);
	told_memory = memory_used();
}
