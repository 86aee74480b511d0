/*
 * change_sender.c
 *	  The sending end of the change stream.
 */
#include "postgres.h"

#include "access/xlog.h"

#include "shared/change_stream.h"
#include "shared/settings.h"
#include "shared/worker.h"
#include "wal/change_sender.h"
#include "wal/reader.h"
#include "wal/wal_shared.h"

/* While the queue is full the backlog is looked at so often, in milliseconds. */
#define LOOK_AGAIN		500

static shm_mq_handle *queue;

void
change_sender_begin(shm_mq_handle *to)
{
	queue = to;
}

uint64
change_sender_bound(void)
{
	return wal_shared_allowed(realtime_changes_backlog);
}

static void
watch_backlog(void)
{
	XLogRecPtr	flushed = GetFlushRecPtr(NULL);
	XLogRecPtr	reading = reader_position();

	if (flushed <= reading || flushed - reading <= change_sender_bound())
		return;
	ereport(WARNING,
			(errmsg("Postgres Changes start over at the present: more WAL is waiting than realtime.changes_backlog allows"),
			 errdetail("The change decoder reads at %X/%X, WAL is written at %X/%X.",
					   LSN_FORMAT_ARGS(reading), LSN_FORMAT_ARGS(flushed)),
			 errhint("Subscribers are told which time is missing. Look whether policies of subscribed tables are slow.")));
	worker_leave();
}

void
change_sender_look(void)
{
	if (!change_stream_wanted() || !change_stream_is_received())
		worker_leave();
	watch_backlog();
}

/* The receiver never sees a part of a message: if we leave in the middle of one it finds the queue detached. */
void
change_send(const StringInfoData *message, bool flush)
{
	shm_mq_result result;

	while ((result = shm_mq_send(queue, message->len, message->data, true, flush)) == SHM_MQ_WOULD_BLOCK)
	{
		worker_nap(LOOK_AGAIN);
		change_sender_look();
	}
	if (result == SHM_MQ_DETACHED)
		worker_leave();
}
