/*
 * connection.c
 *	  The pool of connections, their states and their time limits.
 */
#include "postgres.h"

#include <sys/socket.h>
#include <time.h>

#include "utils/timestamp.h"

#include "listener/channel.h"
#include "listener/asking.h"
#include "listener/connection.h"
#include "listener/input.h"
#include "listener/output.h"
#include "listener/presence.h"
#include "listener/rest.h"
#include "listener/server.h"
#include "listener/tally.h"
#include "shared/settings.h"

#define CHUNK			256		/* connections allocated at a time */
#define MAX_CHUNKS		4096

/* More that don't answer a close in time have to wait for the next tick: it costs some 40 µs each, and many end together. */
#define CUTS_PER_TURN	100

/* Times that need no precision are rounded up to this, so that many fire together. */
#define COARSE			1024	/* ms */

Wheel		connection_wheel;

static Connection *chunks[MAX_CHUNKS];
static uint32 slots;			/* made so far */
static Connection *free_list;
static Connection *gone_list;
static uint64 serials;
static uint32 count;
static uint32 unjoined;
static uint64 now_ms;
static uint32 cuts;				/* by timers, in this turn */

static void timer_fired(Timer *timer);

uint64
connection_clock(void)
{
	return now_ms;
}

void
connection_clock_read(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ms = (uint64) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void
connections_init(void)
{
	connection_clock_read();
	wheel_init(&connection_wheel, now_ms);
}

/* The only place where a state changes; keeps the counts that hang on it. */
static void
connection_enter(Connection *connection, ConnectionState state)
{
	connection->state = state;
	if (state == CONNECTION_HTTP)
	{
		count++;
		unjoined++;
		connection->counted_unjoined = true;
		tally(COUNTER_CONNECTIONS, 1);
	}
	else if (state == CONNECTION_GONE)
	{
		count--;
		if (connection->counted_unjoined)
			unjoined--;
		else
			tally(COUNTER_CONNECTIONS_JOINED, -1);
		connection->counted_unjoined = false;
		tally(COUNTER_CONNECTIONS, -1);
	}
}

/* Make the pool larger by a chunk. */
static bool
add_chunk(void)
{
	uint32		chunk = slots / CHUNK;

	if (chunk == MAX_CHUNKS)
		return false;
	chunks[chunk] = calloc(CHUNK, sizeof(Connection));
	if (chunks[chunk] == NULL)
		return false;
	for (int i = CHUNK - 1; i >= 0; i--)
	{
		Connection *connection = &chunks[chunk][i];

		connection->slot = slots + i;
		connection->next_free = free_list;
		free_list = connection;
	}
	slots += CHUNK;
	return true;
}

Connection *
connection_new(const char *address)
{
	Connection *connection;
	uint32		slot;
	uint32		generation;

	if (free_list == NULL && !add_chunk())
		return NULL;
	connection = free_list;
	free_list = connection->next_free;
	slot = connection->slot;
	generation = connection->generation + 1;
	memset(connection, 0, sizeof(*connection));
	connection->slot = slot;
	connection->generation = generation;
	connection->serial = ++serials;
	connection->connected_at = GetCurrentTimestamp();
	connection->last_received = now_ms;
	connection->timer.fire = timer_fired;
	strlcpy(connection->address, address, sizeof(connection->address));
	connection_enter(connection, CONNECTION_HTTP);
	connection_await_request(connection);
	return connection;
}

/* Slots and generations start at 0 and 1, so a handle is never NULL. */
void *
connection_handle(const Connection *connection)
{
	return (void *) (uintptr_t) ((uint64) connection->generation << 32 | connection->slot);
}

Connection *
connection_of_handle(const void *handle)
{
	uint64		bits = (uint64) (uintptr_t) handle;

	return connection_find((uint32) bits, (uint32) (bits >> 32));
}

Connection *
connection_find(uint32 slot, uint32 generation)
{
	Connection *connection = connection_at(slot);

	return connection != NULL && connection->generation == generation ? connection : NULL;
}

Connection *
connection_at(uint32 slot)
{
	Connection *connection;

	if (slot >= slots)
		return NULL;
	connection = &chunks[slot / CHUNK][slot % CHUNK];
	return connection->state != CONNECTION_FREE && connection->state != CONNECTION_GONE ? connection : NULL;
}

uint32
connections_slots(void)
{
	return slots;
}

uint32
connections_count(void)
{
	return count;
}

uint32
connections_unjoined(void)
{
	return unjoined;
}

void
connection_await_request(Connection *connection)
{
	if (connection->state == CONNECTION_HTTP)
	{
		connection->deadline = now_ms + realtime_handshake_timeout;
		connection_schedule(connection);
	}
}

void
connection_upgraded(Connection *connection, Token *token, Slice headers, uint8 vsn)
{
	connection->token = token;
	connection->headers = headers;
	connection->vsn = vsn;
	connection_enter(connection, CONNECTION_OPEN);
	connection_schedule(connection);
	tally(COUNTER_CONNECTS, 1);
}

void
connection_joined(Connection *connection)
{
	if (connection->counted_unjoined)
	{
		connection->counted_unjoined = false;
		unjoined--;
		tally(COUNTER_CONNECTIONS_JOINED, 1);
	}
}

/* What is queued goes out, within a time; then the connection ends. */
static void
begin_closing(Connection *connection)
{
	presence_connection_lost(connection);
	connection_enter(connection, CONNECTION_CLOSING);
	connection->deadline = now_ms + CONNECTION_CLOSE_TIME;
	connection->over_soft_since = 0;
	input_drop(connection);
	connection_schedule(connection);
	output_wants_turn(connection);
}

void
connection_close(Connection *connection, CloseCode code, const char *reason, bool drop)
{
	if (connection->state != CONNECTION_OPEN)
		return;
	if (drop)
		output_drop(connection);
	output_last(connection, frame_close(code, slice_cstring(reason)));
	begin_closing(connection);
}

void
connection_peer_closed(Connection *connection, Slice payload)
{
	unsigned	code = payload.len >= 2 ? (unsigned char) payload.data[0] << 8 | (unsigned char) payload.data[1] : 0;

	connection->peer_closed = true;
	if (connection->state == CONNECTION_LINGERING)
		connection_cut(connection);
	if (connection->state != CONNECTION_OPEN)
		return;
	if (payload.len == 0)
		output_last(connection, frame_control(FRAME_CLOSE, SLICE_EMPTY));
	else
		output_last(connection, frame_close(ws_close_code_valid(code) ? code : CLOSE_PROTOCOL_ERROR, SLICE_EMPTY));
	begin_closing(connection);
}

void
connection_finish(Connection *connection)
{
	if (connection->state == CONNECTION_HTTP)
		begin_closing(connection);
}

/*
 * A WebSocket stays until the client has closed, too; an HTTP connection is closed on our side, but what the client
 * may still be sending is read, since a socket that is closed with unread bytes resets the connection and the answer
 * may be lost.
 */
void
connection_drained(Connection *connection)
{
	if (connection->peer_closed)
	{
		connection_cut(connection);
		return;
	}
	if (connection->vsn == 0)
		server_shutdown(connection, SHUT_WR);
	connection_enter(connection, CONNECTION_LINGERING);
	connection->deadline = now_ms + (connection->vsn == 0 ? CONNECTION_LINGER_TIME : CONNECTION_CLOSE_TIME);
	connection_schedule(connection);
}

/* The socket is shut and libwebsockets then reads its end, whatever it is at: it must not be closed behind its back. */
void
connection_cut(Connection *connection)
{
	if (connection->state == CONNECTION_CUT || connection->state == CONNECTION_GONE ||
		connection->state == CONNECTION_FREE)
		return;
	presence_connection_lost(connection);
	connection_enter(connection, CONNECTION_CUT);
	output_drop(connection);
	input_drop(connection);
	wheel_cancel(&connection->timer);
	server_shutdown(connection, SHUT_RDWR);
}

void
connection_gone(Connection *connection)
{
	if (connection->state == CONNECTION_GONE || connection->state == CONNECTION_FREE)
		return;
	connection->wsi = NULL;
	presence_connection_lost(connection);
	asking_drop(connection);
	rest_drop(connection);
	channels_drop(connection);
	output_free(connection);
	input_drop(connection);
	wheel_cancel(&connection->timer);
	connection_enter(connection, CONNECTION_GONE);
	connection->next_free = gone_list;
	gone_list = connection;
}

/* One that still stands on the output list waits there until the next turn has passed it. */
void
connections_recycle(void)
{
	Connection *gone = gone_list;

	cuts = 0;
	gone_list = NULL;
	while (gone != NULL)
	{
		Connection *connection = gone;

		gone = connection->next_free;
		if (connection->on_output_list)
		{
			connection->next_free = gone_list;
			gone_list = connection;
			continue;
		}
		token_unref(connection->token);
		connection->token = NULL;
		free((char *) connection->headers.data);
		connection->headers = SLICE_EMPTY;
		connection_enter(connection, CONNECTION_FREE);
		connection->next_free = free_list;
		free_list = connection;
	}
}

void
connections_reloaded(void)
{
	for (uint32 slot = 0; slot < slots; slot++)
	{
		Connection *connection = connection_at(slot);

		if (connection == NULL || connection->state != CONNECTION_OPEN)
			continue;
		output_reloaded(connection);
		if (connection->tracks > 0)
			server_limit_unacknowledged(connection, realtime_client_timeout);
		connection_schedule(connection);
	}
}

static bool
ping_is_open(const Connection *connection)
{
	return connection->pinged_at > connection->last_received;
}

/* Who is present and quiet is pinged after ping_interval, and then has the rest of client_timeout, but half of it at least. */
static uint64
answer_due(const Connection *connection)
{
	int			rest = realtime_client_timeout - Min(realtime_ping_interval, realtime_client_timeout / 2);

	return Max(connection->last_received + realtime_client_timeout, connection->pinged_at + rest);
}

/* When to ping, or to look whether a ping was answered: bytes that come don't move the timer, so also when the next would be due. */
static uint64
ping_due(const Connection *connection)
{
	uint64		next = Max(connection->last_received, connection->pinged_at) + realtime_ping_interval;

	if (!ping_is_open(connection))
		return next;
	return next > now_ms ? Min(next, answer_due(connection)) : answer_due(connection);
}

/* When does something have to happen by itself? */
static uint64
next_deadline(const Connection *connection)
{
	uint64		due;

	if (connection->state != CONNECTION_OPEN)
		return connection->deadline;
	due = connection->last_received + realtime_idle_timeout;
	due = (due + COARSE - 1) / COARSE * COARSE;
	if (connection->over_soft_since != 0)
		due = Min(due, connection->over_soft_since + realtime_client_queue_soft_time);
	if (connection->tracks > 0)
		due = Min(due, ping_due(connection));
	return due;
}

void
connection_schedule(Connection *connection)
{
	if (connection->state == CONNECTION_CUT || connection->state == CONNECTION_GONE)
		return;
	wheel_set(&connection_wheel, &connection->timer, next_deadline(connection));
}

/* Who is present has to answer, if it has been quiet: a client that has vanished must not stay present. */
static void
ping(Connection *connection)
{
	connection->pinged_at = now_ms;
	output_send(connection, frame_control(FRAME_PING, SLICE_EMPTY));
}

/* The idle time is not moved on with each byte that comes; it is looked at here, when the old time is over. */
static void
timer_fired(Timer *timer)
{
	Connection *connection = (Connection *) ((char *) timer - offsetof(Connection, timer));

	if (connection->state != CONNECTION_OPEN)
	{
		if (now_ms < connection->deadline || cuts >= CUTS_PER_TURN)
			connection_schedule(connection);
		else if (!rest_too_late(connection))
		{
			cuts++;
			connection_cut(connection);
		}
	}
	else if (connection->over_soft_since != 0 &&
			 now_ms >= connection->over_soft_since + realtime_client_queue_soft_time)
	{
		tally(COUNTER_SLOW_CONSUMERS_CLOSED, 1);
		connection_close(connection, CLOSE_TRY_LATER, "too slow: over client_queue_soft for too long, connect again and resume", true);
	}
	else if (now_ms >= connection->last_received + realtime_idle_timeout)
		connection_close(connection, CLOSE_NORMAL, "", false);
	else if (connection->tracks > 0 && ping_is_open(connection) && now_ms >= answer_due(connection))
		connection_cut(connection);
	else
	{
		if (connection->tracks > 0 && !ping_is_open(connection) &&
			now_ms >= connection->last_received + realtime_ping_interval)
			ping(connection);
		connection_schedule(connection);
	}
}
