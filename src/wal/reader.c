/*
 * reader.c
 *	  Reads the WAL record by record and hands to logical decoding only what the decoder's filter lets pass.
 *
 * Logical decoding as such would queue every change of every table. A record that is skipped here is not made
 * known to the reorder buffer at all, so an unrelated load neither costs memory nor keeps the restart point
 * back. What the snapshot builder needs is never skipped: ends of transactions, running transactions,
 * invalidations, new command ids, in-place updates. A transaction that first changes catalogs and then
 * publishes gets its base snapshot with the first record that is not skipped; the snapshot of that moment holds
 * all that was committed before, and the transaction's own catalog changes come from its new command ids.
 */
#include "postgres.h"

#include "access/heapam_xlog.h"
#include "access/rmgr.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "catalog/pg_control.h"
#include "catalog/storage_xlog.h"
#include "miscadmin.h"
#include "replication/decode.h"
#include "replication/reorderbuffer.h"
#include "replication/snapbuild.h"
#include "storage/standbydefs.h"
#include "utils/memutils.h"

#include "shared/counters.h"
#include "wal/reader.h"
#include "wal/skipped_xacts.h"

/* Counters in shared memory are brought up to date after so many records, or when there is nothing to read. */
#define COUNT_EVERY		1024

typedef struct Reader
{
	LogicalDecodingContext *ctx;
	const ReaderFilter *filter;
	MemoryContext record_context;	/* reset before each record */
	XLogRecPtr	position;
	XLogRecPtr	flushed;
	bool		lost;
	bool		refuses;

	IncompleteXacts incomplete;
	XLogRecPtr	hopeless;
	ReaderLostCallback on_lost;
	ReaderRunningCallback on_running;

	int			n_read;
	int			n_skipped;
} Reader;

static Reader reader;

/*
 * Is this segment gone? Asked before and after each read: a segment that we hold open may have been given a new name
 * and new contents.
 */
static bool
segment_is_removed(XLogRecPtr page)
{
	XLogSegNo	segment;

	XLByteToSeg(page, segment, wal_segment_size);
	reader.lost = segment <= XLogGetLastRemovedSegno();
	return reader.lost;
}

/*
 * page_read of the XLogReader: never waits; -1 makes XLogReadRecord return no record and no message, and it can be
 * called again. Slots are temporary and we run on a primary, so all WAL is of the present timeline.
 */
static int
read_page(XLogReaderState *state, XLogRecPtr page, int needed, XLogRecPtr target, char *buffer)
{
	TimeLineID	timeline;
	WALReadError error;
	Size		count;

	reader.flushed = GetFlushRecPtr(&timeline);
	if (reader.flushed < page + needed || segment_is_removed(page))
		return -1;
	count = Min((XLogRecPtr) XLOG_BLCKSZ, reader.flushed - page);
	if (!WALRead(state, buffer, page, count, timeline, &error))
		WALReadRaiseError(&error);
	return segment_is_removed(page) ? -1 : (int) count;
}

void
reader_set_filter(const ReaderFilter *filter)
{
	reader.filter = filter;
}

XLogReaderRoutine *
reader_routine(void)
{
	static XLogReaderRoutine routine = {
		.page_read = read_page,
		.segment_open = wal_segment_open,
		.segment_close = wal_segment_close
	};

	return &routine;
}

void
reader_begin(LogicalDecodingContext *ctx, XLogRecPtr from)
{
	if (reader.record_context == NULL)
		reader.record_context = AllocSetContextCreate(TopMemoryContext, "realtime WAL record", ALLOCSET_DEFAULT_SIZES);
	reader.ctx = ctx;
	reader.position = from;
	reader.flushed = InvalidXLogRecPtr;
	reader.lost = false;
	reader.incomplete.n = 0;
	reader.hopeless = InvalidXLogRecPtr;
	skipped_xacts_reset();
	reader.filter->begin(ctx);
	XLogBeginRead(ctx->reader, from);
}

XLogRecPtr
reader_position(void)
{
	return reader.position;
}

bool
reader_refuses(void)
{
	return reader.refuses;
}

void
reader_set_incomplete(const IncompleteXacts *xacts, ReaderLostCallback on_lost)
{
	reader.incomplete = *xacts;
	reader.on_lost = on_lost;
}

void
reader_set_hopeless(XLogRecPtr hopeless)
{
	reader.hopeless = hopeless;
}

const IncompleteXacts *
reader_incomplete(void)
{
	return &reader.incomplete;
}

void
reader_set_running_callback(ReaderRunningCallback callback)
{
	reader.on_running = callback;
}

/* In-place updates of catalogs are seen by all; the rest is the filter's affair. */
static ReaderVerdict
judge_heap_record(XLogReaderState *record)
{
	RelationFile file;

	if (XLogRecGetRmid(record) == RM_HEAP_ID &&
		(XLogRecGetInfo(record) & XLOG_HEAP_OPMASK) == XLOG_HEAP_INPLACE)
		return READER_DECODE;
	XLogRecGetBlockTag(record, 0, &file, NULL, NULL);
	return reader.filter->judge(record, file);
}

