/*
 * slow.c
 *		A thousand clients that never read, on a topic where 10,000 messages a second
 *		flow: what that costs the listener in memory, and what those notice who read.
 */
#include "clock.h"
#include "database.h"
#include "fleet.h"
#include "histogram.h"
#include "options.h"
#include "procstat.h"
#include "report.h"
#include "stamp.h"

#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define READERS			8
#define SENDERS			READERS /* or those who do not would be idle for too long */
#define SLEEPERS		1000
#define TOPIC			"bench-slow"
#define JOIN_PATIENCE	(30 * NS_PER_SEC)
#define DRAIN_PATIENCE	(20 * NS_PER_SEC)
#define TICK			(2 * NS_PER_MS)
#define TICK_MESSAGES	20		/* 10,000 a second */
#define SAMPLE_EVERY	(100 * NS_PER_MS)
#define TIMER_TAG		0
#define BUDGET_MB		128.0	/* realtime.queue_memory */

typedef struct slow_run
{
	fleet		readers;
	fleet		sleepers;
	receiver_check checks[READERS];
	check_totals totals;
	size_t		hint;
	uint32_t	sent[STAMP_MAX_SENDERS];
	uint64_t	sent_all;
	uint64_t	deliveries;
	uint64_t	ticks;
	bool		measuring;
	histogram  *latency;
	pid_set		listeners;
	uint64_t	rss_now;		/* of the listeners */
	uint64_t	rss_most;
	uint64_t	sampled;
} slow_run;

static void
on_message(void *arg, uint32_t client, const uint8_t *data, size_t length, uint64_t now)
{
	slow_run   *run = arg;
	stamp		s;

	if (!stamp_read(data, length, &run->hint, &s))
	{
		run->totals.unreadable++;
		return;
	}
	run->deliveries++;
	check_message(&run->checks[client], &s, &run->totals);
	if (run->measuring)
		histogram_add(run->latency, now - s.sent);
}

/* The sleepers are only read from while they join. */
static void
on_sleeper_message(void *arg, uint32_t client, const uint8_t *data, size_t length, uint64_t now)
{
	(void) arg;
	(void) client;
	(void) data;
	(void) length;
	(void) now;
}

static bool
open_fleet(slow_run *run, const bench_options *options, fleet *f, uint32_t count, fleet_message_fn message)
{
	fleet_config config = {
		.server = options->server,
		.token = options->token,
		.count = count,
		.rate = 2000,
		.in_flight = 100,
		.sources = 1,
		.one_topic = true,
		.self = true,
		.name = TOPIC,
		.message = message,
		.arg = run,
	};

	return fleet_open(f, &config, JOIN_PATIENCE);
}

/* The messages of one tick, all of one sender. */
static void
send_tick(slow_run *run)
{
	uint32_t	sender = run->ticks++ % SENDERS;

	fleet_send_stamped(&run->readers, sender, &run->sent[sender], TICK_MESSAGES, false);
	run->sent_all += TICK_MESSAGES;
}

static void
sample_memory(slow_run *run)
{
	uint64_t	now = clock_now();

	if (now < run->sampled + SAMPLE_EVERY)
		return;
	run->sampled = now;
	run->rss_now = procstat_rss_all(&run->listeners);
	if (run->rss_now > run->rss_most)
		run->rss_most = run->rss_now;
}

/* Lets the messages flow for so long. */
static void
flow(slow_run *run, uint64_t duration)
{
	struct itimerspec when = {{0, (long) TICK}, {0, (long) TICK}};
	uint64_t	end = clock_now() + duration;
	int			timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	uint64_t	due;

	timerfd_settime(timer, 0, &when, NULL);
	fleet_watch(&run->readers, timer, TIMER_TAG);
	while (clock_now() < end && run->readers.error[0] == '\0')
	{
		if ((fleet_poll(&run->readers, 100) & (1U << TIMER_TAG)) != 0 &&
			read(timer, &due, sizeof(due)) == sizeof(due))
			while (due-- > 0)
				send_tick(run);
		sample_memory(run);
	}
	fleet_unwatch(&run->readers, timer);
	close(timer);
}

/* Waits until all readers have everything. */
static void
drain(slow_run *run)
{
	uint64_t	end = clock_now() + DRAIN_PATIENCE;

	while (run->deliveries < run->sent_all * READERS && clock_now() < end && run->readers.error[0] == '\0')
		fleet_poll(&run->readers, 20);
	fleet_poll(&run->readers, 100);
}

