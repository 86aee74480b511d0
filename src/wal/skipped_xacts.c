/*
 * skipped_xacts.c
 *	  What has to be remembered of records that are skipped.
 */
#include "postgres.h"

#include "access/transam.h"
#include "common/hashfn.h"
#include "utils/memutils.h"

#include "wal/skipped_xacts.h"

typedef struct SubXact
{
	TransactionId xid;
	TransactionId top;
	uint32		status;			/* simplehash's */
} SubXact;

#define SH_PREFIX		subxacts
#define SH_ELEMENT_TYPE SubXact
#define SH_KEY_TYPE		TransactionId
#define SH_KEY			xid
#define SH_HASH_KEY(tb, key)	murmurhash32(key)
#define SH_EQUAL(tb, a, b)		((a) == (b))
#define SH_SCOPE		static inline
#define SH_DECLARE
#define SH_DEFINE
#include "lib/simplehash.h"

/* A table that has grown beyond so many places is given back when it is empty. */
#define KEEP_PLACES		4096

static MemoryContext context;
static subxacts_hash *subxacts;

/* Hardly ever more than one: looked through from end to end. */
static TransactionId *moves;
static int	n_moves;
static int	room_for_moves;

void
skipped_xacts_reset(void)
{
	if (context == NULL)
		context = AllocSetContextCreate(TopMemoryContext, "realtime skipped transactions", ALLOCSET_DEFAULT_SIZES);
	MemoryContextReset(context);
	subxacts = subxacts_create(context, 64, NULL);
	moves = NULL;
	n_moves = 0;
	room_for_moves = 0;
}

static void
give_back(void)
{
	if (subxacts->members == 0 && subxacts->size > KEEP_PLACES)
	{
		subxacts_destroy(subxacts);
		subxacts = subxacts_create(context, 64, NULL);
	}
}

void
skipped_xacts_add(TransactionId xid, TransactionId top)
{
	bool		found;

	subxacts_insert(subxacts, xid, &found)->top = top;
}

TransactionId
skipped_xacts_take(TransactionId xid)
{
	SubXact    *entry = subxacts->members > 0 ? subxacts_lookup(subxacts, xid) : NULL;
	TransactionId top;

	if (entry == NULL)
		return InvalidTransactionId;
	top = entry->top;
	subxacts_delete_item(subxacts, entry);
	return top;
}

bool
row_moves_pending(TransactionId xid)
{
	for (int i = 0; i < n_moves; i++)
		if (moves[i] == xid)
			return true;
	return false;
}

void
row_moves_add(TransactionId xid)
{
	if (row_moves_pending(xid))
		return;
	if (n_moves == room_for_moves)
	{
		room_for_moves = Max(16, 2 * room_for_moves);
		if (moves == NULL)
			moves = MemoryContextAlloc(context, room_for_moves * sizeof(TransactionId));
		else
			moves = repalloc(moves, room_for_moves * sizeof(TransactionId));
	}
	moves[n_moves++] = xid;
}

bool
row_moves_take(TransactionId xid)
{
	for (int i = 0; i < n_moves; i++)
		if (moves[i] == xid)
		{
			moves[i] = moves[--n_moves];
			return true;
		}
	return false;
}

bool
skipped_xacts_any(void)
{
	return subxacts->members > 0 || n_moves > 0;
}

void
skipped_xacts_end(TransactionId xid, int nsubxacts, const TransactionId *subxids)
{
	(void) skipped_xacts_take(xid);
	(void) row_moves_take(xid);
	for (int i = 0; i < nsubxacts; i++)
	{
		(void) skipped_xacts_take(subxids[i]);
		(void) row_moves_take(subxids[i]);
	}
	give_back();
}

void
skipped_xacts_end_before(TransactionId oldest)
{
	subxacts_iterator i;
	SubXact    *entry;

	for (int m = n_moves - 1; m >= 0; m--)
		if (TransactionIdPrecedes(moves[m], oldest))
			moves[m] = moves[--n_moves];
	if (subxacts->members == 0)
		return;
	subxacts_start_iterate(subxacts, &i);
	while ((entry = subxacts_iterate(subxacts, &i)) != NULL)
		if (TransactionIdPrecedes(entry->xid, oldest))
			subxacts_delete_item(subxacts, entry);
	give_back();
}
