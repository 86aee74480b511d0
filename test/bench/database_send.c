/*
 * database_send.c
 *		realtime.send: from the call in SQL to the arrival at a socket, on a quiet
 *		database and beside bulk loads.
 *
 * One session calls, one client listens, and one loop watches both, so that an
 * arrival is seen when it happens and not when the call returns. Bare commits of
 * one row are made in the same session in between: the floor is relative to them.
 */
#include "clock.h"
#include "database.h"
#include "fleet.h"
#include "histogram.h"
#include "load_child.h"
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
#define DRAIN_PATIENCE	(15 * NS_PER_SEC)
#define MOST_LOADS		30
#define CALL_PATIENCE	(60 * NS_PER_SEC)
#define TIMER_TAG		0
#define SESSION_TAG		1
#define TOPIC			"bench-send"

#define RETURNS_KEPT	1024	/* calls whose end is remembered */

#define SEND_SQL	"select realtime.send($1::jsonb, 'bench', '" TOPIC "', false)"
#define BARE_SQL	"insert into bench_bare values ($1::jsonb)"

typedef enum call_kind
{
	CALL_NONE,
	CALL_SEND,
	CALL_BARE
} call_kind;

typedef struct send_run
{
	const bench_options *options;
	fleet		fleet;
	PGconn	   *conn;
	int			timer;
	receiver_check check;
	check_totals totals;
	size_t		hint;
	uint32_t	sent[STAMP_MAX_SENDERS];
	call_kind	call;			/* what the session is doing */
	uint64_t	call_start;
	uint64_t	interval;		/* between two calls of realtime.send */
	uint32_t	bare_every;		/* one bare commit after so many of them */
	uint64_t	next_send;		/* when the next call is due */
	bool		bare_due;
	histogram  *arrival;		/* call to socket */
	histogram  *send_call;		/* call to its result */
	histogram  *lag;			/* result to socket, 0 if the message came first */
	uint64_t	returned[RETURNS_KEPT]; /* when the call with that sequence number did, or 0 */
	histogram  *bare;			/* bare commit, call to result */
	pid_set		decoders;
	pid_set		listeners;
	char		error[240];
} send_run;

/* One message at the subscriber. */
static void
on_message(void *arg, uint32_t client, const uint8_t *data, size_t length, uint64_t now)
{
	send_run   *run = arg;
	uint64_t	returned;
	stamp		s;

	(void) client;
	if (!stamp_read(data, length, &run->hint, &s))
	{
		run->totals.unreadable++;
		return;
	}
	check_message(&run->check, &s, &run->totals);
	histogram_add(run->arrival, now - s.sent);
	returned = run->returned[s.seq % RETURNS_KEPT];
	histogram_add(run->lag, returned != 0 && now > returned ? now - returned : 0);
}

/* Begins a call. */
static void
begin_call(send_run *run, call_kind kind)
{
	char		payload[STAMP_LENGTH + 1];
	const char *const values[] = {payload};
	stamp		s = {.sender = 0, .sent = clock_now()};

	s.seq = kind == CALL_SEND ? run->sent[0]++ : 0;
	stamp_write(payload, &s);
	payload[STAMP_LENGTH] = '\0';
	run->call = kind;
	run->call_start = s.sent;
	if (kind == CALL_SEND)
		run->returned[s.seq % RETURNS_KEPT] = 0;
	if (PQsendQueryParams(run->conn, kind == CALL_SEND ? SEND_SQL : BARE_SQL, 1, NULL, values,
						  NULL, NULL, 0) != 1)
		ROW_SET(run->error, "%s", PQerrorMessage(run->conn));
}

/* The call under way has returned. */
static void
end_call(send_run *run)
{
	uint64_t	now = clock_now();
	uint32_t	last = run->sent[0] - 1;

	if (run->call == CALL_SEND)
	{
		histogram_add(run->send_call, now - run->call_start);
		run->returned[last % RETURNS_KEPT] = now;
		if (run->sent[0] % run->bare_every == 0)
			run->bare_due = true;
	}
	else if (run->call == CALL_BARE)
		histogram_add(run->bare, now - run->call_start);
	run->call = CALL_NONE;
}

