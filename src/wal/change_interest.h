/*
 * change_interest.h
 *	  Is anything published of a relation, by the catalogs as they are committed where the WAL is being read?
 */
#ifndef REALTIME_CHANGE_INTEREST_H
#define REALTIME_CHANGE_INTEREST_H

#include "replication/logical.h"

#include "shared/compat.h"

/* The relation and its ancestors, if they are no more than this. */
#define INTEREST_RELATIONS	5

typedef struct ChangeInterest
{
	bool		published;		/* something is */
	int			n;
	Oid			relations[INTEREST_RELATIONS];	/* what that depends on: the relation, and the ancestors of a partition */
	bool		has_toast;
	RelationFile toast;
} ChangeInterest;

/*
 * Look at the relation whose file this is; false if there is none that is known, as one that its transaction has not
 * committed yet, or it can't be told, as of a TOAST table. Outside of any transaction, between two records; reads the
 * catalogs and so throws if that fails. Change decoder only.
 */
extern bool change_interest_look(LogicalDecodingContext *ctx, TransactionId xid, RelationFile file,
								 ChangeInterest *interest);

#endif							/* REALTIME_CHANGE_INTEREST_H */
