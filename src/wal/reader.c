/*
 * reader.c
 *	  Reads the WAL record by record and hands to logical decoding only what can matter to realtime.messages.
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
#include "miscadmin.h"
#include "replication/decode.h"
#include "replication/reorderbuffer.h"
#include "replication/snapbuild.h"
#include "storage/standbydefs.h"
#include "utils/memutils.h"

#include "shared/counters.h"
#include "shared/message_files.h"
#include "wal/reader.h"
#include "wal/skipped_xacts.h"

/* Counters in shared memory are brought up to date after so many records, or when there is nothing to read. */
#define COUNT_EVERY		1024

typedef struct Reader
{
	LogicalDecodingContext *ctx;
	MemoryContext record_context;	/* reset before each record */
	XLogRecPtr	position;
	XLogRecPtr	flushed;
	bool		lost;
	bool		refuses;

	/* the positive set, by file number */
	uint64		generation;
	bool		every_file;
	int			n_files;
	RelationFile files[MESSAGE_FILES_MAX];
	RelationFile last_other;	/* most records of a load are of one file */

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
	reader.generation = 0;
	reader.incomplete.n = 0;
	reader.hopeless = InvalidXLogRecPtr;
	skipped_xacts_reset();
	XLogBeginRead(ctx->reader, from);
}

XLogRecPtr
reader_position(void)
{
	return reader.position;
}

XLogRecPtr
reader_flushed(void)
{
	return reader.flushed;
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

static bool
same_file(RelationFile a, RelationFile b)
{
	return RELATION_FILE_NUMBER(a) == RELATION_FILE_NUMBER(b) &&
		RELATION_FILE_DB(a) == RELATION_FILE_DB(b) &&
		RELATION_FILE_SPC(a) == RELATION_FILE_SPC(b);
}

static int
compare_files(const void *a, const void *b)
{
	uint64		left = RELATION_FILE_NUMBER(*(const RelationFile *) a);
	uint64		right = RELATION_FILE_NUMBER(*(const RelationFile *) b);

	return left < right ? -1 : left > right;
}

static void
copy_files(void)
{
	reader.generation = message_files_generation();
	reader.n_files = message_files_copy(reader.files, &reader.every_file);
	qsort(reader.files, reader.n_files, sizeof(RelationFile), compare_files);
	memset(&reader.last_other, 0, sizeof(RelationFile));
}

/* Does this file hold rows of realtime.messages, or their TOAST? */
static bool
is_message_file(RelationFile file)
{
	int			low = 0;
	int			high;

	/* The row trigger has added the file before the WAL that we have read was written. */
	if (reader.generation != message_files_generation())
		copy_files();
	if (reader.every_file)
		return true;
	if (same_file(file, reader.last_other))
		return false;
	high = reader.n_files;
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (RELATION_FILE_NUMBER(reader.files[middle]) < RELATION_FILE_NUMBER(file))
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < reader.n_files && RELATION_FILE_NUMBER(reader.files[low]) == RELATION_FILE_NUMBER(file); low++)
		if (same_file(reader.files[low], file))
			return true;
	reader.last_other = file;
	return false;
}

/*
 * An UPDATE that moves a row of realtime.messages to another partition is a DELETE with a flag, perhaps TOAST
 * of the new row, and an INSERT, all of one transaction id. The INSERT is refused, and the TOAST as well: the
 * reorder buffer can't do with TOAST whose row does not follow. Writes of row triggers to other tables may lie
 * between them.
 */
static void
follow_row_move(XLogReaderState *record)
{
	TransactionId xid = XLogRecGetXid(record);

	switch (XLogRecGetInfo(record) & XLOG_HEAP_OPMASK)
	{
		case XLOG_HEAP_DELETE:
			if (((xl_heap_delete *) XLogRecGetData(record))->flags & XLH_DELETE_IS_PARTITION_MOVE)
				row_moves_add(xid);
			break;
		case XLOG_HEAP_INSERT:
			if (((xl_heap_insert *) XLogRecGetData(record))->flags & XLH_INSERT_ON_TOAST_RELATION)
				reader.refuses = row_moves_pending(xid);
			else
				reader.refuses = row_moves_take(xid);
			break;
		default:
			break;
	}
}

/* Does logical decoding have to see this heap record? */
static bool
heap_record_matters(XLogReaderState *record)
{
	RelationFile file;
	bool		is_heap = XLogRecGetRmid(record) == RM_HEAP_ID;

	if (is_heap && (XLogRecGetInfo(record) & XLOG_HEAP_OPMASK) == XLOG_HEAP_INPLACE)
		return true;
	XLogRecGetBlockTag(record, 0, &file, NULL, NULL);
	if (!is_message_file(file))
		return false;
	if (is_heap)
		follow_row_move(record);
	return true;
}

/*
 * Does logical decoding have to see this record? Of all that is not named here it would only note the
 * transaction id.
 */
static bool
record_matters(XLogReaderState *record)
{
	switch (XLogRecGetRmid(record))
	{
		case RM_XACT_ID:
		case RM_STANDBY_ID:
		case RM_LOGICALMSG_ID:
			return true;
		case RM_XLOG_ID:
			return !XLogRecHasAnyBlockRefs(record);
		case RM_HEAP_ID:
		case RM_HEAP2_ID:
			return !XLogRecHasAnyBlockRefs(record) || heap_record_matters(record);
		default:
			return false;
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

/*
 * Transactions that end: what was remembered of them is forgotten. Returns one that has committed and is not to be
 * decoded, else Invalid.
 */
static TransactionId
follow_transaction_end(XLogReaderState *record)
{
	TransactionId xid = XLogRecGetXid(record);
	bool		hopeless = record->ReadRecPtr == reader.hopeless;

	if (!skipped_xacts_any() && reader.incomplete.n == 0 && !hopeless)
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
				(void) end_incomplete(xid, abort.nsubxacts, abort.subxacts);
				return InvalidTransactionId;
			}
		default:
			return InvalidTransactionId;
	}
}

/*
 * Incomplete transactions that ended before the place where this decoder began: all that are open are in the
 * record, and perhaps some that have just ended.
 */
static void
end_incomplete_not_running(const xl_running_xacts *running)
{
	IncompleteXacts *list = &reader.incomplete;

	for (int i = list->n - 1; i >= 0; i--)
	{
		bool		runs = false;

		for (int k = 0; k < running->xcnt && !runs; k++)
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

/* Filter one record and decode it. */
static void
process(XLogReaderState *record)
{
	TransactionId lost = InvalidTransactionId;

	reader.refuses = false;
	if (!record_matters(record))
	{
		TransactionId top = XLogRecGetTopXid(record);

		if (TransactionIdIsValid(top))
			skipped_xacts_add(XLogRecGetXid(record), top);
		reader.n_skipped++;
		return;
	}
	if (XLogRecGetRmid(record) == RM_XACT_ID)
	{
		/* Its invalidations belong to the top-level transaction. */
		if ((XLogRecGetInfo(record) & XLOG_XACT_OPMASK) == XLOG_XACT_INVALIDATIONS)
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
