/*
 * presence.c
 *		Presence: many that join and track at once on one topic, clients that vanish, and
 *		the memory of an entry.
 */
#include "clock.h"
#include "database.h"
#include "fleet.h"
#include "options.h"
#include "report.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE		(60 * NS_PER_SEC)
#define CLIENTS			1000
#define VANISHING		50
#define WATCHERS		10
#define MEMORY_CLIENTS	4000
#define IN_FLIGHT		500		/* below realtime.max_unjoined */
#define RATE			4500	/* a little below realtime.max_joins_per_second */
#define MAX_CLIENTS		CLIENTS
#define KEY				"\"" FLEET_KEY_PREFIX

typedef struct presence_run
{
	fleet		fleet;
	uint32_t	others;			/* keys that a view is about */
	uint8_t		seen[MAX_CLIENTS][MAX_CLIENTS]; /* by viewer and key: is it present? */
	uint32_t	views[MAX_CLIENTS]; /* how many each viewer sees */
	uint32_t	full;			/* viewers that see all */
	uint32_t	empty;			/* viewers that see none */
	uint64_t	repeated;		/* joins of who was there, leaves of who was not */
	uint64_t	bytes;
	uint64_t	messages;
	uint64_t	last;			/* when the last viewer's view became full, or empty */
} presence_run;

/* One key comes or goes in one view. */
static void
change_view(presence_run *run, uint32_t viewer, uint32_t key, bool present, uint64_t now)
{
	if (key >= run->others)
		return;
	if (run->seen[viewer][key] == present)
	{
		run->repeated++;
		return;
	}
	run->seen[viewer][key] = present;
	if (present && run->views[viewer]++ == 0)
		run->empty--;
	if (present && run->views[viewer] == run->others)
		run->full++;
	if (!present && run->views[viewer]-- == run->others)
		run->full--;
	if (!present && run->views[viewer] == 0)
		run->empty++;
	run->last = now;
}

/* The keys between two places of a message. Keys have a colon and an object behind them, names of members don't. */
static void
read_keys(presence_run *run, uint32_t viewer, const char *at, const char *end, bool present, uint64_t now)
{
	while ((at = memmem(at, (size_t) (end - at), KEY, sizeof(KEY) - 1)) != NULL)
	{
		char	   *behind;
		uint32_t	key = (uint32_t) strtoul(at + sizeof(KEY) - 1, &behind, 10);

		at = behind;
		if (end - at > 12 && memcmp(at, "\":{\"metas\":", 11) == 0)
			change_view(run, viewer, key, present, now);
	}
}

/* presence_state or presence_diff. */
static void
on_presence(void *arg, uint32_t client, const uint8_t *data, size_t length, uint64_t now)
{
	presence_run *run = arg;
	const char *text = (const char *) data;
	const char *leaves = memmem(text, length, "},\"leaves\":{", 12);
	const char *end = text + length;

	run->messages++;
	run->bytes += length;
	if (client >= MAX_CLIENTS)
		return;
	read_keys(run, client, text, leaves != NULL ? leaves : end, true, now);
	if (leaves != NULL)
		read_keys(run, client, leaves, end, false, now);
}

/* Nothing is broadcast. */
static void
on_message(void *arg, uint32_t client, const uint8_t *data, size_t length, uint64_t now)
{
	(void) arg;
	(void) client;
	(void) data;
	(void) length;
	(void) now;
}

static fleet_config
config_of(const bench_options *options, const char *topic, uint32_t count, presence_run *run)
{
	return (fleet_config) {
		.server = options->server,
		.token = options->token,
		.count = count,
		.in_flight = IN_FLIGHT,
		.sources = 1,
		.one_topic = true,
		.presence = true,
		.track = true,
		.name = topic,
		.message = on_message,
		.presence_message = on_presence,
		.arg = run,
	};
}

static presence_run *
new_run(uint32_t viewers, uint32_t others)
{
	presence_run *run = calloc(1, sizeof(presence_run));

	if (run != NULL)
	{
		run->others = others;
		run->empty = viewers;
	}
	return run;
}

