/*
 * subscribe.c
 *	  A request to subscribe: is what it asks for there, and right?
 *
 * All entries of a channel are one: a single bad one refuses them all, as in the reference.
 */
#include "postgres.h"

#include "access/relation.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "storage/lmgr.h"
#include "utils/memutils.h"
#include "utils/rel.h"

#include "access/claims_policy.h"
#include "access/role.h"
#include "changes/change_filter.h"
#include "changes/error_text.h"
#include "changes/published.h"
#include "changes/subscribe.h"
#include "changes/table.h"
#include "changes/utf8.h"
#include "changes/work.h"
#include "wire/join.h"

#define UNABLE		"Unable to subscribe to changes with given parameters. "
#define EXCEPTION	UNABLE "An exception happened so please check your connect parameters: "
#define NOT_ENABLED	UNABLE "Please check Realtime is enabled for the given connect parameters: "

/* A table that is locked is tried so many times, a millisecond each. */
#define WAIT_FOR_LOCK	20

/* Longest text about an entry. */
#define TEXT_BOUND(entry_len)	(4096 + 8 * (entry_len))

/* A copy of a text, followed by a zero byte. */
static Slice
keep(Slice text)
{
	return slice_cstring(text.len == 0 ? pstrdup("") : pnstrdup(text.data, text.len));
}

/* The same in the encoding of the database. */
static Slice
keep_converted(Slice text)
{
	Slice		copy = keep(text);

	return slice_cstring(pg_any_to_server(unconstify(char *, copy.data), copy.len, PG_UTF8));
}

static int
compare_slices(const void *a, const void *b)
{
	const Slice *left = a;
	const Slice *right = b;
	int			order = memcmp(left->data, right->data, Min(left->len, right->len));

	return order != 0 ? order : left->len < right->len ? -1 : left->len > right->len;
}

/* A text that is the same for the same conditions. */
static char *
key_of_conditions(const FilterCondition *conditions, int n)
{
	StringInfoData key;

	if (n == 0)
		return NULL;
	initStringInfo(&key);
	for (int i = 0; i < n; i++)
		appendStringInfo(&key, "%d %d %zu:%s %zu:%s\n", conditions[i].op, conditions[i].negate,
						 conditions[i].column.len, conditions[i].column.data,
						 conditions[i].value.len, conditions[i].value.data);
	return key.data;
}

/* The same columns in another order are the same. */
static char *
key_of_select(const Slice *names, int n)
{
	Slice	   *sorted = palloc(sizeof(Slice) * Max(n, 1));
	StringInfoData key;

	memcpy(sorted, names, sizeof(Slice) * n);
	qsort(sorted, n, sizeof(Slice), compare_slices);
	initStringInfo(&key);
	for (int i = 0; i < n; i++)
		appendStringInfo(&key, "%zu:%s", sorted[i].len, sorted[i].data);
	pfree(sorted);
	return key.data;
}

/* Take over what was parsed into memory that lasts: the current context. */
static void
keep_entry(Entry *entry, const ChangeEntry *parsed)
{
	ChangeEntry *what = &entry->what;

	*what = *parsed;
	what->schema = keep(parsed->schema);
	what->table = keep(parsed->table);
	what->conditions = palloc(sizeof(FilterCondition) * Max(parsed->condition_count, 1));
	for (int i = 0; i < parsed->condition_count; i++)
	{
		what->conditions[i] = parsed->conditions[i];
		what->conditions[i].column = keep(parsed->conditions[i].column);
		what->conditions[i].value = keep(parsed->conditions[i].value);
	}
	what->select = palloc(sizeof(Slice) * Max(parsed->select_count, 1));
	entry->select = palloc(sizeof(Slice) * Max(parsed->select_count, 1));
	for (int i = 0; i < parsed->select_count; i++)
	{
		what->select[i] = keep(parsed->select[i]);
		entry->select[i] = keep_converted(parsed->select[i]);
	}
	entry->schema = keep_converted(parsed->schema);
	entry->table = keep_converted(parsed->table);
	entry->filter_key = key_of_conditions(what->conditions, what->condition_count);
	entry->select_key = parsed->has_select ? key_of_select(what->select, what->select_count) : NULL;
}

/* False: the entry is wrong, and the text says how. */
static bool
read_entry(Slice json, Entry *entry, char **refusal)
{
	static FilterCondition conditions[FILTER_MAX_CONDITIONS];
	static Slice select[CHANGE_ENTRY_MAX_SELECT];
	ChangeEntry parsed = {.conditions = conditions,.select = select};
	Size		scratch_size = 2 * json.len + 2 * FILTER_MAX_CONDITIONS;
	char	   *scratch = palloc(scratch_size);
	Size		bound = TEXT_BOUND(json.len);
	char	   *text = palloc(bound);
	Writer		error = writer_fixed(text, bound - 1);

	if (!change_entry_parse(json, scratch, scratch_size, &parsed, &error))
	{
		text[error.len] = '\0';
		*refusal = text;
		return false;
	}
	entry->id = join_change_id(json);
	keep_entry(entry, &parsed);
	pfree(scratch);
	pfree(text);
	return true;
}

