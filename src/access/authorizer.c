/*
 * authorizer.c
 *	  The worker that answers the listeners' questions.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/wait_event.h"

#include "access/authorizer.h"
#include "access/message_policy.h"
#include "shared/bus.h"
#include "shared/counters.h"
#include "shared/questions.h"
#include "shared/worker.h"

/* While private channels are joined, the first authorizer looks so often whether their policies changed, in milliseconds. */
#define WATCH_INTERVAL	1000

static void
leave_if_unwanted(void)
{
	CHECK_FOR_INTERRUPTS();
	worker_reload_if_asked();
	if (!registry_wanted())
		worker_leave();
}

static void
answer_questions(int index)
{
	static char body[QUESTION_BODY_SIZE];
	Question	question;

	while (question_take(index, &question, body))
	{
		question_answer(index, message_policy_answer(&question));
		leave_if_unwanted();
	}
}

static void
ask_to_judge_again(void)
{
	BusRecord	record = {.kind = BUS_REAUTHORIZE,.origin.listener = -1};

	bus_publish(&record);
}

/* An idle process hears of no invalidation: the fingerprint's transaction makes it listen. */
static uint64
watch_policies(uint64 known)
{
	uint64		fingerprint = message_policy_fingerprint();

	if (fingerprint != known)
		ask_to_judge_again();
	return fingerprint;
}

void
realtime_authorizer_main(Datum argument)
{
	int			index = DatumGetInt32(argument);
	uint64		known;

	worker_start(WORKER_AUTHORIZER, index);
	worker_wait_until_wanted();
	worker_connect(true);
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_SESSION);
	message_policy_init();
	question_attach(index);
	registry_set_state(WORKER_RUNNING, NULL, NULL);

	/* What changed while nobody watched is made good for channels that were joined before. */
	known = message_policy_fingerprint();
	if (index == 0 && counter_get(COUNTER_PRIVATE_CHANNELS) > 0)
		ask_to_judge_again();
	for (;;)
	{
		bool		watching = index == 0 && counter_get(COUNTER_PRIVATE_CHANNELS) > 0;

		ResetLatch(MyLatch);
		leave_if_unwanted();
		answer_questions(index);
		if (watching)
			known = watch_policies(known);
		pgstat_report_stat(false);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (watching ? WL_TIMEOUT : 0), WATCH_INTERVAL,
						 PG_WAIT_EXTENSION);
	}
}
