/*
 * fleet.c
 *		Many WebSocket clients under one epoll.
 */
#include "fleet.h"

#include "clock.h"
#include "stamp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS_AT_ONCE	256
#define OTHER_FD		(UINT64_C(1) << 32) /* epoll data: a tag, not a client */
#define JOIN_REF		"1"
#define EVENT_NAME		"bench"
#define EVENT_WITHIN	200		/* bytes of a message in which its event is */

typedef enum client_phase
{
	PHASE_UPGRADE,				/* no WebSocket yet */
	PHASE_JOIN_SENT,
	PHASE_WAIT_REPLICATION,		/* joined, and waits for the database */
	PHASE_JOINED
} client_phase;

/* Remembers what went wrong first. */
static void
fleet_fail(fleet *f, const char *format,...)
{
	va_list		args;

	if (f->error[0] != '\0')
		return;
	va_start(args, format);
	vsnprintf(f->error, sizeof(f->error), format, args);
	va_end(args);
}

/* A client is gone. */
static void
client_died(fleet *f, uint32_t client)
{
	f->dead++;
	fleet_fail(f, "client %u: %s", client, f->clients[client].error);
}

/* Topic of a client. */
static void
topic_of(const fleet *f, uint32_t client, char *topic, size_t size)
{
	if (f->config.one_topic)
		snprintf(topic, size, "realtime:%s", f->config.name);
	else
		snprintf(topic, size, "realtime:%s-%u", f->config.name, client);
}

/* Sends the join, with the payload that supabase-js sends. */
static bool
send_join(fleet *f, uint32_t client)
{
	char		topic[128];
	char		text[3072];
	char		key[32] = "";
	int			n;

	topic_of(f, client, topic, sizeof(topic));
	if (f->config.presence)
		snprintf(key, sizeof(key), FLEET_KEY_PREFIX "%u", client);
	n = snprintf(text, sizeof(text),
				 "[\"" JOIN_REF "\",\"" JOIN_REF "\",\"%s\",\"phx_join\",{\"config\":{\"broadcast\":"
				 "{\"ack\":false,\"self\":%s%s},\"presence\":{\"key\":\"%s\",\"enabled\":%s},"
				 "\"postgres_changes\":[],\"private\":false},\"access_token\":\"%s\"}]",
				 topic, f->config.self ? "true" : "false",
				 f->config.replication_ready ? ",\"replication_ready\":true" : "",
				 key, f->config.presence ? "true" : "false", f->config.token);
	f->phases[client] = PHASE_JOIN_SENT;
	return ws_send_message(&f->clients[client], WS_OPCODE_TEXT, text, (size_t) n);
}

/* Whether a text holds a needle. */
static bool
holds(const uint8_t *data, size_t length, const char *needle)
{
	return memmem(data, length, needle, strlen(needle)) != NULL;
}

/* A client has joined and, if it asked for it, heard that the database is ready. */
static void
client_joined(fleet *f, uint32_t client)
{
	f->phases[client] = PHASE_JOINED;
	f->joined++;
	if (f->joined == f->config.count)
		f->all_joined = f->now;
	if (f->config.track)
		fleet_track(f, client);
}

/* A reply to a join or a heartbeat. */
static void
read_reply(fleet *f, uint32_t client, const uint8_t *data, size_t length)
{
	if (!holds(data, length, "\"status\":\"ok\""))
		fleet_fail(f, "client %u: %.*s", client, (int) (length < 160 ? length : 160), data);
	else if (holds(data, length, "\"phoenix\""))
		f->heartbeat_replies++;
	else if (f->phases[client] == PHASE_JOIN_SENT)
	{
		if (f->config.replication_ready)
			f->phases[client] = PHASE_WAIT_REPLICATION;
		else
			client_joined(f, client);
	}
}

/* A system message: the word that the database is ready, or trouble. */
static void
read_system(fleet *f, uint32_t client, const uint8_t *data, size_t length)
{
	if (holds(data, length, "Replication connection established"))
	{
		if (f->phases[client] == PHASE_WAIT_REPLICATION)
			client_joined(f, client);
	}
	else if (holds(data, length, "\"status\":\"error\"") &&
			 !holds(data, length, "are not delivered yet"))
		fleet_fail(f, "client %u: %.*s", client, (int) (length < 200 ? length : 200), data);
}

/* One message from the server. */
static void
read_message(void *arg, int opcode, const uint8_t *data, size_t length)
{
	fleet	   *f = arg;
	uint32_t	client = f->current;

	if (f->config.presence && opcode == WS_OPCODE_TEXT &&
		holds(data, length < EVENT_WITHIN ? length : EVENT_WITHIN, "\"presence_"))
		f->config.presence_message(f->config.arg, client, data, length, f->now);
	else if (opcode == WS_OPCODE_BINARY)
	{
		if (length > 0 && data[0] == 4)
			f->config.message(f->config.arg, client, data, length, f->now);
		else
			fleet_fail(f, "client %u: binary message that is no user broadcast", client);
	}
	else if (holds(data, length, "\"broadcast\",{"))
		f->config.message(f->config.arg, client, data, length, f->now);
	else if (holds(data, length, "\"phx_reply\""))
		read_reply(f, client, data, length);
	else if (holds(data, length, "\"system\""))
		read_system(f, client, data, length);
	else
		fleet_fail(f, "client %u: %.*s", client, (int) (length < 160 ? length : 160), data);
}

