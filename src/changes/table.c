/*
 * table.c
 *	  The tables that changes have come from, each with the subscriptions that match it.
 */
#include "postgres.h"

#include "catalog/pg_class.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "access/claims_policy.h"
#include "access/role.h"
#include "changes/table.h"

/* Tables that are remembered; beyond that all are forgotten and come again. */
#define MAX_TABLES		4096

/* Renamed tables have records under both names for a while. */
typedef struct TableKey
{
	Oid			relation;
	NameData	schema;
	NameData	name;
} TableKey;

typedef struct TableSlot
{
	TableKey	key;
	Table	   *table;
} TableSlot;

/* In the indexes of one table. */
typedef struct UserSlot
{
	User	   *user;
	UserGroup  *group;
} UserSlot;

typedef struct FilterSlot
{
	uint64		hash;
	SharedFilter *first;		/* of those with this hash */
} FilterSlot;

static MemoryContext context;	/* lives as long as the process */
static HTAB *tables;

static void
relation_changed(Datum argument, Oid relation)
{
	HASH_SEQ_STATUS status;
	TableSlot  *slot;

	hash_seq_init(&status, tables);
	while ((slot = hash_seq_search(&status)) != NULL)
		if (relation == InvalidOid || slot->table->relation == relation)
			slot->table->stale = true;
}

