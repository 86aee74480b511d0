/*
 * change_relation.h
 *	  What is published of a relation, and how its rows are described, under the catalogs of the change.
 *
 * Kept from one change to the next and made anew after invalidations. Called under a historic snapshot, in a
 * transaction. Change decoder only.
 */
#ifndef REALTIME_CHANGE_RELATION_H
#define REALTIME_CHANGE_RELATION_H

#include "utils/rel.h"

#include "shared/change_record.h"
#include "wal/change_value.h"

typedef struct ChangeLayoutColumn
{
	ChangeColumn column;		/* its images are empty */
	AttrNumber	source;			/* in the relation that has changed, which may be a partition; 0: it has none */
	const ValueType *type;
} ChangeLayoutColumn;

/* So many ancestors of a partition are listed. */
#define CHANGE_RELATION_ANCESTORS	4

typedef struct ChangeRelation
{
	Oid			relation;		/* hash key */
	bool		valid;
	uint64		generation;
	bool		is_partition;
	bool		actions[CHANGE_ACTIONS];	/* what is published */
	bool		any_action;
	Oid			published_as;	/* the relation itself, or an ancestor */
	int			n_ancestors;	/* of a partition; there may be more than are listed */
	Oid			ancestors[CHANGE_RELATION_ANCESTORS];

	/* if something is published */
	MemoryContext context;
	bool		identity_full;
	Slice		schema;
	Slice		table;
	int			column_count;
	ChangeLayoutColumn *columns;
} ChangeRelation;

/* Valid until the next call. */
extern const ChangeRelation *change_relation(Relation relation);

/* The publication that counts is another one now. */
extern void change_relations_forget(void);

#endif							/* REALTIME_CHANGE_RELATION_H */
