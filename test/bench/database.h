/*
 * database.h
 *		The few things the load generator asks the database.
 */
#ifndef BENCH_DATABASE_H
#define BENCH_DATABASE_H

#include "procstat.h"

#include <libpq-fe.h>
#include <stdbool.h>

extern PGconn *database_connect(const char *conninfo);
extern bool database_run(PGconn *conn, const char *sql);
extern void database_recycle_wal(const char *conninfo);
extern bool database_workers(const char *conninfo, const char *kind, pid_set *set);

#endif							/* BENCH_DATABASE_H */
