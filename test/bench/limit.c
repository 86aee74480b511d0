/*
 * limit.c
 *		What the machine itself can send: the yardstick beside the other figures.
 *
 * 500 loopback connections, whose far ends a child process drains; this process
 * sends one 256-byte frame to each in turn, then eight frames in one send().
 */
#include "clock.h"
#include "options.h"
#include "report.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define FRAME_SIZE		256
#define MAX_TOGETHER	8
#define MAX_SOCKETS		1000

typedef struct socket_pairs
{
	int			count;
	int			near[MAX_SOCKETS];
	int			far[MAX_SOCKETS];
} socket_pairs;

/* Connects count pairs over loopback; false if the machine doesn't let us. */
static bool
open_pairs(socket_pairs *pairs, int count)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t	size = sizeof(address);
	int			door = socket(AF_INET, SOCK_STREAM, 0);

	pairs->count = 0;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (door < 0 || bind(door, (struct sockaddr *) &address, size) != 0 ||
		listen(door, 16) != 0 || getsockname(door, (struct sockaddr *) &address, &size) != 0)
		return false;
	while (pairs->count < count)
	{
		int			near = socket(AF_INET, SOCK_STREAM, 0);

		if (near < 0 || connect(near, (struct sockaddr *) &address, size) != 0)
			break;
		pairs->near[pairs->count] = near;
		pairs->far[pairs->count] = accept(door, NULL, NULL);
		if (pairs->far[pairs->count] < 0)
			break;
		pairs->count++;
	}
	close(door);
	return pairs->count == count;
}

/* The child: reads and forgets all that comes, until it is killed. */
static void
drain(const socket_pairs *pairs)
{
	static char buffer[65536];
	struct epoll_event events[256];
	int			epoll_fd = epoll_create1(0);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int i = 0; i < pairs->count; i++)
	{
		struct epoll_event event = {.events = EPOLLIN, .data.fd = pairs->far[i]};

		close(pairs->near[i]);
		epoll_ctl(epoll_fd, EPOLL_CTL_ADD, pairs->far[i], &event);
	}
	for (;;)
	{
		int			n = epoll_wait(epoll_fd, events, 256, -1);

		for (int i = 0; i < n; i++)
			if (recv(events[i].data.fd, buffer, sizeof(buffer), 0) <= 0)
				_exit(0);
	}
}

/* Sends rounds of frames for so long, and prints the row. */
static void
measure(const socket_pairs *pairs, int together, uint64_t duration)
{
	static uint8_t frames[FRAME_SIZE * MAX_TOGETHER];
	report_row	row = {.verdict = VERDICT_NONE};
	uint64_t	start = clock_now();
	uint64_t	cpu = clock_own_cpu();
	uint64_t	sent = 0;
	uint64_t	elapsed;

	do
	{
		for (int i = 0; i < pairs->count; i++)
			if (send(pairs->near[i], frames, (size_t) together * FRAME_SIZE, MSG_NOSIGNAL) < 0)
			{
				report_broken("machine: send()", "%s", strerror(errno));
				return;
			}
		sent += (uint64_t) pairs->count * (uint64_t) together;
		elapsed = clock_now() - start;
	} while (elapsed < duration);
	cpu = clock_own_cpu() - cpu;

	ROW_SET(row.what, "machine: %s %d-byte frame%s in one send() to each of %d sockets",
			together == 1 ? "one" : "eight", FRAME_SIZE, together == 1 ? "" : "s", pairs->count);
	ROW_SET(row.measured, "%.0f frames/s, %.2f µs of CPU each",
			(double) sent * 1e9 / (double) elapsed, (double) cpu / 1e3 / (double) sent);
	ROW_SET(row.floor, "–");
	ROW_SET(row.beside, "%.2f µs of CPU per send()",
			(double) cpu * together / 1e3 / (double) sent);
	report_print(&row);
}

/* The machine's own send limit. */
void
scenario_limit(const bench_options *options)
{
	static socket_pairs pairs;
	uint64_t	duration = (options->quick ? 1 : 3) * NS_PER_SEC;
	pid_t		child;

	report_progress("the machine's own send limit");
	if (!open_pairs(&pairs, (int) options->subscribers))
	{
		report_broken("machine: send()", "cannot connect: %s", strerror(errno));
		return;
	}
	child = fork();
	if (child == 0)
	{
		drain(&pairs);
		_exit(0);
	}
	for (int i = 0; i < pairs.count; i++)
		close(pairs.far[i]);
	measure(&pairs, 1, duration);
	measure(&pairs, MAX_TOGETHER, duration);
	if (child > 0)
	{
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
	}
	for (int i = 0; i < pairs.count; i++)
		close(pairs.near[i]);
}