/*
 * Does logical decoding have to see this record? Of all that is not named here it would only note the
 * transaction id.
 */
static ReaderVerdict
judge(XLogReaderState *record)
{
	switch (XLogRecGetRmid(record))
	{
		case RM_XACT_ID:
		case RM_STANDBY_ID:
		case RM_LOGICALMSG_ID:
			return READER_DECODE;
		case RM_XLOG_ID:
			return XLogRecHasAnyBlockRefs(record) ? READER_SKIP : READER_DECODE;
		case RM_HEAP_ID:
		case RM_HEAP2_ID:
			return XLogRecHasAnyBlockRefs(record) ? judge_heap_record(record) : READER_DECODE;
		case RM_SMGR_ID:
			if (reader.filter->new_file != NULL && (XLogRecGetInfo(record) & ~XLR_INFO_MASK) == XLOG_SMGR_CREATE)
				reader.filter->new_file(((xl_smgr_create *) XLogRecGetData(record))->SMGR_CREATE_FILE,
										record->EndRecPtr);
			return READER_SKIP;
		default:
			return READER_SKIP;
	}
}

/* Take a transaction off the list; was it there? */
static bool
take_incomplete(TransactionId xid)
{
	IncompleteXacts *list = &reader.incomplete;

	for (int i = 0; i < list->n; i++)
		if (list->xids[i] == xid)
		{
			list->xids[i] = list->xids[--list->n];
			return true;
		}
	return false;
}

/* The list may hold a subtransaction whose top-level transaction could not be known. */
static bool
end_incomplete(TransactionId xid, int nsubxacts, const TransactionId *subxacts)
{
	bool		was_there = take_incomplete(xid);

	for (int i = 0; i < nsubxacts && reader.incomplete.n > 0; i++)
		was_there |= take_incomplete(subxacts[i]);
	return was_there;
}

static void
tell_filter_of_end(XLogReaderState *record, TransactionId xid, int nsubxacts, const TransactionId *subxacts,
				   int nmessages, const SharedInvalidationMessage *messages)
{
	if (reader.filter->transaction_end != NULL)
		reader.filter->transaction_end(xid, nsubxacts, subxacts, nmessages, messages, record->EndRecPtr);
}

/*
 * Transactions that end: what was remembered of them is forgotten. Returns one that has committed and is not to be
 * decoded, else Invalid.
 */
static TransactionId
follow_transaction_end(XLogReaderState *record)
{
	TransactionId xid = XLogRecGetXid(record);
	bool		hopeless = record->ReadRecPtr == reader.hopeless;

	if (!skipped_xacts_any() && reader.incomplete.n == 0 && !hopeless && reader.filter->transaction_end == NULL)
		return InvalidTransactionId;
	switch (XLogRecGetInfo(record) & XLOG_XACT_OPMASK)
	{
		case XLOG_XACT_COMMIT:
		case XLOG_XACT_COMMIT_PREPARED:
			{
				xl_xact_parsed_commit commit;

				ParseCommitRecord(XLogRecGetInfo(record), (xl_xact_commit *) XLogRecGetData(record), &commit);
				if (TransactionIdIsValid(commit.twophase_xid))
					xid = commit.twophase_xid;
				skipped_xacts_end(xid, commit.nsubxacts, commit.subxacts);
				tell_filter_of_end(record, xid, commit.nsubxacts, commit.subxacts, commit.nmsgs, commit.msgs);
				return end_incomplete(xid, commit.nsubxacts, commit.subxacts) || hopeless ? xid : InvalidTransactionId;
			}
		case XLOG_XACT_ABORT:
		case XLOG_XACT_ABORT_PREPARED:
			{
				xl_xact_parsed_abort abort;

				ParseAbortRecord(XLogRecGetInfo(record), (xl_xact_abort *) XLogRecGetData(record), &abort);
				if (TransactionIdIsValid(abort.twophase_xid))
					xid = abort.twophase_xid;
				skipped_xacts_end(xid, abort.nsubxacts, abort.subxacts);
				tell_filter_of_end(record, xid, abort.nsubxacts, abort.subxacts, 0, NULL);
				(void) end_incomplete(xid, abort.nsubxacts, abort.subxacts);
				return InvalidTransactionId;
			}
		default:
			return InvalidTransactionId;
	}
}

/*
 * Incomplete transactions that ended before the place where this decoder began: all that are open are in the
 * record, and perhaps some that have just ended. Their subtransactions follow them there, or are left out if some backend
 * has too many.
 */
static void
end_incomplete_not_running(const xl_running_xacts *running)
{
	IncompleteXacts *list = &reader.incomplete;

	for (int i = list->n - 1; i >= 0; i--)
	{
		bool		runs = running->subxid_overflow &&
			TransactionIdFollowsOrEquals(list->xids[i], running->oldestRunningXid);

		for (int k = 0; k < running->xcnt + running->subxcnt && !runs; k++)
			runs = running->xids[k] == list->xids[i];
		if (!runs)
			list->xids[i] = list->xids[--list->n];
	}
}

