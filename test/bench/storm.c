/*
 * storm.c
 *		Very many clients that lose their connections at once and all come back as
 *		supabase-js does: 1, 2, 5, then every 10 s, without jitter.
 *
 * Each has a token of its own and one channel; every second channel is private. A
 * client whose connection is refused or closed counts its tries from the last time
 * that it was open; one whose join is refused stays connected and tries that again in
 * the same times, as the library does.
 */
#include "clock.h"
#include "database.h"
#include "histogram.h"
#include "options.h"
#include "pgbench.h"
#include "procstat.h"
#include "report.h"
#include "ws_client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define PREPARE_PATIENCE	(120 * NS_PER_SEC)
#define STORM_PATIENCE		(45 * NS_PER_SEC)
#define STORM_FLOOR			15.0	/* s */
#define LOSS_FLOOR			25.0	/* % */
#define JOIN_TIMEOUT		(10 * NS_PER_SEC)
#define BEGUN_AT_ONCE		64		/* connections, before what has come is read */
#define PREPARE_IN_FLIGHT	300
#define SOURCES				8		/* addresses, each with 28,000 ports */
#define EVENTS_AT_ONCE		256
#define PGBENCH_TAG			UINT64_MAX
#define KINDS				8		/* of refusals that are told apart */
#define CALM				(3 * NS_PER_SEC)	/* after the clients have come, before pgbench is measured */

/* What supabase-js waits before it tries again. */
static const uint64_t pauses[] = {1 * NS_PER_SEC, 2 * NS_PER_SEC, 5 * NS_PER_SEC, 10 * NS_PER_SEC};

#define PAUSES (sizeof(pauses) / sizeof(pauses[0]))

typedef enum phase
{
	PHASE_DOWN,					/* waits before it connects again */
	PHASE_CONNECTING,			/* no WebSocket yet */
	PHASE_JOINING,				/* the join is on its way, or is to be tried again */
	PHASE_JOINED
} phase;

typedef struct storm_client
{
	ws_client	ws;
	uint8_t		phase;
	uint8_t		connect_tries;
	uint8_t		join_tries;
	uint32_t	waits;			/* number of the pause that it waits for; others are over */
	uint32_t	join_number;
} storm_client;

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

typedef struct storm_run
{
	const bench_options *options;
	PGresult   *tokens;
	storm_client *clients;
	uint32_t	count;
	uint32_t	begun;			/* for the first time */
	uint32_t	joined;
	pause_line	lines[PAUSES];
	pause_line	timeouts;		/* of joins */
	int			epoll_fd;
	uint8_t    *scratch;
	uint32_t	current;
	pgbench		bench;
	bool		bench_failed;
	pid_set		listeners;
	pid_set		authorizers;

	/* of one storm */
	uint64_t	cut;
	uint64_t	last_join;
	histogram  *back;			/* from the cut to the join */
	uint64_t	connects;
	refusals	refused[KINDS];
} storm_run;

/* Counts a refusal, apart from the others by its first words. */
static void
count_refusal(storm_run *run, const char *why)
{
	int			kind = 0;
	size_t		length = strcspn(why, "\"|\n\r");

	if (length > sizeof(run->refused[0].why) - 1)
		length = sizeof(run->refused[0].why) - 1;
	while (kind < KINDS - 1 && run->refused[kind].count > 0 &&
		   (strncmp(run->refused[kind].why, why, length) != 0 || run->refused[kind].why[length] != '\0'))
		kind++;
	snprintf(run->refused[kind].why, sizeof(run->refused[kind].why), "%.*s", (int) length, why);
	run->refused[kind].count++;
}

/* Appends to a line; it grows as it has to. False: no memory. */
static bool
line_add(pause_line *line, uint64_t due, uint32_t client, uint32_t number)
{
	if (line->count == line->size)
	{
		uint32_t	size = line->size == 0 ? 1024 : line->size * 2;
		pause_entry *larger = malloc(size * sizeof(pause_entry));

		if (larger == NULL)
			return false;
		for (uint32_t i = 0; i < line->count; i++)
			larger[i] = line->entries[(line->head + i) % line->size];
		free(line->entries);
		line->entries = larger;
		line->head = 0;
		line->size = size;
	}
	line->entries[(line->head + line->count++) % line->size] = (pause_entry) {due, client, number};
	return true;
}

/* Takes the first of a line if its time has come. */
static bool
line_take(pause_line *line, uint64_t now, pause_entry *entry)
{
	if (line->count == 0 || line->entries[line->head].due > now)
		return false;
	*entry = line->entries[line->head];
	line->head = (line->head + 1) % line->size;
	line->count--;
	return true;
}

