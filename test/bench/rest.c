/*
 * rest.c
 *		Broadcasts over HTTP on connections that stay open, each with one request under way.
 */
#include "clock.h"
#include "database.h"
#include "histogram.h"
#include "options.h"
#include "procstat.h"
#include "report.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS		64
#define RATE_FLOOR		10000.0
#define ANSWER_SIZE		4096

typedef struct poster
{
	int			fd;
	uint64_t	sent;			/* when the request was sent */
	size_t		length;
	char		answer[ANSWER_SIZE];
} poster;

typedef struct rest_run
{
	poster		posters[CONNECTIONS];
	char		request[4096];
	size_t		request_length;
	int			epoll_fd;
	uint64_t	accepted;
	histogram  *h;
	char		error[240];
} rest_run;

/* Remembers what went wrong first. */
static void
run_fail(rest_run *run, const char *text)
{
	if (run->error[0] == '\0')
		snprintf(run->error, sizeof(run->error), "%.200s", text);
}

/* The batch endpoint, or the one whose body is the payload (one_message). */
static void
make_request(rest_run *run, const bench_options *options, bool one_message)
{
	char		payload[160];
	char		body[512];
	int			n;

	snprintf(payload, sizeof(payload), "{\"text\":\"%0*d\"}", 128 - 11, 0);
	if (one_message)
		snprintf(body, sizeof(body), "%s", payload);
	else
		snprintf(body, sizeof(body), "{\"messages\":[{\"topic\":\"bench-rest\",\"event\":\"bench\",\"payload\":%s}]}", payload);
	n = snprintf(run->request, sizeof(run->request),
				 "POST /realtime/v1/api/broadcast%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\n"
				 "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
				 one_message ? "/bench-rest/events/bench" : "", options->token, strlen(body), body);
	run->request_length = n < (int) sizeof(run->request) ? (size_t) n : 0;
	if (run->request_length == 0)
		run_fail(run, "token too long");
}

/* Requests are small and one at a time: the socket takes them whole. */
static void
post(rest_run *run, poster *p)
{
	p->sent = clock_now();
	if (send(p->fd, run->request, run->request_length, MSG_NOSIGNAL) != (ssize_t) run->request_length)
		run_fail(run, strerror(errno));
}

static bool
open_posters(rest_run *run, const bench_options *options)
{
	run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < CONNECTIONS; i++)
	{
		poster	   *p = &run->posters[i];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = p};
		int			one = 1;

		p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (p->fd < 0 || connect(p->fd, (const struct sockaddr *) &options->server, sizeof(options->server)) != 0)
		{
			run_fail(run, strerror(errno));
			return false;
		}
		setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
		epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, p->fd, &event);
	}
	return true;
}

/* Length of a whole answer in the buffer, or 0 while it isn't. */
static size_t
answer_length(const poster *p)
{
	const char *end = memmem(p->answer, p->length, "\r\n\r\n", 4);
	const char *length;
	size_t		total;

	if (end == NULL)
		return 0;
	total = (size_t) (end + 4 - p->answer);
	length = strcasestr(p->answer, "\r\ncontent-length:");
	if (length != NULL && length < end)
		total += strtoul(length + strlen("\r\ncontent-length:"), NULL, 10);
	return p->length >= total ? total : 0;
}

static void
read_answer(rest_run *run, poster *p, bool again)
{
	ssize_t		n = recv(p->fd, p->answer + p->length, ANSWER_SIZE - 1 - p->length, MSG_DONTWAIT);
	size_t		length;

	if (n <= 0)
	{
		if (n == 0 || errno != EAGAIN)
			run_fail(run, n == 0 ? "the server closed the connection" : strerror(errno));
		return;
	}
	p->length += (size_t) n;
	p->answer[p->length] = '\0';
	length = answer_length(p);
	if (length == 0)
		return;
	if (strncmp(p->answer, "HTTP/1.1 202", 12) != 0 || length != p->length)
		run_fail(run, p->answer);
	run->accepted++;
	histogram_add(run->h, clock_now() - p->sent);
	p->length = 0;
	if (again)
		post(run, p);
}

/* Posts for so long; returns how long it was, in ns. */
static uint64_t
post_for(rest_run *run, uint64_t duration)
{
	struct epoll_event events[CONNECTIONS];
	uint64_t	start = clock_now();
	uint64_t	posted = CONNECTIONS;

	for (int i = 0; i < CONNECTIONS; i++)
		post(run, &run->posters[i]);
	while (run->error[0] == '\0' && run->accepted < posted && clock_now() - start < duration + 10 * NS_PER_SEC)
	{
		int			n = epoll_wait(run->epoll_fd, events, CONNECTIONS, 100);
		bool		again = clock_now() - start < duration;

		for (int i = 0; i < n; i++)
		{
			uint64_t	before = run->accepted;

			read_answer(run, events[i].data.ptr, again);
			posted += again ? run->accepted - before : 0;
		}
	}
	if (run->accepted < posted)
		run_fail(run, "not all requests were answered");
	return clock_now() - start;
}

static void
measure(const bench_options *options, bool one_message)
{
	static rest_run run;
	report_row	row = {.verdict = VERDICT_MISSED};
	pid_set		listeners;
	proc_cpu	before = {0};
	proc_cpu	after = {0};
	uint64_t	own_cpu = clock_own_cpu();
	uint64_t	took;
	double		rate;

	memset(&run, 0, sizeof(run));
	run.h = histogram_create();
	ROW_SET(row.what, "REST broadcasts, %s, %d keep-alive connections", one_message ? "one a request by path" : "batches of one",
			CONNECTIONS);
	report_progress("%s", row.what);
	make_request(&run, options, one_message);
	if (run.h == NULL || !open_posters(&run, options) ||
		!database_workers(options->conninfo, "realtime listener", &listeners) || !procstat_cpu_all(&listeners, &before))
	{
		report_broken(row.what, "no connection or no listener: %s", run.error);
		return;
	}
	took = post_for(&run, (options->quick ? 2 : 8) * NS_PER_SEC);
	own_cpu = clock_own_cpu() - own_cpu;
	procstat_cpu_all(&listeners, &after);
	rate = (double) run.accepted * 1e9 / (double) took;
	ROW_SET(row.measured, "%.0f/s", rate);
	ROW_SET(row.floor, "≥ %.0f/s", RATE_FLOOR);
	if (rate >= RATE_FLOOR)
		row.verdict = VERDICT_MET;
	ROW_ADD(row.beside, "p50 %.2f ms, p99 %.2f ms; listener %.1f µs each, %.0f %% of a core; generator %.0f %%",
			(double) histogram_percentile(run.h, 50) / 1e6, (double) histogram_percentile(run.h, 99) / 1e6,
			(double) (after.ns - before.ns) / 1e3 / (double) (run.accepted > 0 ? run.accepted : 1),
			(double) (after.ns - before.ns) * 100 / (double) took, (double) own_cpu * 100 / (double) took);
	if (run.error[0] != '\0')
	{
		row.verdict = VERDICT_BROKEN;
		ROW_ADD(row.beside, "%s", run.error);
	}
	report_print(&row);
	for (int i = 0; i < CONNECTIONS; i++)
		close(run.posters[i].fd);
	close(run.epoll_fd);
	free(run.h);
}

/* REST broadcasts. */
void
scenario_rest(const bench_options *options)
{
	measure(options, false);
	measure(options, true);
}
