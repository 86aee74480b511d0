/*
 * worker.c
 *	  The changes worker: a loop that takes requests and changes, and sleeps until there are more.
 *
 *		asleep ── a channel subscribes ──► connected, stream open ── START ──► delivering
 *		  ▲                                    ▲                                  │ the decoder has gone:
 *		  │                                    └──────────────────────────────────┘ what was lost is told at START
 *		  └── nobody has subscribed for a minute (this process ends, the next one sleeps)
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "access/claims_policy.h"
#include "changes/deliver.h"
#include "changes/outbox.h"
#include "changes/published.h"
#include "changes/subscribe.h"
#include "changes/subscription.h"
#include "changes/table.h"
#include "changes/work.h"
#include "changes/worker.h"
#include "shared/bus.h"
#include "shared/change_record.h"
#include "shared/change_requests.h"
#include "shared/change_stream.h"
#include "shared/counters.h"
#include "shared/elapsed.h"
#include "shared/registry.h"
#include "shared/worker.h"

/* One transaction judges so many changes at most, and so long, in ms: then what is locked is let go. */
#define BATCH_CHANGES		256
#define BATCH_TIME			20

/* Requests that are handled between two looks at the stream. */
#define BATCH_REQUESTS		64

/* Subscribers are told when the stream has not come back after so many ms. */
#define EXPLAIN_AFTER		5000

/* Between two looks whether we are still wanted, in ms. */
#define IDLE				1000

static MemoryContext context;	/* reset for each message and request */
static shm_mq_handle *stream;
static bool running;			/* START has come */
static bool interrupted;		/* there were live subscriptions when the stream broke, or before this process */
static bool explained;			/* they know that changes are missing */
static TimestampTz opened_at;
static ChangeMark delivered;	/* since the last look: the last commit */

/* What the database's or the role's defaults must not change; texts of values are written and read in one form. */
static void
fix_settings(void)
{
	static const char *const settings[][2] =
	{
		{"jit", "off"},
		{"lock_timeout", "0"},
		{"row_security", "on"},
		{"default_transaction_isolation", "read committed"},
		{"default_transaction_deferrable", "off"},
		{"datestyle", "ISO, MDY"},
		{"intervalstyle", "postgres"},
		{"timezone", "UTC"},
		{"bytea_output", "hex"},
		{"extra_float_digits", "1"},
	};

	for (int i = 0; i < lengthof(settings); i++)
		SetConfigOption(settings[i][0], settings[i][1], PGC_USERSET, PGC_S_SESSION);
}

/* What was taken is on the bus: say how far we are, and let go of everything. */
static void
settle(void)
{
	XLogRecPtr	flushed;

	work_end();
	outbox_flush();
	if (delivered.end == InvalidXLogRecPtr)
		return;
	change_stream_set_delivered(delivered.end, delivered.at);
	flushed = GetFlushRecPtr(NULL);
	registry_set_position(delivered.end, flushed > delivered.end ? flushed - delivered.end : 0);
	delivered.end = InvalidXLogRecPtr;
}

static void
open_stream(void)
{
	running = false;
	explained = false;
	opened_at = GetCurrentTimestamp();
	stream = change_stream_open();
	registry_set_state(WORKER_STARTING, NULL, NULL);
}

/* ------------------------------------------------------- requests --------------------------------------------------- */

static void
answer_live(Subscription *subscription)
{
	subscription->live = true;
	outbox_answer(subscription->listener, subscription->connection, subscription->connection_generation,
				  subscription->number, subscription->version, BUS_ANSWER_LIVE, NULL);
}

/*
 * What commits from now on is the subscriber's. If the stream does not run yet, what commits after its starting point is, and he is
 * told then.
 */
static void
handle_subscribe(const ChangeRequest *request)
{
	char	   *refusal;
	Subscription *subscription = subscribe(request, &refusal);
	Subscription *old = subscription_find(request->listener, request->subscription);

	work_begin();
	if (subscription == NULL)
	{
		if (old != NULL)
			subscription_drop(old);
		outbox_answer(request->listener, request->connection, request->connection_generation, request->subscription,
					  request->version, BUS_ANSWER_REFUSED, refusal);
		return;
	}
	subscription->from = GetXLogInsertRecPtr();
	subscription_enter(subscription);
	if (running)
		answer_live(subscription);
}

static void
handle_request(const ChangeRequest *request)
{
	Subscription *subscription;

	work_begin();
	switch (request->kind)
	{
		case CHANGE_REQUEST_RESET:
			subscriptions_drop_of(request->listener);
			break;
		case CHANGE_REQUEST_SUBSCRIBE:
			handle_subscribe(request);
			break;
		case CHANGE_REQUEST_UNSUBSCRIBE:
			subscription = subscription_find(request->listener, request->subscription);
			if (subscription != NULL)
				subscription_drop(subscription);
			break;
	}
}

/* False: there are none left. */
static bool
take_requests(void)
{
	static char *buffer;
	static Size size;
	ChangeRequest request;

	if (buffer == NULL)
	{
		size = 64 * 1024;
		buffer = MemoryContextAlloc(TopMemoryContext, size);
	}
	for (int i = 0; i < BATCH_REQUESTS; i++)
	{
		if (!change_request_take(&request, &buffer, &size))
			return false;
		handle_request(&request);
		MemoryContextReset(context);
	}
	return true;
}

