/*
 * procstat.c
 *		CPU and memory of other processes, from /proc.
 */
#include "procstat.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Reads a small file into a string; false if it isn't there. */
static bool
read_text(const char *path, char *text, size_t size)
{
	FILE	   *f = fopen(path, "r");
	size_t		n;

	if (f == NULL)
		return false;
	n = fread(text, 1, size - 1, f);
	fclose(f);
	text[n] = '\0';
	return n > 0;
}

/* Adds up the time on a CPU of all threads of a process; 0 where the kernel keeps no schedstat. */
static uint64_t
thread_time(pid_t pid)
{
	char		path[512];
	char		text[128];
	uint64_t	sum = 0;
	struct dirent *entry;
	DIR		   *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", (int) pid);
	dir = opendir(path);
	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL)
	{
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/schedstat", (int) pid, entry->d_name);
		if (read_text(path, text, sizeof(text)))
			sum += strtoull(text, NULL, 10);
	}
	closedir(dir);
	return sum;
}

/*
 * CPU that one process has used up to now; false if there is no such process.
 * Where the kernel has no schedstat, ns is made from the ticks.
 */
bool
procstat_cpu(pid_t pid, proc_cpu *cpu)
{
	char		path[64];
	char		text[1024];
	char	   *rest;
	uint64_t	utime;
	uint64_t	stime;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	if (!read_text(path, text, sizeof(text)))
		return false;
	/* the name may contain spaces and parentheses, so look for the last one */
	rest = strrchr(text, ')');
	if (rest == NULL ||
		sscanf(rest + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64,
			   &utime, &stime) != 2)
		return false;
	cpu->ticks = utime + stime;
	cpu->ns = thread_time(pid);
	if (cpu->ns == 0)
		cpu->ns = cpu->ticks * (UINT64_C(1000000000) / (uint64_t) sysconf(_SC_CLK_TCK));
	return true;
}

/* The same for all processes of a set together; false if one of them is gone. */
bool
procstat_cpu_all(const pid_set *set, proc_cpu *cpu)
{
	proc_cpu	one;

	memset(cpu, 0, sizeof(*cpu));
	for (int i = 0; i < set->count; i++)
	{
		if (!procstat_cpu(set->pids[i], &one))
			return false;
		cpu->ns += one.ns;
		cpu->ticks += one.ticks;
	}
	return true;
}

/* One line "Name:   N kB" of a smaps_rollup text, in bytes; 0 if it isn't there. */
static uint64_t
memory_line(const char *text, const char *name)
{
	const char *found = strstr(text, name);

	return found != NULL ? strtoull(found + strlen(name), NULL, 10) * 1024 : 0;
}

/* Resident memory of one process, in bytes; false if there is no such process or we may not look. */
bool
procstat_memory(pid_t pid, proc_memory *memory)
{
	char		path[64];
	char		text[4096];

	snprintf(path, sizeof(path), "/proc/%d/smaps_rollup", (int) pid);
	if (!read_text(path, text, sizeof(text)))
		return false;
	memory->rss = memory_line(text, "\nRss:");
	memory->pss = memory_line(text, "\nPss:");
	memory->private_dirty = memory_line(text, "\nPrivate_Dirty:");
	return memory->rss > 0;
}

/* The same for all processes of a set together. */
bool
procstat_memory_all(const pid_set *set, proc_memory *memory)
{
	proc_memory one;

	memset(memory, 0, sizeof(*memory));
	for (int i = 0; i < set->count; i++)
	{
		if (!procstat_memory(set->pids[i], &one))
			return false;
		memory->rss += one.rss;
		memory->pss += one.pss;
		memory->private_dirty += one.private_dirty;
	}
	return true;
}

/* Resident memory of all, from statm; those that are gone count as nothing. */
uint64_t
procstat_rss_all(const pid_set *set)
{
	uint64_t	total = 0;

	for (int i = 0; i < set->count; i++)
	{
		char		path[64];
		unsigned long size;
		unsigned long resident;
		FILE	   *file;

		snprintf(path, sizeof(path), "/proc/%d/statm", (int) set->pids[i]);
		file = fopen(path, "r");
		if (file == NULL)
			continue;
		if (fscanf(file, "%lu %lu", &size, &resident) == 2)
			total += (uint64_t) resident * (uint64_t) sysconf(_SC_PAGESIZE);
		fclose(file);
	}
	return total;
}
