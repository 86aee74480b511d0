/*
 * changes.c
 *		Postgres Changes: rows that are inserted, judged by policies for each of 500
 *		users, and delivered; and what a broadcast notices of a policy that sleeps.
 */
#include "clock.h"
#include "database.h"
#include "histogram.h"
#include "options.h"
#include "procstat.h"
#include "report.h"
#include "ws_client.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#define USERS			500
#define PATIENCE		(60 * NS_PER_SEC)
#define ALL_FLOOR		200.0	/* changes/s, each to all users */
#define ONE_FLOOR		1000.0	/* changes/s, each to one user of all */
#define PLAIN_FLOOR		10000.0 /* changes/s, one subscriber, no row level security */
#define PACED_RATE		100		/* changes/s */
#define PACED_FLOOR_MS	50.0	/* p95 */
#define BROADCAST_FLOOR_MS	20.0	/* p99 */

#define SLEEPERS		20
#define BROADCASTS		1000

#define USER_SQL		"('00000000-0000-4000-8000-' || lpad(to_hex(%s), 12, '0'))::uuid"

typedef struct subscriber
{
	ws_client	ws;
	bool		joined;
	bool		subscribed;
	uint64_t	received;
	uint64_t	last_id;
} subscriber;

typedef struct change_run
{
	const bench_options *options;
	PGresult   *tokens;			/* one for each subscriber */
	subscriber *subscribers;
	uint32_t	count;
	const char *topic;			/* NULL: the one of all subscribers */
	const char *config;			/* of the join */
	int			epoll_fd;
	subscriber *current;
	uint8_t    *scratch;
	uint64_t	received;		/* changes */
	uint64_t	echoes;			/* broadcasts */
	uint64_t	joined;
	uint64_t	subscribed;
	uint64_t	disorder;
	histogram  *latencies;		/* NULL: not of interest */
	char		error[240];
} change_run;

static void
run_fail(change_run *run, const char *text, size_t length)
{
	if (run->error[0] == '\0')
		snprintf(run->error, sizeof(run->error), "%.*s", (int) (length < 200 ? length : 200), text);
}

/* The number behind a key; 0 if it is not there. */
static uint64_t
number_behind(const uint8_t *data, size_t length, const char *key)
{
	const char *at = memmem(data, length, key, strlen(key));
	uint64_t	number = 0;

	if (at == NULL)
		return 0;
	for (at += strlen(key); at < (const char *) data + length && *at >= '0' && *at <= '9'; at++)
		number = number * 10 + (uint64_t) (*at - '0');
	return number;
}

static bool
holds(const uint8_t *data, size_t length, const char *needle)
{
	return memmem(data, length, needle, strlen(needle)) != NULL;
}

/* The ids of one writer's rows come in their order. */
static void
take_change(change_run *run, subscriber *s, const uint8_t *data, size_t length)
{
	uint64_t	id = number_behind(data, length, "\"record\":{\"id\":");

	if (id <= s->last_id)
		run->disorder++;
	s->last_id = id;
	s->received++;
	run->received++;
	if (run->latencies != NULL)
		histogram_add(run->latencies, clock_now() - number_behind(data, length, "\"stamp\":"));
}

static void
read_message(void *arg, int opcode, const uint8_t *data, size_t length)
{
	change_run *run = arg;
	subscriber *s = run->current;

	if (opcode != WS_OPCODE_TEXT)
		return;
	if (holds(data, length, "\"postgres_changes\",{\"ids\""))
		take_change(run, s, data, length);
	else if (holds(data, length, "\"broadcast\",{"))
		run->echoes++;
	else if (holds(data, length, "\"phx_reply\"") && !s->joined && holds(data, length, "\"status\":\"ok\""))
	{
		s->joined = true;
		run->joined++;
	}
	else if (holds(data, length, "Subscribed to PostgreSQL") && !s->subscribed)
	{
		s->subscribed = true;
		run->subscribed++;
	}
	else if (holds(data, length, "\"error\""))
		run_fail(run, (const char *) data, length);
}

