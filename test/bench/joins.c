/*
 * joins.c
 *		Joins of private channels, each with the token of another user: how many a second
 *		the policies can judge, and what others notice while a policy is slow.
 */
#include "clock.h"
#include "database.h"
#include "histogram.h"
#include "options.h"
#include "procstat.h"
#include "report.h"
#include "ws_client.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define CLIENTS			900		/* below realtime.max_unjoined; all their joins fit into realtime.max_questions */
#define CHANNELS		100		/* per client: realtime.max_channels_per_client */
#define WINDOW			1		/* joins of one client under way */
#define PATIENCE		(30 * NS_PER_SEC)
#define MEMBERS			100000
#define PLAIN_FLOOR		3000.0
#define MEMBER_FLOOR	1500.0

#define SLOW_CLIENTS	20
#define SLOW_CHANNELS	25
#define BEAT_PAUSE		2		/* ms between a heartbeat's reply and the next */
#define BEAT_FLOOR_MS	20.0

#define USER_SQL		"('00000000-0000-4000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"

typedef struct joiner
{
	ws_client	ws;
	uint32_t	number;
	uint32_t	sent;			/* joins */
	uint32_t	allowed;
	uint32_t	refused;
} joiner;

typedef struct join_run
{
	const bench_options *options;
	const char *kind;			/* middle of the topics' names */
	PGresult   *tokens;			/* one a row */
	joiner	   *joiners;
	uint32_t	count;
	uint32_t	channels;		/* that each wants */
	uint32_t	window;
	int			epoll_fd;
	joiner	   *current;
	uint8_t    *scratch;
	uint64_t	beats;			/* heartbeats answered */
	uint64_t	done;			/* joins answered */
	char		refusal[240];	/* the first: TooManyRequests, which the slow policy brings */
	char		error[240];
} join_run;

/* Remembers what went wrong first. */
static void
run_fail(join_run *run, const char *text, size_t length)
{
	if (run->error[0] == '\0')
		snprintf(run->error, sizeof(run->error), "%.*s", (int) (length < 200 ? length : 200), text);
}

static bool
holds(const uint8_t *data, size_t length, const char *needle)
{
	return memmem(data, length, needle, strlen(needle)) != NULL;
}

/* Sends the next join of a client. */
static void
send_join(join_run *run, joiner *j)
{
	char		text[3072];
	uint32_t	user = j->number * run->channels + j->sent;
	int			n = snprintf(text, sizeof(text),
							 "[\"1\",\"1\",\"realtime:bench-%s-%u\",\"phx_join\",{\"config\":{\"broadcast\":"
							 "{\"ack\":false,\"self\":false},\"presence\":{\"key\":\"\",\"enabled\":false},"
							 "\"postgres_changes\":[],\"private\":true},\"access_token\":\"%s\"}]",
							 run->kind, user,
							 PQgetvalue(run->tokens, (int) user % PQntuples(run->tokens), 0));

	j->sent++;
	if (!ws_send_message(&j->ws, WS_OPCODE_TEXT, text, (size_t) n))
		run_fail(run, j->ws.error, strlen(j->ws.error));
}

/* Replies count; all else that a joined channel is told is of no interest. */
static void
read_message(void *arg, int opcode, const uint8_t *data, size_t length)
{
	join_run   *run = arg;
	joiner	   *j = run->current;

	if (opcode != WS_OPCODE_TEXT || !holds(data, length, "\"phx_reply\""))
		return;
	if (holds(data, length, "\"phoenix\""))
	{
		run->beats++;
		return;
	}
	if (holds(data, length, "\"status\":\"ok\""))
		j->allowed++;
	else
	{
		j->refused++;
		if (!holds(data, length, "TooManyRequests"))
			run_fail(run, (const char *) data, length);
		else if (run->refusal[0] == '\0')
			snprintf(run->refusal, sizeof(run->refusal), "%.*s", (int) (length < 200 ? length : 200), data);
	}
	run->done++;
	while (j->sent < run->channels && j->sent - j->allowed - j->refused < run->window)
		send_join(run, j);
}

/* Reads what has come, for at most so long. */
static void
serve(join_run *run, int timeout_ms)
{
	struct epoll_event events[256];
	int			n = epoll_wait(run->epoll_fd, events, 256, timeout_ms);

	for (int i = 0; i < n; i++)
	{
		joiner	   *j = events[i].data.ptr;

		run->current = j;
		if (j->ws.state == WS_DEAD || !ws_read(&j->ws, run->scratch, read_message, run))
			run_fail(run, j->ws.error, strlen(j->ws.error));
	}
}

