/*
 * loadgen.c
 *		Load generator of `make bench`: measures a running server and prints one row
 *		of a Markdown table per figure.
 *
 * Exit code 0 if everything could be measured (whatever the figures), 1 if
 * messages were lost, repeated or out of order or a figure could not be had, 2 for
 * a wrong command line.
 */
#include "options.h"
#include "report.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct scenario
{
	const char *name;
	scenario_fn run;
	const char *about;
} scenario;

/* In the order of the run: memory is measured before the fan-out has filled the heap. */
static const scenario scenarios[] = {
	{"limit", scenario_limit, "what the machine itself can send"},
	{"quiet", scenario_quiet, "CPU without clients"},
	{"idle", scenario_idle, "15,000 idle joined connections"},
	{"presence", scenario_presence, "1,000 clients that track on one topic, and clients that vanish"},
	{"fanout", scenario_fanout, "500 subscribers on one topic, saturated"},
	{"paced", scenario_paced, "the same at 25,000 deliveries/s"},
	{"joins", scenario_joins, "private joins, judged by policies"},
	{"changes", scenario_changes, "Postgres Changes under row level security"},
	{"storm", scenario_storm, "10,000 clients that all come back at once, beside pgbench"},
	{"rest", scenario_rest, "broadcasts over HTTP"},
	{"slow", scenario_slow, "1,000 clients that never read at 10,000 messages/s"},
	{"send", scenario_send, "realtime.send to one subscriber, against a bare commit"},
	{"load", scenario_load, "the same beside bulk loads"},
};

#define SCENARIO_COUNT (sizeof(scenarios) / sizeof(scenarios[0]))

/* Prints how to call the program, and ends it. */
static void
usage(void)
{
	fputs("usage: loadgen [options] [scenario ...]\n"
		  "  -w PORT        port of the WebSocket server on 127.0.0.1 (4000)\n"
		  "  -d CONNINFO    database, as a superuser (libpq's defaults)\n"
		  "  -q             quick: shorter and smaller\n"
		  "  -x             broadcast in text frames instead of kind 3\n"
		  "  -n COUNT       subscribers of the fan-out (500)\n"
		  "  -s COUNT       senders of the saturated fan-out (4)\n"
		  "  -b COUNT       messages of one sender under way (4)\n"
		  "  -i COUNT       idle connections (15000)\n"
		  "  -c COUNT       clients of the storm (10000)\n"
		  "  -r COUNT       rows of a bulk load (1000000)\n"
		  "The token is taken from the environment variable BENCH_TOKEN.\n"
		  "Scenarios (all of them if none is named):\n", stderr);
	for (size_t i = 0; i < SCENARIO_COUNT; i++)
		fprintf(stderr, "  %-14s %s\n", scenarios[i].name, scenarios[i].about);
	exit(2);
}

/* Reads a number of an option; ends the program if it is none or out of range. */
static uint32_t
number(const char *text, uint32_t least, uint32_t most)
{
	char	   *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*text == '\0' || *end != '\0' || value < least || value > most)
	{
		fprintf(stderr, "loadgen: \"%s\" is no number from %u to %u\n", text, least, most);
		exit(2);
	}
	return (uint32_t) value;
}

/* Allows as many open files as the system lets us. */
static void
raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/* Whether a scenario was asked for. */
static bool
wanted(const scenario *s, char **names, int count)
{
	for (int i = 0; i < count; i++)
		if (strcmp(names[i], s->name) == 0)
			return true;
	return count == 0;
}

/* Ends the program if a name is no scenario. */
static void
check_names(char **names, int count)
{
	for (int i = 0; i < count; i++)
	{
		bool		known = false;

		for (size_t s = 0; s < SCENARIO_COUNT; s++)
			known = known || strcmp(names[i], scenarios[s].name) == 0;
		if (!known)
		{
			fprintf(stderr, "loadgen: there is no scenario \"%s\"\n", names[i]);
			usage();
		}
	}
}

/* Reads the command line; returns the place of the first scenario. */
static int
read_options(int argc, char **argv, bench_options *o)
{
	uint32_t	port = 4000;
	int			c;

	*o = (bench_options) {
		.conninfo = "", .token = getenv("BENCH_TOKEN"), .subscribers = 500, .senders = 4,
		.window = 4, .idle_clients = 15000, .storm_clients = 10000, .load_rows = 1000000,
	};
	while ((c = getopt(argc, argv, "w:d:qxn:s:b:i:c:r:")) != -1)
	{
		switch (c)
		{
			case 'w':
				port = number(optarg, 1, 65535);
				break;
			case 'd':
				o->conninfo = optarg;
				break;
			case 'q':
				o->quick = true;
				break;
			case 'x':
				o->as_text = true;
				break;
			case 'n':
				o->subscribers = number(optarg, 16, 1000);
				break;
			case 's':
				o->senders = number(optarg, 1, 16);
				break;
			case 'b':
				o->window = number(optarg, 1, 64);
				break;
			case 'i':
				o->idle_clients = number(optarg, 1, 19900);
				break;
			case 'c':
				o->storm_clients = number(optarg, 1, 19900);
				break;
			case 'r':
				o->load_rows = number(optarg, 1000, 100000000);
				break;
			default:
				usage();
		}
	}
	if (o->token == NULL)
		o->token = "";
	o->server.sin_family = AF_INET;
	o->server.sin_port = htons((uint16_t) port);
	o->server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return optind;
}

int
main(int argc, char **argv)
{
	bench_options options;
	int			first = read_options(argc, argv, &options);

	check_names(argv + first, argc - first);
	signal(SIGPIPE, SIG_IGN);
	raise_file_limit();
	report_header();
	for (size_t i = 0; i < SCENARIO_COUNT; i++)
		if (wanted(&scenarios[i], argv + first, argc - first))
			scenarios[i].run(&options);
	report_progress("%d figures missed their floor%s", report_missed_count(),
					report_any_broken() ? ", and something is broken" : "");
	return report_any_broken() ? 1 : 0;
}
