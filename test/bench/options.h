/*
 * options.h
 *		What the command line of the load generator says, and the scenarios.
 */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct bench_options
{
	struct sockaddr_in server;
	const char *conninfo;		/* libpq connection string of a superuser */
	const char *token;			/* for every connection and join */
	bool		quick;			/* shorter and smaller; the floors are then a hint only */
	bool		as_text;		/* broadcasts as text frames, not as kind 3 */
	uint32_t	subscribers;
	uint32_t	senders;		/* of the saturated fan-out */
	uint32_t	window;			/* messages of one sender that are under way */
	uint32_t	idle_clients;
	uint32_t	storm_clients;
	uint32_t	load_rows;		/* rows of one bulk load */
} bench_options;

typedef void (*scenario_fn) (const bench_options *options);

extern void scenario_limit(const bench_options *options);
extern void scenario_fanout(const bench_options *options);
extern void scenario_paced(const bench_options *options);
extern void scenario_idle(const bench_options *options);
extern void scenario_send(const bench_options *options);
extern void scenario_load(const bench_options *options);
extern void scenario_presence(const bench_options *options);
extern void scenario_quiet(const bench_options *options);
extern void scenario_joins(const bench_options *options);
extern void scenario_changes(const bench_options *options);
extern void scenario_storm(const bench_options *options);
extern void scenario_rest(const bench_options *options);
extern void scenario_slow(const bench_options *options);

#endif							/* BENCH_OPTIONS_H */