/* Connects one client and waits until its WebSocket is open. */
static bool
connect_client(join_run *run, joiner *j, const char *path)
{
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = j};
	struct pollfd writable;
	uint64_t	end = clock_now() + 10 * NS_PER_SEC;

	if (!ws_open(&j->ws, &run->options->server, 0))
		return false;
	writable = (struct pollfd) {.fd = j->ws.fd, .events = POLLOUT};
	if (poll(&writable, 1, 10000) != 1 || !ws_upgrade(&j->ws, path))
		return false;
	epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, j->ws.fd, &event);
	while (j->ws.state != WS_OPEN && run->error[0] == '\0' && clock_now() < end)
		serve(run, 100);
	return j->ws.state == WS_OPEN;
}

/* Opens the connections; false, with run->error set, if that fails. */
static bool
open_clients(join_run *run)
{
	char		path[2048];

	run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	run->joiners = calloc(run->count, sizeof(joiner));
	run->scratch = malloc(WS_SCRATCH_SIZE);
	snprintf(path, sizeof(path), "/realtime/v1/websocket?apikey=%s&vsn=2.0.0", run->options->token);
	for (uint32_t i = 0; i < run->count; i++)
	{
		run->joiners[i].number = i;
		if (!connect_client(run, &run->joiners[i], path))
		{
			run_fail(run, run->joiners[i].ws.error, strlen(run->joiners[i].ws.error));
			run_fail(run, "cannot connect", 14);
			return false;
		}
	}
	return true;
}

static void
close_clients(join_run *run)
{
	for (uint32_t i = 0; run->joiners != NULL && i < run->count; i++)
		ws_close(&run->joiners[i].ws);
	close(run->epoll_fd);
	free(run->joiners);
	free(run->scratch);
	run->joiners = NULL;
}

/* Lets all clients join all their channels. Returns how long it took, in ns. */
static uint64_t
join_all(join_run *run)
{
	uint64_t	start = clock_now();

	for (uint32_t i = 0; i < run->count; i++)
		for (uint32_t w = 0; w < run->window && w < run->channels; w++)
			send_join(run, &run->joiners[i]);
	while (run->done < (uint64_t) run->count * run->channels && run->error[0] == '\0' &&
		   clock_now() - start < PATIENCE)
		serve(run, 100);
	return clock_now() - start;
}

/* One figure: joins a second under one policy. */
static void
measure_joins(const bench_options *options, PGresult *tokens, const char *kind, const char *about, double floor)
{
	join_run	run = {
		.options = options, .kind = kind, .tokens = tokens, .count = options->quick ? CLIENTS / 4 : CLIENTS,
		.channels = CHANNELS, .window = WINDOW,
	};
	report_row	row = {.verdict = VERDICT_MISSED};
	pid_set		listeners;
	pid_set		authorizers;
	proc_cpu	cpu[4];
	uint64_t	own_cpu;
	uint64_t	took;
	double		joins;
	double		rate;

	ROW_SET(row.what, "private joins, %s", about);
	report_progress("%s", row.what);
	if (!database_workers(options->conninfo, "realtime listener", &listeners) ||
		!database_workers(options->conninfo, "realtime authorizer", &authorizers) || !open_clients(&run))
	{
		report_broken(row.what, "no worker, or no connection: %s", run.error);
		close_clients(&run);
		return;
	}
	procstat_cpu_all(&listeners, &cpu[0]);
	procstat_cpu_all(&authorizers, &cpu[1]);
	own_cpu = clock_own_cpu();
	took = join_all(&run);
	own_cpu = clock_own_cpu() - own_cpu;
	procstat_cpu_all(&listeners, &cpu[2]);
	procstat_cpu_all(&authorizers, &cpu[3]);

	joins = (double) run.done;
	rate = joins * 1e9 / (double) took;
	ROW_SET(row.measured, "%.0f joins/s", rate);
	ROW_SET(row.floor, "≥ %.0f/s", floor);
	if (rate >= floor)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "%.0f joins; CPU of a join: authorizers %.0f µs, listener %.0f µs, generator %.0f µs", joins,
			(double) (cpu[3].ns - cpu[1].ns) / 1e3 / joins, (double) (cpu[2].ns - cpu[0].ns) / 1e3 / joins,
			(double) own_cpu / 1e3 / joins);
	for (uint32_t i = 0; i < run.count; i++)
		if (run.joiners[i].allowed != run.channels)
			row.verdict = VERDICT_BROKEN;
	if (row.verdict == VERDICT_BROKEN)
		ROW_ADD(row.beside, "not all were let in: %s%s", run.error, run.refusal);
	report_print(&row);
	close_clients(&run);
}

/* Heartbeats of one more client, one after the other, until all joins are answered. */
static void
beat(join_run *run, join_run *other, histogram *h)
{
	static const char heartbeat[] = "[null,\"1\",\"phoenix\",\"heartbeat\",{}]";
	uint64_t	end = clock_now() + PATIENCE;

	while (run->done < (uint64_t) run->count * run->channels && clock_now() < end &&
		   run->error[0] == '\0' && other->error[0] == '\0')
	{
		uint64_t	begun = clock_now();
		uint64_t	answered = other->beats;

		ws_send_message(&other->joiners[0].ws, WS_OPCODE_TEXT, heartbeat, sizeof(heartbeat) - 1);
		while (other->beats == answered && other->error[0] == '\0' && clock_now() < end)
			serve(other, 100);
		histogram_add(h, clock_now() - begun);
		serve(run, BEAT_PAUSE);
	}
}

