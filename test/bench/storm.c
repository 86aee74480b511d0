/*
 * storm.c
 *		Very many clients that lose their connections at once and all come back.
 */
#include "clock.h"
#include "database.h"
#include "options.h"
#include "pgbench.h"
#include "procstat.h"
#include "report.h"
#include "retry_fleet.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PREPARE_PATIENCE	(120 * NS_PER_SEC)
#define STORM_PATIENCE		(45 * NS_PER_SEC)
#define STORM_FLOOR			15.0	/* s */
#define LOSS_FLOOR			25.0	/* % */
#define PREPARE_IN_FLIGHT	300
#define CALM				(3 * NS_PER_SEC)	/* after the clients have come, before pgbench is measured */

typedef struct storm_run
{
	const bench_options *options;
	PGresult   *tokens;
	retry_fleet fleet;
	pgbench		bench;
	bool		bench_failed;
	pid_set		listeners;
	pid_set		authorizers;
} storm_run;

/* Waits for events, at most so long, and treats them. */
static void
turn(storm_run *run, int timeout_ms)
{
	if (retry_fleet_poll(&run->fleet, timeout_ms) && !pgbench_read(&run->bench))
	{
		run->bench_failed = true;
		retry_fleet_unwatch(&run->fleet, run->bench.fd);
	}
}

/* Serves the clients until then. */
static void
serve_until(storm_run *run, uint64_t end)
{
	uint64_t	now;

	while ((now = clock_now()) < end)
		turn(run, (int) ((end - now) / NS_PER_MS) < 10 ? 1 : 10);
}

/* Connects and joins all clients, not too many at a time. */
static bool
all_join(storm_run *run)
{
	uint64_t	end = clock_now() + PREPARE_PATIENCE;

	while (run->fleet.joined < run->fleet.count && clock_now() < end)
	{
		retry_fleet_begin(&run->fleet, PREPARE_IN_FLIGHT);
		turn(run, 5);
	}
	return run->fleet.joined == run->fleet.count;
}

/* When all were joined again. */
static void
row_back(storm_run *run, const char *what)
{
	report_row	row = {.verdict = VERDICT_MISSED};
	double		seconds = (double) (run->fleet.last_join - run->fleet.since) / 1e9;
	const char *separator = ": ";

	ROW_SET(row.what, "%u clients %s: all joined again", run->fleet.count, what);
	ROW_SET(row.floor, "≤ %.0f s", STORM_FLOOR);
	if (run->fleet.joined < run->fleet.count)
	{
		row.verdict = VERDICT_BROKEN;
		ROW_SET(row.measured, "%u of %u in %.0f s", run->fleet.joined, run->fleet.count, (double) STORM_PATIENCE / 1e9);
	}
	else
		ROW_SET(row.measured, "%.1f s", seconds);
	if (row.verdict == VERDICT_MISSED && seconds <= STORM_FLOOR)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "half of them after %.1f s, 99 %% after %.1f s; %llu connects, %llu refused",
			(double) histogram_percentile(run->fleet.back, 50) / 1e9, (double) histogram_percentile(run->fleet.back, 99) / 1e9,
			(unsigned long long) run->fleet.connects, (unsigned long long) retry_fleet_refused(&run->fleet));
	for (int i = 0; i < RETRY_KINDS && run->fleet.refused[i].count > 0; i++)
	{
		size_t		length = strlen(row.beside);

		snprintf(row.beside + length, sizeof(row.beside) - length, "%s%u %s", separator, run->fleet.refused[i].count,
				 run->fleet.refused[i].why);
		separator = ", ";
	}
	report_print(&row);
}

/* What pgbench lost by it, against the time before and after. */
static void
row_pgbench(storm_run *run, const char *what, uint64_t calm)
{
	report_row	row = {.verdict = VERDICT_MISSED};
	uint64_t	floor_end = run->fleet.since + (uint64_t) (STORM_FLOOR * 1e9);
	double		before;
	double		after;
	double		storm;
	double		until;
	double		least;
	double		quiet;

	ROW_SET(row.what, "pgbench beside %u clients %s, 15 s from then on", run->fleet.count, what);
	if (run->bench_failed ||
		pgbench_between(&run->bench, run->fleet.since - calm, run->fleet.since, &before, &least) == 0 ||
		pgbench_between(&run->bench, floor_end + NS_PER_SEC, floor_end + NS_PER_SEC + calm, &after, &least) == 0 ||
		pgbench_between(&run->bench, run->fleet.since, run->fleet.last_join + NS_PER_SEC, &until, &least) == 0 ||
		pgbench_between(&run->bench, run->fleet.since, floor_end, &storm, &least) == 0 || before + after <= 0)
	{
		report_broken(row.what, "pgbench has reported nothing");
		return;
	}
	quiet = (before + after) / 2;
	ROW_SET(row.measured, "%.0f tps, %+.0f %%", storm, 100 * (storm / quiet - 1));
	ROW_SET(row.floor, "≥ −%.0f %%", LOSS_FLOOR);
	if (storm >= quiet * (1 - LOSS_FLOOR / 100))
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "%.0f tps before and %.0f after, while all are joined and silent; until all were joined again %.0f (%+.0f %%);"
			" worst second %.0f",
			before, after, until, 100 * (until / quiet - 1), least);
	report_print(&row);
}