/* The session has answered something. */
static void
session_readable(send_run *run)
{
	PGresult   *result;

	if (PQconsumeInput(run->conn) != 1)
	{
		ROW_SET(run->error, "%s", PQerrorMessage(run->conn));
		return;
	}
	while (!PQisBusy(run->conn))
	{
		result = PQgetResult(run->conn);
		if (result == NULL)
		{
			end_call(run);
			return;
		}
		if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
			ROW_SET(run->error, "%s", PQerrorMessage(run->conn));
		PQclear(result);
	}
}

/*
 * Begins what is due: a call of realtime.send at each multiple of the interval, a
 * bare commit half an interval after one. If nothing is, sets the timer.
 */
static void
begin_due(send_run *run)
{
	uint64_t	now = clock_now();
	uint64_t	bare_at = run->next_send - run->interval / 2;
	uint64_t	wake = run->bare_due ? bare_at : run->next_send;
	struct itimerspec when = {{0, 0}, {0, 0}};

	if (run->call != CALL_NONE)
		return;
	if (run->bare_due && now >= bare_at)
	{
		run->bare_due = false;
		begin_call(run, CALL_BARE);
	}
	else if (!run->bare_due && now >= run->next_send)
	{
		run->next_send += run->interval;
		begin_call(run, CALL_SEND);
	}
	else
	{
		when.it_value.tv_sec = (time_t) (wake / NS_PER_SEC);
		when.it_value.tv_nsec = (long) (wake % NS_PER_SEC);
		timerfd_settime(run->timer, TFD_TIMER_ABSTIME, &when, NULL);
	}
}

/* Whether something broke. */
static bool
send_broken(const send_run *run)
{
	return run->error[0] != '\0' || run->fleet.error[0] != '\0';
}

/* Waits once for the subscriber, the session or the timer. */
static void
turn(send_run *run, int timeout_ms)
{
	uint32_t	tags = fleet_poll(&run->fleet, timeout_ms);
	uint64_t	expired;

	if ((tags & (1U << SESSION_TAG)) != 0)
		session_readable(run);
	if ((tags & (1U << TIMER_TAG)) != 0 && read(run->timer, &expired, sizeof(expired)) < 0)
		return;
}

/* Calls at the given interval until the time is over or the load says so. */
static void
run_calls(send_run *run, uint64_t until)
{
	run->next_send = clock_now() + NS_PER_MS;
	run->bare_due = false;
	while (clock_now() < until && !send_broken(run))
	{
		begin_due(run);
		turn(run, 100);
		if (run->call != CALL_NONE && clock_now() - run->call_start > CALL_PATIENCE)
			ROW_SET(run->error, "a call has not returned in 60 s");
	}
}

/* Waits for the call under way and for all messages; what is missing then counts as lost. */
static void
send_drain(send_run *run)
{
	uint64_t	end = clock_now() + DRAIN_PATIENCE;

	while ((run->call != CALL_NONE || run->check.received < run->sent[0]) && clock_now() < end &&
		   !send_broken(run))
		turn(run, 20);
	turn(run, 50);
	check_finish(&run->check, 1, run->sent, &run->totals);
}

/* Connects the session and the subscriber; after false a row has been printed. */
static bool
send_begin(send_run *run, const bench_options *options, const char *what)
{
	fleet_config config = {
		.server = options->server,
		.token = options->token,
		.count = 1,
		.in_flight = 1,
		.sources = 1,
		.one_topic = true,
		.replication_ready = true,
		.name = TOPIC,
		.message = on_message,
		.arg = run,
	};

	memset(run, 0, sizeof(*run));
	run->options = options;
	run->arrival = histogram_create();
	run->send_call = histogram_create();
	run->lag = histogram_create();
	run->bare = histogram_create();
	run->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	run->conn = database_connect(options->conninfo);
	run->fleet.epoll_fd = -1;
	if (run->conn == NULL ||
		!database_run(run->conn, "drop table if exists bench_bare; create table bench_bare (a jsonb)"))
	{
		report_broken(what, "cannot prepare the database");
		return false;
	}
	if (!database_workers(options->conninfo, "realtime decoder", &run->decoders) ||
		!database_workers(options->conninfo, "realtime listener", &run->listeners))
	{
		report_broken(what, "no decoder or no listener in pg_stat_activity");
		return false;
	}
	if (!fleet_open(&run->fleet, &config, JOIN_PATIENCE))
	{
		report_broken(what, "%s", run->fleet.error);
		return false;
	}
	fleet_watch(&run->fleet, run->timer, TIMER_TAG);
	fleet_watch(&run->fleet, PQsocket(run->conn), SESSION_TAG);
	return true;
}