static void
serve(change_run *run, int timeout_ms)
{
	struct epoll_event events[256];
	int			n = epoll_wait(run->epoll_fd, events, 256, timeout_ms);

	for (int i = 0; i < n; i++)
	{
		subscriber *s = events[i].data.ptr;

		run->current = s;
		if (s->ws.state == WS_DEAD || !ws_read(&s->ws, run->scratch, read_message, run))
			run_fail(run, s->ws.error, strlen(s->ws.error));
	}
}

static bool
connect_subscriber(change_run *run, subscriber *s, const char *path)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = s};
	struct pollfd writable;
	uint64_t	end = clock_now() + 10 * NS_PER_SEC;

	if (!ws_open(&s->ws, &run->options->server, 0))
		return false;
	writable = (struct pollfd) {.fd = s->ws.fd, .events = POLLOUT};
	if (poll(&writable, 1, 10000) != 1 || !ws_upgrade(&s->ws, path))
		return false;
	epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, s->ws.fd, &event);
	while (s->ws.state != WS_OPEN && run->error[0] == '\0' && clock_now() < end)
		serve(run, 100);
	return s->ws.state == WS_OPEN;
}

static void
send_join(change_run *run, uint32_t i)
{
	char		text[4096];
	int			n = snprintf(text, sizeof(text),
							 "[\"1\",\"1\",\"realtime:%s\",\"phx_join\",{\"config\":%s,\"access_token\":\"%s\"}]",
							 run->topic != NULL ? run->topic : "bench-changes", run->config, PQgetvalue(run->tokens, (int) i % PQntuples(run->tokens), 0));

	ws_send_message(&run->subscribers[i].ws, WS_OPCODE_TEXT, text, (size_t) n);
}

/* Connects and joins all; wants_changes: waits until they are told that they have subscribed. */
static bool
open_subscribers(change_run *run, bool wants_changes)
{
	char		path[2048];
	uint64_t	end = clock_now() + PATIENCE;

	run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	run->subscribers = calloc(run->count, sizeof(subscriber));
	run->scratch = malloc(WS_SCRATCH_SIZE);
	snprintf(path, sizeof(path), "/realtime/v1/websocket?apikey=%s&vsn=2.0.0", run->options->token);
	for (uint32_t i = 0; i < run->count; i++)
	{
		if (!connect_subscriber(run, &run->subscribers[i], path))
		{
			run_fail(run, "cannot connect", 14);
			return false;
		}
		send_join(run, i);
	}
	while ((run->joined < run->count || (wants_changes && run->subscribed < run->count)) &&
		   run->error[0] == '\0' && clock_now() < end)
		serve(run, 100);
	if (run->joined < run->count || (wants_changes && run->subscribed < run->count))
		run_fail(run, "not all have subscribed in time", 31);
	return run->error[0] == '\0';
}

static void
close_subscribers(change_run *run)
{
	for (uint32_t i = 0; run->subscribers != NULL && i < run->count; i++)
		ws_close(&run->subscribers[i].ws);
	if (run->subscribers != NULL)
		close(run->epoll_fd);
	free(run->subscribers);
	free(run->scratch);
	run->subscribers = NULL;
	run->scratch = NULL;
}

/* How rows are written: by a process of its own, so that nobody waits for a commit. */
typedef struct writer
{
	const char *sql;			/* of one commit; $1 is the clock */
	uint32_t	commits;
	uint64_t	pause;			/* ns between two commits; 0: none */
} writer;

static pid_t
start_writer(const bench_options *options, const writer *w)
{
	pid_t		pid = fork();
	PGconn	   *conn;
	uint64_t	next;

	if (pid != 0)
		return pid;
	conn = database_connect(options->conninfo);
	if (conn == NULL)
		_exit(1);
	PQclear(PQprepare(conn, "insert", w->sql, 1, NULL));
	next = clock_now();
	for (uint32_t i = 0; i < w->commits; i++)
	{
		char		stamp[32];
		const char *values[] = {stamp};
		PGresult   *result;

		while (w->pause > 0 && clock_now() < next)
			usleep(200);
		next += w->pause;
		snprintf(stamp, sizeof(stamp), "%llu", (unsigned long long) clock_now());
		result = PQexecPrepared(conn, "insert", 1, values, NULL, NULL, 0);
		if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
			_exit(2);
		PQclear(result);
	}
	PQfinish(conn);
	_exit(0);
}

