/*
 * restart_point.c
 *	  Keeps the decoder's slot from holding more WAL than it may.
 */
#include "postgres.h"

#include "access/transam.h"
#include "access/xlog.h"
#include "replication/reorderbuffer.h"
#include "replication/slot.h"
#include "storage/standby.h"

#include "shared/message_files.h"
#include "shared/registry.h"
#include "wal/reader.h"
#include "wal/restart_point.h"
#include "wal/slot.h"
#include "wal/wal_shared.h"

/* Where the last record was that we have had written in order to save a snapshot at it. */
static XLogRecPtr asked_at;
static XLogRecPtr last_restart;

/* What shared memory holds: nobody but the decoder writes it. */
static IncompleteXacts noted;

static void
note(const IncompleteXacts *xacts)
{
	noted = *xacts;
	wal_shared_set_incomplete(&noted);
}

void
restart_point_begin(LogicalDecodingContext *context)
{
	wal_shared_get_incomplete(&noted);
	last_restart = context->slot->data.restart_lsn;
}

TransactionId
restart_point_pinned_by(LogicalDecodingContext *context)
{
	ReorderBufferTXN *oldest = ReorderBufferGetOldestTXN(context->reorder);

	return oldest == NULL ? InvalidTransactionId : oldest->xid;
}

static bool
is_in(const IncompleteXacts *list, TransactionId xid)
{
	for (int i = 0; i < list->n; i++)
		if (list->xids[i] == xid)
			return true;
	return false;
}

/*
 * The transactions that are open and began before this point: those that are known to the reorder buffer. One
 * that it does not know has written nothing yet that matters, and those that were incomplete from the start
 * stay so until they end. false if there are too many.
 */
static bool
find_incomplete(LogicalDecodingContext *context, XLogRecPtr point, IncompleteXacts *xacts)
{
	dlist_iter	i;

	*xacts = *reader_incomplete();
	dlist_foreach(i, &context->reorder->toplevel_by_lsn)
	{
		ReorderBufferTXN *txn = dlist_container(ReorderBufferTXN, node, i.cur);

		if (txn->first_lsn >= point || is_in(xacts, txn->xid))
			continue;
		if (xacts->n == INCOMPLETE_MAX)
			return false;
		xacts->xids[xacts->n++] = txn->xid;
	}
	return true;
}

/* A decoder that starts from the point must find out what the point cuts, so that is noted first. */
static void
cut(LogicalDecodingContext *context, XLogRecPtr point)
{
	IncompleteXacts xacts;
	bool		is_news = false;

	if (!find_incomplete(context, point, &xacts))
		return;
	for (int i = 0; i < xacts.n; i++)
		is_news |= !is_in(&noted, xacts.xids[i]);
	note(&xacts);
	(void) slot_move_restart(NameStr(context->slot->data.name), point);
	if (is_news)
		ereport(LOG,
				(errmsg("the restart point of the message decoder's replication slot was moved past transaction %u",
						restart_point_pinned_by(context)),
				 errdetail("The slot kept half of realtime.max_wal_retained. If the decoder has to start again before "
						   "that transaction has ended, its messages are lost and clients are told.")));
}

/*
 * The oldest place to start again from that keeps no more than this: only transactions that have been open for longer
 * are cut. Each remembers the last snapshot that was saved before it began; failing that, the last snapshot of all.
 */
static XLogRecPtr
choose_point(LogicalDecodingContext *context, XLogRecPtr position, uint64 keep)
{
	dlist_iter	i;

	dlist_foreach(i, &context->reorder->toplevel_by_lsn)
	{
		XLogRecPtr	saved = dlist_container(ReorderBufferTXN, node, i.cur)->restart_decoding_lsn;

		if (saved != InvalidXLogRecPtr && position - saved <= keep)
			return saved;
	}
	return context->reorder->current_restart_decoding_lsn;
}

static void
keep_bound(LogicalDecodingContext *context, XLogRecPtr position)
{
	XLogRecPtr	point;
	uint64		bound = wal_shared_bound();
	XLogRecPtr	restart = context->slot->data.restart_lsn;
	XLogRecPtr	saved = context->reorder->current_restart_decoding_lsn;

	if (position - restart < bound / 4)
		return;

	/* A snapshot has to be saved somewhere near: have the server write a record to save one at. */
	if (position - saved > bound / 8 && position - asked_at > bound / 8)
	{
		asked_at = position;
		(void) LogStandbySnapshot();
	}
	if (position - restart < bound / 2)
		return;
	point = choose_point(context, position, bound / 8 * 3);
	if (point > restart)
		cut(context, point);
}

/* The launcher may be stopped, and its anchor would keep WAL. */
static void
keep_anchor_bound(LogicalDecodingContext *context, XLogRecPtr position)
{
	static XLogRecPtr looked_at;
	uint64		bound = wal_shared_bound();
	SlotPoint	own;

	if (position - looked_at < bound / 16)
		return;
	looked_at = position;
	if (wal_shared_retained() > bound / 4 * 3 && slot_look(NameStr(context->slot->data.name), &own))
		slot_stand_at(ANCHOR_SLOT_NAME, &own);
}

/*
 * Is this transaction open, as far as the decoder has read? One that it knows is in its reorder buffer until it
 * ends.
 */
static bool
is_open(LogicalDecodingContext *context, TransactionId xid)
{
	dlist_iter	i;

	dlist_foreach(i, &context->reorder->toplevel_by_lsn)
		if (dlist_container(ReorderBufferTXN, node, i.cur)->xid == xid)
			return true;
	return is_in(reader_incomplete(), xid);
}

/* Forget transactions that were cut and have ended. */
static void
review(LogicalDecodingContext *context)
{
	IncompleteXacts now = {0};

	if (noted.n == 0)
		return;
	for (int i = 0; i < noted.n; i++)
		if (is_open(context, noted.xids[i]))
			now.xids[now.n++] = noted.xids[i];
	if (now.n != noted.n)
		note(&now);
}

void
restart_point_confirm(LogicalDecodingContext *context, XLogRecPtr position)
{
	LogicalConfirmReceivedLocation(position);
	keep_bound(context, position);
	keep_anchor_bound(context, position);
	review(context);

	/* The server itself looks at restart points only now and then, and the anchor follows. */
	if (context->slot->data.restart_lsn != last_restart)
	{
		last_restart = context->slot->data.restart_lsn;
		ReplicationSlotsComputeRequiredLSN();
		message_files_passed(last_restart);
		registry_wake(WORKER_LAUNCHER, 0);
	}
}
