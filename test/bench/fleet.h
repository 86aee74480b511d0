/*
 * fleet.h
 *		Many WebSocket clients under one epoll, each joined to one channel, speaking
 *		Phoenix V2 as supabase-js does.
 */
#ifndef BENCH_FLEET_H
#define BENCH_FLEET_H

#include "ws_client.h"

#include <netinet/in.h>

#define FLEET_TAGS	8			/* file descriptors of others that fleet_poll can watch */

#define FLEET_KEY_PREFIX "client-"

typedef struct fleet fleet;

/* Called for each broadcast that arrives: client number, the frame or its payload, time of reading. */
typedef void (*fleet_message_fn) (void *arg, uint32_t client, const uint8_t *data, size_t length,
								  uint64_t now);

typedef struct fleet_config
{
	struct sockaddr_in server;
	const char *token;
	uint32_t	count;
	uint32_t	rate;			/* connections begun per second, 0 for no limit */
	uint32_t	in_flight;		/* connections not joined yet at any time */
	uint32_t	sources;		/* number of source addresses 127.0.0.1, 127.0.0.2, … */
	bool		one_topic;		/* all on realtime:NAME, or each on realtime:NAME-number */
	bool		self;			/* config.broadcast.self */
	bool		replication_ready;	/* wait until messages from the database are delivered */
	bool		presence;		/* config.presence.enabled, with a key of FLEET_KEY_PREFIX and the number */
	bool		track;			/* as soon as it has joined */
	const char *name;
	fleet_message_fn message;
	fleet_message_fn presence_message;	/* presence_state and presence_diff; if presence is set */
	void	   *arg;
} fleet_config;

struct fleet
{
	fleet_config config;
	int			epoll_fd;
	ws_client  *clients;
	uint8_t    *phases;			/* enum client_phase, see fleet.c */
	uint8_t    *scratch;
	char		path[2048];
	uint32_t	begun;
	uint32_t	joined;
	uint32_t	dead;
	uint32_t	current;		/* client whose messages are being read */
	uint64_t	now;			/* when they were read */
	uint64_t	reads;
	uint64_t	heartbeat_replies;
	uint64_t	started;		/* first connect */
	uint64_t	all_joined;		/* last join reply */
	char		error[240];		/* what went wrong first; empty if nothing */
};

extern bool fleet_open(fleet *f, const fleet_config *config, uint64_t patience);
extern uint32_t fleet_poll(fleet *f, int timeout_ms);
extern void fleet_watch(fleet *f, int fd, uint32_t tag);
extern void fleet_unwatch(fleet *f, int fd);
extern bool fleet_track(fleet *f, uint32_t client);
extern bool fleet_heartbeat(fleet *f, uint32_t client, uint32_t ref);
extern size_t fleet_broadcast_frame(fleet *f, uint32_t client, uint8_t *out, bool as_text,
									const char *payload, size_t length);
extern bool fleet_send(fleet *f, uint32_t client, const void *bytes, size_t length);
extern void fleet_send_stamped(fleet *f, uint32_t client, uint32_t *sent, uint32_t count, bool as_text);
extern void fleet_close(fleet *f);

/* As many messages as fleet_send_stamped sends at once. */
#define FLEET_MAX_STAMPED	512

/* Room for one frame that fleet_broadcast_frame makes, beside its payload. */
#define FLEET_FRAME_ROOM	512

#endif							/* BENCH_FLEET_H */
