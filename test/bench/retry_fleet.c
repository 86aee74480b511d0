/*
 * retry_fleet.c
 *		Clients that come back by themselves as supabase-js does.
 */
#include "retry_fleet.h"

#include "clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define JOIN_TIMEOUT		(10 * NS_PER_SEC)
#define BEGUN_AT_ONCE		64		/* connections, before what has come is read */
#define SOURCES				8		/* addresses, each with 28,000 ports */
#define EVENTS_AT_ONCE		256
#define OTHER_FD			UINT64_MAX	/* epoll data: no client */

/* What supabase-js waits before it tries again. */
static const uint64_t pauses[RETRY_PAUSES] = {1 * NS_PER_SEC, 2 * NS_PER_SEC, 5 * NS_PER_SEC, 10 * NS_PER_SEC};

typedef enum client_phase
{
	PHASE_DOWN,					/* waits before it connects again */
	PHASE_CONNECTING,			/* no WebSocket yet */
	PHASE_JOINING,				/* the join is on its way, or is to be tried again */
	PHASE_JOINED
} client_phase;

/* Counts a refusal, apart from the others by its first words. */
static void
count_refusal(retry_fleet *f, const char *why)
{
	int			kind = 0;
	size_t		length = strcspn(why, "\"|\n\r");

	if (length > sizeof(f->refused[0].why) - 1)
		length = sizeof(f->refused[0].why) - 1;
	while (kind < RETRY_KINDS - 1 && f->refused[kind].count > 0 &&
		   (strncmp(f->refused[kind].why, why, length) != 0 || f->refused[kind].why[length] != '\0'))
		kind++;
	snprintf(f->refused[kind].why, sizeof(f->refused[kind].why), "%.*s", (int) length, why);
	f->refused[kind].count++;
}

/* Appends to a line; it grows as it has to. False: no memory. */
static bool
line_add(pause_line *line, uint64_t due, uint32_t client, uint32_t number)
{
	if (line->count == line->size)
	{
		uint32_t	size = line->size == 0 ? 1024 : line->size * 2;
		pause_entry *larger = malloc(size * sizeof(pause_entry));

		if (larger == NULL)
			return false;
		for (uint32_t i = 0; i < line->count; i++)
			larger[i] = line->entries[(line->head + i) % line->size];
		free(line->entries);
		line->entries = larger;
		line->head = 0;
		line->size = size;
	}
	line->entries[(line->head + line->count++) % line->size] = (pause_entry) {due, client, number};
	return true;
}

/* Takes the first of a line if its time has come. */
static bool
line_take(pause_line *line, uint64_t now, pause_entry *entry)
{
	if (line->count == 0 || line->entries[line->head].due > now)
		return false;
	*entry = line->entries[line->head];
	line->head = (line->head + 1) % line->size;
	line->count--;
	return true;
}

/* Lets a client wait before it tries again. */
static void
wait_before_retry(retry_fleet *f, uint32_t number, uint8_t *tries)
{
	uint32_t	which = *tries < RETRY_PAUSES ? *tries : RETRY_PAUSES - 1;

	if (*tries < UINT8_MAX)
		(*tries)++;
	line_add(&f->lines[which], clock_now() + pauses[which], number, ++f->clients[number].waits);
}

/* A client has lost its connection, or did not get one. */
static void
client_down(retry_fleet *f, uint32_t number)
{
	retry_client *client = &f->clients[number];

	ws_close(&client->ws);
	if (client->phase == PHASE_JOINED)
		f->joined--;
	client->phase = PHASE_DOWN;
	client->join_tries = 0;
	wait_before_retry(f, number, &client->connect_tries);
}

/* Says which events the epoll should tell of a client. */
static void
watch(retry_fleet *f, uint32_t number, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = number};

	epoll_ctl(f->epoll_fd, operation, f->clients[number].ws.fd, &event);
}