/* All join and track as fast as they can, until each sees all. */
static void
measure_storm(const bench_options *options)
{
	presence_run *run = new_run(CLIENTS, CLIENTS);
	fleet_config config = config_of(options, "bench-presence", CLIENTS, run);
	report_row	row = {.verdict = VERDICT_MISSED};
	pid_set		listeners;
	proc_cpu	before = {0};
	proc_cpu	after = {0};
	uint64_t	end;
	double		seconds;

	ROW_SET(row.what, "%u clients join and track on one topic, until each sees all", CLIENTS);
	report_progress("%s", row.what);
	if (run == NULL || !database_workers(options->conninfo, "realtime listener", &listeners))
	{
		report_broken(row.what, "no listener in pg_stat_activity");
		free(run);
		return;
	}
	procstat_cpu_all(&listeners, &before);
	if (fleet_open(&run->fleet, &config, PATIENCE))
		for (end = clock_now() + PATIENCE; run->full < CLIENTS && clock_now() < end && run->fleet.error[0] == '\0';)
			fleet_poll(&run->fleet, 50);
	procstat_cpu_all(&listeners, &after);
	if (run->full < CLIENTS || run->fleet.error[0] != '\0')
		report_broken(row.what, "%u of %u see all; %s", run->full, CLIENTS, run->fleet.error);
	else
	{
		seconds = (double) (run->last - run->fleet.started) / 1e9;
		ROW_SET(row.measured, "%.2f s from the first connect", seconds);
		ROW_SET(row.floor, "≤ 3 s");
		if (seconds <= 3.0)
			row.verdict = VERDICT_MET;
		ROW_ADD(row.beside, "listener %.2f s of CPU; %.1f MB in %llu messages; %llu told twice",
				(double) (after.ns - before.ns) / 1e9, (double) run->bytes / 1e6,
				(unsigned long long) run->messages, (unsigned long long) run->repeated);
		if (run->repeated > 0)
			row.verdict = VERDICT_BROKEN;
		report_print(&row);
	}
	fleet_close(&run->fleet);
	free(run);
}

/* The child: is present, answers pings, and says so by a byte; until it is killed. */
static void
be_present(const bench_options *options, int pipe_fd)
{
	presence_run *run = new_run(VANISHING, VANISHING);
	fleet_config config = config_of(options, "bench-vanish", VANISHING, run);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	/* over the time between two pings, so that they vanish at different times after their last byte */
	config.rate = VANISHING / 3;
	if (run == NULL || !fleet_open(&run->fleet, &config, PATIENCE) || write(pipe_fd, "", 1) != 1)
		_exit(1);
	while (run->fleet.error[0] == '\0')
		fleet_poll(&run->fleet, 1000);
	_exit(1);
}

/* They are stopped as one; how long do the others see the last of them? */
static void
watch_them_vanish(presence_run *run, pid_t child, report_row *row)
{
	uint64_t	stopped;
	uint64_t	end = clock_now() + 4 * NS_PER_SEC;

	/* quiet for longer than ping_interval, so that pings are what keeps them */
	while (clock_now() < end && run->fleet.error[0] == '\0')
		fleet_poll(&run->fleet, 50);
	if (run->full < WATCHERS)
	{
		report_broken(row->what, "only %u of %u watchers see all; %s", run->full, WATCHERS, run->fleet.error);
		return;
	}
	kill(child, SIGSTOP);
	stopped = clock_now();
	for (end = stopped + PATIENCE; run->empty < WATCHERS && clock_now() < end && run->fleet.error[0] == '\0';)
		fleet_poll(&run->fleet, 50);
	if (run->empty < WATCHERS)
	{
		report_broken(row->what, "only %u of %u watchers see none; %s", run->empty, WATCHERS, run->fleet.error);
		return;
	}
	ROW_SET(row->measured, "%.2f s, worst of %d", (double) (run->last - stopped) / 1e9, VANISHING);
	ROW_SET(row->floor, "≤ 10 s");
	row->verdict = run->last - stopped <= 10 * NS_PER_SEC ? VERDICT_MET : VERDICT_MISSED;
	ROW_ADD(row->beside, "a process with %d clients is stopped, %d others watch", VANISHING, WATCHERS);
	report_print(row);
}

