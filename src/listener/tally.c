/*
 * tally.c
 *	  The listener's own counts.
 */
#include "postgres.h"

#include "listener/tally.h"

int64		tally_pending[COUNTERS];

static int64 connections_added;
static int64 channels_added;
static int64 private_channels_added;

/* Add what has come together in this turn. */
void
tally_flush(void)
{
	connections_added += tally_pending[COUNTER_CONNECTIONS];
	channels_added += tally_pending[COUNTER_CHANNELS];
	private_channels_added += tally_pending[COUNTER_PRIVATE_CHANNELS];
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
	counter_add(COUNTER_CONNECTIONS, -connections_added);
	counter_add(COUNTER_CHANNELS, -channels_added);
	counter_add(COUNTER_PRIVATE_CHANNELS, -private_channels_added);
	connections_added = channels_added = private_channels_added = 0;
}