/* Begins a connection. */
static void
client_connect(retry_fleet *f, uint32_t number)
{
	retry_client *client = &f->clients[number];

	f->connects++;
	client->phase = PHASE_CONNECTING;
	if (ws_open(&client->ws, &f->server, ntohl(inet_addr("127.0.0.1")) + number % SOURCES))
		watch(f, number, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
	else
	{
		count_refusal(f, client->ws.error);
		client_down(f, number);
	}
}

/* Sends the join. */
static bool
client_join(retry_fleet *f, uint32_t number)
{
	retry_client *client = &f->clients[number];
	char		text[3072];
	int			n;

	client->phase = PHASE_JOINING;
	n = snprintf(text, sizeof(text),
				 "[\"1\",\"%u\",\"realtime:storm-%u\",\"phx_join\",{\"config\":{\"broadcast\":"
				 "{\"ack\":false,\"self\":false},\"presence\":{\"key\":\"\",\"enabled\":false},"
				 "\"postgres_changes\":[],\"private\":%s},\"access_token\":\"%s\"}]",
				 ++client->join_number, number, number % 2 == 0 ? "false" : "true",
				 PQgetvalue(f->tokens, (int) number, 0));
	line_add(&f->timeouts, clock_now() + JOIN_TIMEOUT, number, client->join_number);
	return ws_send_message(&client->ws, WS_OPCODE_TEXT, text, (size_t) n);
}

/* One message from the server: only replies to joins matter. */
static void
read_message(void *arg, int opcode, const uint8_t *data, size_t length)
{
	retry_fleet *f = arg;
	retry_client *client = &f->clients[f->current];
	const char *reason;
	char		why[128];

	if (opcode != WS_OPCODE_TEXT || client->phase != PHASE_JOINING || memmem(data, length, "\"phx_reply\"", 11) == NULL)
		return;
	if (memmem(data, length, "\"status\":\"ok\"", 13) != NULL)
	{
		client->phase = PHASE_JOINED;
		client->join_tries = 0;
		f->last_join = clock_now();
		if (f->since != 0)
			histogram_add(f->back, f->last_join - f->since);
		f->joined++;
		return;
	}
	reason = memmem(data, length, "\"reason\":\"", 10);
	snprintf(why, sizeof(why), "join: %.*s", reason == NULL ? 0 :
			 (int) strcspn(reason + 10, ":\""), reason == NULL ? "" : reason + 10);
	count_refusal(f, why);
	wait_before_retry(f, f->current, &client->join_tries);
}

/* The socket takes bytes. */
static bool
client_writable(retry_fleet *f, uint32_t number)
{
	retry_client *client = &f->clients[number];
	char		path[2048];

	if (client->ws.state != WS_CONNECTING)
	{
		if (!ws_flush(&client->ws))
			return false;
	}
	else
	{
		snprintf(path, sizeof(path), "/realtime/v1/websocket?apikey=%s&vsn=2.0.0",
				 PQgetvalue(f->tokens, (int) number, 0));
		if (!ws_upgrade(&client->ws, path))
			return false;
	}
	if (client->ws.unsent_length == 0)
		watch(f, number, EPOLL_CTL_MOD, EPOLLIN);
	return true;
}

/* One event of a client. */
static void
client_event(retry_fleet *f, uint32_t number, uint32_t events)
{
	retry_client *client = &f->clients[number];
	bool		alive = true;

	if (client->phase == PHASE_DOWN)
		return;
	if ((events & EPOLLOUT) != 0 || client->ws.state == WS_CONNECTING)
		alive = client_writable(f, number);
	if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
	{
		f->current = number;
		alive = ws_read(&client->ws, f->scratch, read_message, f);
		if (alive && client->phase == PHASE_CONNECTING && client->ws.state == WS_OPEN)
		{
			client->connect_tries = 0;
			alive = client_join(f, number);
		}
	}
	if (!alive)
	{
		count_refusal(f, client->ws.error);
		client_down(f, number);
	}
}

/* Lets those try again whose pause is over, but not so many that nobody reads. True: there are more. */
static bool
retry_due(retry_fleet *f)
{
	uint64_t	now = clock_now();
	pause_entry entry;
	int			begun = 0;

	while (line_take(&f->timeouts, now, &entry))
	{
		retry_client *client = &f->clients[entry.client];

		if (client->phase == PHASE_JOINING && client->join_number == entry.number)
		{
			count_refusal(f, "join: no answer in 10 s");
			wait_before_retry(f, entry.client, &client->join_tries);
		}
	}
	for (int i = 0; i < RETRY_PAUSES; i++)
		while (begun < BEGUN_AT_ONCE && line_take(&f->lines[i], now, &entry))
		{
			retry_client *client = &f->clients[entry.client];

			if (client->waits != entry.number)
				continue;
			begun++;
			if (client->phase == PHASE_DOWN)
				client_connect(f, entry.client);
			else if (client->phase == PHASE_JOINING && !client_join(f, entry.client))
				client_down(f, entry.client);
		}
	return begun == BEGUN_AT_ONCE;
}

/*
 * Waits for events, at most so long, and treats them. True: the file descriptor that
 * is watched beside the clients is readable.
 */
bool
retry_fleet_poll(retry_fleet *f, int timeout_ms)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int			n = epoll_wait(f->epoll_fd, events, EVENTS_AT_ONCE, retry_due(f) ? 0 : timeout_ms);
	bool		other = false;

	for (int i = 0; i < n; i++)
	{
		if (events[i].data.u64 == OTHER_FD)
			other = true;
		else
			client_event(f, (uint32_t) events[i].data.u64, events[i].events);
	}
	return other;
}

