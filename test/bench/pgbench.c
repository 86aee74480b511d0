/*
 * pgbench.c
 *		pgbench beside a measurement.
 */
#include "pgbench.h"

#include "clock.h"
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCALE		"10"
#define SESSIONS	"4"

/* Starts the program; its standard error goes to a pipe. Returns the end to read, or -1. */
static int
run(char *const arguments[], pid_t *pid)
{
	int			ends[2];

	if (pipe2(ends, O_CLOEXEC) != 0)
		return -1;
	*pid = fork();
	if (*pid == 0)
	{
		int			null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		execvp(arguments[0], arguments);
		_exit(127);
	}
	close(ends[1]);
	if (*pid < 0)
	{
		close(ends[0]);
		return -1;
	}
	return ends[0];
}

/* Makes its tables. */
static bool
make_tables(char *program, const char *conninfo)
{
	char	   *arguments[] = {program, "-i", "-q", "-s", SCALE, (char *) conninfo, NULL};
	char		said[512];
	char		last[512] = "";
	pid_t		pid;
	int			fd = run(arguments, &pid);
	int			status = -1;
	ssize_t		n;

	if (fd < 0)
		return false;
	while ((n = read(fd, said, sizeof(said) - 1)) > 0)
	{
		said[n] = '\0';
		strcpy(last, said);
	}
	close(fd);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
	{
		report_progress("%s -i failed: %s", program, last);
		return false;
	}
	return true;
}

bool
pgbench_start(pgbench *p, const char *conninfo)
{
	char	   *program = getenv("BENCH_PGBENCH");
	char	   *arguments[] = {
		NULL, "-n", "-c", SESSIONS, "-j", "1", "-P", "1", "-T", "3600", (char *) conninfo, NULL
	};

	memset(p, 0, sizeof(*p));
	p->fd = -1;
	if (program == NULL)
		program = "pgbench";
	if (!make_tables(program, conninfo))
		return false;
	arguments[0] = program;
	p->fd = run(arguments, &p->pid);
	if (p->fd < 0)
		return false;
	fcntl(p->fd, F_SETFL, O_NONBLOCK);
	return true;
}

/* "progress: 5.0 s, 1234.5 tps, lat …"; all else is kept for nobody. */
static void
take_line(pgbench *p, const char *line)
{
	double		seconds;
	double		tps;

	if (p->count < PGBENCH_SECONDS && sscanf(line, "progress: %lf s, %lf tps", &seconds, &tps) == 2)
		p->reports[p->count++] = (pgbench_report) {.at = clock_now(), .tps = tps};
}

bool
pgbench_read(pgbench *p)
{
	ssize_t		n;
	char	   *end;

	while ((n = read(p->fd, p->line + p->length, sizeof(p->line) - 1 - p->length)) > 0)
	{
		p->length += (uint32_t) n;
		p->line[p->length] = '\0';
		while ((end = strchr(p->line, '\n')) != NULL)
		{
			*end = '\0';
			take_line(p, p->line);
			p->length -= (uint32_t) (end + 1 - p->line);
			memmove(p->line, end + 1, p->length + 1);
		}
		if (p->length == sizeof(p->line) - 1)
			p->length = 0;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR);
}

uint32_t
pgbench_between(const pgbench *p, uint64_t from, uint64_t to, double *mean, double *least)
{
	uint32_t	found = 0;

	*mean = *least = 0;
	for (uint32_t i = 0; i < p->count; i++)
	{
		const pgbench_report *report = &p->reports[i];

		if (report->at <= from || report->at > to)
			continue;
		*mean += report->tps;
		if (found == 0 || report->tps < *least)
			*least = report->tps;
		found++;
	}
	if (found > 0)
		*mean /= found;
	return found;
}

void
pgbench_stop(pgbench *p)
{
	if (p->pid > 0)
	{
		kill(p->pid, SIGTERM);
		while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
			;
	}
	if (p->fd >= 0)
		close(p->fd);
	p->pid = 0;
	p->fd = -1;
}