static bool
end_writer(pid_t pid)
{
	int			status = 1;

	return waitpid(pid, &status, 0) == pid && status == 0;
}

/* The processes that work for Postgres Changes, for their CPU. */
static const char *const kinds[] = {"realtime decoder", "realtime changes", "realtime listener"};

#define KINDS	(sizeof(kinds) / sizeof(kinds[0]))

typedef struct usage
{
	pid_set		pids[KINDS];
	proc_cpu	before[KINDS];
	uint64_t	own;
} usage;

static void
usage_begin(const bench_options *options, usage *u)
{
	for (size_t i = 0; i < KINDS; i++)
		if (database_workers(options->conninfo, kinds[i], &u->pids[i]))
			procstat_cpu_all(&u->pids[i], &u->before[i]);
	u->own = clock_own_cpu();
}

static void
usage_add(const usage *u, report_row *row, double changes)
{
	double		us[KINDS];

	for (size_t i = 0; i < KINDS; i++)
	{
		proc_cpu	now = {0};

		procstat_cpu_all(&u->pids[i], &now);
		us[i] = (double) (now.ns - u->before[i].ns) / 1e3 / changes;
	}
	ROW_ADD(row->beside, "CPU of a change: decoders %.1f µs, changes worker %.1f µs, listener %.1f µs, generator %.1f µs",
			us[0], us[1], us[2], (double) (clock_own_cpu() - u->own) / 1e3 / changes);
}

static void
judge_row(const change_run *run, report_row *row, bool complete, bool met)
{
	row->verdict = met ? VERDICT_MET : VERDICT_MISSED;
	if (complete && run->disorder == 0 && run->error[0] == '\0')
		return;
	row->verdict = VERDICT_BROKEN;
	ROW_ADD(row->beside, "%llu out of order; %s", (unsigned long long) run->disorder,
			complete ? run->error : "not all changes have come");
}

/* So many changes a second, from the first insert to the last delivery. */
static void
measure_rate(const bench_options *options, PGresult *tokens, const char *about, uint32_t users, const char *table,
			 const char *sql, uint32_t commits, uint32_t rows_per_commit, uint64_t deliveries_per_row, double floor)
{
	char		config[256];
	change_run	run = {.options = options, .tokens = tokens, .count = users, .config = config};
	writer		w = {.sql = sql, .commits = options->quick ? commits / 4 : commits};
	double		changes = (double) w.commits * rows_per_commit;
	uint64_t	expected = (uint64_t) changes * deliveries_per_row;
	report_row	row = {.verdict = VERDICT_MISSED};
	usage		u;
	uint64_t	start;
	double		seconds;
	pid_t		pid;
	bool		written;

	snprintf(config, sizeof(config),
			 "{\"postgres_changes\":[{\"event\":\"INSERT\",\"schema\":\"public\",\"table\":\"%s\"}]}", table);
	ROW_SET(row.what, "Postgres Changes, %s", about);
	report_progress("%s", row.what);
	if (!open_subscribers(&run, true))
	{
		report_broken(row.what, "%s", run.error);
		close_subscribers(&run);
		return;
	}
	usage_begin(options, &u);
	start = clock_now();
	pid = start_writer(options, &w);
	while (run.received < expected && run.error[0] == '\0' && clock_now() - start < PATIENCE)
		serve(&run, 100);
	seconds = (double) (clock_now() - start) / 1e9;
	written = end_writer(pid);

	ROW_SET(row.measured, "%.0f changes/s", changes / seconds);
	ROW_SET(row.floor, "≥ %.0f/s", floor);
	ROW_ADD(row.beside, "%.0f changes in commits of %u, %.0f deliveries/s", changes, rows_per_commit,
			(double) run.received / seconds);
	usage_add(&u, &row, changes);
	judge_row(&run, &row, written && run.received == expected, changes / seconds >= floor);
	report_print(&row);
	close_subscribers(&run);
}

