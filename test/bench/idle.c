/*
 * idle.c
 *		Many joined connections that do nothing, each on a channel of its own: time to
 *		join, memory, and CPU of the listener without and with heartbeats.
 */
#include "clock.h"
#include "database.h"
#include "fleet.h"
#include "options.h"
#include "procstat.h"
#include "report.h"

#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define JOIN_PATIENCE		(60 * NS_PER_SEC)
#define JOIN_RATE			4500	/* a little below realtime.max_joins_per_second */
#define JOIN_FLOOR_SECONDS	10.0
#define MEMORY_FLOOR		8192.0
#define HEARTBEAT_PERIOD	25	/* seconds, as in supabase-js */
#define TIMER_TAG			0

typedef struct idle_run
{
	const bench_options *options;
	fleet		fleet;
	pid_set		listeners;
	proc_memory before;
	uint64_t	broadcasts;		/* that nobody has sent */
} idle_run;

/* Nothing is sent on these topics. */
static void
on_message(void *arg, uint32_t client, const uint8_t *data, size_t length, uint64_t now)
{
	idle_run   *run = arg;

	(void) client;
	(void) data;
	(void) length;
	(void) now;
	run->broadcasts++;
}

/* Serves the connections for so long. */
static void
rest(idle_run *run, uint64_t duration)
{
	uint64_t	end = clock_now() + duration;
	uint64_t	now;

	while ((now = clock_now()) < end && run->fleet.error[0] == '\0')
		fleet_poll(&run->fleet, (int) ((end - now) / NS_PER_MS) + 1);
}

/* The floors are for 15,000 clients; the time to join is scaled to the number there is. */
static void
row_joins(const idle_run *run)
{
	report_row	row = {.verdict = VERDICT_MISSED};
	double		seconds = (double) (run->fleet.all_joined - run->fleet.started) / 1e9;
	double		floor_seconds = JOIN_FLOOR_SECONDS * run->options->idle_clients / 15000;

	ROW_SET(row.what, "%u idle connections: all joined", run->options->idle_clients);
	ROW_SET(row.measured, "%.1f s, %.0f joins/s", seconds,
			(double) run->options->idle_clients / seconds);
	ROW_SET(row.floor, "≤ %.1f s", floor_seconds);
	if (seconds <= floor_seconds)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "the generator begins at most %d a second", JOIN_RATE);
	report_print(&row);
}

/* Growth of resident memory of the listeners, per connection. */
static void
row_memory(const idle_run *run)
{
	report_row	row = {.verdict = VERDICT_MISSED};
	double		count = (double) run->options->idle_clients;
	proc_memory after;
	double		each;

	ROW_SET(row.what, "%u idle connections: resident memory of the listener, each",
			run->options->idle_clients);
	if (!procstat_memory_all(&run->listeners, &after))
	{
		report_broken(row.what, "cannot read smaps_rollup of the listener");
		return;
	}
	each = ((double) after.rss - (double) run->before.rss) / count;
	ROW_SET(row.measured, "%.0f bytes", each);
	ROW_SET(row.floor, "≤ 8 kB");
	if (each <= MEMORY_FLOOR)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "%.0f of it private, the rest shared memory touched; from %.1f to %.1f MB",
			((double) after.private_dirty - (double) run->before.private_dirty) / count,
			(double) run->before.rss / 1e6, (double) after.rss / 1e6);
	report_print(&row);
}

/* CPU of the listeners while all are silent. */
static void
row_silence(idle_run *run)
{
	report_row	row = {.verdict = VERDICT_MISSED};
	uint64_t	duration = (run->options->quick ? 5 : 20) * NS_PER_SEC;
	proc_cpu	before;
	proc_cpu	after;
	double		percent;

	ROW_SET(row.what, "%u idle connections: listener CPU without heartbeats",
			run->options->idle_clients);
	report_progress("%s", row.what);
	if (!procstat_cpu_all(&run->listeners, &before))
		return;
	rest(run, duration);
	if (!procstat_cpu_all(&run->listeners, &after))
	{
		report_broken(row.what, "the listener is gone");
		return;
	}
	percent = (double) (after.ns - before.ns) * 100 / (double) duration;
	ROW_SET(row.measured, "%.3f %% of a core", percent);
	ROW_SET(row.floor, "< 0.5 %%");
	if (percent < 0.5)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "over %.0f s", (double) duration / 1e9);
	report_print(&row);
}

