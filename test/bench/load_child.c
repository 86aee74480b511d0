/*
 * load_child.c
 *		Processes that load the database beside a measurement.
 */
#include "load_child.h"

#include "clock.h"
#include "database.h"
#include "report.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define APPLICATION_NAME	"realtime bench load"
#define STOP_PATIENCE		(60 * NS_PER_SEC)
#define TEMP_TABLE_PAUSE	(5 * NS_PER_MS)
#define COPY_BLOCK_ROWS		1000
#define COPY_ROW_SIZE		64

/* What the report calls a load. */
const char *
load_name(load_kind kind)
{
	switch (kind)
	{
		case LOAD_USED_TABLE:
			return "insert into a table used before";
		case LOAD_EMPTY_TABLE:
			return "first insert into an empty table";
		case LOAD_CREATED_TABLE:
			return "CREATE TABLE and insert in one transaction";
		case LOAD_TRUNCATED_TABLE:
			return "TRUNCATE and COPY in one transaction";
		case LOAD_TEMP_TABLES:
			return "CREATE TEMP TABLE";
	}
	return "";
}

/* Runs formatted statements. */
static bool
run(PGconn *conn, const char *format, uint32_t rows)
{
	char		sql[512];

	snprintf(sql, sizeof(sql), format, rows);
	return database_run(conn, sql);
}

#define CREATE_TABLE "create table bench_load (a bigint, b text)"
#define INSERT_ROWS "insert into bench_load select g, md5(g::text) from generate_series(1, %u) g"

/* Sends so many rows to a COPY that has begun. */
static bool
copy_rows(PGconn *conn, uint32_t rows)
{
	static char block[COPY_BLOCK_ROWS * COPY_ROW_SIZE];
	int			size = 0;
	PGresult   *result;
	bool		good;

	for (uint32_t i = 0; i < COPY_BLOCK_ROWS; i++)
		size += snprintf(block + size, COPY_ROW_SIZE, "%u\t%032u\n", i, i * 2654435761U);
	for (uint32_t sent = 0; sent < rows; sent += COPY_BLOCK_ROWS)
		if (PQputCopyData(conn, block, size) != 1)
			return false;
	if (PQputCopyEnd(conn, NULL) != 1)
		return false;
	result = PQgetResult(conn);
	good = PQresultStatus(result) == PGRES_COMMAND_OK;
	PQclear(result);
	while ((result = PQgetResult(conn)) != NULL)
		PQclear(result);
	return good;
}

/* TRUNCATE and COPY in one transaction. */
static bool
truncate_and_copy(PGconn *conn, uint32_t rows)
{
	PGresult   *result;
	bool		copying;

	if (!database_run(conn, "begin; truncate bench_load"))
		return false;
	result = PQexec(conn, "copy bench_load from stdin");
	copying = PQresultStatus(result) == PGRES_COPY_IN;
	PQclear(result);
	return copying && copy_rows(conn, rows) && database_run(conn, "commit");
}

/* What comes before the first load, and is not measured. */
static bool
prepare(PGconn *conn, load_kind kind)
{
	if (kind == LOAD_TEMP_TABLES)
		return true;
	if (!database_run(conn, "drop table if exists bench_load"))
		return false;
	if (kind == LOAD_USED_TABLE || kind == LOAD_TRUNCATED_TABLE)
		return database_run(conn, CREATE_TABLE) && run(conn, INSERT_ROWS, 1000);
	return true;
}

/* One load, or one temporary table. */
static bool
load_once(PGconn *conn, load_kind kind, uint32_t rows)
{
	switch (kind)
	{
		case LOAD_USED_TABLE:
			return run(conn, INSERT_ROWS, rows);
		case LOAD_EMPTY_TABLE:
			return database_run(conn, "drop table if exists bench_load") &&
				database_run(conn, CREATE_TABLE) && run(conn, INSERT_ROWS, rows);
		case LOAD_CREATED_TABLE:
			return database_run(conn, "drop table if exists bench_load") &&
				database_run(conn, "begin; " CREATE_TABLE) && run(conn, INSERT_ROWS, rows) &&
				database_run(conn, "commit");
		case LOAD_TRUNCATED_TABLE:
			return truncate_and_copy(conn, rows);
		case LOAD_TEMP_TABLES:
			return database_run(conn, "create temp table bench_temp (a int primary key, b text)") &&
				database_run(conn, "drop table bench_temp");
	}
	return false;
}

/* The child: loads until it is told to stop. Never returns. */
static void
child_main(const char *conninfo, load_kind kind, uint32_t rows, load_state *state)
{
	char		info[1024];
	PGconn	   *conn;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(info, sizeof(info), "%s application_name='%s'", conninfo, APPLICATION_NAME);
	conn = database_connect(info);
	if (conn == NULL || !prepare(conn, kind))
		state->failed = true;
	state->ready = true;
	while (!state->stop && !state->failed)
	{
		uint64_t	start = clock_now();

		if (!load_once(conn, kind, rows))
			state->failed = true;
		state->busy += clock_now() - start;
		state->done++;
		if (kind == LOAD_TEMP_TABLES)
			nanosleep(&(struct timespec) {.tv_nsec = TEMP_TABLE_PAUSE}, NULL);
	}
	if (conn != NULL && kind != LOAD_TEMP_TABLES)
		database_run(conn, "drop table if exists bench_load");
	PQfinish(conn);
	_exit(state->failed ? 1 : 0);
}

/* Starts a child and waits until its tables are there; false if that fails. */
bool
load_start(load_child *child, const char *conninfo, load_kind kind, uint32_t rows)
{
	child->state = mmap(NULL, sizeof(load_state), PROT_READ | PROT_WRITE,
						MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (child->state == MAP_FAILED)
		return false;
	memset(child->state, 0, sizeof(load_state));
	child->pid = fork();
	if (child->pid == 0)
		child_main(conninfo, kind, rows, child->state);
	return child->pid > 0;
}

/* Ends the sessions of children that don't end by themselves. */
static void
terminate_sessions(const char *conninfo)
{
	PGconn	   *conn = database_connect(conninfo);

	if (conn == NULL)
		return;
	database_run(conn, "select pg_terminate_backend(pid) from pg_stat_activity"
				 " where application_name = '" APPLICATION_NAME "'");
	PQfinish(conn);
}

/*
 * Tells a child to stop after what it is doing and waits for it, a minute at most.
 * False if one of its statements has failed.
 */
bool
load_stop(load_child *child, const char *conninfo)
{
	uint64_t	end = clock_now() + STOP_PATIENCE;
	bool		good;
	int			status = 0;
	pid_t		ended;

	child->state->stop = true;
	while ((ended = waitpid(child->pid, &status, WNOHANG)) == 0 && clock_now() < end)
		nanosleep(&(struct timespec) {.tv_nsec = 10 * NS_PER_MS}, NULL);
	if (ended == 0)
	{
		terminate_sessions(conninfo);
		kill(child->pid, SIGKILL);
		waitpid(child->pid, &status, 0);
	}
	good = !child->state->failed && status == 0;
	munmap(child->state, sizeof(load_state));
	child->state = NULL;
	return good;
}