/* Latency over all receivers at a steady rate. */
static void
measure_latency(const bench_options *options, PGresult *tokens, const char *sql)
{
	change_run	run = {
		.options = options, .tokens = tokens, .count = USERS, .latencies = histogram_create(),
		.config = "{\"postgres_changes\":[{\"event\":\"INSERT\",\"schema\":\"public\",\"table\":\"bench_changes\"}]}",
	};
	writer		w = {.sql = sql, .commits = options->quick ? 300 : 1500, .pause = NS_PER_SEC / PACED_RATE};
	report_row	row = {.verdict = VERDICT_MISSED};
	uint64_t	start;
	double		p95;
	pid_t		pid;
	bool		written;

	ROW_SET(row.what, "the same at %d changes/s, p95 over all receivers", PACED_RATE);
	report_progress("%s", row.what);
	if (run.latencies == NULL || !open_subscribers(&run, true))
		report_broken(row.what, "%s", run.error);
	else
	{
		start = clock_now();
		pid = start_writer(options, &w);
		while (run.received < (uint64_t) w.commits * USERS && run.error[0] == '\0' && clock_now() - start < PATIENCE)
			serve(&run, 100);
		written = end_writer(pid);
		p95 = (double) histogram_percentile(run.latencies, 95) / 1e6;
		ROW_SET(row.measured, "%.2f ms", p95);
		ROW_SET(row.floor, "≤ %.0f ms", PACED_FLOOR_MS);
		ROW_ADD(row.beside, "median %.2f ms, p99 %.2f ms, worst %.2f ms, from before the INSERT",
				(double) histogram_percentile(run.latencies, 50) / 1e6,
				(double) histogram_percentile(run.latencies, 99) / 1e6, (double) run.latencies->max / 1e6);
		judge_row(&run, &row, written && run.received == (uint64_t) w.commits * USERS, p95 <= PACED_FLOOR_MS);
		report_print(&row);
	}
	close_subscribers(&run);
	free(run.latencies);
}

/* A client broadcasts to itself while changes wait for a policy that sleeps. */
static void
measure_broadcast(const bench_options *options, PGresult *tokens, const char *sql)
{
	static const char broadcast[] =
		"[\"1\",\"2\",\"realtime:bench-other\",\"broadcast\",{\"type\":\"broadcast\",\"event\":\"e\",\"payload\":{\"n\":1}}]";
	change_run	run = {
		.options = options, .tokens = tokens, .count = SLEEPERS,
		.config = "{\"postgres_changes\":[{\"event\":\"INSERT\",\"schema\":\"public\",\"table\":\"bench_sleep\"}]}",
	};
	change_run	other = {
		.options = options, .tokens = tokens, .count = 1, .topic = "bench-other",
		.config = "{\"broadcast\":{\"self\":true,\"ack\":false}}",
	};
	writer		w = {.sql = sql, .commits = 1000, .pause = 20 * NS_PER_MS};
	histogram  *h = histogram_create();
	report_row	row = {.verdict = VERDICT_MISSED};
	uint64_t	end;
	double		p99;
	pid_t		pid;

	ROW_SET(row.what, "broadcast beside Postgres Changes whose policy sleeps 50 ms per check, p99");
	report_progress("%s", row.what);
	if (h == NULL || !open_subscribers(&run, true) || !open_subscribers(&other, false))
		report_broken(row.what, "%s %s", run.error, other.error);
	else
	{
		pid = start_writer(options, &w);
		end = clock_now() + PATIENCE;
		for (int i = 0; i < BROADCASTS && other.error[0] == '\0' && clock_now() < end; i++)
		{
			uint64_t	begun = clock_now();

			ws_send_message(&other.subscribers[0].ws, WS_OPCODE_TEXT, broadcast, sizeof(broadcast) - 1);
			while (other.echoes == (uint64_t) i && other.error[0] == '\0' && clock_now() < end)
				serve(&other, 100);
			histogram_add(h, clock_now() - begun);
			serve(&run, 5);
		}
		kill(pid, SIGTERM);
		(void) end_writer(pid);
		p99 = (double) histogram_percentile(h, 99) / 1e6;
		ROW_SET(row.measured, "%.2f ms", p99);
		ROW_SET(row.floor, "≤ %.0f ms", BROADCAST_FLOOR_MS);
		ROW_ADD(row.beside, "%llu broadcasts, median %.2f ms, worst %.2f ms; %llu changes delivered meanwhile",
				(unsigned long long) h->count, (double) histogram_percentile(h, 50) / 1e6, (double) h->max / 1e6,
				(unsigned long long) run.received);
		judge_row(&other, &row, other.echoes == BROADCASTS && run.received > 0, p99 <= BROADCAST_FLOOR_MS);
		if (run.error[0] != '\0')
			ROW_ADD(row.beside, "%s", run.error);
		report_print(&row);
	}
	close_subscribers(&run);
	close_subscribers(&other);
	free(h);
}