/* Lets a client wait before it tries again. */
static void
wait_before_retry(storm_run *run, uint32_t number, uint8_t *tries)
{
	uint32_t	which = *tries < PAUSES ? *tries : PAUSES - 1;

	if (*tries < UINT8_MAX)
		(*tries)++;
	line_add(&run->lines[which], clock_now() + pauses[which], number, ++run->clients[number].waits);
}

/* A client has lost its connection, or did not get one. */
static void
client_down(storm_run *run, uint32_t number)
{
	storm_client *client = &run->clients[number];

	ws_close(&client->ws);
	if (client->phase == PHASE_JOINED)
		run->joined--;
	client->phase = PHASE_DOWN;
	client->join_tries = 0;
	wait_before_retry(run, number, &client->connect_tries);
}

/* Says which events the epoll should tell of a client. */
static void
watch(storm_run *run, uint32_t number, int operation, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = number};

	epoll_ctl(run->epoll_fd, operation, run->clients[number].ws.fd, &event);
}

/* Begins a connection. */
static void
client_connect(storm_run *run, uint32_t number)
{
	storm_client *client = &run->clients[number];

	run->connects++;
	client->phase = PHASE_CONNECTING;
	if (ws_open(&client->ws, &run->options->server, ntohl(inet_addr("127.0.0.1")) + number % SOURCES))
		watch(run, number, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
	else
	{
		count_refusal(run, client->ws.error);
		client_down(run, number);
	}
}

/* Sends the join. */
static bool
client_join(storm_run *run, uint32_t number)
{
	storm_client *client = &run->clients[number];
	char		text[3072];
	int			n;

	client->phase = PHASE_JOINING;
	n = snprintf(text, sizeof(text),
				 "[\"1\",\"%u\",\"realtime:storm-%u\",\"phx_join\",{\"config\":{\"broadcast\":"
				 "{\"ack\":false,\"self\":false},\"presence\":{\"key\":\"\",\"enabled\":false},"
				 "\"postgres_changes\":[],\"private\":%s},\"access_token\":\"%s\"}]",
				 ++client->join_number, number, number % 2 == 0 ? "false" : "true",
				 PQgetvalue(run->tokens, (int) number, 0));
	line_add(&run->timeouts, clock_now() + JOIN_TIMEOUT, number, client->join_number);
	return ws_send_message(&client->ws, WS_OPCODE_TEXT, text, (size_t) n);
}

/* One message from the server: only replies to joins matter. */
static void
read_message(void *arg, int opcode, const uint8_t *data, size_t length)
{
	storm_run  *run = arg;
	storm_client *client = &run->clients[run->current];
	const char *reason;
	char		why[128];

	if (opcode != WS_OPCODE_TEXT || client->phase != PHASE_JOINING || memmem(data, length, "\"phx_reply\"", 11) == NULL)
		return;
	if (memmem(data, length, "\"status\":\"ok\"", 13) != NULL)
	{
		client->phase = PHASE_JOINED;
		client->join_tries = 0;
		run->last_join = clock_now();
		if (run->cut != 0)
			histogram_add(run->back, run->last_join - run->cut);
		run->joined++;
		return;
	}
	reason = memmem(data, length, "\"reason\":\"", 10);
	snprintf(why, sizeof(why), "join: %.*s", reason == NULL ? 0 :
			 (int) strcspn(reason + 10, ":\""), reason == NULL ? "" : reason + 10);
	count_refusal(run, why);
	wait_before_retry(run, run->current, &client->join_tries);
}

/* The socket takes bytes. */
static bool
client_writable(storm_run *run, uint32_t number)
{
	storm_client *client = &run->clients[number];
	char		path[2048];

	if (client->ws.state != WS_CONNECTING)
	{
		if (!ws_flush(&client->ws))
			return false;
	}
	else
	{
		snprintf(path, sizeof(path), "/realtime/v1/websocket?apikey=%s&vsn=2.0.0",
				 PQgetvalue(run->tokens, (int) number, 0));
		if (!ws_upgrade(&client->ws, path))
			return false;
	}
	if (client->ws.unsent_length == 0)
		watch(run, number, EPOLL_CTL_MOD, EPOLLIN);
	return true;
}

/* One event of a client. */
static void
client_event(storm_run *run, uint32_t number, uint32_t events)
{
	storm_client *client = &run->clients[number];
	bool		alive = true;

	if (client->phase == PHASE_DOWN)
		return;
	if ((events & EPOLLOUT) != 0 || client->ws.state == WS_CONNECTING)
		alive = client_writable(run, number);
	if (alive && (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0)
	{
		run->current = number;
		alive = ws_read(&client->ws, run->scratch, read_message, run);
		if (alive && client->phase == PHASE_CONNECTING && client->ws.state == WS_OPEN)
		{
			client->connect_tries = 0;
			alive = client_join(run, number);
		}
	}
	if (!alive)
	{
		count_refusal(run, client->ws.error);
		client_down(run, number);
	}
}

/* Lets those try again whose pause is over, but not so many that nobody reads. True: there are more. */
static bool
retry_due(storm_run *run)
{
	uint64_t	now = clock_now();
	pause_entry entry;
	int			begun = 0;

	while (line_take(&run->timeouts, now, &entry))
	{
		storm_client *client = &run->clients[entry.client];

		if (client->phase == PHASE_JOINING && client->join_number == entry.number)
		{
			count_refusal(run, "join: no answer in 10 s");
			wait_before_retry(run, entry.client, &client->join_tries);
		}
	}
	for (size_t i = 0; i < PAUSES; i++)
		while (begun < BEGUN_AT_ONCE && line_take(&run->lines[i], now, &entry))
		{
			storm_client *client = &run->clients[entry.client];

			if (client->waits != entry.number)
				continue;
			begun++;
			if (client->phase == PHASE_DOWN)
				client_connect(run, entry.client);
			else if (client->phase == PHASE_JOINING && !client_join(run, entry.client))
				client_down(run, entry.client);
		}
	return begun == BEGUN_AT_ONCE;
}

/* Waits for events, at most so long, and treats them. */
static void
turn(storm_run *run, int timeout_ms)
{
	struct epoll_event events[EVENTS_AT_ONCE];
	int			n = epoll_wait(run->epoll_fd, events, EVENTS_AT_ONCE, retry_due(run) ? 0 : timeout_ms);

	for (int i = 0; i < n; i++)
	{
		if (events[i].data.u64 != PGBENCH_TAG)
			client_event(run, (uint32_t) events[i].data.u64, events[i].events);
		else if (!pgbench_read(&run->bench))
		{
			run->bench_failed = true;
			epoll_ctl(run->epoll_fd, EPOLL_CTL_DEL, run->bench.fd, NULL);
		}
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

	while (run->joined < run->count && clock_now() < end)
	{
		while (run->begun < run->count && run->begun - run->joined < PREPARE_IN_FLIGHT)
			client_connect(run, run->begun++);
		turn(run, 5);
	}
	return run->joined == run->count;
}

/* Adds up what was refused. */
static uint64_t
all_refused(const storm_run *run)
{
	uint64_t	all = 0;

	for (int i = 0; i < KINDS; i++)
		all += run->refused[i].count;
	return all;
}

/* When all were joined again. */
static void
row_back(storm_run *run, const char *what)
{
	report_row	row = {.verdict = VERDICT_MISSED};
	double		seconds = (double) (run->last_join - run->cut) / 1e9;
	const char *separator = ": ";

	ROW_SET(row.what, "%u clients %s: all joined again", run->count, what);
	ROW_SET(row.floor, "≤ %.0f s", STORM_FLOOR);
	if (run->joined < run->count)
	{
		row.verdict = VERDICT_BROKEN;
		ROW_SET(row.measured, "%u of %u in %.0f s", run->joined, run->count, (double) STORM_PATIENCE / 1e9);
	}
	else
		ROW_SET(row.measured, "%.1f s", seconds);
	if (row.verdict == VERDICT_MISSED && seconds <= STORM_FLOOR)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "half of them after %.1f s, 99 %% after %.1f s; %llu connects, %llu refused",
			(double) histogram_percentile(run->back, 50) / 1e9, (double) histogram_percentile(run->back, 99) / 1e9,
			(unsigned long long) run->connects, (unsigned long long) all_refused(run));
	for (int i = 0; i < KINDS && run->refused[i].count > 0; i++)
	{
		size_t		length = strlen(row.beside);

		snprintf(row.beside + length, sizeof(row.beside) - length, "%s%u %s", separator, run->refused[i].count,
				 run->refused[i].why);
		separator = ", ";
	}
	report_print(&row);
}

/* What pgbench lost by it, against the time before and after. */
static void
row_pgbench(storm_run *run, const char *what, uint64_t calm)
{
	report_row	row = {.verdict = VERDICT_MISSED};
	uint64_t	floor_end = run->cut + (uint64_t) (STORM_FLOOR * 1e9);
	double		before;
	double		after;
	double		storm;
	double		until;
	double		least;
	double		quiet;

	ROW_SET(row.what, "pgbench beside %u clients %s, 15 s from then on", run->count, what);
	if (run->bench_failed ||
		pgbench_between(&run->bench, run->cut - calm, run->cut, &before, &least) == 0 ||
		pgbench_between(&run->bench, floor_end + NS_PER_SEC, floor_end + NS_PER_SEC + calm, &after, &least) == 0 ||
		pgbench_between(&run->bench, run->cut, run->last_join + NS_PER_SEC, &until, &least) == 0 ||
		pgbench_between(&run->bench, run->cut, floor_end, &storm, &least) == 0 || before + after <= 0)
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
	double		count = run->count;

	ROW_SET(row.what, "%u clients %s: listener CPU of one that comes back", run->count, what);
	ROW_SET(row.measured, "%.0f µs", (double) (after[0].ns - before[0].ns) / 1e3 / count);
	ROW_ADD(row.beside, "%d listeners; authorizers %.0f µs, generator %.0f µs", run->listeners.count,
			(double) (after[1].ns - before[1].ns) / 1e3 / count, (double) own / 1e3 / count);
	report_print(&row);
}

/* Cuts all connections, as a network that goes away does. */
static void
cut_network(storm_run *run)
{
	for (uint32_t i = 0; i < run->count; i++)
		client_down(run, i);
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

	report_progress("%u clients %s", run->count, what);
	serve_until(run, clock_now() + CALM + calm);

	histogram_reset(run->back);
	memset(run->refused, 0, sizeof(run->refused));
	run->connects = 0;
	procstat_cpu_all(&run->listeners, &before[0]);
	procstat_cpu_all(&run->authorizers, &before[1]);
	own = clock_own_cpu();
	run->cut = clock_now();
	cut(run);
	do
		turn(run, 5);
	while ((run->joined < run->count || run->back->count < run->count) && clock_now() < run->cut + STORM_PATIENCE);
	own = clock_own_cpu() - own;
	same_processes = procstat_cpu_all(&run->listeners, &after[0]) &&
		procstat_cpu_all(&run->authorizers, &after[1]) && same_processes;
	row_back(run, what);
	serve_until(run, run->cut + (uint64_t) (STORM_FLOOR * 1e9) + calm + 3 * NS_PER_SEC / 2);
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
			 run->count - 1);
	run->tokens = PQexec(conn, sql);
	run->clients = calloc(run->count, sizeof(storm_client));
	run->scratch = malloc(WS_SCRATCH_SIZE);
	run->back = histogram_create();
	run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (run->clients == NULL || run->scratch == NULL || run->back == NULL || run->epoll_fd < 0)
		return false;
	for (uint32_t i = 0; i < run->count; i++)
		run->clients[i].ws.fd = -1;
	return PQntuples(run->tokens) == (int) run->count;
}

/* Frees all; also after a prepare that failed. */
static void
clean_up(storm_run *run, PGconn *conn)
{
	pgbench_stop(&run->bench);
	for (uint32_t i = 0; run->clients != NULL && i < run->count; i++)
		ws_close(&run->clients[i].ws);
	for (size_t i = 0; i < PAUSES; i++)
		free(run->lines[i].entries);
	free(run->timeouts.entries);
	free(run->clients);
	free(run->scratch);
	free(run->back);
	if (run->epoll_fd >= 0)
		close(run->epoll_fd);
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
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = PGBENCH_TAG};
	PGconn	   *conn = database_connect(options->conninfo);

	memset(&run, 0, sizeof(run));
	run.options = options;
	run.count = options->storm_clients;
	run.epoll_fd = run.bench.fd = -1;
	report_progress("storm: tokens and tables of pgbench");
	if (conn == NULL || !prepare(&run, conn) ||
		!database_workers(options->conninfo, "realtime listener", &run.listeners) ||
		!database_workers(options->conninfo, "realtime authorizer", &run.authorizers))
		report_broken("storm", "cannot prepare the database");
	else if (!pgbench_start(&run.bench, options->conninfo) ||
			 epoll_ctl(run.epoll_fd, EPOLL_CTL_ADD, run.bench.fd, &event) != 0)
		report_broken("storm", "cannot start pgbench");
	else if (!all_join(&run))
		report_broken("storm", "only %u of %u clients joined; %u %s", run.joined, run.count, run.refused[0].count,
					  run.refused[0].why);
	else
	{
		measure(&run, "cut off at once", cut_network, true);
		if (run.joined == run.count)
			measure(&run, "whose listeners are ended", end_listeners, false);
	}
	clean_up(&run, conn);
}