/* Says which events the epoll should tell of a client. */
static void
watch_client(fleet *f, uint32_t client, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = client};

	if (epoll_ctl(f->epoll_fd, operation, f->clients[client].fd, &event) != 0)
		fleet_fail(f, "epoll_ctl: %s", strerror(errno));
}

/* Begins one more connection. */
static void
begin_client(fleet *f)
{
	uint32_t	client = f->begun++;
	uint32_t	source = 0;

	if (f->config.sources > 1)
		source = ntohl(inet_addr("127.0.0.1")) + client % f->config.sources;
	if (!ws_open(&f->clients[client], &f->config.server, source))
	{
		client_died(f, client);
		return;
	}
	watch_client(f, client, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

/* The socket of a client takes bytes. */
static bool
client_writable(fleet *f, uint32_t client)
{
	ws_client  *ws = &f->clients[client];

	if (ws->state == WS_CONNECTING)
	{
		if (!ws_upgrade(ws, f->path))
			return false;
	}
	else if (!ws_flush(ws))
		return false;
	if (ws->unsent_length == 0)
		watch_client(f, client, EPOLL_CTL_MOD, EPOLLIN);
	return true;
}

/* One event of a client. */
static void
client_event(fleet *f, uint32_t client, uint32_t events)
{
	ws_client  *ws = &f->clients[client];
	bool		alive = true;

	if (ws->state == WS_DEAD)
		return;
	if ((events & EPOLLOUT) != 0 || ws->state == WS_CONNECTING)
		alive = client_writable(f, client);
	if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
	{
		f->current = client;
		f->now = clock_now();
		f->reads++;
		alive = ws_read(ws, f->scratch, read_message, f);
		if (alive && f->phases[client] == PHASE_UPGRADE && ws->state == WS_OPEN)
			alive = send_join(f, client);
	}
	if (!alive)
		client_died(f, client);
}

/*
 * Waits for events at most so long and treats them. Returns the tags (bit i for
 * tag i) of the other file descriptors that are readable.
 */
uint32_t
fleet_poll(fleet *f, int timeout_ms)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	uint32_t	tags = 0;
	int			n = epoll_wait(f->epoll_fd, events, EVENTS_AT_ONCE, timeout_ms);

	for (int i = 0; i < n; i++)
	{
		if (events[i].data.u64 >= OTHER_FD)
			tags |= 1U << (events[i].data.u64 - OTHER_FD);
		else
			client_event(f, (uint32_t) events[i].data.u64, events[i].events);
	}
	return tags;
}

/* Lets fleet_poll tell when a file descriptor of the caller is readable. */
void
fleet_watch(fleet *f, int fd, uint32_t tag)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = OTHER_FD + tag};

	if (epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
		fleet_fail(f, "epoll_ctl: %s", strerror(errno));
}