void
tables_init(void)
{
	HASHCTL		control = {0};

	context = AllocSetContextCreate(TopMemoryContext, "realtime changed tables", ALLOCSET_DEFAULT_SIZES);
	control.keysize = sizeof(TableKey);
	control.entrysize = sizeof(TableSlot);
	control.hcxt = context;
	tables = hash_create("realtime changed tables", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

bool
entry_names(const Entry *entry, const char *schema, const char *table)
{
	return (entry->what.any_schema || slice_equal(entry->schema, slice_cstring(schema))) &&
		(entry->what.any_table || slice_equal(entry->table, slice_cstring(table)));
}

/* ---------------------------------------------------- who matches --------------------------------------------------- */

/* In the current memory context. */
static HTAB *
make_index(const char *name, Size key, Size entry)
{
	HASHCTL		control = {.keysize = key,.entrysize = entry,.hcxt = CurrentMemoryContext};

	return hash_create(name, 16, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static UserGroup *
group_of(Table *table, User *user)
{
	UserSlot   *slot;
	UserGroup  *group;

	if (table->by_user == NULL)
		table->by_user = make_index("realtime groups of a table", sizeof(User *), sizeof(UserSlot));
	slot = hash_search(table->by_user, &user, HASH_FIND, NULL);
	if (slot != NULL)
		return slot->group;
	group = palloc0(sizeof(UserGroup));
	group->user = user;
	group->policies = policy_slowness(user, table->relation, false);
	table->groups = lappend(table->groups, group);
	slot = hash_search(table->by_user, &user, HASH_ENTER, NULL);
	slot->group = group;
	return group;
}

static bool
has_pattern(const Entry *entry)
{
	for (int i = 0; i < entry->what.condition_count; i++)
	{
		FilterOp	op = entry->what.conditions[i].op;

		if (op == FILTER_LIKE || op == FILTER_ILIKE || op == FILTER_MATCH || op == FILTER_IMATCH)
			return true;
	}
	return false;
}

static void
add_match(UserGroup *group, Subscription *subscription, Entry *entry)
{
	int			at;

	if (group->count == group->capacity)
	{
		int			capacity = Max(1, group->capacity * 2);

		group->matches = group->matches == NULL ? palloc(sizeof(Match) * capacity) :
			repalloc(group->matches, sizeof(Match) * capacity);
		group->capacity = capacity;
	}

	/* The entries of a subscription are added one after the other. */
	for (at = group->count; at > 0; at--)
	{
		Match	   *before = &group->matches[at - 1];

		if (before->subscription != subscription || before->entry->id <= entry->id)
			break;
		group->matches[at] = *before;
	}
	group->matches[at] = (Match) {.subscription = subscription,.entry = entry,.has_pattern = has_pattern(entry)};
	group->has_pattern |= group->matches[at].has_pattern;
	group->count++;
}

static void
add_matches(Table *table, Subscription *subscription)
{
	MemoryContext previous = MemoryContextSwitchTo(table->context);
	UserGroup	   *group = NULL;

	for (int i = 0; i < subscription->entry_count; i++)
	{
		Entry	   *entry = &subscription->entries[i];

		if (!entry_names(entry, table->schema, table->name))
			continue;
		if (group == NULL)
			group = group_of(table, subscription->user);
		add_match(group, subscription, entry);
	}
	MemoryContextSwitchTo(previous);
}

/* The last match of a filter takes it along. */
static void
unref_filter(Table *table, SharedFilter *filter)
{
	FilterSlot *slot;
	SharedFilter **link;

	if (--filter->refs > 0)
		return;
	slot = hash_search(table->filters, &filter->hash, HASH_FIND, NULL);
	link = &slot->first;
	while (*link != filter)
		link = &(*link)->next;
	*link = filter->next;
	if (slot->first == NULL)
		(void) hash_search(table->filters, &filter->hash, HASH_REMOVE, NULL);
	MemoryContextDelete(filter->context);
}

static void
remove_matches(Table *table, Subscription *subscription)
{
	UserSlot   *slot = table->by_user == NULL ? NULL :
		hash_search(table->by_user, &subscription->user, HASH_FIND, NULL);
	UserGroup  *group;
	int			kept = 0;

	if (slot == NULL)
		return;
	group = slot->group;
	group->has_pattern = false;
	for (int i = 0; i < group->count; i++)
	{
		Match	   *match = &group->matches[i];

		if (match->subscription != subscription)
		{
			group->has_pattern |= match->has_pattern;
			group->matches[kept++] = *match;
		}
		else if (match->filter != NULL)
			unref_filter(table, match->filter);
	}
	group->count = kept;
	if (kept > 0)
		return;
	table->groups = list_delete_ptr(table->groups, group);
	(void) hash_search(table->by_user, &subscription->user, HASH_REMOVE, NULL);
	if (group->matches != NULL)
		pfree(group->matches);
	pfree(group);
}

void
tables_add(Subscription *subscription)
{
	HASH_SEQ_STATUS status;
	TableSlot  *slot;

	hash_seq_init(&status, tables);
	while ((slot = hash_seq_search(&status)) != NULL)
		add_matches(slot->table, subscription);
}

void
tables_remove(Subscription *subscription)
{
	HASH_SEQ_STATUS status;
	TableSlot  *slot;

	hash_seq_init(&status, tables);
	while ((slot = hash_seq_search(&status)) != NULL)
		remove_matches(slot->table, subscription);
}

/* ------------------------------------------------- tables come and go ----------------------------------------------- */

/* Who matches is found out anew, too: cheaper to say than which filter belongs to whom. */
static void
fill(Table *table)
{
	dlist_iter	i;

	MemoryContextReset(table->context);
	table->stale = false;
	table->groups = table->views = NIL;
	table->by_user = table->filters = NULL;
	table->row = NULL;
	dlist_foreach(i, subscriptions())
		add_matches(table, dlist_container(Subscription, node, i.cur));
}

static void
forget_tables(void)
{
	HASH_SEQ_STATUS status;
	TableSlot  *slot;

	hash_seq_init(&status, tables);
	while ((slot = hash_seq_search(&status)) != NULL)
	{
		Table	   *table = slot->table;

		hash_search(tables, &slot->key, HASH_REMOVE, NULL);
		MemoryContextDelete(table->context);
		pfree(table->schema);
		pfree(table->name);
		pfree(table);
	}
}

static Table *
make_table(const ChangeRecord *record)
{
	MemoryContext previous = MemoryContextSwitchTo(context);
	Table	   *table = palloc0(sizeof(Table));

	table->relation = record->relation;
	table->schema = pstrdup(record->schema.data);
	table->name = pstrdup(record->table.data);
	table->context = AllocSetContextCreate(context, "realtime changed table", ALLOCSET_SMALL_SIZES);
	table->stale = true;
	MemoryContextSwitchTo(previous);
	return table;
}

static Table *
find_table(const ChangeRecord *record)
{
	TableKey	key;
	TableSlot  *slot;

	memset(&key, 0, sizeof(key));
	key.relation = record->relation;
	namestrcpy(&key.schema, record->schema.data);
	namestrcpy(&key.name, record->table.data);
	slot = hash_search(tables, &key, HASH_FIND, NULL);
	if (slot == NULL)
	{
		Table	   *table;

		if (hash_get_num_entries(tables) >= MAX_TABLES)
			forget_tables();
		table = make_table(record);
		slot = hash_search(tables, &key, HASH_ENTER, NULL);
		slot->table = table;
	}
	return slot->table;
}

Table *
table_get(const ChangeRecord *record)
{
	Table	   *table = find_table(record);

	if (table->stale || table->role_generation != role_generation())
		fill(table);
	table->role_generation = role_generation();
	return table;
}

/* ------------------------------------------------ filters and columns ----------------------------------------------- */

static SharedFilter *
find_filter(Table *table, const char *key, Oid role)
{
	uint64		hash = hash_bytes_extended((const unsigned char *) key, strlen(key), role);
	FilterSlot *slot;
	MemoryContext filter_context;
	SharedFilter *filter;
	bool		found;

	if (table->filters == NULL)
		table->filters = make_index("realtime filters of a table", sizeof(uint64), sizeof(FilterSlot));
	slot = hash_search(table->filters, &hash, HASH_ENTER, &found);
	if (!found)
		slot->first = NULL;
	for (filter = slot->first; filter != NULL; filter = filter->next)
		if (filter->role == role && strcmp(filter->key, key) == 0)
			return filter;
	filter_context = AllocSetContextCreate(table->context, "realtime filter", ALLOCSET_SMALL_SIZES);
	filter = MemoryContextAllocZero(filter_context, sizeof(SharedFilter));
	filter->context = filter_context;
	filter->hash = hash;
	filter->key = MemoryContextStrdup(filter_context, key);
	filter->role = role;
	filter->next = slot->first;
	slot->first = filter;
	return filter;
}

SharedFilter *
table_filter(Table *table, Match *match)
{
	MemoryContext previous;

	if (match->filter != NULL)
		return match->filter;
	previous = MemoryContextSwitchTo(table->context);
	match->filter = find_filter(table, match->entry->filter_key, match->subscription->user->role);
	match->filter->refs++;
	MemoryContextSwitchTo(previous);
	return match->filter;
}

/* The caller has a transaction that it can end after an error, and does. What is left of an attempt before goes. */
void
table_filter_make(Relation relation, const Match *match)
{
	SharedFilter *filter = match->filter;
	MemoryContext previous;
	RoleSaved	saved;

	if (filter->filter != NULL || filter->error != NULL)
		return;
	MemoryContextDeleteChildren(filter->context);
	previous = MemoryContextSwitchTo(AllocSetContextCreate(filter->context, "realtime filter", ALLOCSET_SMALL_SIZES));
	role_become(filter->role, &saved);
	filter->filter = change_filter_make(relation, filter->role, match->entry->what.conditions,
										match->entry->what.condition_count);
	role_return(&saved);
	MemoryContextSwitchTo(previous);
}

RoleView *
table_view(Table *table, Relation relation, Oid role)
{
	MemoryContext previous;
	RoleView   *view;
	ListCell   *cell;

	foreach(cell, table->views)
	{
		view = lfirst(cell);
		if (view->role == role)
			return view;
	}
	previous = MemoryContextSwitchTo(table->context);
	view = palloc0(sizeof(RoleView));
	view->role = role;
	view->columns = readable_columns(relation, role);
	view->whole = view->columns != NULL &&
		pg_class_aclcheck(RelationGetRelid(relation), role, ACL_SELECT) == ACLCHECK_OK;
	table->views = lappend(table->views, view);
	MemoryContextSwitchTo(previous);
	return view;
}
