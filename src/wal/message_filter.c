/*
 * message_filter.c
 *	  What the message decoder lets pass: heap records of files that hold rows of realtime.messages.
 *
 * The set of these files is positive and complete: the row trigger of realtime.messages adds each before the row's WAL
 * is written (shared/message_files.h).
 */
#include "postgres.h"

#include "access/heapam_xlog.h"

#include "shared/message_files.h"
#include "wal/message_filter.h"
#include "wal/skipped_xacts.h"

typedef struct MessageFilter
{
	uint64		generation;
	bool		every_file;
	int			n_files;
	RelationFile files[MESSAGE_FILES_MAX];	/* by file number */
	RelationFile last_other;	/* most records of a load are of one file */
} MessageFilter;

static MessageFilter filter;

static void
begin(LogicalDecodingContext *ctx)
{
	filter.generation = 0;
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
	filter.generation = message_files_generation();
	filter.n_files = message_files_copy(filter.files, &filter.every_file);
	qsort(filter.files, filter.n_files, sizeof(RelationFile), compare_files);
	memset(&filter.last_other, 0, sizeof(RelationFile));
}

/* Does this file hold rows of realtime.messages, or their TOAST? */
static bool
is_message_file(RelationFile file)
{
	int			low = 0;
	int			high;

	/* The row trigger has added the file before the WAL that we have read was written. */
	if (filter.generation != message_files_generation())
		copy_files();
	if (filter.every_file)
		return true;
	if (RELATION_FILES_EQUAL(file, filter.last_other))
		return false;
	high = filter.n_files;
	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (RELATION_FILE_NUMBER(filter.files[middle]) < RELATION_FILE_NUMBER(file))
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < filter.n_files && RELATION_FILE_NUMBER(filter.files[low]) == RELATION_FILE_NUMBER(file); low++)
		if (RELATION_FILES_EQUAL(filter.files[low], file))
			return true;
	filter.last_other = file;
	return false;
}

/*
 * An UPDATE that moves a row of realtime.messages to another partition is a DELETE with a flag, perhaps TOAST
 * of the new row, and an INSERT, all of one transaction id. The INSERT is refused, and the TOAST as well: the
 * reorder buffer can't do with TOAST whose row does not follow. Writes of row triggers to other tables may lie
 * between them.
 */
static ReaderVerdict
follow_row_move(XLogReaderState *record)
{
	TransactionId xid = XLogRecGetXid(record);
	bool		refuses = false;

	switch (XLogRecGetInfo(record) & XLOG_HEAP_OPMASK)
	{
		case XLOG_HEAP_DELETE:
			if (((xl_heap_delete *) XLogRecGetData(record))->flags & XLH_DELETE_IS_PARTITION_MOVE)
				row_moves_add(xid);
			break;
		case XLOG_HEAP_INSERT:
			if (((xl_heap_insert *) XLogRecGetData(record))->flags & XLH_INSERT_ON_TOAST_RELATION)
				refuses = row_moves_pending(xid);
			else
				refuses = row_moves_take(xid);
			break;
		default:
			break;
	}
	return refuses ? READER_REFUSE : READER_DECODE;
}

static ReaderVerdict
judge(XLogReaderState *record, RelationFile file)
{
	if (!is_message_file(file))
		return READER_SKIP;
	return XLogRecGetRmid(record) == RM_HEAP_ID ? follow_row_move(record) : READER_DECODE;
}

const ReaderFilter message_filter = {
	.begin = begin,
	.judge = judge
};