static void
follow_running_xacts(XLogReaderState *record)
{
	xl_running_xacts *running;

	if ((XLogRecGetInfo(record) & ~XLR_INFO_MASK) != XLOG_RUNNING_XACTS)
		return;
	running = (xl_running_xacts *) XLogRecGetData(record);
	skipped_xacts_end_before(running->oldestRunningXid);
	if (reader.filter->running != NULL)
		reader.filter->running(running->oldestRunningXid, record->EndRecPtr);
	end_incomplete_not_running(running);
	if (SnapBuildCurrentState(reader.ctx->snapshot_builder) != SNAPBUILD_CONSISTENT && reader.on_running != NULL)
		reader.on_running(record);
}

/* Logical decoding has to know whose subtransaction this is before it sees a change of it. */
static void
assign_subtransaction(XLogReaderState *record)
{
	TransactionId xid = XLogRecGetXid(record);
	TransactionId top;

	if (!TransactionIdIsValid(xid) || !skipped_xacts_any())
		return;
	top = skipped_xacts_take(xid);
	if (TransactionIdIsValid(top))
		ReorderBufferAssignChild(reader.ctx->reorder, top, xid, record->ReadRecPtr);
}

/*
 * Invalidations of a transaction that goes on. They are carried out when it ends only if it has a snapshot, which
 * a transaction whose other records are all skipped would not have.
 */
static void
follow_invalidations(XLogReaderState *record)
{
	TransactionId xid = XLogRecGetXid(record);
	xl_xact_invals *invalidations = (xl_xact_invals *) XLogRecGetData(record);

	if (reader.filter->invalidations != NULL)
		reader.filter->invalidations(xid, invalidations->nmsgs, invalidations->msgs, record->EndRecPtr);
	if (TransactionIdIsValid(xid))
		(void) SnapBuildProcessChange(reader.ctx->snapshot_builder, xid, record->ReadRecPtr);
}

/* Pass over a record: only the top-level transaction that it names is remembered. */
static void
skip(XLogReaderState *record)
{
	TransactionId top = XLogRecGetTopXid(record);

	if (TransactionIdIsValid(top))
		skipped_xacts_add(XLogRecGetXid(record), top);
	reader.n_skipped++;
}

/* Filter one record and decode it. */
static void
process(XLogReaderState *record)
{
	TransactionId lost = InvalidTransactionId;
	bool		invalidates = false;
	ReaderVerdict verdict = judge(record);

	if (verdict == READER_SKIP)
	{
		skip(record);
		return;
	}
	reader.refuses = verdict == READER_REFUSE;
	if (XLogRecGetRmid(record) == RM_XACT_ID)
	{
		/* Its invalidations belong to the top-level transaction. */
		invalidates = (XLogRecGetInfo(record) & XLOG_XACT_OPMASK) == XLOG_XACT_INVALIDATIONS;
		if (invalidates)
			assign_subtransaction(record);
		else
			lost = follow_transaction_end(record);
		reader.refuses = TransactionIdIsValid(lost);
	}
	else
	{
		if (XLogRecGetRmid(record) == RM_STANDBY_ID)
			follow_running_xacts(record);
		assign_subtransaction(record);
	}
	LogicalDecodingProcessRecord(reader.ctx, record);
	reader.refuses = false;
	if (invalidates)
		follow_invalidations(record);
	if (TransactionIdIsValid(lost))
		reader.on_lost(lost, record->EndRecPtr);
}

static void
count(void)
{
	counter_add(COUNTER_WAL_RECORDS_READ, reader.n_read);
	counter_add(COUNTER_WAL_RECORDS_SKIPPED, reader.n_skipped);
	reader.n_read = 0;
	reader.n_skipped = 0;
}

/*
 * XLogReadRecord allocates in the current context and frees at the next call, so it gets the context of the reader;
 * after a decoded transaction the current context is TopMemoryContext, so it is set back each time.
 */
ReaderResult
reader_next(void)
{
	MemoryContext before = CurrentMemoryContext;
	XLogReaderState *state = reader.ctx->reader;
	XLogRecord *record;
	char	   *error = NULL;

	if (reader.flushed <= reader.position)
		reader.flushed = GetFlushRecPtr(NULL);
	record = NULL;
	if (reader.flushed > reader.position)
	{
		MemoryContextSwitchTo(reader.ctx->context);
		record = XLogReadRecord(state, &error);
		MemoryContextSwitchTo(before);
	}
	if (error != NULL && !reader.lost)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("could not read WAL at %X/%X: %s", LSN_FORMAT_ARGS(reader.position), error)));
	if (record == NULL)
	{
		if (reader.n_read > 0)
			count();
		return reader.lost ? READER_LOST : READER_NOTHING;
	}

	MemoryContextReset(reader.record_context);
	MemoryContextSwitchTo(reader.record_context);
	process(state);
	MemoryContextSwitchTo(before);
	reader.position = state->EndRecPtr;
	if (++reader.n_read >= COUNT_EVERY)
		count();
	return READER_RECORD;
}
