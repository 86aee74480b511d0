/*
 * learned_filter.c
 *	  What the change decoder passes over: relations that it has learned to be of no interest.
 *
 * When a record of a file comes of which nothing is known, the relation is looked up, under the catalogs as they are
 * committed at that place of the WAL. The verdict is applied to this record and later ones, which would be decoded at the
 * commit of their transactions, under the catalogs of the record: those that were committed before it, and what its own
 * transaction had done to them. So it has to be certain that nothing that it depends on is different there:
 *
 * - Everything that matters to a verdict sends invalidations when it changes: publications, schemas, the relation itself
 *	 and its ancestors. They are in the WAL where the change is made (XLOG_XACT_INVALIDATIONS) and with the commit. Both
 *	 places are *resets*: verdicts from before it count no longer.
 * - Between the two the change holds for its own transaction alone. Until it has ended the relations concerned are
 *	 *unsettled*: all of their records are decoded, whoever writes them.
 * - A file number may be used again: its creation is a reset for the file.
 * - A relation that is not committed yet can't be looked up. It is decoded, and looked up again when some transaction
 *	 that has sent invalidations has ended.
 *
 * Rows out of line come as several records: TOAST, then the row that it belongs to; and a speculative insertion is
 * followed by its confirmation or its end. The reorder buffer can do with all of them or with none. So a transaction in
 * the middle of such a row is *pending*, and the rest of the row is treated as its beginning was.
 *
 * Memory is bounded: verdicts have a table of fixed size in which new ones take the place of old ones, resets of single
 * relations and files are kept in tables by hash, where those that collide are taken together, and when too many
 * relations are unsettled all are.
 */
#include "postgres.h"

#include "access/heapam_xlog.h"
#include "access/transam.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "replication/snapbuild.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "wal/change_interest.h"
#include "wal/learned_filter.h"

#define VERDICTS		8192	/* places; a power of two */
#define PROBES			8
#define RESETS			4096	/* a power of two */
#define UNSETTLED_MAX	4096	/* pairs of a transaction and a relation */

/* On a file, unless there was a reset since. */
typedef struct Verdict
{
	RelationFile file;
	XLogRecPtr	lsn;			/* of the record for which it was made; Invalid: the place is free */
	bool		excluded;		/* nothing is published of the relation whose file, or whose TOAST table's, this is */
	bool		unknown;		/* there was no such relation: holds for one settlement */
	uint64		settlement;
	int			n;
	Oid			depends_on[INTEREST_RELATIONS];
} Verdict;

/* A transaction that has sent invalidations and is open. */
typedef struct Unsettled
{
	TransactionId xid;
	Oid			relation;		/* Invalid: all */
} Unsettled;

/* A transaction in the middle of a row. */
typedef struct PendingRow
{
	TransactionId xid;
	bool		skipped;		/* how its beginning was treated */
} PendingRow;

typedef struct LearnedFilter
{
	LogicalDecodingContext *ctx;
	Verdict	   *verdicts;
	int			next_probe;		/* which of the places of a hash a new verdict takes when all are taken */
	Verdict    *last;			/* most records of a load are of one file */

	XLogRecPtr	reset_at;		/* the last reset of all */
	XLogRecPtr *resets;			/* of relations and files, by hash */

	uint64		settlement;		/* grows when a transaction ends that has sent invalidations */
	Unsettled  *unsettled;
	int			n_unsettled;
	int			n_unsettled_all;	/* so many of them for all relations */
	uint16	   *unsettled_relations;	/* how many by hash */

	PendingRow *pending;
	int			n_pending;
	int			room_for_pending;
} LearnedFilter;

static LearnedFilter filter;

static uint32
hash_number(uint32 number)
{
	return murmurhash32(number) % RESETS;
}

static void
forget_verdicts(void)
{
	memset(filter.verdicts, 0, sizeof(Verdict) * VERDICTS);
	filter.last = NULL;
}

static void
begin(LogicalDecodingContext *ctx)
{
	if (filter.verdicts == NULL)
	{
		filter.verdicts = MemoryContextAlloc(TopMemoryContext, sizeof(Verdict) * VERDICTS);
		filter.resets = MemoryContextAlloc(TopMemoryContext, sizeof(XLogRecPtr) * RESETS);
		filter.unsettled = MemoryContextAlloc(TopMemoryContext, sizeof(Unsettled) * UNSETTLED_MAX);
		filter.unsettled_relations = MemoryContextAlloc(TopMemoryContext, sizeof(uint16) * RESETS);
		filter.room_for_pending = 64;
		filter.pending = MemoryContextAlloc(TopMemoryContext, sizeof(PendingRow) * filter.room_for_pending);
	}
	filter.ctx = ctx;
	forget_verdicts();
	memset(filter.resets, 0, sizeof(XLogRecPtr) * RESETS);
	memset(filter.unsettled_relations, 0, sizeof(uint16) * RESETS);
	filter.reset_at = InvalidXLogRecPtr;
	filter.n_unsettled = 0;
	filter.n_unsettled_all = 0;
	filter.n_pending = 0;
}

