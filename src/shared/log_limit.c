/*
 * log_limit.c
 *	  How many messages of one kind a second may have in the log.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "shared/elapsed.h"
#include "shared/log_limit.h"

#define LOGGED_PER_SECOND	10

bool
log_limit_allows(LogLimit *limit, int *left_out)
{
	TimestampTz now = GetCurrentTimestamp();

	*left_out = 0;
	if (elapsed(limit->second, now, 1000))
	{
		*left_out = limit->left_out;
		*limit = (LogLimit) {.second = now};
	}
	if (limit->logged++ < LOGGED_PER_SECOND)
		return true;
	limit->left_out++;
	return false;
}