/* Other clients' heartbeats while joins wait for a policy that sleeps. */
static void
measure_heartbeats(const bench_options *options, PGresult *tokens)
{
	join_run	run = {
		.options = options, .kind = "slow", .tokens = tokens, .count = SLOW_CLIENTS, .channels = SLOW_CHANNELS,
		.window = SLOW_CHANNELS,
	};
	join_run	other = {.options = options, .kind = "none", .tokens = tokens, .count = 1};
	histogram  *h = histogram_create();
	report_row	row = {.verdict = VERDICT_MISSED};
	uint32_t	allowed = 0;
	double		p99;

	ROW_SET(row.what, "heartbeat of another client while %d private joins wait for a policy that sleeps 200 ms, p99",
			SLOW_CLIENTS * SLOW_CHANNELS);
	report_progress("%s", row.what);
	if (h == NULL || !open_clients(&run) || !open_clients(&other))
		report_broken(row.what, "no connection: %s %s", run.error, other.error);
	else
	{
		for (uint32_t i = 0; i < run.count; i++)
			for (uint32_t w = 0; w < run.window; w++)
				send_join(&run, &run.joiners[i]);
		beat(&run, &other, h);
		for (uint32_t i = 0; i < run.count; i++)
			allowed += run.joiners[i].allowed;
		p99 = (double) histogram_percentile(h, 99) / 1e6;
		ROW_SET(row.measured, "%.2f ms", p99);
		ROW_SET(row.floor, "≤ %.0f ms", BEAT_FLOOR_MS);
		if (p99 <= BEAT_FLOOR_MS)
			row.verdict = VERDICT_MET;
		ROW_ADD(row.beside, "%llu heartbeats, median %.2f ms, worst %.2f ms; %u joins let in, %llu told when to try again",
				(unsigned long long) h->count, (double) histogram_percentile(h, 50) / 1e6, (double) h->max / 1e6,
				allowed, (unsigned long long) (run.done - allowed));
		if (run.error[0] != '\0' || other.error[0] != '\0' || run.done != SLOW_CLIENTS * SLOW_CHANNELS)
		{
			row.verdict = VERDICT_BROKEN;
			ROW_ADD(row.beside, "%s %s", run.error, other.error);
		}
		report_print(&row);
	}
	close_clients(&run);
	close_clients(&other);
	free(h);
}

/* Roles, a table of members, and the three policies. */
static bool
prepare(PGconn *conn)
{
	char		sql[2048];

	snprintf(sql, sizeof(sql),
			 "select realtime.setup_supabase();"
			 "create table public.bench_members as select " USER_SQL " as user_id, 'bench-member-' || n as topic"
			 " from generate_series(0, %d) n;"
			 "create unique index on public.bench_members (user_id, topic);"
			 "grant select on public.bench_members to authenticated;"
			 "create policy bench on realtime.messages for select to authenticated"
			 " using (topic like 'bench-plain-%%' and auth.uid() is not null);", MEMBERS - 1);
	return database_run(conn, sql) && database_run(conn, "vacuum analyze public.bench_members");
}

static const char member_policy[] =
"drop policy bench on realtime.messages;"
"create policy bench on realtime.messages for select to authenticated using (exists ("
" select 1 from public.bench_members m"
" where m.user_id = (select auth.uid()) and m.topic = (select realtime.topic())))";

static const char slow_policy[] =
"drop policy bench on realtime.messages;"
"create policy bench on realtime.messages for select to authenticated using (pg_sleep(0.2) is not null)";

/* Private joins. */
void
scenario_joins(const bench_options *options)
{
	PGconn	   *conn = database_connect(options->conninfo);
	PGresult   *tokens;

	report_progress("private joins: tables and tokens");
	if (conn == NULL || !prepare(conn))
	{
		report_broken("private joins", "cannot prepare the database");
		PQfinish(conn);
		return;
	}
	tokens = PQexec(conn, "select realtime.issue_token('authenticated', jsonb_build_object('sub', " USER_SQL "))"
					" from generate_series(0, 89999) n order by n");
	if (PQntuples(tokens) == 0)
		report_broken("private joins", "no tokens: %s", PQerrorMessage(conn));
	else
	{
		measure_joins(options, tokens, "plain", "policy without a sub-select, each of another user", PLAIN_FLOOR);
		if (database_run(conn, member_policy))
			measure_joins(options, tokens, "member",
						  "membership in a table of 100,000 rows with an index, each of another user", MEMBER_FLOOR);
		if (database_run(conn, slow_policy))
			measure_heartbeats(options, tokens);
	}
	PQclear(tokens);
	database_run(conn, "drop policy bench on realtime.messages; drop table public.bench_members");
	PQfinish(conn);
}
