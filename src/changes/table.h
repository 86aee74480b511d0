/*
 * table.h
 *	  The tables that changes have come from, each with the subscriptions that match it, put together by user.
 *
 * Who matches is kept up to date as subscriptions come and go. What depends on the catalogs (filters, readable columns)
 * is made when the first change needs it, and made anew after the table has changed. Changes worker only.
 */
#ifndef REALTIME_CHANGES_TABLE_H
#define REALTIME_CHANGES_TABLE_H

#include "nodes/bitmapset.h"
#include "nodes/pg_list.h"
#include "utils/hsearch.h"
#include "utils/relcache.h"

#include "changes/change_filter.h"
#include "changes/subscription.h"
#include "shared/change_record.h"

/* A filter that several entries may have in common. */
typedef struct SharedFilter
{
	MemoryContext context;		/* holds it, and what it is made of */
	uint64		hash;			/* of key and role */
	int			refs;			/* matches */
	char	   *key;
	Oid			role;			/* that it was made as */
	ChangeFilter *filter;
	char	   *error;			/* why there is none; NULL: there is, or it is still to be tried */
	bool		slow;			/* it has met realtime.policy_timeout */

	uint64		change;			/* the last change that it was asked about, and what it said */
	bool		matches;
	const char *raised;			/* the error that it raised then; NULL: none */
	struct SharedFilter *next;
} SharedFilter;

/* One entry of a subscription that matches the table. */
typedef struct Match
{
	Subscription *subscription;
	Entry	   *entry;
	SharedFilter *filter;		/* NULL: none, or not made yet */
	bool		has_pattern;	/* its filter may take long */
	TimestampTz policies_told;	/* until when its user's policies here are suspended, as it was told; 0: never */
	TimestampTz filters_told;	/* likewise of slow filters */
} Match;

/* The matches of one user; those of a subscription lie together, in the order of their ids. */
typedef struct UserGroup
{
	User	   *user;
	bool		has_pattern;	/* one of the matches has */
	uint64		prepared;		/* policy_dependencies_generation when its policy was last made; 0: it is to be made */
	bool		plain;			/* that policy was: to have it again calls nothing and waits for no lock */
	Slowness   *policies;		/* the user's here; NULL: they have never taken long */
	int			count;
	int			capacity;
	Match	   *matches;
} UserGroup;

/* What a role may read of the table now. */
typedef struct RoleView
{
	Oid			role;
	bool		whole;			/* SELECT on all of it, columns that were dropped meanwhile included */
	Bitmapset  *columns;		/* as readable_columns has them */
	bool		locked;			/* a lock that its policies need has been waited for in vain */
} RoleView;

typedef struct RowMaker RowMaker;

typedef struct Table
{
	Oid			relation;
	char	   *schema;			/* as in the records */
	char	   *name;
	MemoryContext context;		/* holds all of the below */
	bool		stale;			/* the relation has changed: filters and views are to be made anew */
	bool		locked;			/* it has been waited for in vain */
	uint64		role_generation;	/* of the views */
	List	   *groups;
	HTAB	   *by_user;		/* the same; NULL: there are none */
	HTAB	   *filters;		/* SharedFilter; likewise */
	List	   *views;
	RowMaker   *row;			/* row.c; NULL: not made yet */
} Table;

extern void tables_init(void);

/* The table that a change comes from, made if there is none yet, brought up to date. Inside a transaction. */
extern Table *table_get(const ChangeRecord *record);

/* The filter of a match whose entry has one. It may have to be made yet. */
extern SharedFilter *table_filter(Table *table, Match *match);

/* Make it, as the user's role, if it is not made and has no error. That may call functions of users, and raise. */
extern void table_filter_make(Relation relation, const Match *match);

/* What this role may read. */
extern RoleView *table_view(Table *table, Relation relation, Oid role);

/* Called by subscription.c: one has come, or goes. */
extern void tables_add(Subscription *subscription);
extern void tables_remove(Subscription *subscription);

/* Does this entry name this table? */
extern bool entry_names(const Entry *entry, const char *schema, const char *table);

#endif							/* REALTIME_CHANGES_TABLE_H */
