/*
 * authorizer.c
 *	  The worker that answers the listeners' questions.
 */
#include "postgres.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/timestamp.h"
#include "utils/wait_event.h"

#include "access/authorizer.h"
#include "access/message_policy.h"
#include "shared/bus.h"
#include "shared/counters.h"
#include "shared/elapsed.h"
#include "shared/questions.h"
#include "shared/worker.h"

/* While private channels are joined, the first authorizer looks so often whether their policies changed, in milliseconds. */
#define WATCH_INTERVAL	400

/*
 * A question may lead to a private channel: that it did is looked for so long, in milliseconds. One that has answered none sleeps: the
 * first idle authorizer is the first to be woken, and watches.
 */
#define WATCH_AFTER_QUESTION	10000

/* When this authorizer has last watched, and answered. */
typedef struct Watch
{
	TimestampTz looked;
	TimestampTz answered;
} Watch;

/* Between questions there is nothing to cancel, and an error would end the worker. */
static void
leave_if_unwanted(void)
{
	worker_check_interrupts();
	worker_reload_if_asked();
	if (!registry_wanted())
		worker_leave();
}

static void
ask_to_judge_again(void)
{
	BusRecord	record = {.kind = BUS_REAUTHORIZE,.origin.listener = -1};

	bus_publish(&record);
}

/* An idle process hears of no invalidation: the transaction makes it listen. */
static void
watch_policies(Watch *watch)
{
	TimestampTz now = GetCurrentTimestamp();

	if (counter_get(COUNTER_PRIVATE_CHANNELS) <= 0 ||
		!elapsed(watch->looked, now, WATCH_INTERVAL))
		return;
	watch->looked = now;
	if (message_policy_changed())
		ask_to_judge_again();
}

/* The queue may never be empty, so the policies are watched between questions too. */
static void
answer_questions(int index, Watch *watch)
{
	static char body[QUESTION_BODY_SIZE];
	Question	question;

	while (question_take(index, &question, body))
	{
		bool		changed;
		Answer		answer = message_policy_answer(&question, &changed);

		if (changed)
			ask_to_judge_again();
		question_answer(index, answer);
		watch->answered = GetCurrentTimestamp();
		leave_if_unwanted();
		if (index == 0)
			watch_policies(watch);
	}
}

static bool
must_watch(int index, const Watch *watch)
{
	return index == 0 && (counter_get(COUNTER_PRIVATE_CHANNELS) > 0 ||
						  !elapsed(watch->answered, GetCurrentTimestamp(), WATCH_AFTER_QUESTION));
}

/*
 * What the database's or the role's defaults must not change: an authorizer never waits for a safe snapshot, and a policy is always
 * applied.
 */
static void
fix_settings(void)
{
	SetConfigOption("jit", "off", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("row_security", "on", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_isolation", "read committed", PGC_USERSET, PGC_S_SESSION);
	SetConfigOption("default_transaction_deferrable", "off", PGC_USERSET, PGC_S_SESSION);
}

void
realtime_authorizer_main(Datum argument)
{
	int			index = DatumGetInt32(argument);
	Watch		watch = {0};

	worker_start(WORKER_AUTHORIZER, index);
	worker_wait_until_wanted();
	worker_connect(true);
	fix_settings();
	message_policy_init(index == 0);
	question_attach(index);
	registry_set_state(WORKER_RUNNING, NULL, NULL);

	/* What changed while nobody watched is made good for channels that were joined before. */
	(void) message_policy_changed();
	watch.looked = GetCurrentTimestamp();
	if (index == 0 && counter_get(COUNTER_PRIVATE_CHANNELS) > 0)
		ask_to_judge_again();
	for (;;)
	{
		bool		watching;

		ResetLatch(MyLatch);
		leave_if_unwanted();
		answer_questions(index, &watch);
		watching = must_watch(index, &watch);
		if (watching)
			watch_policies(&watch);
		pgstat_report_stat(false);
		(void) WaitLatch(MyLatch, WL_LATCH_SET | WL_EXIT_ON_PM_DEATH | (watching ? WL_TIMEOUT : 0), WATCH_INTERVAL,
						 PG_WAIT_EXTENSION);
	}
}