/* ------------------------------------------------------- resets ----------------------------------------------------- */

static void
reset_all(XLogRecPtr position)
{
	filter.reset_at = Max(filter.reset_at, position);
	forget_verdicts();
}

/* Of a relation or a file. */
static void
reset_number(uint32 number, XLogRecPtr position)
{
	filter.resets[hash_number(number)] = position;
	filter.last = NULL;
}

static void
new_file(RelationFile file, XLogRecPtr position)
{
	reset_number(RELATION_FILE_NUMBER(file), position);
}

/* Has there been no reset since? */
static bool
is_good(const Verdict *verdict)
{
	if (verdict->lsn < filter.reset_at || verdict->lsn < filter.resets[hash_number(RELATION_FILE_NUMBER(verdict->file))])
		return false;
	if (verdict->unknown && verdict->settlement != filter.settlement)
		return false;
	for (int i = 0; i < verdict->n; i++)
		if (verdict->lsn < filter.resets[hash_number(verdict->depends_on[i])])
			return false;
	return true;
}

void
learned_filter_reset(void)
{
	if (filter.verdicts != NULL)
		forget_verdicts();
}

XLogRecPtr
learned_filter_last_reset(void)
{
	return filter.reset_at;
}

/* Does this invalidation concern what a verdict on any relation depends on? */
static bool
concerns_all(const SharedInvalidationMessage *message)
{
	switch (message->id)
	{
		case PUBLICATIONOID:
		case PUBLICATIONNAME:
		case PUBLICATIONREL:
		case PUBLICATIONRELMAP:
		case PUBLICATIONNAMESPACE:
		case PUBLICATIONNAMESPACEMAP:
		case NAMESPACEOID:
			return true;
		case SHAREDINVALCATALOG_ID:
			return message->cat.dbId == MyDatabaseId || !OidIsValid(message->cat.dbId);
		case SHAREDINVALRELCACHE_ID:
			return !OidIsValid(message->rc.relId) &&
				(message->rc.dbId == MyDatabaseId || !OidIsValid(message->rc.dbId));
		default:
			return false;
	}
}

/* The relation that this invalidation concerns, else Invalid. */
static Oid
concerned_relation(const SharedInvalidationMessage *message)
{
	if (message->id != SHAREDINVALRELCACHE_ID || message->rc.dbId != MyDatabaseId)
		return InvalidOid;
	return message->rc.relId;
}

/* ------------------------------------------------ unsettled relations ----------------------------------------------- */

static bool
is_unsettled(TransactionId xid, Oid relation)
{
	for (int i = filter.n_unsettled - 1; i >= 0; i--)
		if (filter.unsettled[i].xid == xid &&
			(filter.unsettled[i].relation == relation || !OidIsValid(filter.unsettled[i].relation)))
			return true;
	return false;
}

static void
remove_unsettled(int i)
{
	if (OidIsValid(filter.unsettled[i].relation))
		filter.unsettled_relations[hash_number(filter.unsettled[i].relation)]--;
	else
		filter.n_unsettled_all--;
	filter.unsettled[i] = filter.unsettled[--filter.n_unsettled];
}

