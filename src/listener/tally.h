/*
 * tally.h
 *	  The listener's own counts, added to realtime.stats once per turn of the loop.
 */
#ifndef REALTIME_LISTENER_TALLY_H
#define REALTIME_LISTENER_TALLY_H

#include "shared/counters.h"

extern int64 tally_pending[COUNTERS];

static inline void
tally(Counter counter, int64 n)
{
	tally_pending[counter] += n;
}

/* What realtime.stats will show once this listener's counts are added. */
static inline int64
tally_total(Counter counter)
{
	return counter_get(counter) + tally_pending[counter];
}

extern void tally_flush(void);

/* At exit: what this process has added to the gauges goes away with it. */
extern void tally_withdraw_gauges(void);

#endif							/* REALTIME_LISTENER_TALLY_H */
