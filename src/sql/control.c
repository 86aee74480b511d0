/*
 * control.c
 *	  realtime.reauthorize and realtime.disconnect.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

#include "shared/bus.h"
#include "shared/compat.h"
#include "shared/inspect.h"
#include "shared/shmem.h"

PG_FUNCTION_INFO_V1(realtime_reauthorize);
PG_FUNCTION_INFO_V1(realtime_disconnect);

/* A transaction that names more topics than this has all of them judged again. */
#define MAX_TOPICS		100

/* Topics to judge again at commit, in TopTransactionContext; all_topics: every one. */
static char *topics[MAX_TOPICS];
static int	topic_count;
static bool all_topics;

static void
publish(Slice topic)
{
	BusRecord	record = {.kind = BUS_REAUTHORIZE,.origin.listener = -1,.topic = topic};

	(void) bus_publish(&record);
}

/*
 * After the commit others see what the transaction has done, and the policies are judged by it. When a prepared
 * transaction commits nobody knows the topics any more, so it can't be prepared.
 */
static void
at_end_of_transaction(XactEvent event, void *arg)
{
	if (topic_count == 0 && !all_topics)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("cannot PREPARE a transaction that has called realtime.reauthorize")));
	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT)
		return;
	if (event == XACT_EVENT_COMMIT && all_topics)
		publish(SLICE_EMPTY);
	else if (event == XACT_EVENT_COMMIT)
		for (int i = 0; i < topic_count; i++)
			publish(slice_cstring(topics[i]));
	topic_count = 0;
	all_topics = false;
}

/* Once per backend, at its first call. */
static void
watch_transactions(void)
{
	static bool watching;

	if (!watching)
		RegisterXactCallback(at_end_of_transaction, NULL);
	watching = true;
}

Datum
realtime_reauthorize(PG_FUNCTION_ARGS)
{
	char	   *topic;

	shmem_require();
	watch_transactions();
	if (PG_ARGISNULL(0) || topic_count == MAX_TOPICS)
	{
		all_topics = true;
		PG_RETURN_VOID();
	}
	topic = text_to_cstring(PG_GETARG_TEXT_PP(0));
	for (int i = 0; i < topic_count; i++)
		if (strcmp(topics[i], topic) == 0)
			PG_RETURN_VOID();
	topics[topic_count++] = MemoryContextStrdup(TopTransactionContext, topic);
	PG_RETURN_VOID();
}

/* Each listener gives one row with one field. */
static void
add_count(int listener, const char *page, Size length, void *arg)
{
	Size		offset = 0;
	Slice		field;

	while (inspect_next_field(page, length, &offset, &field))
		*(int64 *) arg += pg_strtoint64(pnstrdup(field.data, field.len));
}

static Slice
text_argument(FunctionCallInfo fcinfo, int argument)
{
	text	   *value;

	if (PG_ARGISNULL(argument))
		return SLICE_EMPTY;
	value = PG_GETARG_TEXT_PP(argument);
	return slice_make(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

Datum
realtime_disconnect(PG_FUNCTION_ARGS)
{
	Slice		arguments[INSPECT_ARGUMENTS] = {
		text_argument(fcinfo, 0), text_argument(fcinfo, 1), text_argument(fcinfo, 2)
	};
	int64		ended = 0;

	shmem_require();
	inspect_all(INSPECT_DISCONNECT, arguments, add_count, &ended);
	PG_RETURN_INT32((int32) ended);
}
