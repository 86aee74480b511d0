/*
 * load_child.h
 *		Processes that load the database beside a measurement, each with a session of
 *		its own.
 */
#ifndef BENCH_LOAD_CHILD_H
#define BENCH_LOAD_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef enum load_kind
{
	LOAD_USED_TABLE,			/* into a table that was used before */
	LOAD_EMPTY_TABLE,			/* first insert into an empty one */
	LOAD_CREATED_TABLE,			/* CREATE TABLE and insert in one transaction */
	LOAD_TRUNCATED_TABLE,		/* TRUNCATE and COPY in one transaction */
	LOAD_TEMP_TABLES			/* CREATE TEMP TABLE, again and again */
} load_kind;

#define LOAD_BULK_KINDS		LOAD_TEMP_TABLES

/* Shared between the child and its parent. */
typedef struct load_state
{
	volatile bool stop;			/* set by the parent: no further load */
	volatile bool failed;
	volatile bool ready;		/* the tables are there */
	volatile uint32_t done;		/* loads, or temporary tables */
	volatile uint64_t busy;		/* ns spent in loads, for the mean */
} load_state;

typedef struct load_child
{
	pid_t		pid;
	load_state *state;
} load_child;

extern const char *load_name(load_kind kind);
extern bool load_start(load_child *child, const char *conninfo, load_kind kind, uint32_t rows);
extern bool load_stop(load_child *child, const char *conninfo);

#endif							/* BENCH_LOAD_CHILD_H */
