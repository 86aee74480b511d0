/*
 * procstat.h
 *		CPU and memory of other processes, from /proc.
 */
#ifndef BENCH_PROCSTAT_H
#define BENCH_PROCSTAT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROCSTAT_MAX_PIDS	32

/* A set of processes that are measured together. */
typedef struct pid_set
{
	int			count;
	pid_t		pids[PROCSTAT_MAX_PIDS];
} pid_set;

typedef struct proc_cpu
{
	uint64_t	ns;				/* on a CPU, all threads; exact */
	uint64_t	ticks;			/* utime + stime, as /proc/PID/stat counts them */
} proc_cpu;

typedef struct proc_memory
{
	uint64_t	rss;			/* bytes that are resident */
	uint64_t	pss;			/* the same, shared pages divided by their users */
	uint64_t	private_dirty;	/* what only this process has */
} proc_memory;

extern bool procstat_cpu(pid_t pid, proc_cpu *cpu);
extern bool procstat_cpu_all(const pid_set *set, proc_cpu *cpu);
extern bool procstat_memory(pid_t pid, proc_memory *memory);
extern bool procstat_memory_all(const pid_set *set, proc_memory *memory);

/* Resident bytes, as often as one likes: smaps_rollup holds the process up while it counts. */
extern uint64_t procstat_rss_all(const pid_set *set);

#endif							/* BENCH_PROCSTAT_H */