/* CPU of a storm. */
static void
row_cpu(const storm_run *run, const char *what, const proc_cpu *before, const proc_cpu *after, uint64_t own)
{
	report_row	row = {.verdict = VERDICT_NONE};
	double		count = run->fleet.count;

	ROW_SET(row.what, "%u clients %s: listener CPU of one that comes back", run->fleet.count, what);
	ROW_SET(row.measured, "%.0f µs", (double) (after[0].ns - before[0].ns) / 1e3 / count);
	ROW_ADD(row.beside, "%d listeners; authorizers %.0f µs, generator %.0f µs", run->listeners.count,
			(double) (after[1].ns - before[1].ns) / 1e3 / count, (double) own / 1e3 / count);
	report_print(&row);
}

/* A network goes away. */
static void
cut_network(storm_run *run)
{
	retry_fleet_drop(&run->fleet);
}

/* Ends the listeners, which tell their clients to come again. */
static void
end_listeners(storm_run *run)
{
	PGconn	   *conn = database_connect(run->options->conninfo);

	if (conn != NULL)
		database_run(conn, "select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'realtime listener'");
	PQfinish(conn);
}

/* One storm, from the calm before it to the last client. */
static void
measure(storm_run *run, const char *what, void (*cut) (storm_run *run), bool same_processes)
{
	uint64_t	calm = (run->options->quick ? 5 : 15) * NS_PER_SEC;
	uint64_t	own;
	proc_cpu	before[2];
	proc_cpu	after[2];

	report_progress("%u clients %s", run->fleet.count, what);
	serve_until(run, clock_now() + CALM + calm);

	procstat_cpu_all(&run->listeners, &before[0]);
	procstat_cpu_all(&run->authorizers, &before[1]);
	own = clock_own_cpu();
	retry_fleet_measure(&run->fleet);
	cut(run);
	do
		turn(run, 5);
	while ((run->fleet.joined < run->fleet.count || run->fleet.back->count < run->fleet.count) &&
		   clock_now() < run->fleet.since + STORM_PATIENCE);
	own = clock_own_cpu() - own;
	same_processes = procstat_cpu_all(&run->listeners, &after[0]) &&
		procstat_cpu_all(&run->authorizers, &after[1]) && same_processes;
	row_back(run, what);
	serve_until(run, run->fleet.since + (uint64_t) (STORM_FLOOR * 1e9) + calm + 3 * NS_PER_SEC / 2);
	row_pgbench(run, what, calm);
	if (same_processes)
		row_cpu(run, what, before, after, own);
}

/* The policy, the tokens, and the limits as they are by default. */
static bool
prepare(storm_run *run, PGconn *conn)
{
	char		sql[512];

	if (!database_run(conn, "alter system reset realtime.max_joins_per_second") ||
		!database_run(conn, "alter system reset realtime.max_connects_per_second") ||
		!database_run(conn, "select pg_reload_conf()") ||
		!database_run(conn, "select realtime.setup_supabase();"
					  "create policy bench_storm on realtime.messages for select to authenticated"
					  " using (topic like 'storm-%' and auth.uid() is not null)"))
		return false;
	snprintf(sql, sizeof(sql),
			 "select realtime.issue_token('authenticated', jsonb_build_object('sub',"
			 " ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid)) from generate_series(0, %u) n",
			 run->options->storm_clients - 1);
	run->tokens = PQexec(conn, sql);
	return PQntuples(run->tokens) == (int) run->options->storm_clients &&
		retry_fleet_open(&run->fleet, &run->options->server, run->tokens, run->options->storm_clients);
}

/* Frees all; also after a prepare that failed. */
static void
clean_up(storm_run *run, PGconn *conn)
{
	pgbench_stop(&run->bench);
	retry_fleet_close(&run->fleet);
	PQclear(run->tokens);
	if (conn != NULL)
	{
		database_run(conn, "drop policy if exists bench_storm on realtime.messages");
		database_run(conn, "alter system set realtime.max_joins_per_second = 1000000");
		database_run(conn, "alter system set realtime.max_connects_per_second = 1000000");
		database_run(conn, "select pg_reload_conf()");
	}
	PQfinish(conn);
}

/* Everybody comes back at once. */
void
scenario_storm(const bench_options *options)
{
	static storm_run run;
	PGconn	   *conn = database_connect(options->conninfo);

	memset(&run, 0, sizeof(run));
	run.options = options;
	run.fleet.epoll_fd = run.bench.fd = -1;
	report_progress("storm: tokens and tables of pgbench");
	if (conn == NULL || !prepare(&run, conn) ||
		!database_workers(options->conninfo, "realtime listener", &run.listeners) ||
		!database_workers(options->conninfo, "realtime authorizer", &run.authorizers))
		report_broken("storm", "cannot prepare the database");
	else if (!pgbench_start(&run.bench, options->conninfo) ||
			 !retry_fleet_watch(&run.fleet, run.bench.fd))
		report_broken("storm", "cannot start pgbench");
	else if (!all_join(&run))
		report_broken("storm", "only %u of %u clients joined; %u %s", run.fleet.joined, run.fleet.count,
					  run.fleet.refused[0].count, run.fleet.refused[0].why);
	else
	{
		measure(&run, "cut off at once", cut_network, true);
		if (run.fleet.joined == run.fleet.count)
			measure(&run, "whose listeners are ended", end_listeners, false);
	}
	clean_up(&run, conn);
}
