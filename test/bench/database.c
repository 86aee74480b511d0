/*
 * database.c
 *		The few things the load generator asks the database.
 */
#include "database.h"

#include "report.h"

#include <stdlib.h>

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