/* Frees all; also after a send_begin that failed. */
static void
send_end(send_run *run)
{
	fleet_close(&run->fleet);
	close(run->timer);
	if (run->conn != NULL)
	{
		/* the session may be in mid-call if something broke */
		if (run->call == CALL_NONE)
			database_run(run->conn, "drop table if exists bench_bare");
		PQfinish(run->conn);
	}
	free(run->arrival);
	free(run->send_call);
	free(run->lag);
	free(run->bare);
}

static double
ms(const histogram *h, double percent)
{
	return (double) histogram_percentile(h, percent) / (double) NS_PER_MS;
}

/* Says what broke, if something did. */
static void
row_integrity(const send_run *run, report_row *row)
{
	const check_totals *t = &run->totals;

	if (check_clean(t) && !send_broken(run))
	{
		ROW_ADD(row->beside, "none of %u lost, repeated or out of order", run->sent[0]);
		return;
	}
	row->verdict = VERDICT_BROKEN;
	ROW_ADD(row->beside, "of %u lost %llu, repeated %llu, out of order %llu, unreadable %llu %s %s",
			run->sent[0], (unsigned long long) t->lost, (unsigned long long) t->repeated,
			(unsigned long long) t->disordered, (unsigned long long) t->unreadable, run->error,
			run->fleet.error);
	for (char *p = row->beside; *p != '\0'; p++)
		if (*p == '\n' || *p == '|')
			*p = ' ';
}

/* realtime.send on a quiet database, at one rate. */
static void
measure_quiet(const bench_options *options, uint32_t rate)
{
	static send_run run;
	report_row	row = {.verdict = VERDICT_MISSED};
	uint64_t	duration = (options->quick ? 5 : 20) * NS_PER_SEC;
	proc_cpu	decoder;
	proc_cpu	after;

	ROW_SET(row.what, "`realtime.send` at %u/s, 1 subscriber: call to socket", rate);
	report_progress("%s", row.what);
	if (send_begin(&run, options, row.what))
	{
		run.interval = NS_PER_SEC / rate;
		run.bare_every = rate > 100 ? rate / 100 : 1;
		procstat_cpu_all(&run.decoders, &decoder);
		run_calls(&run, clock_now() + duration);
		send_drain(&run);

		ROW_SET(row.measured, "p50 %.2f ms = bare commit %+.2f ms", ms(run.arrival, 50),
				ms(run.arrival, 50) - ms(run.bare, 50));
		ROW_SET(row.floor, "p50 ≤ bare commit + 0.5 ms");
		if (run.arrival->count > 0 && ms(run.arrival, 50) <= ms(run.bare, 50) + 0.5)
			row.verdict = VERDICT_MET;
		ROW_ADD(row.beside, "p99 %.2f, worst %.1f ms; the call itself p50 %.2f, p99 %.2f; "
				"bare commit p50 %.2f, p99 %.2f; from the call's return p50 %.2f, p99 %.2f; "
				"%.0f/s reached",
				ms(run.arrival, 99), ms(run.arrival, 100), ms(run.send_call, 50),
				ms(run.send_call, 99), ms(run.bare, 50), ms(run.bare, 99), ms(run.lag, 50),
				ms(run.lag, 99), (double) run.sent[0] * 1e9 / (double) duration);
		if (procstat_cpu_all(&run.decoders, &after) && run.sent[0] > 0)
			ROW_ADD(row.beside, "decoder CPU %.0f µs a message",
					(double) (after.ns - decoder.ns) / 1e3 / run.sent[0]);
		row_integrity(&run, &row);
		report_print(&row);
	}
	send_end(&run);
}

