/*
 * log_limit.h
 *	  So that what fails again and again at a client's wish does not fill the log.
 */
#ifndef REALTIME_LOG_LIMIT_H
#define REALTIME_LOG_LIMIT_H

#include "datatype/timestamp.h"

/* Of one kind of messages in this process; begins as zeroes. */
typedef struct LogLimit
{
	TimestampTz second;			/* when it began */
	int			logged;			/* in it, and those that were not */
	int			left_out;
} LogLimit;

/*
 * May one more be logged? There are a few in a second. *left_out is how many were not in a second that is over, if that has
 * not been told yet, else 0.
 */
extern bool log_limit_allows(LogLimit *limit, int *left_out);

#endif							/* REALTIME_LOG_LIMIT_H */