/* ------------------------------------------------------- messages --------------------------------------------------- */

static void
tell_loss(const char *why, TimestampTz since, TimestampTz until)
{
	char	   *from = pstrdup(timestamptz_to_str(since));

	counter_add(COUNTER_CHANGE_GAPS, 1);
	outbox_state(psprintf("Changes that were committed between %s and %s may have been lost: %s", from,
						  timestamptz_to_str(until), why));
}

/* Decoding has begun: from here on nothing is missing. */
static void
stream_started(const ChangeMark *mark)
{
	ChangeStreamInfo info;
	dlist_iter	i;

	change_stream_get(&info);
	if (interrupted && info.delivered_at != 0)
		tell_loss("the stream was interrupted", info.delivered_at, mark->at);
	dlist_foreach(i, subscriptions())
	{
		Subscription *subscription = dlist_container(Subscription, node, i.cur);

		if (!subscription->live)
		{
			subscription->from = mark->end;
			answer_live(subscription);
		}
	}
	if (interrupted || explained)
		outbox_state(NULL);
	running = true;
	interrupted = true;			/* if it breaks */
	explained = false;
	delivered = *mark;
	registry_set_state(WORKER_RUNNING, NULL, NULL);
}

static void
handle_message(Slice message)
{
	ChangeRecord record;
	ChangeMark	mark;

	switch (change_message_kind(message))
	{
		case CHANGE_MESSAGE_START:
			change_mark_read(message, &mark);
			stream_started(&mark);
			break;
		case CHANGE_MESSAGE_ROW:
			change_record_read(message, &record);
			deliver_change(&record);
			break;
		case CHANGE_MESSAGE_COMMIT:
			change_mark_read(message, &mark);
			delivered = mark;
			break;
	}
}

/* To open it anew takes as long as the decoder needs to leave: nothing may be held meanwhile. */
static void
stream_broke(void)
{
	ereport(LOG,
			(errmsg("realtime changes: the change decoder has ended; changes are lost until the next one has started")));
	settle();
	open_stream();
}

/* False: nothing is left to be taken just now. */
static bool
take_messages(void)
{
	TimestampTz begin = GetCurrentTimestamp();

	for (int i = 0; i < BATCH_CHANGES; i++)
	{
		Size		size;
		void	   *bytes;

		worker_check_interrupts();
		switch (shm_mq_receive(stream, &size, &bytes, true))
		{
			case SHM_MQ_SUCCESS:
				handle_message(slice_make(bytes, size));
				MemoryContextReset(context);
				break;
			case SHM_MQ_WOULD_BLOCK:
				return false;
			case SHM_MQ_DETACHED:
				stream_broke();
				return false;
		}
		if (elapsed(begin, GetCurrentTimestamp(), BATCH_TIME))
			break;
	}
	return true;
}

/* --------------------------------------------------------- loop ----------------------------------------------------- */

/* Subscribers that were live before are told if it takes long. */
static void
explain_delay(void)
{
	ChangeStreamInfo info;

	if (running || explained || !interrupted ||
		!elapsed(opened_at, GetCurrentTimestamp(), EXPLAIN_AFTER))
		return;
	change_stream_get(&info);
	outbox_state(psprintf("Changes are not delivered yet: %s",
						  info.text[0] != '\0' ? info.text : "the change decoder is starting"));
	explained = true;
}

static void
leave_if_unwanted(void)
{
	if (registry_wanted() && change_stream_wanted())
		return;
	change_stream_set_delivered(InvalidXLogRecPtr, 0);
	worker_leave();
}

static void
set_up(void)
{
	ChangeStreamInfo info;
	BusRecord	ask = {.kind = BUS_CHANGES_ASK,.origin.listener = -1};

	worker_connect(true);
	fix_settings();
	context = AllocSetContextCreate(TopMemoryContext, "realtime changes", ALLOCSET_DEFAULT_SIZES);
	claims_policy_init();
	subscriptions_init();
	tables_init();
	published_init();
	outbox_init();
	deliver_init();
	MemoryContextSwitchTo(context);

	/* A process before this one has delivered, and ended. */
	change_stream_get(&info);
	interrupted = info.delivered_at != 0;
	open_stream();
	bus_publish(&ask);
}

void
realtime_changes_main(Datum argument)
{
	worker_start(WORKER_CHANGES, 0);
	worker_wait_until_wanted();
	registry_set_state(WORKER_SLEEPING, NULL, NULL);
	while (!change_stream_wanted())
		worker_nap(-1);
	set_up();
	for (;;)
	{
		bool		more = take_requests();

		more |= take_messages();
		explain_delay();
		settle();
		MemoryContextReset(context);
		leave_if_unwanted();
		if (more)
		{
			worker_check_interrupts();
			(void) worker_reload_if_asked();
			continue;
		}
		pgstat_report_stat(false);
		worker_nap(IDLE);
	}
}
