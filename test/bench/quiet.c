/*
 * quiet.c
 *		CPU of all our processes while there is no client.
 */
#include "clock.h"
#include "database.h"
#include "options.h"
#include "procstat.h"
#include "report.h"

#include <stdio.h>
#include <time.h>

/* No clients. */
void
scenario_quiet(const bench_options *options)
{
	report_row	row = {.verdict = VERDICT_MET};
	struct timespec minute = {.tv_sec = options->quick ? 10 : 60};
	proc_cpu	before[PROCSTAT_MAX_PIDS];
	pid_set		all;

	ROW_SET(row.what, "no clients: CPU of our processes over %d s", (int) minute.tv_sec);
	report_progress("%s", row.what);
	if (!database_workers(options->conninfo, "realtime ", &all))
	{
		report_broken(row.what, "none of our processes in pg_stat_activity");
		return;
	}
	/* what the session that asked for the pids has stirred up may settle */
	nanosleep(&(struct timespec) {.tv_sec = 2}, NULL);
	for (int i = 0; i < all.count; i++)
		procstat_cpu(all.pids[i], &before[i]);
	nanosleep(&minute, NULL);

	/* Ticks are samples: a process that runs for 50 µs when the clock ticks is charged all of it. The scheduler's count is exact. */
	ROW_SET(row.floor, "≤ 10 ms each");
	for (int i = 0; i < all.count; i++)
	{
		proc_cpu	after;

		if (!procstat_cpu(all.pids[i], &after))
		{
			report_broken(row.what, "process %d has ended", (int) all.pids[i]);
			return;
		}
		ROW_ADD(row.measured, "%.1f ms", (double) (after.ns - before[i].ns) / 1e6);
		ROW_ADD(row.beside, "%llu", (unsigned long long) (after.ticks - before[i].ticks));
		if (after.ns - before[i].ns > 10 * 1000 * 1000)
			row.verdict = VERDICT_MISSED;
	}
	ROW_ADD(row.beside, "ticks of 10 ms");
	report_print(&row);
}
