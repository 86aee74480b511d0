/*
 * outbox.c
 *	  What the changes worker puts on the bus.
 */
#include "postgres.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "changes/outbox.h"
#include "changes/utf8.h"
#include "shared/counters.h"
#include "shared/elapsed.h"

#define OUTBOX_RECORDS	256
#define OUTBOX_BYTES	(256 * 1024)

/* How long it is waited for listeners that are behind, in ms. */
#define WAIT_FOR_READERS	1000

/* Errors of one subscription are told so often, in ms. */
#define TELL_INTERVAL	1000

static MemoryContext context;
static BusRecord records[OUTBOX_RECORDS];
static int	count;
static Size bytes;

void
outbox_init(void)
{
	context = AllocSetContextCreate(TopMemoryContext, "realtime changes outbox", ALLOCSET_DEFAULT_SIZES);
}

MemoryContext
outbox_context(void)
{
	return context;
}

/*
 * Nothing between bus_begin and bus_end may throw. Nor may the wait: what is left full can't take another record. Whatever interrupts
 * it comes when it is over.
 */
void
outbox_flush(void)
{
	int			refused = 0;

	if (count == 0)
		return;
	HOLD_INTERRUPTS();
	(void) bus_wait_for_readers(WAIT_FOR_READERS);
	RESUME_INTERRUPTS();
	bus_begin();
	for (int i = 0; i < count; i++)
		if (!bus_append(&records[i]))
			refused++;
	bus_end();
	count = 0;
	bytes = 0;
	MemoryContextReset(context);
	if (refused > 0)
		ereport(WARNING,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("%d changes could not be delivered: they are larger than a quarter of realtime.bus_size", refused)));
}

void
outbox_add(const BusRecord *record)
{
	Assert(count < OUTBOX_RECORDS);
	records[count++] = *record;
	bytes += bus_record_size(record);
	if (count == OUTBOX_RECORDS || bytes >= OUTBOX_BYTES)
		outbox_flush();
}

/* A text of the database in UTF-8, in the current memory context. */
static char *
utf8_of(const char *text)
{
	StringInfoData copy;

	initStringInfo(&copy);
	appendStringInfoString(&copy, text);
	utf8_convert(&copy, 0);
	return copy.data;
}

static Slice
keep(const char *text)
{
	return slice_cstring(MemoryContextStrdup(context, text));
}

void
outbox_answer(int listener, uint32 connection, uint32 generation, uint32 number, uint32 version, BusAnswer form,
			  const char *text)
{
	BusRecord	record = {.kind = BUS_CHANGES_ANSWER,.form = form,.has_id = true};

	memcpy(record.id, &version, sizeof(version));
	record.origin.listener = listener;
	record.origin.connection = connection;
	record.origin.connection_generation = generation;
	record.origin.channel = number;
	if (text != NULL)
		record.payload = keep(text);
	outbox_add(&record);
}

bool
outbox_tell(Subscription *subscription, const char *text)
{
	TimestampTz now = GetCurrentTimestamp();

	counter_add(COUNTER_CHANGE_ERRORS, 1);
	if (subscription->told_at != 0 && !elapsed(subscription->told_at, now, TELL_INTERVAL))
	{
		subscription->untold++;
		return false;
	}
	subscription->told_at = now;
	if (subscription->untold > 0)
		text = psprintf("%s (and %u more changes before)", text, subscription->untold);
	subscription->untold = 0;
	outbox_answer(subscription->listener, subscription->connection, subscription->connection_generation,
				  subscription->number, subscription->version, BUS_ANSWER_ERROR, utf8_of(text));
	return true;
}

void
outbox_state(const char *text)
{
	BusRecord	record = {.kind = BUS_CHANGES_STATE,.origin.listener = -1};

	if (text != NULL)
		record.payload = keep(utf8_of(text));
	outbox_add(&record);
}