/* Lets each client send a heartbeat every 25 s, evenly spread; returns how many were sent. */
static uint64_t
beat(idle_run *run, uint64_t duration)
{
	uint64_t	interval = HEARTBEAT_PERIOD * NS_PER_SEC / run->options->idle_clients;
	struct itimerspec when = {
		{(time_t) (interval / NS_PER_SEC), (long) (interval % NS_PER_SEC)},
		{(time_t) (interval / NS_PER_SEC), (long) (interval % NS_PER_SEC)},
	};
	int			timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	uint64_t	end = clock_now() + duration;
	uint64_t	sent = 0;
	uint64_t	due;

	timerfd_settime(timer, 0, &when, NULL);
	fleet_watch(&run->fleet, timer, TIMER_TAG);
	while (clock_now() < end && run->fleet.error[0] == '\0')
	{
		if ((fleet_poll(&run->fleet, 100) & (1U << TIMER_TAG)) == 0 ||
			read(timer, &due, sizeof(due)) != sizeof(due))
			continue;
		for (; due > 0; due--, sent++)
			fleet_heartbeat(&run->fleet, (uint32_t) (sent % run->options->idle_clients),
							(uint32_t) sent + 2);
	}
	fleet_unwatch(&run->fleet, timer);
	close(timer);
	return sent;
}

/* CPU of the listeners with heartbeats, each of which must be answered. */
static void
row_heartbeats(idle_run *run)
{
	report_row	row = {.verdict = VERDICT_MISSED};
	uint64_t	duration = (run->options->quick ? 5 : HEARTBEAT_PERIOD) * NS_PER_SEC;
	uint64_t	own_cpu = clock_own_cpu();
	uint64_t	replies = run->fleet.heartbeat_replies;
	proc_cpu	before;
	proc_cpu	after;
	uint64_t	sent;
	double		percent;

	ROW_SET(row.what, "%u idle connections: listener CPU, a heartbeat each every %d s",
			run->options->idle_clients, HEARTBEAT_PERIOD);
	report_progress("%s", row.what);
	if (!procstat_cpu_all(&run->listeners, &before))
		return;
	sent = beat(run, duration);
	if (!procstat_cpu_all(&run->listeners, &after))
	{
		report_broken(row.what, "the listener is gone");
		return;
	}
	own_cpu = clock_own_cpu() - own_cpu;
	rest(run, 300 * NS_PER_MS);
	replies = run->fleet.heartbeat_replies - replies;

	percent = (double) (after.ns - before.ns) * 100 / (double) duration;
	ROW_SET(row.measured, "%.2f %% of a core", percent);
	ROW_SET(row.floor, "< 3 %%");
	if (percent < 3.0)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "%.0f heartbeats/s, %.1f µs each; generator %.1f %%",
			(double) sent * 1e9 / (double) duration,
			(double) (after.ns - before.ns) / 1e3 / (double) (sent > 0 ? sent : 1),
			(double) own_cpu * 100 / (double) duration);
	if (replies != sent || run->fleet.error[0] != '\0' || run->broadcasts > 0)
	{
		row.verdict = VERDICT_BROKEN;
		ROW_ADD(row.beside, "%llu sent, %llu answered; %s", (unsigned long long) sent,
				(unsigned long long) replies, run->fleet.error);
	}
	report_print(&row);
}

/* Many idle connections. */
void
scenario_idle(const bench_options *options)
{
	static idle_run run;
	fleet_config config = {
		.server = options->server,
		.token = options->token,
		.count = options->idle_clients,
		.rate = JOIN_RATE,
		.in_flight = 500,
		.sources = 4,
		.one_topic = false,
		.self = false,
		.name = "bench-idle",
		.message = on_message,
		.arg = &run,
	};

	memset(&run, 0, sizeof(run));
	run.options = options;
	report_progress("%u idle connections", options->idle_clients);
	if (!database_workers(options->conninfo, "realtime listener", &run.listeners) ||
		!procstat_memory_all(&run.listeners, &run.before))
	{
		report_broken("idle connections", "no listener in pg_stat_activity, or no right to read "
					  "its smaps_rollup");
		return;
	}
	if (!fleet_open(&run.fleet, &config, JOIN_PATIENCE))
		report_broken("idle connections", "%s (%u joined)", run.fleet.error, run.fleet.joined);
	else
	{
		row_joins(&run);
		rest(&run, 2 * NS_PER_SEC);
		row_memory(&run);
		row_silence(&run);
		row_heartbeats(&run);
	}
	fleet_close(&run.fleet);
}