static void
measure_vanishing(const bench_options *options)
{
	presence_run *run = new_run(WATCHERS, VANISHING);
	fleet_config config = config_of(options, "bench-vanish", WATCHERS, run);
	report_row	row = {.verdict = VERDICT_MISSED};
	int			fds[2];
	char		byte;
	pid_t		child;

	ROW_SET(row.what, "vanished client, as seen by the others");
	report_progress("%s", row.what);
	config.track = false;
	if (run == NULL || pipe(fds) != 0)
	{
		report_broken(row.what, "no pipe");
		free(run);
		return;
	}
	child = fork();
	if (child == 0)
		be_present(options, fds[1]);
	close(fds[1]);
	if (child < 0 || read(fds[0], &byte, 1) != 1)
		report_broken(row.what, "the clients that are to vanish could not connect");
	else if (!fleet_open(&run->fleet, &config, PATIENCE))
		report_broken(row.what, "%s", run->fleet.error);
	else
		watch_them_vanish(run, child, &row);
	close(fds[0]);
	if (child > 0)
	{
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	fleet_close(&run->fleet);
	free(run);
}

/* Memory of its own that a process has resident; the ring, which is shared, is not in it. */
static uint64_t
anonymous_memory(const pid_set *set)
{
	uint64_t	sum = 0;

	for (int i = 0; i < set->count; i++)
	{
		char		path[64];
		char		line[256];
		unsigned long long kb;
		FILE	   *file;

		snprintf(path, sizeof(path), "/proc/%d/status", (int) set->pids[i]);
		file = fopen(path, "r");
		while (file != NULL && fgets(line, sizeof(line), file) != NULL)
			if (sscanf(line, "RssAnon: %llu kB", &kb) == 1)
				sum += kb * 1024;
		if (file != NULL)
			fclose(file);
	}
	return sum;
}

/* Clients on topics of their own, so that no queue is counted; they track when all have joined. */
static void
measure_memory(const bench_options *options)
{
	presence_run *run = new_run(0, 0);
	fleet_config config = config_of(options, "bench-presence-memory", MEMORY_CLIENTS, run);
	report_row	row = {.verdict = VERDICT_MISSED};
	pid_set		listeners;
	uint64_t	before;
	uint64_t	end;
	double		each;

	ROW_SET(row.what, "memory of a presence entry, besides its payload");
	report_progress("%s", row.what);
	config.one_topic = false;
	config.track = false;
	config.rate = RATE;
	if (run == NULL || !database_workers(options->conninfo, "realtime listener", &listeners))
		report_broken(row.what, "no listener in pg_stat_activity");
	else if (!fleet_open(&run->fleet, &config, PATIENCE))
		report_broken(row.what, "%s", run->fleet.error);
	else
	{
		before = anonymous_memory(&listeners);
		run->messages = 0;
		for (uint32_t i = 0; i < MEMORY_CLIENTS; i++)
		{
			fleet_track(&run->fleet, i);
			if (i % 100 == 99)
				fleet_poll(&run->fleet, 1);
		}
		for (end = clock_now() + PATIENCE;
			 run->messages < MEMORY_CLIENTS && clock_now() < end && run->fleet.error[0] == '\0';)
			fleet_poll(&run->fleet, 50);
		if (run->messages < MEMORY_CLIENTS)
			report_broken(row.what, "only %llu were told; %s", (unsigned long long) run->messages, run->fleet.error);
		else
		{
			each = ((double) anonymous_memory(&listeners) - (double) before) / MEMORY_CLIENTS;
			ROW_SET(row.measured, "%.0f bytes", each);
			ROW_SET(row.floor, "≤ 1 kB");
			if (each <= 1024)
				row.verdict = VERDICT_MET;
			ROW_ADD(row.beside, "resident, over %d clients, each on a topic of its own, with a payload of 10 bytes; "
					"each listener holds it", MEMORY_CLIENTS);
			report_print(&row);
		}
	}
	if (run != NULL)
		fleet_close(&run->fleet);
	free(run);
}

void
scenario_presence(const bench_options *options)
{
	measure_memory(options);
	measure_storm(options);
	measure_vanishing(options);
}
