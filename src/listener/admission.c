/*
 * admission.c
 *	  How fast connections are let in.
 */
#include "postgres.h"

#include "listener/admission.h"
#include "listener/connection.h"
#include "shared/settings.h"

/* So many ms of the rate may come at once without waiting. */
#define BURST				250

/* So long connections wait for those before them to join, in ms; then they are refused. */
#define FULL_PATIENCE		1000

/* Connections may be let in until the clock stands here, each of which moves it on: in µs. */
static uint64 paid_until;

static uint64 full_since;		/* ms; 0: not full */

static uint32
share(int all)
{
	return ((uint32) all + realtime_listeners - 1) / realtime_listeners;
}

uint32
admission_unjoined_share(void)
{
	return share(realtime_max_unjoined);
}

bool
admission_full(void)
{
	return connections_unjoined() >= admission_unjoined_share();
}

/* Is there hope that one of those who have not joined yet makes room? */
static bool
room_may_come(void)
{
	if (!admission_full())
	{
		full_since = 0;
		return false;
	}
	if (full_since == 0)
		full_since = connection_clock();
	return connection_clock() < full_since + FULL_PATIENCE;
}

bool
admission_open(void)
{
	return paid_until <= (connection_clock() + BURST) * 1000 && !room_may_come();
}

void
admission_took(void)
{
	paid_until = Max(paid_until, connection_clock() * 1000) + 1000000 / share(realtime_max_connects_per_second);
}
