/*
 * pgbench.h
 *		pgbench beside a measurement, and how many transactions a second it made when.
 */
#ifndef BENCH_PGBENCH_H
#define BENCH_PGBENCH_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PGBENCH_SECONDS		600 /* reports that are kept, one a second */

/* One report: the transactions per second up to that moment (clock_now). */
typedef struct pgbench_report
{
	uint64_t	at;
	double		tps;
} pgbench_report;

typedef struct pgbench
{
	pid_t		pid;
	int			fd;				/* to be polled; pgbench_read when it is readable */
	char		line[512];
	uint32_t	length;
	uint32_t	count;
	pgbench_report reports[PGBENCH_SECONDS];
} pgbench;

/*
 * Makes its tables and starts it; false, after saying why, if it can't be run. The program is $BENCH_PGBENCH, or
 * pgbench of the search path.
 */
extern bool pgbench_start(pgbench *p, const char *conninfo);

/* Takes what it has reported. False: it has ended. */
extern bool pgbench_read(pgbench *p);

/* Mean and least of the reports that end in (from, to]; returns how many there are. */
extern uint32_t pgbench_between(const pgbench *p, uint64_t from, uint64_t to, double *mean, double *least);

extern void pgbench_stop(pgbench *p);

#endif							/* BENCH_PGBENCH_H */