/* A measured flow; returns p99 in ms. */
static double
measure(slow_run *run, uint64_t duration)
{
	histogram_reset(run->latency);
	run->measuring = true;
	flow(run, duration);
	drain(run);
	run->measuring = false;
	return (double) histogram_percentile(run->latency, 99) / (double) NS_PER_MS;
}

/* How many connections the server has closed because they were slow; -1: it does not say. */
static long
closed_count(const bench_options *options)
{
	PGconn	   *conn = database_connect(options->conninfo);
	PGresult   *result;
	long		count = -1;

	if (conn == NULL)
		return -1;
	result = PQexec(conn, "select value from realtime.stats where name = 'slow_consumers_closed'");
	if (PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
		count = atol(PQgetvalue(result, 0, 0));
	PQclear(result);
	PQfinish(conn);
	return count;
}

static void
row_memory(const slow_run *run, uint64_t before, long closed)
{
	report_row	row = {.verdict = VERDICT_MISSED};
	double		growth = ((double) run->rss_most - (double) before) / 1048576;

	ROW_SET(row.what, "%d clients that never read at 10,000 messages/s: memory of the listener", SLEEPERS);
	ROW_SET(row.measured, "grew by %.0f MB at most", growth);
	ROW_SET(row.floor, "≤ %.0f MB (queue_memory) and half as much again", BUDGET_MB);
	if (growth <= BUDGET_MB * 1.5)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "%ld of them closed; %.0f MB above the beginning at the end", closed,
			((double) run->rss_now - (double) before) / 1048576);
	if (closed < SLEEPERS)
		row.verdict = VERDICT_MISSED;
	report_print(&row);
}

static void
row_readers(const slow_run *run, double quiet, double beside)
{
	report_row	row = {.verdict = VERDICT_MISSED};
	const check_totals *t = &run->totals;

	ROW_SET(row.what, "the same: latency of %d clients that read", READERS);
	ROW_SET(row.measured, "p99 %.2f ms, without the others %.2f ms", beside, quiet);
	ROW_SET(row.floor, "≤ twice");
	if (beside <= 2 * quiet)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "p50 %.2f, worst %.1f ms", (double) histogram_percentile(run->latency, 50) / (double) NS_PER_MS,
			(double) histogram_percentile(run->latency, 100) / (double) NS_PER_MS);
	if (check_clean(t) && run->readers.error[0] == '\0')
		ROW_ADD(row.beside, "none of %llu messages lost, repeated or out of order",
				(unsigned long long) run->sent_all);
	else
	{
		row.verdict = VERDICT_BROKEN;
		ROW_ADD(row.beside, "lost %llu, repeated %llu, out of order %llu %s", (unsigned long long) t->lost,
				(unsigned long long) t->repeated, (unsigned long long) t->disordered, run->readers.error);
	}
	report_print(&row);
}

/* Clients that never read. */
void
scenario_slow(const bench_options *options)
{
	static slow_run run;
	uint64_t	duration = (options->quick ? 15 : 30) * NS_PER_SEC;
	double		quiet;
	double		beside;
	uint64_t	before;
	long		closed;

	memset(&run, 0, sizeof(run));
	run.latency = histogram_create();
	report_progress("%d clients that never read", SLEEPERS);
	if (!database_workers(options->conninfo, "realtime listener", &run.listeners))
		report_broken("clients that never read", "no listener in pg_stat_activity");
	else if (!open_fleet(&run, options, &run.readers, READERS, on_message))
		report_broken("clients that never read", "%s", run.readers.error);
	else
	{
		flow(&run, 2 * NS_PER_SEC);
		quiet = measure(&run, duration);
		closed = closed_count(options);
		if (!open_fleet(&run, options, &run.sleepers, SLEEPERS, on_sleeper_message))
			report_broken("clients that never read", "%s", run.sleepers.error);
		else
		{
			before = procstat_rss_all(&run.listeners);
			run.rss_most = run.sampled = 0;
			beside = measure(&run, duration);
			check_finish(run.checks, READERS, run.sent, &run.totals);
			row_memory(&run, before, closed_count(options) - closed);
			row_readers(&run, quiet, beside);
		}
		fleet_close(&run.sleepers);
	}
	fleet_close(&run.readers);
	free(run.latency);
}