/* Lets retry_fleet_poll tell when this file descriptor, the only one, is readable. */
bool
retry_fleet_watch(retry_fleet *f, int fd)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = OTHER_FD};

	return epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* Ends what retry_fleet_watch began. */
void
retry_fleet_unwatch(retry_fleet *f, int fd)
{
	epoll_ctl(f->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* Connects clients for the first time, until so many have not joined. */
void
retry_fleet_begin(retry_fleet *f, uint32_t in_flight)
{
	while (f->begun < f->count && f->begun - f->joined < in_flight)
		client_connect(f, f->begun++);
}

/* Counts anew, from now on. */
void
retry_fleet_measure(retry_fleet *f)
{
	histogram_reset(f->back);
	memset(f->refused, 0, sizeof(f->refused));
	f->connects = 0;
	f->since = clock_now();
}

/* Cuts all connections, as a network that goes away does. */
void
retry_fleet_drop(retry_fleet *f)
{
	for (uint32_t i = 0; i < f->count; i++)
		client_down(f, i);
}

/* Adds up what was refused. */
uint64_t
retry_fleet_refused(const retry_fleet *f)
{
	uint64_t	all = 0;

	for (int i = 0; i < RETRY_KINDS; i++)
		all += f->refused[i].count;
	return all;
}

/* Prepares the clients; the tokens stay the caller's. False: no memory. retry_fleet_close is due in either case. */
bool
retry_fleet_open(retry_fleet *f, const struct sockaddr_in *server, const PGresult *tokens, uint32_t count)
{
	memset(f, 0, sizeof(*f));
	f->server = *server;
	f->tokens = tokens;
	f->count = count;
	f->clients = calloc(count, sizeof(retry_client));
	f->scratch = malloc(WS_SCRATCH_SIZE);
	f->back = histogram_create();
	f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (uint32_t i = 0; f->clients != NULL && i < count; i++)
		f->clients[i].ws.fd = -1;
	return f->clients != NULL && f->scratch != NULL && f->back != NULL && f->epoll_fd >= 0;
}

/* Cuts all connections and frees everything. */
void
retry_fleet_close(retry_fleet *f)
{
	for (uint32_t i = 0; f->clients != NULL && i < f->count; i++)
		ws_close(&f->clients[i].ws);
	for (int i = 0; i < RETRY_PAUSES; i++)
		free(f->lines[i].entries);
	free(f->timeouts.entries);
	free(f->clients);
	free(f->scratch);
	free(f->back);
	if (f->epoll_fd >= 0)
		close(f->epoll_fd);
}
