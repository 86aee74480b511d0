/*
 * join_changes.c
 *		The Postgres Changes entries of a join, and the ok reply that lists them.
 */
#include "join.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

static const Slice id_key = SLICE_INIT("id");

/* Begin a walk over the entries. */
void
join_changes_start(WjsonIter *it, Slice postgres_changes)
{
	/* An iterator that could not start is at its end. */
	if (!wjson_iter_start(it, postgres_changes))
		it->pos = it->end;
}

/* The next entry. */
bool
join_changes_next(WjsonIter *it, Slice *entry)
{
	Slice		key;

	while (wjson_iter_next(it, &key, entry))
	{
		if (wjson_type(*entry) == WJSON_OBJECT)
			return true;
	}
	return false;
}

/* The id of an entry. */
uint32_t
join_change_id(Slice entry)
{
	return (uint32_t) (wjson_hash(entry, id_key) % INT32_MAX) + 1;
}

/* Has the entry an id of its own? */
static bool
has_own_id(Slice entry)
{
	Slice		value;

	return wjson_member(entry, id_key, &value);
}

/* The members of an entry, each behind a comma, save its own id. */
static void
write_other_members(Writer *w, Slice entry)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;

	if (!wjson_iter_start(&it, entry))
		return;
	while (wjson_iter_next(&it, &key, &value))
	{
		if (wjson_string_equals(key, id_key))
			continue;
		writer_char(w, ',');
		writer_slice(w, key);
		writer_char(w, ':');
		writer_slice(w, value);
	}
}

/* Is this object without members? */
static bool
is_empty_object(Slice entry)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;

	return !wjson_iter_start(&it, entry) || !wjson_iter_next(&it, &key, &value);
}

/* One entry with our id. */
static void
write_entry(Writer *w, Slice entry)
{
	writer_literal(w, "{\"id\":");
	writer_uint(w, join_change_id(entry));
	if (is_empty_object(entry))
		writer_char(w, '}');
	else if (has_own_id(entry))
	{
		write_other_members(w, entry);
		writer_char(w, '}');
	}
	else
	{
		writer_char(w, ',');
		writer_slice(w, slice_skip(entry, 1));
	}
}

/* The response of the ok reply. */
void
join_write_response(Writer *w, Slice postgres_changes)
{
	WjsonIter	it;
	Slice		entry;
	bool		first = true;

	writer_literal(w, "{\"postgres_changes\":[");
	join_changes_start(&it, postgres_changes);
	while (join_changes_next(&it, &entry))
	{
		if (!first)
			writer_char(w, ',');
		write_entry(w, entry);
		first = false;
	}
	writer_literal(w, "]}");
}

/* Cut a text at its first colon; the rest has data NULL if there is none. */
static Slice
cut_at_colon(Slice text, Slice *rest)
{
	const char *colon = text.len == 0 ? NULL : memchr(text.data, ':', text.len);

	*rest = SLICE_EMPTY;
	if (colon == NULL)
		return text;
	*rest = slice_skip(text, (size_t) (colon - text.data) + 1);
	return slice_make(text.data, (size_t) (colon - text.data));
}

/* The entry that the topic of a legacy join stands for. */
void
join_write_legacy_changes(Writer *w, Slice sub_topic)
{
	Slice		rest;
	Slice		filter;

	writer_literal(w, "[{\"schema\":");
	writer_json_string(w, cut_at_colon(sub_topic, &rest));
	if (rest.data != NULL)
	{
		writer_literal(w, ",\"table\":");
		writer_json_string(w, cut_at_colon(rest, &filter));
		if (filter.data != NULL)
		{
			writer_literal(w, ",\"filter\":");
			writer_json_string(w, filter);
		}
	}
	writer_literal(w, "}]");
}