/* Ends what fleet_watch began. */
void
fleet_unwatch(fleet *f, int fd)
{
	epoll_ctl(f->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

/* Prepares an empty fleet. */
static bool
prepare(fleet *f, const fleet_config *config)
{
	int			n;

	memset(f, 0, sizeof(*f));
	f->config = *config;
	f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	f->clients = calloc(config->count, sizeof(ws_client));
	f->phases = calloc(config->count, 1);
	f->scratch = malloc(WS_SCRATCH_SIZE);
	if (f->epoll_fd < 0 || f->clients == NULL || f->phases == NULL || f->scratch == NULL)
	{
		fleet_fail(f, "out of memory");
		return false;
	}
	n = snprintf(f->path, sizeof(f->path), "/realtime/v1/websocket?apikey=%s&vsn=2.0.0",
				 config->token);
	if (n >= (int) sizeof(f->path))
	{
		fleet_fail(f, "token too long");
		return false;
	}
	return true;
}

/*
 * Connects and joins all clients, at most in_flight at a time and at most rate a
 * second. False, with f->error set, if that fails or takes longer than patience
 * (ns). fleet_close is due in either case.
 */
bool
fleet_open(fleet *f, const fleet_config *config, uint64_t patience)
{
	if (!prepare(f, config))
		return false;
	f->started = clock_now();
	while (f->joined < config->count && f->error[0] == '\0')
	{
		uint64_t	elapsed = clock_now() - f->started;
		uint64_t	allowed = config->count;

		if (elapsed > patience)
		{
			fleet_fail(f, "only %u of %u clients joined in %.0f s", f->joined, config->count,
					   (double) patience / (double) NS_PER_SEC);
			break;
		}
		if (config->rate > 0)
			allowed = 1 + elapsed * config->rate / NS_PER_SEC;
		while (f->begun < config->count && f->begun < allowed &&
			   f->begun - f->joined < config->in_flight && f->error[0] == '\0')
			begin_client(f);
		fleet_poll(f, f->begun < config->count ? 1 : 50);
	}
	return f->error[0] == '\0';
}

/* Lets one client track, with its number as the payload. */
bool
fleet_track(fleet *f, uint32_t client)
{
	char		topic[128];
	char		text[384];
	int			n;

	topic_of(f, client, topic, sizeof(topic));
	n = snprintf(text, sizeof(text),
				 "[\"" JOIN_REF "\",\"3\",\"%s\",\"presence\",{\"type\":\"presence\",\"event\":\"track\","
				 "\"payload\":{\"n\":%u}}]", topic, client);
	if (!ws_send_message(&f->clients[client], WS_OPCODE_TEXT, text, (size_t) n))
	{
		client_died(f, client);
		return false;
	}
	return true;
}

/* Sends a heartbeat of one client. */
bool
fleet_heartbeat(fleet *f, uint32_t client, uint32_t ref)
{
	char		text[96];
	int			n = snprintf(text, sizeof(text), "[null,\"%u\",\"phoenix\",\"heartbeat\",{}]", ref);

	if (!ws_send_message(&f->clients[client], WS_OPCODE_TEXT, text, (size_t) n))
	{
		client_died(f, client);
		return false;
	}
	return true;
}

/*
 * Builds the frame of a broadcast with a JSON payload: a user broadcast push (kind 3)
 * as supabase-js sends it, or a text frame. Returns its size, at most
 * length + FLEET_FRAME_ROOM.
 */
size_t
fleet_broadcast_frame(fleet *f, uint32_t client, uint8_t *out, bool as_text,
					  const char *payload, size_t length)
{
	char		topic[128];
	uint8_t		message[4096];
	size_t		topic_length;
	size_t		n;

	topic_of(f, client, topic, sizeof(topic));
	topic_length = strlen(topic);
	if (as_text)
		n = (size_t) snprintf((char *) message, sizeof(message),
							  "[\"" JOIN_REF "\",\"2\",\"%s\",\"broadcast\",{\"type\":\"broadcast\","
							  "\"event\":\"" EVENT_NAME "\",\"payload\":%.*s}]",
							  topic, (int) length, payload);
	else
	{
		/* kind, join_ref_len, ref_len, topic_len, user_event_len, metadata_len, encoding */
		const uint8_t head[7] = {3, 1, 1, (uint8_t) topic_length, sizeof(EVENT_NAME) - 1, 0, 1};
		uint8_t    *at = message;

		at = (uint8_t *) mempcpy(at, head, sizeof(head));
		at = (uint8_t *) mempcpy(at, JOIN_REF "2", 2);
		at = (uint8_t *) mempcpy(at, topic, topic_length);
		at = (uint8_t *) mempcpy(at, EVENT_NAME, sizeof(EVENT_NAME) - 1);
		at = (uint8_t *) mempcpy(at, payload, length);
		n = (size_t) (at - message);
	}
	return ws_frame(&f->clients[client], out, as_text ? WS_OPCODE_TEXT : WS_OPCODE_BINARY,
					message, n);
}

/* Sends ready frames of one client. */
bool
fleet_send(fleet *f, uint32_t client, const void *bytes, size_t length)
{
	ws_client  *ws = &f->clients[client];

	if (ws->state == WS_DEAD)
		return false;
	if (!ws_send(ws, bytes, length))
	{
		client_died(f, client);
		return false;
	}
	if (ws->unsent_length > 0)
		watch_client(f, client, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
	return true;
}

/*
 * Sends the next messages of one client, at most FLEET_MAX_STAMPED, in one send(): their
 * payloads are stamps, with it as their sender and *sent, which is counted on, as their numbers.
 */
void
fleet_send_stamped(fleet *f, uint32_t client, uint32_t *sent, uint32_t count, bool as_text)
{
	static uint8_t frames[FLEET_MAX_STAMPED * (STAMP_LENGTH + FLEET_FRAME_ROOM)];
	size_t		size = 0;
	char		payload[STAMP_LENGTH];
	stamp		s = {.sender = client, .sent = clock_now()};

	for (uint32_t i = 0; i < count; i++)
	{
		s.seq = (*sent)++;
		stamp_write(payload, &s);
		size += fleet_broadcast_frame(f, client, frames + size, as_text, payload, STAMP_LENGTH);
	}
	fleet_send(f, client, frames, size);
}

/* Cuts all connections and frees everything; f->error stays readable. */
void
fleet_close(fleet *f)
{
	for (uint32_t i = 0; i < f->begun; i++)
		ws_close(&f->clients[i]);
	if (f->epoll_fd >= 0)
		close(f->epoll_fd);
	free(f->clients);
	free(f->phases);
	free(f->scratch);
	f->clients = NULL;
	f->phases = NULL;
	f->scratch = NULL;
	f->begun = 0;
	f->epoll_fd = -1;
}
