/*
 * fanout.c
 *		Many subscribers on one topic: saturated, and at a given pace.
 *
 * The senders are subscribers themselves and get their own copies, so that every
 * client sees every message. When saturated, a sender has a bounded number of
 * messages under way, counted by the slowest subscriber, which bounds every queue.
 */
#include "clock.h"
#include "database.h"
#include "fleet.h"
#include "histogram.h"
#include "options.h"
#include "procstat.h"
#include "report.h"
#include "stamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define JOIN_PATIENCE	(30 * NS_PER_SEC)
#define DRAIN_PATIENCE	(10 * NS_PER_SEC)
#define TIMER_TAG		0

typedef struct fanout
{
	const bench_options *options;
	fleet		fleet;
	receiver_check *checks;		/* one per subscriber */
	check_totals totals;
	size_t		hint;			/* where the stamp was in the last message */
	uint32_t	sent[STAMP_MAX_SENDERS];
	uint64_t	sent_all;
	uint64_t	deliveries;
	bool		measuring;
	histogram  *latency;		/* of messages that arrived while measuring */
	pid_set		listeners;
} fanout;

/* What was used between two moments. */
typedef struct window_costs
{
	uint64_t	start;
	uint64_t	deliveries;
	uint64_t	sent;
	uint64_t	reads;
	uint64_t	own_cpu;
	proc_cpu	listener;
} window_costs;

