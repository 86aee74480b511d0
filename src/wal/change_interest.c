/*
 * change_interest.c
 *	  Is anything published of a relation, by the catalogs as they are committed where the WAL is being read?
 */
#include "postgres.h"

#include "access/xact.h"
#include "catalog/pg_class.h"
#include "replication/snapbuild.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/relcache.h"
#include "utils/snapmgr.h"

#include "wal/change_interest.h"
#include "wal/change_relation.h"

static void
look_at_toast(Relation relation, ChangeInterest *interest)
{
	Relation	toast;

	interest->has_toast = false;
	if (!OidIsValid(relation->rd_rel->reltoastrelid))
		return;
	toast = RelationIdGetRelation(relation->rd_rel->reltoastrelid);
	if (!RelationIsValid(toast))
		return;
	interest->has_toast = true;
	interest->toast = RELATION_FILE(toast);
	RelationClose(toast);
}

static bool
look_at(Relation relation, ChangeInterest *interest)
{
	const ChangeRelation *known;

	if (relation->rd_rel->relkind == RELKIND_TOASTVALUE)
		return false;
	known = change_relation(relation);
	if (known->n_ancestors >= INTEREST_RELATIONS)
		return false;
	interest->published = known->any_action;
	interest->n = known->n_ancestors + 1;
	interest->relations[0] = known->relation;
	memcpy(interest->relations + 1, known->ancestors, sizeof(Oid) * known->n_ancestors);
	look_at_toast(relation, interest);
	return true;
}

static bool
look(RelationFile file, ChangeInterest *interest)
{
	Oid			oid = relation_of_file(RELATION_FILE_SPC(file), RELATION_FILE_NUMBER(file));
	Relation	relation = OidIsValid(oid) ? RelationIdGetRelation(oid) : NULL;
	bool		found;

	if (!RelationIsValid(relation))
		return false;
	found = look_at(relation, interest);
	RelationClose(relation);
	return found;
}

/* In the way of the reorder buffer: a transaction of our own, which is rolled back, under the snapshot of this moment. */
bool
change_interest_look(LogicalDecodingContext *ctx, TransactionId xid, RelationFile file, ChangeInterest *interest)
{
	MemoryContext before = CurrentMemoryContext;
	bool		found;

	StartTransactionCommand();
	SetupHistoricSnapshot(present_snapshot(ctx->snapshot_builder, xid), NULL);
	found = look(file, interest);
	TeardownHistoricSnapshot(false);
	AbortCurrentTransaction();
	MemoryContextSwitchTo(before);
	return found;
}
