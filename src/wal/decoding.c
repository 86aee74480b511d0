/*
 * decoding.c
 *	  What both decoders do in the same way: look whether the server lets them, read what is
 *	  flushed, and sleep until there is more.
 */
#include "postgres.h"

#include "access/xlog.h"
#include "miscadmin.h"
#include "replication/slot.h"
#include "storage/latch.h"
#include "storage/proc.h"

#include "shared/compat.h"
#include "shared/registry.h"
#include "shared/worker.h"
#include "wal/decoding.h"
#include "wal/reader.h"
#include "wal/slot.h"

/* Without a pause in reading, a round ends after so many records or bytes. */
#define RECORDS_PER_ROUND	2048
#define BYTES_PER_ROUND		(2 * 1024 * 1024)

/* Milliseconds of sleep while a commit is not flushed yet. */
#define WAIT_FOR_FLUSH	10

/* After so many naps a commit is flushed by us: the WAL writer may take its time. */
#define NAPS_BEFORE_FLUSH	3

/* Milliseconds between two looks for a free slot. */
#define LOOK_FOR_SLOT	1000

/* Say what is wrong, in the log once and in health(), and to clients too. */
static void
complain(const char *what, DecodingUnavailable unavailable, int code, const char *detail, const char *hint)
{
	registry_set_state(WORKER_FAILING, detail, hint);
	unavailable(detail);
	ereport(WARNING,
			(errcode(code),
			 errmsg("realtime does not deliver %s: %s", what, detail),
			 errhint("%s", hint)));
}

void
decoding_check_server(const char *what, DecodingUnavailable unavailable)
{
	const char *detail;
	const char *hint;

	if (wal_level < WAL_LEVEL_LOGICAL)
	{
		detail = "wal_level is not logical";
		hint = "Set wal_level = logical and restart the server.";
	}
	else if (max_replication_slots == 0)
	{
		detail = "max_replication_slots is 0";
		hint = "Set max_replication_slots to at least 4 and restart the server.";
	}
	else
		return;
	complain(what, unavailable, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, detail, hint);
	for (;;)
	{
		worker_nap(-1);
		unavailable(detail);
	}
}

/* Slots may be in use by others: say so, and go on when one is free. */
void
decoding_wait_for_free_slot(const char *what, DecodingUnavailable unavailable)
{
	static const char detail[] = "no replication slot is free";

	if (slot_count_free() > 0)
		return;
	complain(what, unavailable, ERRCODE_CONFIGURATION_LIMIT_EXCEEDED, detail,
			 "Increase max_replication_slots and restart the server, or drop a slot that is not used.");
	while (slot_count_free() == 0)
	{
		worker_nap(LOOK_FOR_SLOT);
		unavailable(detail);
	}
	registry_set_state(WORKER_STARTING, NULL, NULL);
}

void
decoding_read_on(const DecodingSteps *steps)
{
	int			records = 0;
	XLogRecPtr	round = reader_position();

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		switch (reader_next())
		{
			case READER_NOTHING:
				return;
			case READER_LOST:
				steps->lost();
				return;
			case READER_RECORD:
				break;
		}
		if (steps->record != NULL)
			steps->record();
		if (++records >= RECORDS_PER_ROUND || reader_position() - round >= BYTES_PER_ROUND)
		{
			records = 0;
			round = reader_position();
			steps->round();
			if (!registry_wanted())
				worker_leave();
		}
	}
}

/*
 * Commits wake us after their flush, asynchronous ones before it. For those the WAL writer is nudged, and if
 * that does not help soon we flush ourselves.
 */
void
decoding_sleep(XLogRecPtr committed, long timeout_ms)
{
	static int	naps;

	if (committed <= GetFlushRecPtr(NULL))
	{
		naps = 0;
		worker_nap(timeout_ms);
		return;
	}
	wake_wal_writer();
	worker_nap(WAIT_FOR_FLUSH);
	if (++naps >= NAPS_BEFORE_FLUSH)
	{
		XLogFlush(committed);
		naps = 0;
	}
}