/* realtime.send, 1 subscriber. */
void
scenario_send(const bench_options *options)
{
	database_recycle_wal(options->conninfo);
	measure_quiet(options, 100);
	measure_quiet(options, 1000);
}

/*
 * Calls beside a load that is repeated until there are enough samples. The number of
 * loads is bounded by the WAL segments that there are to recycle.
 */
static void
run_beside(send_run *run, const load_state *load)
{
	uint64_t	start = clock_now();
	uint64_t	least = start + (run->options->quick ? 3 : 15) * NS_PER_SEC;
	uint64_t	most = start + 60 * NS_PER_SEC;
	uint32_t	wanted = run->options->quick ? 1 : 3;

	do
		run_calls(run, clock_now() + 200 * NS_PER_MS);
	while (!send_broken(run) && !load->failed && clock_now() < most &&
		   load->done < MOST_LOADS && (clock_now() < least || load->done < wanted));
}

/* realtime.send at 100/s beside one kind of bulk load. */
static void
measure_beside(const bench_options *options, load_kind kind)
{
	static send_run run;
	report_row	row = {.verdict = VERDICT_MISSED};
	load_child	bulk = {0};
	load_child	temp = {0};
	proc_cpu	decoder;
	proc_cpu	after;
	uint64_t	start;
	double		seconds;

	ROW_SET(row.what, "`realtime.send` at 100/s beside %u rows: %s", options->load_rows,
			load_name(kind));
	report_progress("%s", row.what);
	database_recycle_wal(options->conninfo);
	if (!send_begin(&run, options, row.what))
	{
		send_end(&run);
		return;
	}
	run.interval = NS_PER_SEC / 100;
	run.bare_every = 1;
	procstat_cpu_all(&run.decoders, &decoder);
	start = clock_now();
	if (load_start(&temp, options->conninfo, LOAD_TEMP_TABLES, 0) &&
		load_start(&bulk, options->conninfo, kind, options->load_rows))
	{
		bool		good;

		run_beside(&run, bulk.state);
		seconds = (double) (clock_now() - start) / 1e9;
		ROW_ADD(row.beside, "%u loads of %.1f s, %.0f temporary tables/s", bulk.state->done,
				bulk.state->done > 0 ? (double) bulk.state->busy / 1e9 / bulk.state->done : 0.0,
				temp.state->done / seconds);
		/* what a commit brings in its train is part of the measurement */
		bulk.state->stop = true;
		run_calls(&run, clock_now() + NS_PER_SEC);
		send_drain(&run);
		seconds = (double) (clock_now() - start) / 1e9;
		good = load_stop(&bulk, options->conninfo);
		if (!load_stop(&temp, options->conninfo) || !good)
			ROW_SET(run.error, "a load has failed");
	}
	else
	{
		ROW_SET(run.error, "cannot start the loads");
		seconds = 1;
	}
	ROW_SET(row.measured, "p99 %.1f ms", ms(run.arrival, 99));
	ROW_SET(row.floor, "p99 ≤ 25 ms");
	if (run.arrival->count > 0 && ms(run.arrival, 99) <= 25.0)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "p50 %.2f, worst %.1f ms; from the call's return p99 %.1f, worst %.1f; "
			"bare commit p50 %.2f, p99 %.1f, worst %.1f",
			ms(run.arrival, 50), ms(run.arrival, 100), ms(run.lag, 99), ms(run.lag, 100),
			ms(run.bare, 50), ms(run.bare, 99), ms(run.bare, 100));
	if (procstat_cpu_all(&run.decoders, &after))
		ROW_ADD(row.beside, "decoder %.1f %% of a core",
				(double) (after.ns - decoder.ns) / 1e7 / seconds);
	row_integrity(&run, &row);
	report_print(&row);
	send_end(&run);
}

/* The same beside bulk loads, four ways. */
void
scenario_load(const bench_options *options)
{
	for (int kind = 0; kind < LOAD_BULK_KINDS; kind++)
		measure_beside(options, (load_kind) kind);
}
