/*
 * database.c
 *		The few things the load generator asks the database.
 */
#include "database.h"

#include "clock.h"
#include "report.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RECYCLE_PATIENCE	(20 * NS_PER_SEC)

/* Opens a session; NULL, after saying why, if that fails. */
PGconn *
database_connect(const char *conninfo)
{
	PGconn	   *conn = PQconnectdb(conninfo);

	if (PQstatus(conn) == CONNECTION_OK && database_run(conn, "set client_min_messages = error"))
		return conn;
	report_progress("cannot connect to the database: %s", PQerrorMessage(conn));
	PQfinish(conn);
	return NULL;
}

/* Runs one or more statements and drops their results; false, after saying why, if one fails. */
bool
database_run(PGconn *conn, const char *sql)
{
	PGresult   *result = PQexec(conn, sql);
	ExecStatusType status = PQresultStatus(result);
	bool		good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;

	if (!good)
		report_progress("%s: %s", sql, PQerrorMessage(conn));
	PQclear(result);
	return good;
}

/* Whether a query says true. */
static bool
is_true(PGconn *conn, const char *sql)
{
	PGresult   *result = PQexec(conn, sql);
	bool		answer = PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "t") == 0;

	PQclear(result);
	return answer;
}

/*
 * Brings the cluster to where one is that has run for a while: new WAL goes into
 * recycled segments. In a fresh one each segment has to be made, filled with zeroes
 * and synced, and while that lasts no session can commit, whatever the server under
 * test does. The first call writes min_wal_size of WAL; each waits until a checkpoint
 * has recycled what was written, which it may once no replication slot needs it.
 */
void
database_recycle_wal(const char *conninfo)
{
	static bool written = false;
	PGconn	   *conn = database_connect(conninfo);
	uint64_t	end = clock_now() + RECYCLE_PATIENCE;

	if (conn == NULL)
		return;
	if (!written)
	{
		report_progress("making WAL segments to recycle");
		written = database_run(conn, "do $$ begin"
							   " for i in 1 .. pg_size_bytes(current_setting('min_wal_size'))"
							   "  / pg_size_bytes(current_setting('wal_segment_size')) loop"
							   "  perform pg_logical_emit_message(false, 'bench', '');"
							   "  perform pg_switch_wal();"
							   " end loop; end $$");
	}
	while (database_run(conn, "checkpoint") && clock_now() < end &&
		   !is_true(conn, "select coalesce(bool_and(restart_lsn > pg_current_wal_lsn()"
					" - pg_size_bytes(current_setting('wal_segment_size'))), true)"
					" from pg_replication_slots where restart_lsn is not null"))
		nanosleep(&(struct timespec) {.tv_nsec = 200 * NS_PER_MS}, NULL);
	database_run(conn, "checkpoint");
	PQfinish(conn);
}

/*
 * Finds our processes whose backend_type begins with kind, as 'realtime listener';
 * false if there is none.
 */
bool
database_workers(const char *conninfo, const char *kind, pid_set *set)
{
	PGconn	   *conn = database_connect(conninfo);
	const char *const values[] = {kind};
	PGresult   *result;

	set->count = 0;
	if (conn == NULL)
		return false;
	result = PQexecParams(conn,
						  "select pid from pg_stat_activity where starts_with(backend_type, $1)"
						  " order by pid",
						  1, NULL, values, NULL, NULL, 0);
	for (int i = 0; i < PQntuples(result) && set->count < PROCSTAT_MAX_PIDS; i++)
		set->pids[set->count++] = (pid_t) atoi(PQgetvalue(result, i, 0));
	PQclear(result);
	PQfinish(conn);
	return set->count > 0;
}
