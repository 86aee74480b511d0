/*
 * change_stream.h
 *	  The way of changes from the change decoder to the changes worker, and what everybody may know of it.
 *
 * The two come and go as a pair. Both sleep, without a database, a slot or a queue, until a channel subscribes. The
 * worker, which receives, opens the stream; the decoder, which sends, attaches to it, gets a slot, and sends
 * CHANGE_MESSAGE_START first. When one of them ends the other one notices: a decoder without a receiver ends, a worker
 * without a sender opens the stream anew and tells subscribers what was lost. A minute after the last subscription has
 * gone both leave.
 *
 * The queue is PostgreSQL's own shm_mq, in the main segment. A sender that finds it full waits: the backlog stays in WAL.
 */
#ifndef REALTIME_CHANGE_STREAM_H
#define REALTIME_CHANGE_STREAM_H

#include "access/xlogdefs.h"
#include "datatype/timestamp.h"
#include "storage/shm_mq.h"

/* How long the pair stays after the last subscription has gone, in ms. */
#define CHANGE_STREAM_LINGER	60000

#define CHANGE_STREAM_TEXT_SIZE	256

typedef enum ChangeStreamState
{
	CHANGE_STREAM_CLOSED,		/* nobody receives */
	CHANGE_STREAM_STARTING,		/* no starting point yet; text is empty or names what it waits for */
	CHANGE_STREAM_RUNNING,		/* changes are delivered */
	CHANGE_STREAM_UNAVAILABLE	/* can't be until something is changed; text says what */
} ChangeStreamState;

/* A copy of what is known, for health(), the listeners and the launcher. */
typedef struct ChangeStreamInfo
{
	ChangeStreamState state;
	char		text[CHANGE_STREAM_TEXT_SIZE];
	TransactionId waiting_for;	/* STARTING: the transaction that is waited for, else Invalid */
	XLogRecPtr	reading;		/* where the decoder reads */
	XLogRecPtr	delivered;		/* end of the last transaction that the worker is done with */
	TimestampTz delivered_at;	/* when that was committed */
} ChangeStreamInfo;

/* Memory and initialisation; called by shmem.c only. */
extern Size change_stream_shmem_size(void);
extern void change_stream_shmem_init(void);

/*
 * Does a channel subscribe, or did one until less than CHANGE_STREAM_LINGER ago? Any process, never throws. Listeners count
 * subscribed channels in COUNTER_SUBSCRIBED_CHANNELS and call change_stream_note_subscription when they send a request,
 * which wakes both workers.
 */
extern bool change_stream_wanted(void);
extern void change_stream_note_subscription(void);

/* Any process; never throws. */
extern void change_stream_get(ChangeStreamInfo *info);

/*
 * Changes worker: make the queue and become its receiver; the handle lives until the stream is opened anew, and the queue is
 * detached when the process ends. Reopening waits until a sender of before has gone, and leaves if the worker is no
 * longer wanted meanwhile. Wakes the decoder. The worker is woken when the state changes.
 */
extern shm_mq_handle *change_stream_open(void);

/* Changes worker: everything up to here is delivered. */
extern void change_stream_set_delivered(XLogRecPtr end, TimestampTz at);

/* Change decoder: is there an open stream without a sender? Then become it. NULL: no. Detached when the process ends. */
extern shm_mq_handle *change_stream_attach(void);

/* Change decoder: does the receiver still hold the queue that we are the sender of? */
extern bool change_stream_is_received(void);

/* Change decoder (all) and launcher (explain, as replication_explain). text may be NULL. Never throws. */
extern void change_stream_set(ChangeStreamState state, const char *text);
extern void change_stream_set_waiting_for(TransactionId xid);
extern void change_stream_set_reading(XLogRecPtr reading);
extern void change_stream_explain(const char *text);

#endif							/* REALTIME_CHANGE_STREAM_H */