/* All of a transaction's relations make room for one entry that stands for all. */
static void
make_room(TransactionId xid)
{
	for (int i = filter.n_unsettled - 1; i >= 0; i--)
		if (filter.unsettled[i].xid == xid)
			remove_unsettled(i);
	if (filter.n_unsettled == UNSETTLED_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many open transactions change tables")));
}

static void
add_unsettled(TransactionId xid, Oid relation)
{
	if (is_unsettled(xid, relation))
		return;
	if (filter.n_unsettled == UNSETTLED_MAX)
	{
		make_room(xid);
		relation = InvalidOid;
	}
	filter.unsettled[filter.n_unsettled++] = (Unsettled) {xid, relation};
	if (OidIsValid(relation))
		filter.unsettled_relations[hash_number(relation)]++;
	else
		filter.n_unsettled_all++;
}

static void
invalidations(TransactionId xid, int n, const SharedInvalidationMessage *messages, XLogRecPtr position)
{
	bool		all = false;

	for (int i = 0; i < n; i++)
	{
		Oid			relation = concerned_relation(&messages[i]);

		if (concerns_all(&messages[i]))
			all = true;
		else if (OidIsValid(relation))
		{
			reset_number(relation, position);
			if (TransactionIdIsValid(xid))
				add_unsettled(xid, relation);
		}
	}
	if (!all)
		return;
	reset_all(position);
	if (TransactionIdIsValid(xid))
		add_unsettled(xid, InvalidOid);
}

/* What this transaction has changed holds for all from here on, or never did. */
static void
settle(TransactionId xid, XLogRecPtr position)
{
	for (int i = filter.n_unsettled - 1; i >= 0; i--)
	{
		Oid			relation = filter.unsettled[i].relation;

		if (filter.unsettled[i].xid != xid)
			continue;
		remove_unsettled(i);
		filter.settlement++;
		filter.last = NULL;
		if (OidIsValid(relation))
			reset_number(relation, position);
		else
			reset_all(position);
	}
}

/* ---------------------------------------------------- pending rows -------------------------------------------------- */

static PendingRow *
find_pending(TransactionId xid)
{
	for (int i = 0; i < filter.n_pending; i++)
		if (filter.pending[i].xid == xid)
			return &filter.pending[i];
	return NULL;
}

static void
end_pending(TransactionId xid)
{
	PendingRow *pending = find_pending(xid);

	if (pending != NULL)
		*pending = filter.pending[--filter.n_pending];
}

static void
add_pending(TransactionId xid, bool skipped)
{
	if (filter.n_pending == filter.room_for_pending)
	{
		filter.room_for_pending *= 2;
		filter.pending = repalloc(filter.pending, sizeof(PendingRow) * filter.room_for_pending);
	}
	filter.pending[filter.n_pending++] = (PendingRow) {xid, skipped};
}

/* What a record means for the row that it belongs to. */
typedef enum RowPart
{
	PART_LAST,					/* a row of its own, or the last part of one */
	PART_MORE_FOLLOWS,
	PART_DELETE,				/* of a row, or of TOAST in the middle of an update */
	PART_OTHER					/* nothing that the reorder buffer would keep */
} RowPart;

static RowPart
part_of_insert(uint8 flags)
{
	if (!(flags & XLH_INSERT_CONTAINS_NEW_TUPLE))
		return PART_OTHER;
	return flags & (XLH_INSERT_ON_TOAST_RELATION | XLH_INSERT_IS_SPECULATIVE) ? PART_MORE_FOLLOWS : PART_LAST;
}

/* Rows that are inserted together share their TOAST: it comes before the first of their records. */
static RowPart
part_of_multi_insert(uint8 flags)
{
	if (!(flags & XLH_INSERT_CONTAINS_NEW_TUPLE))
		return PART_OTHER;
	return flags & XLH_INSERT_LAST_IN_MULTI ? PART_LAST : PART_MORE_FOLLOWS;
}

static RowPart
part_of_row(XLogReaderState *record)
{
	uint8		operation = XLogRecGetInfo(record) & XLOG_HEAP_OPMASK;
	char	   *data = XLogRecGetData(record);

	if (XLogRecGetRmid(record) == RM_HEAP2_ID)
		return operation == XLOG_HEAP2_MULTI_INSERT ?
			part_of_multi_insert(((xl_heap_multi_insert *) data)->flags) : PART_OTHER;
	switch (operation)
	{
		case XLOG_HEAP_INSERT:
			return part_of_insert(((xl_heap_insert *) data)->flags);
		case XLOG_HEAP_UPDATE:
		case XLOG_HEAP_HOT_UPDATE:
		case XLOG_HEAP_CONFIRM:
			return PART_LAST;
		case XLOG_HEAP_DELETE:
			return ((xl_heap_delete *) data)->flags & XLH_DELETE_IS_SUPER ? PART_LAST : PART_DELETE;
		default:
			return PART_OTHER;
	}
}

/* ------------------------------------------------------ verdicts ---------------------------------------------------- */

static uint32
first_place(RelationFile file)
{
	return murmurhash32(RELATION_FILE_NUMBER(file)) % VERDICTS;
}

static Verdict *
find_verdict(RelationFile file)
{
	uint32		place = first_place(file);

	for (int i = 0; i < PROBES; i++)
	{
		Verdict    *verdict = &filter.verdicts[(place + i) % VERDICTS];

		if (verdict->lsn != InvalidXLogRecPtr && RELATION_FILES_EQUAL(verdict->file, file))
			return verdict;
	}
	return NULL;
}

/* The place for a verdict: its own, else one that is free or no longer good, else that of another. */
static Verdict *
place_for(RelationFile file)
{
	Verdict    *verdict = find_verdict(file);
	uint32		place = first_place(file);

	for (int i = 0; i < PROBES && verdict == NULL; i++)
	{
		Verdict    *candidate = &filter.verdicts[(place + i) % VERDICTS];

		if (candidate->lsn == InvalidXLogRecPtr || !is_good(candidate))
			verdict = candidate;
	}
	return verdict != NULL ? verdict : &filter.verdicts[(place + filter.next_probe++ % PROBES) % VERDICTS];
}

static void
add_verdict(const Verdict *verdict)
{
	*place_for(verdict->file) = *verdict;
	filter.last = NULL;
}

/* The verdict on a table holds for its TOAST, too: the one is no use without the other. */
static void
learn(XLogReaderState *record, RelationFile file)
{
	Verdict		verdict = {.file = file, .lsn = record->ReadRecPtr, .settlement = filter.settlement};
	ChangeInterest interest;

	if (SnapBuildCurrentState(filter.ctx->snapshot_builder) != SNAPBUILD_CONSISTENT)
		return;
	verdict.unknown = !change_interest_look(filter.ctx, XLogRecGetXid(record), file, &interest);
	if (!verdict.unknown)
	{
		verdict.excluded = !interest.published;
		verdict.n = interest.n;
		memcpy(verdict.depends_on, interest.relations, sizeof(Oid) * interest.n);
	}
	add_verdict(&verdict);
	if (verdict.unknown || !interest.has_toast)
		return;
	verdict.file = interest.toast;
	add_verdict(&verdict);
}

static Verdict *
good_verdict(RelationFile file)
{
	Verdict    *verdict = filter.last;

	if (verdict != NULL && RELATION_FILES_EQUAL(verdict->file, file))
		return verdict;
	verdict = find_verdict(file);
	if (verdict == NULL || !is_good(verdict))
		return NULL;
	filter.last = verdict;
	return verdict;
}

/* Is the verdict on this file that it is of no interest, and does it count just now? */
static bool
is_excluded(XLogReaderState *record, RelationFile file)
{
	Verdict    *verdict;

	if (filter.n_unsettled_all > 0)
		return false;
	verdict = good_verdict(file);
	if (verdict == NULL)
	{
		learn(record, file);
		verdict = good_verdict(file);
	}
	if (verdict == NULL || !verdict->excluded)
		return false;
	if (filter.n_unsettled > 0)
		for (int i = 0; i < verdict->n; i++)
			if (filter.unsettled_relations[hash_number(verdict->depends_on[i])] > 0)
				return false;
	return true;
}

/*
 * The end of a row whose beginning was decoded. If the table itself is of no interest it was its TOAST table that was not
 * known, and that is learned from the table.
 */
static void
learn_toast(XLogReaderState *record, RelationFile file)
{
	if (is_excluded(record, file))
		learn(record, file);
}

static ReaderVerdict
judge(XLogReaderState *record, RelationFile file)
{
	TransactionId xid = XLogRecGetXid(record);
	PendingRow *pending = filter.n_pending > 0 ? find_pending(xid) : NULL;
	RowPart		part = part_of_row(record);
	bool		skip;

	/* Locks, pruning, freezing, rows of catalogs: the reorder buffer would keep nothing of them. */
	if (part == PART_OTHER || RELATION_FILE_DB(file) != MyDatabaseId)
		return READER_SKIP;
	skip = pending != NULL ? pending->skipped : is_excluded(record, file);
	if (part == PART_LAST && pending != NULL)
	{
		end_pending(xid);
		if (!skip)
			learn_toast(record, file);
	}
	else if (part == PART_MORE_FOLLOWS && pending == NULL)
		add_pending(xid, skip);
	return skip ? READER_SKIP : READER_DECODE;
}

/* ------------------------------------------------------------------------------------------------------------------- */

static void
transaction_end(TransactionId xid, int nsubxacts, const TransactionId *subxacts,
				int n, const SharedInvalidationMessage *messages, XLogRecPtr position)
{
	if (filter.n_unsettled > 0)
	{
		settle(xid, position);
		for (int i = 0; i < nsubxacts && filter.n_unsettled > 0; i++)
			settle(subxacts[i], position);
	}
	if (filter.n_pending > 0)
	{
		end_pending(xid);
		for (int i = 0; i < nsubxacts && filter.n_pending > 0; i++)
			end_pending(subxacts[i]);
	}
	if (n > 0)
		invalidations(InvalidTransactionId, n, messages, position);
}

static void
running(TransactionId oldest, XLogRecPtr position)
{
	for (int i = filter.n_pending - 1; i >= 0; i--)
		if (TransactionIdPrecedes(filter.pending[i].xid, oldest))
			filter.pending[i] = filter.pending[--filter.n_pending];
	for (int i = 0; i < filter.n_unsettled; i++)
		if (TransactionIdPrecedes(filter.unsettled[i].xid, oldest))
		{
			settle(filter.unsettled[i].xid, position);
			i = -1;
		}
}

const ReaderFilter learned_filter = {
	.begin = begin,
	.judge = judge,
	.invalidations = invalidations,
	.new_file = new_file,
	.transaction_end = transaction_end,
	.running = running
};