/* The entries of the request, in the subscription's context. */
static bool
read_entries(Subscription *subscription, Slice json, char **refusal)
{
	MemoryContext previous = MemoryContextSwitchTo(subscription->context);
	int			capacity = 1;
	WjsonIter	it;
	Slice		entry;
	bool		good = true;
	char	   *text = NULL;

	subscription->entries = palloc(sizeof(Entry));
	join_changes_start(&it, json);
	while (good && join_changes_next(&it, &entry))
	{
		if (subscription->entry_count == capacity)
		{
			capacity *= 2;
			subscription->entries = repalloc(subscription->entries, sizeof(Entry) * capacity);
		}
		good = read_entry(entry, &subscription->entries[subscription->entry_count], &text);
		if (good)
			subscription->entry_count++;
	}
	MemoryContextSwitchTo(previous);
	if (!good)
		*refusal = pstrdup(text);
	return good;
}

/* A text about an entry: how it begins, then the entry as the reference shows it. In UTF-8. */
static StringInfo
about(const char *beginning, const Entry *entry)
{
	StringInfo	text = makeStringInfo();
	Size		bound = TEXT_BOUND(entry->what.schema.len + entry->what.table.len);
	Writer		w;

	for (int i = 0; i < entry->what.condition_count; i++)
		bound += 64 + 8 * (entry->what.conditions[i].column.len + entry->what.conditions[i].value.len);
	for (int i = 0; i < entry->what.select_count; i++)
		bound += 16 + 8 * entry->what.select[i].len;
	appendStringInfoString(text, beginning);
	enlargeStringInfo(text, bound);
	w = writer_fixed(text->data + text->len, bound);
	change_entry_write_inspected(&w, &entry->what);
	text->len += w.len;
	text->data[text->len] = '\0';
	return text;
}

/* Wait a moment for a table that is locked, and with nothing else locked. */
static bool
lock_table(Oid table)
{
	int			tries = WAIT_FOR_LOCK;

	while (!ConditionalLockRelationOid(table, AccessShareLock))
	{
		if (tries-- == 0)
			return false;
		work_end();
		pg_usleep(1000);
		work_begin();
	}
	return true;
}

/*
 * Filter and select are checked against a table of the publication, as the role. Raises what is wrong with them. If the table stays
 * locked that is left to the first change, as others must not wait.
 */
static void
check_table(const Entry *entry, Oid table, Oid role)
{
	Relation	relation;
	RoleSaved	saved;

	if (entry->filter_key == NULL && !entry->what.has_select)
		return;
	if (!lock_table(table))
		return;
	relation = try_relation_open(table, NoLock);
	if (relation == NULL)
		return;
	role_become(role, &saved);
	(void) change_filter_make(relation, role, entry->what.conditions, entry->what.condition_count);
	if (entry->what.has_select)
		change_select_check(relation, role, entry->what.select, entry->what.select_count);
	role_return(&saved);
	relation_close(relation, NoLock);
}

/* Is there such a table in the publication, and is the entry right for each? */
static bool
check_entry(const Entry *entry, Oid role, char **refusal)
{
	int			n;
	const PublishedTable *tables = published_tables(&n);
	bool		matched = false;

	for (int i = 0; i < n; i++)
	{
		if (!entry_names(entry, tables[i].schema, tables[i].name))
			continue;
		matched = true;
		check_table(entry, tables[i].relation, role);
	}
	if (!matched)
		*refusal = about(NOT_ENABLED, entry)->data;
	return matched;
}

/* Which entry is being looked at, for the text of an error. */
static bool
check_entries(Subscription *subscription, volatile int *at, char **refusal)
{
	User	   *user = subscription->user;

	user->role = role_resolve(user->role_name);
	user->role_generation = role_generation();
	for (*at = 0; *at < subscription->entry_count; (*at)++)
		if (!check_entry(&subscription->entries[*at], user->role, refusal))
			return false;
	return true;
}

/* What a role or a table brings along, domains for instance, may run functions of anybody. */
static bool
check_in_time(Subscription *subscription, volatile int *at, char **refusal)
{
	bool		good;

	work_start_clock();
	good = check_entries(subscription, at, refusal);
	work_stop_clock();
	return good;
}

/* What is wrong with the entry, or with all of the request if there is no such entry. */
static char *
text_of_error(const Subscription *subscription, int at, ErrorData *error)
{
	StringInfo	text;
	int			start;

	if (subscription != NULL && at < subscription->entry_count)
	{
		text = about(EXCEPTION, &subscription->entries[at]);
		appendStringInfoString(text, ". Exception: ");
	}
	else
	{
		text = makeStringInfo();
		appendStringInfoString(text, UNABLE "Exception: ");
	}
	if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
		error->message = "to check it took longer than realtime.policy_timeout";
	start = text->len;
	error_text_append(text, error);
	utf8_convert(text, start);
	return text->data;
}

Subscription *
subscribe(const ChangeRequest *request, char **refusal)
{
	MemoryContext context = CurrentMemoryContext;
	Subscription *volatile subscription = NULL;
	volatile bool good = false;
	volatile int at = 0;

	*refusal = NULL;
	PG_TRY();
	{
		work_begin();
		subscription = subscription_make(request);
		good = read_entries(subscription, request->entries, refusal) && check_in_time(subscription, &at, refusal);
	}
	PG_CATCH();
	{
		*refusal = text_of_error(subscription, at, work_caught(context));
	}
	PG_END_TRY();
	if (!good && subscription != NULL)
	{
		work_begin();
		subscription_drop(subscription);
	}
	return good ? subscription : NULL;
}
