/*
 * reader.h
 *	  Reads the WAL record by record and hands to logical decoding only what the decoder's filter lets pass.
 *
 * There is one reader in a process. It throws when the WAL can't be read. Decoders only.
 */
#ifndef REALTIME_READER_H
#define REALTIME_READER_H

#include "replication/logical.h"
#include "storage/sinval.h"

#include "shared/compat.h"
#include "wal/wal_shared.h"

typedef enum ReaderResult
{
	READER_RECORD,				/* one record was read, and decoded or skipped */
	READER_NOTHING,				/* all WAL that is flushed has been read */
	READER_LOST					/* the WAL that comes next has been removed */
} ReaderResult;

typedef enum ReaderVerdict
{
	READER_SKIP,				/* decoding does not get to know of the record */
	READER_DECODE,
	READER_REFUSE				/* it is decoded, but reader_refuses is true meanwhile */
} ReaderVerdict;

/*
 * What a decoder lets pass. judge is asked for each record of a heap that has a block reference, by the file of that
 * block; in-place updates excepted. The others are told what goes on besides and may be NULL; position is the end of the
 * record. They are called outside of any transaction: no catalogs, and nothing may throw but for want of memory.
 */
typedef struct ReaderFilter
{
	void		(*begin) (LogicalDecodingContext *ctx); /* reader_begin: forget everything */
	ReaderVerdict (*judge) (XLogReaderState *record, RelationFile file);
	void		(*invalidations) (TransactionId xid, int n, const SharedInvalidationMessage *messages, XLogRecPtr position);
	void		(*new_file) (RelationFile file, XLogRecPtr position);

	/* before the transaction is decoded; also for a subtransaction that ends alone, without its own in subxacts */
	void		(*transaction_end) (TransactionId xid, int nsubxacts, const TransactionId *subxacts,
									int n, const SharedInvalidationMessage *messages, XLogRecPtr position);

	/* all transactions before this one have ended */
	void		(*running) (TransactionId oldest, XLogRecPtr position);
} ReaderFilter;

/* Before the first reader_begin. */
extern void reader_set_filter(const ReaderFilter *filter);

/* What to pass to CreateInitDecodingContext and CreateDecodingContext. */
extern XLogReaderRoutine *reader_routine(void);

/* Read for this context from here on; forgets everything about a context before. */
extern void reader_begin(LogicalDecodingContext *ctx, XLogRecPtr from);

/*
 * Read one record and decode it, unless it is skipped. Leaves the caller in the memory context it was called in. All
 * callbacks of the output plugin are called in here.
 */
extern ReaderResult reader_next(void);

/* Where the next record begins: everything before has been read. */
extern XLogRecPtr reader_position(void);

/*
 * Transactions that are incomplete behind the restart point: the reader has them forgotten when they commit and
 * takes them off the list when they end. The same for one that commits at the position hopeless, if that is not
 * Invalid. on_lost is called after such a commit, outside of any transaction.
 */
typedef void (*ReaderLostCallback) (TransactionId xid, XLogRecPtr commit_end);
extern void reader_set_hopeless(XLogRecPtr hopeless);
extern void reader_set_incomplete(const IncompleteXacts *xacts, ReaderLostCallback on_lost);
extern const IncompleteXacts *reader_incomplete(void);

/*
 * To be called while there is no starting point yet, before a record of running transactions is decoded.
 * Interruptible.
 */
typedef void (*ReaderRunningCallback) (XLogReaderState *record);
extern void reader_set_running_callback(ReaderRunningCallback callback);

/* Is the record that is being decoded one whose rows are not delivered? For filter_by_origin of the output plugin. */
extern bool reader_refuses(void);

#endif							/* REALTIME_READER_H */