static const char prepare_sql[] =
"select realtime.setup_supabase();"
"create table public.bench_changes (id bigint generated always as identity primary key, user_id uuid, stamp bigint, body text);"
"create table public.bench_plain (id bigint generated always as identity primary key, stamp bigint, body text);"
"create table public.bench_sleep (id bigint generated always as identity primary key, stamp bigint);"
"alter table public.bench_changes enable row level security;"
"alter table public.bench_sleep enable row level security;"
"create policy own on public.bench_changes for select to authenticated using (user_id = auth.uid() or user_id is null);"
"create policy slow on public.bench_sleep for select to authenticated using (pg_sleep(0.05) is not null);"
"grant select on public.bench_changes, public.bench_plain, public.bench_sleep to authenticated;"
"alter publication supabase_realtime add table public.bench_changes, public.bench_plain, public.bench_sleep";

static const char insert_for_all[] =
"insert into public.bench_changes (user_id, stamp, body) select null, $1::bigint, repeat('x', 64) from generate_series(1, 10)";
static const char insert_one[] =
"insert into public.bench_changes (user_id, stamp, body) values (null, $1::bigint, repeat('x', 64))";
static const char insert_for_one[] =
"insert into public.bench_changes (user_id, stamp, body)"
" select ('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid, $1::bigint, repeat('x', 64)"
" from generate_series(0, 499) n";
static const char insert_plain[] =
"insert into public.bench_plain (stamp, body) select $1::bigint, repeat('x', 64) from generate_series(1, 100)";
static const char insert_sleep[] = "insert into public.bench_sleep (stamp) values ($1::bigint)";

void
scenario_changes(const bench_options *options)
{
	PGconn	   *conn = database_connect(options->conninfo);
	PGresult   *tokens;
	char		sql[512];

	report_progress("Postgres Changes: tables and tokens");
	if (conn == NULL || !database_run(conn, prepare_sql))
	{
		report_broken("Postgres Changes", "cannot prepare the database");
		PQfinish(conn);
		return;
	}
	snprintf(sql, sizeof(sql), "select realtime.issue_token('authenticated', jsonb_build_object('sub', " USER_SQL "))"
			 " from generate_series(0, %d) n order by n", "n", USERS - 1);
	tokens = PQexec(conn, sql);
	if (PQntuples(tokens) != USERS)
		report_broken("Postgres Changes", "no tokens: %s", PQerrorMessage(conn));
	else
	{
		measure_rate(options, tokens, "500 users with their own claims under a policy, all receive", USERS, "bench_changes",
					 insert_for_all, 200, 10, USERS, ALL_FLOOR);
		measure_latency(options, tokens, insert_one);
		measure_rate(options, tokens, "the same, each change visible to one user of 500", USERS, "bench_changes",
					 insert_for_one, 40, 500, 1, ONE_FLOOR);
		measure_rate(options, tokens, "1 subscriber, no row level security", 1, "bench_plain", insert_plain, 2000, 100, 1,
					 PLAIN_FLOOR);
		measure_broadcast(options, tokens, insert_sleep);
	}
	PQclear(tokens);
	database_run(conn, "drop table public.bench_changes, public.bench_plain, public.bench_sleep");
	PQfinish(conn);
}
