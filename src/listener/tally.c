/*
 * tally.c
 *	  The listener's own counts.
 */
#include "postgres.h"

#include "listener/tally.h"

int64		tally_pending[COUNTERS];

/* Counters that go up and down with what this listener holds, and what it has added to each. */
static const Counter gauges[] =
{
	COUNTER_CONNECTIONS,
	COUNTER_CONNECTIONS_JOINED,
	COUNTER_CHANNELS,
	COUNTER_PRIVATE_CHANNELS,
	COUNTER_SUBSCRIBED_CHANNELS,
	COUNTER_QUEUED_BYTES,
	COUNTER_QUEUE_MEMORY,
};
static int64 gauge_added[lengthof(gauges)];

/* Add what has come together in this turn. */
void
tally_flush(void)
{
	for (int i = 0; i < lengthof(gauges); i++)
		gauge_added[i] += tally_pending[gauges[i]];
	for (int i = 0; i < COUNTERS; i++)
		if (tally_pending[i] != 0)
		{
			counter_add((Counter) i, tally_pending[i]);
			tally_pending[i] = 0;
		}
}

/* Take our share out of the gauges. */
void
tally_withdraw_gauges(void)
{
	for (int i = 0; i < lengthof(gauges); i++)
	{
		counter_add(gauges[i], -gauge_added[i]);
		gauge_added[i] = 0;
	}
}
