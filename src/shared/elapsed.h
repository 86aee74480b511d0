/*
 * elapsed.h
 *	  Intervals by the clock of the day, which may be set back.
 *
 * Times are microseconds, as PostgreSQL's timestamps. No PostgreSQL, no allocation.
 */
#ifndef REALTIME_ELAPSED_H
#define REALTIME_ELAPSED_H

#include <stdbool.h>
#include <stdint.h>

/* Have so many milliseconds passed? Yes if since is yet to come as well: what is waited for must not wait for the clock. */
static inline bool
elapsed(int64_t since, int64_t now, int ms)
{
	return now < since || now - since >= (int64_t) ms * 1000;
}

#endif							/* REALTIME_ELAPSED_H */