/* One message at one subscriber. */
static void
on_message(void *arg, uint32_t client, const uint8_t *data, size_t length, uint64_t now)
{
	fanout	   *run = arg;
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

/* Connects the subscribers; after false a row has been printed. */
static bool
fanout_begin(fanout *run, const bench_options *options, const char *what, const char *topic)
{
	fleet_config config = {
		.server = options->server,
		.token = options->token,
		.count = options->subscribers,
		.rate = 2000,
		.in_flight = 100,
		.sources = 1,
		.one_topic = true,
		.self = true,
		.name = topic,
		.message = on_message,
		.arg = run,
	};

	memset(run, 0, sizeof(*run));
	run->options = options;
	run->latency = histogram_create();
	run->checks = calloc(options->subscribers, sizeof(receiver_check));
	if (run->checks == NULL)
		return false;
	if (!database_workers(options->conninfo, "realtime listener", &run->listeners))
		report_broken(what, "no listener in pg_stat_activity");
	else if (!fleet_open(&run->fleet, &config, JOIN_PATIENCE))
	{
		report_broken(what, "%s", run->fleet.error);
		fleet_close(&run->fleet);
	}
	else
		return true;
	free(run->checks);
	free(run->latency);
	return false;
}

/* Sends a few messages of one sender, in one send(). */
static void
send_messages(fanout *run, uint32_t sender, uint32_t count)
{
	fleet_send_stamped(&run->fleet, sender, &run->sent[sender], count, run->options->as_text);
	run->sent_all += count;
}

/* How many messages of a sender the slowest subscriber has. */
static uint32_t
slowest(const fanout *run, uint32_t sender)
{
	uint32_t	least = run->checks[0].streams[sender].next;

	for (uint32_t i = 1; i < run->options->subscribers; i++)
		if (run->checks[i].streams[sender].next < least)
			least = run->checks[i].streams[sender].next;
	return least;
}

/* Whether something broke in mid-run. */
static bool
fanout_broken(const fanout *run)
{
	return run->fleet.error[0] != '\0' || run->totals.lost > 0 || run->totals.repeated > 0;
}

/* Sends as much as the windows allow, until so much time has passed. */
static void
run_saturated(fanout *run, uint32_t window, uint64_t duration)
{
	const bench_options *o = run->options;
	uint64_t	end = clock_now() + duration;

	while (clock_now() < end && !fanout_broken(run))
	{
		for (uint32_t s = 0; s < o->senders; s++)
		{
			uint32_t	under_way = run->sent[s] - slowest(run, s);

			/* refilled by halves, so that a sender sends some together */
			if (under_way <= window / 2)
				send_messages(run, s, window - under_way);
		}
		fleet_poll(&run->fleet, 20);
	}
}

/* Sends one message every so many nanoseconds, until so much time has passed. */
static void
run_paced(fanout *run, uint64_t duration, uint64_t interval)
{
	struct itimerspec when = {{0, (long) interval}, {0, (long) interval}};
	uint64_t	end = clock_now() + duration;
	int			timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	uint64_t	due;

	timerfd_settime(timer, 0, &when, NULL);
	fleet_watch(&run->fleet, timer, TIMER_TAG);
	while (clock_now() < end && !fanout_broken(run))
	{
		if ((fleet_poll(&run->fleet, 100) & (1U << TIMER_TAG)) != 0 &&
			read(timer, &due, sizeof(due)) == sizeof(due))
			while (due-- > 0)
				send_messages(run, 0, 1);
	}
	fleet_unwatch(&run->fleet, timer);
	close(timer);
}

/* Waits until every subscriber has every message; what is still missing then counts as lost. */
static void
fanout_drain(fanout *run)
{
	uint64_t	end = clock_now() + DRAIN_PATIENCE;
	uint64_t	all = run->sent_all * run->options->subscribers;

	while (run->deliveries < all && clock_now() < end && run->fleet.error[0] == '\0')
		fleet_poll(&run->fleet, 20);
	/* one that comes twice would come now */
	fleet_poll(&run->fleet, 100);
	check_finish(run->checks, run->options->subscribers, run->sent, &run->totals);
}

/* Notes the counters at the beginning of a measurement. */
static void
costs_begin(fanout *run, window_costs *costs)
{
	costs->deliveries = run->deliveries;
	costs->sent = run->sent_all;
	costs->reads = run->fleet.reads;
	costs->own_cpu = clock_own_cpu();
	procstat_cpu_all(&run->listeners, &costs->listener);
	costs->start = clock_now();
	run->measuring = true;
}

/* Turns them into differences; start becomes the length. */
static void
costs_end(fanout *run, window_costs *costs)
{
	proc_cpu	listener;

	run->measuring = false;
	costs->start = clock_now() - costs->start;
	if (procstat_cpu_all(&run->listeners, &listener))
	{
		listener.ns -= costs->listener.ns;
		listener.ticks -= costs->listener.ticks;
		costs->listener = listener;
	}
	costs->deliveries = run->deliveries - costs->deliveries;
	costs->sent = run->sent_all - costs->sent;
	costs->reads = run->fleet.reads - costs->reads;
	costs->own_cpu = clock_own_cpu() - costs->own_cpu;
}

/* Says what broke, if something did. */
static void
row_integrity(const fanout *run, report_row *row)
{
	const check_totals *t = &run->totals;

	if (check_clean(t) && run->fleet.error[0] == '\0')
	{
		ROW_ADD(row->beside, "none of %llu messages lost, repeated or out of order at any subscriber",
				(unsigned long long) run->sent_all);
		return;
	}
	row->verdict = VERDICT_BROKEN;
	ROW_ADD(row->beside, "lost %llu, repeated %llu, out of order %llu, unreadable %llu, "
			"subscribers with another order %llu %s",
			(unsigned long long) t->lost, (unsigned long long) t->repeated,
			(unsigned long long) t->disordered, (unsigned long long) t->unreadable,
			(unsigned long long) t->order_differs, run->fleet.error);
}

/* What the measurement cost on both sides. */
static void
row_costs(const window_costs *costs, report_row *row)
{
	double		seconds = (double) costs->start;

	ROW_ADD(row->beside, "listener %.0f %% of a core, %.2f µs a delivery, generator %.0f %%; "
			"%.1f deliveries per read",
			(double) costs->listener.ns * 100 / seconds,
			costs->deliveries > 0 ? (double) costs->listener.ns / 1e3 / (double) costs->deliveries : 0.0,
			(double) costs->own_cpu * 100 / seconds,
			costs->reads > 0 ? (double) costs->deliveries / (double) costs->reads : 0.0);
}

static double
percentile_ms(const fanout *run, double percent)
{
	return (double) histogram_percentile(run->latency, percent) / (double) NS_PER_MS;
}

/* Frees all. */
static void
fanout_end(fanout *run)
{
	fleet_close(&run->fleet);
	free(run->checks);
	free(run->latency);
}

/* The subscribers on one topic, saturated with so many messages of each sender under way. */
static void
measure_saturated(const bench_options *options, uint32_t window, bool with_floor)
{
	static fanout run;
	report_row	row = {.verdict = VERDICT_NONE, .floor = "–"};
	window_costs costs;
	double		rate;
	double		each;

	ROW_SET(row.what, "%u subscribers on one topic, saturated: %u senders, %u messages each under way",
			options->subscribers, options->senders, window);
	report_progress("%s", row.what);
	if (!fanout_begin(&run, options, row.what, "bench-saturated"))
		return;
	run_saturated(&run, window, NS_PER_SEC);
	costs_begin(&run, &costs);
	run_saturated(&run, window, (options->quick ? 3 : 10) * NS_PER_SEC);
	costs_end(&run, &costs);
	fanout_drain(&run);

	rate = (double) costs.deliveries * 1e9 / (double) costs.start;
	each = costs.deliveries > 0 ? (double) costs.listener.ns / 1e3 / (double) costs.deliveries : 0;
	ROW_SET(row.measured, "%.0f deliveries/s, %.2f µs of listener CPU each", rate, each);
	if (with_floor)
	{
		ROW_SET(row.floor, "≥ 250,000/s, ≤ 4 µs");
		row.verdict = rate >= 250000 && each <= 4.0 ? VERDICT_MET : VERDICT_MISSED;
	}
	ROW_ADD(row.beside, "p50 %.1f, p99 %.1f, worst %.1f ms", percentile_ms(&run, 50),
			percentile_ms(&run, 99), percentile_ms(&run, 100));
	row_costs(&costs, &row);
	row_integrity(&run, &row);
	report_print(&row);
	fanout_end(&run);
}

/*
 * 500 subscribers on one topic, saturated. The more is under way, the more frames
 * share a write; the floor is for little of that, the second row shows what more
 * of it gives.
 */
void
scenario_fanout(const bench_options *options)
{
	measure_saturated(options, options->window, true);
	measure_saturated(options, options->window * 8, false);
}

/* The same at 25,000 deliveries a second. */
void
scenario_paced(const bench_options *options)
{
	static fanout run;
	report_row	row = {.verdict = VERDICT_MISSED};
	window_costs costs;
	uint64_t	interval = NS_PER_SEC * options->subscribers / 25000;

	ROW_SET(row.what, "%u subscribers at 25,000 deliveries/s", options->subscribers);
	report_progress("%s", row.what);
	if (!fanout_begin(&run, options, row.what, "bench-paced"))
		return;
	run_paced(&run, NS_PER_SEC, interval);
	costs_begin(&run, &costs);
	run_paced(&run, (options->quick ? 5 : 20) * NS_PER_SEC, interval);
	costs_end(&run, &costs);
	fanout_drain(&run);

	ROW_SET(row.measured, "p50 %.2f ms, p99 %.2f ms over all receivers", percentile_ms(&run, 50),
			percentile_ms(&run, 99));
	ROW_SET(row.floor, "p50 ≤ 4 ms, p99 ≤ 15 ms");
	if (percentile_ms(&run, 50) <= 4.0 && percentile_ms(&run, 99) <= 15.0 && run.latency->count > 0)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "%.0f deliveries/s; worst %.1f ms",
			(double) costs.deliveries * 1e9 / (double) costs.start, percentile_ms(&run, 100));
	row_costs(&costs, &row);
	row_integrity(&run, &row);
	report_print(&row);
	fanout_end(&run);
}
