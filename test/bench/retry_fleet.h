/*
 * retry_fleet.h
 *		Clients that come back by themselves as supabase-js does: 1, 2, 5, then every
 *		10 s, without jitter.
 *
 * Each has a token of its own and one channel; every second channel is private. A
 * client whose connection is refused or closed counts its tries from the last time
 * that it was open; one whose join is refused stays connected and tries that again in
 * the same times, as the library does.
 */
#ifndef BENCH_RETRY_FLEET_H
#define BENCH_RETRY_FLEET_H

#include "histogram.h"
#include "ws_client.h"

#include <libpq-fe.h>
#include <netinet/in.h>

#define RETRY_PAUSES	4
#define RETRY_KINDS		8		/* of refusals that are told apart */

typedef struct retry_client
{
	ws_client	ws;
	uint8_t		phase;			/* enum client_phase, see retry_fleet.c */
	uint8_t		connect_tries;
	uint8_t		join_tries;
	uint32_t	waits;			/* number of the pause that it waits for; others are over */
	uint32_t	join_number;
} retry_client;

/* Clients that wait for the same time, in the order in which it is over. */
typedef struct pause_entry
{
	uint64_t	due;
	uint32_t	client;
	uint32_t	number;
} pause_entry;

typedef struct pause_line
{
	pause_entry *entries;
	uint32_t	head;
	uint32_t	count;
	uint32_t	size;
} pause_line;

typedef struct refusals
{
	char		why[64];
	uint32_t	count;
} refusals;

typedef struct retry_fleet
{
	struct sockaddr_in server;
	const PGresult *tokens;		/* a row for each client */
	retry_client *clients;
	uint32_t	count;
	uint32_t	begun;			/* for the first time */
	uint32_t	joined;
	pause_line	lines[RETRY_PAUSES];
	pause_line	timeouts;		/* of joins */
	int			epoll_fd;
	uint8_t    *scratch;
	uint32_t	current;

	/* from retry_fleet_measure on */
	uint64_t	since;			/* 0: it was not called yet */
	uint64_t	last_join;
	histogram  *back;			/* from then to the join */
	uint64_t	connects;
	refusals	refused[RETRY_KINDS];
} retry_fleet;

extern bool retry_fleet_open(retry_fleet *f, const struct sockaddr_in *server, const PGresult *tokens, uint32_t count);
extern void retry_fleet_begin(retry_fleet *f, uint32_t in_flight);
extern bool retry_fleet_poll(retry_fleet *f, int timeout_ms);
extern bool retry_fleet_watch(retry_fleet *f, int fd);
extern void retry_fleet_unwatch(retry_fleet *f, int fd);
extern void retry_fleet_measure(retry_fleet *f);
extern void retry_fleet_drop(retry_fleet *f);
extern uint64_t retry_fleet_refused(const retry_fleet *f);
extern void retry_fleet_close(retry_fleet *f);

#endif							/* BENCH_RETRY_FLEET_H */
