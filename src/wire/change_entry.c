/*
 * change_entry.c
 *		Read one entry of postgres_changes.
 */
#include "change_entry.h"

#include "json.h"
#include "scratch.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* Entries above this size, in bytes, are not shown in errors: to read one again for each level costs time. */
#define MAX_SHOWN_ENTRY		65536

/* The members that mean something, and their indexes in the arrays of names and values. */
enum
{
	KEY_EVENT,
	KEY_SCHEMA,
	KEY_TABLE,
	KEY_FILTER,
	KEY_SELECT,
	KEY_USER_TOKEN,
	KEY_AUTH_TOKEN,
	KEY_COUNT
};

static const Slice key_names[KEY_COUNT] = {
	SLICE_INIT("event"), SLICE_INIT("schema"), SLICE_INIT("table"), SLICE_INIT("filter"), SLICE_INIT("select"),
	SLICE_INIT("user_token"), SLICE_INIT("auth_token")
};

static const struct
{
	Slice		name;
	unsigned	bits;
}			events[] = {
	{SLICE_INIT("*"), CHANGE_EVENT_ALL},
	{SLICE_INIT("INSERT"), CHANGE_EVENT_INSERT},
	{SLICE_INIT("UPDATE"), CHANGE_EVENT_UPDATE},
	{SLICE_INIT("DELETE"), CHANGE_EVENT_DELETE}
};

#define EVENT_COUNT		((int) (sizeof(events) / sizeof(events[0])))

static const Slice star = SLICE_INIT("*");

/* Which events a value names; whatever is no event means all. */
static unsigned
parse_event(Slice value, Scratch *scratch)
{
	Slice		text;

	if (scratch_text(value, scratch, &text))
	{
		for (int i = 0; i < EVENT_COUNT; i++)
		{
			if (slice_equal_nocase(text, events[i].name))
				return events[i].bits;
		}
	}
	return CHANGE_EVENT_ALL;
}

/* Read `select`: the strings of an array. */
static bool
parse_select(Slice value, Scratch *scratch, ChangeEntry *out, Writer *error)
{
	WjsonIter	it;
	Slice		key;
	Slice		element;

	out->select_count = 0;
	if (wjson_type(value) == WJSON_STRING)
	{
		writer_literal(error, "Error parsing `select` params: expected a list of column name strings, "
					   "e.g. select: [\"col1\", \"col2\"]");
		return false;
	}
	if (wjson_type(value) == WJSON_ARRAY && wjson_iter_start(&it, value))
	{
		while (wjson_iter_next(&it, &key, &element))
		{
			if (wjson_type(element) != WJSON_STRING)
				continue;
			if (out->select_count == CHANGE_ENTRY_MAX_SELECT ||
				!scratch_text(element, scratch, &out->select[out->select_count]))
			{
				writer_literal(error, "Error parsing `select` params: expected a list of at most ");
				writer_int(error, CHANGE_ENTRY_MAX_SELECT);
				writer_literal(error, " column name strings");
				return false;
			}
			out->select_count++;
		}
	}
	out->has_select = out->select_count > 0;
	return true;
}

/* Show the entry, if there is room for it. */
static void
write_map(Writer *w, Slice entry)
{
	Writer		before = *w;

	if (entry.len <= MAX_SHOWN_ENTRY)
		elixir_json(w, entry);
	if (w->failed || entry.len > MAX_SHOWN_ENTRY)
	{
		*w = before;
		writer_literal(w, "%{...}");
	}
}

/* Refuse an entry that does not say which table it means. */
static bool
refuse_params(Slice entry, const Slice *values, Writer *error)
{
	writer_literal(error, "No subscription params provided. "
				   "Please provide at least a `schema` or `table` to subscribe to: ");
	if (values[KEY_USER_TOKEN].len > 0 || values[KEY_AUTH_TOKEN].len > 0)
		writer_literal(error, "<redacted>");
	else
		write_map(error, entry);
	return false;
}

/* Are schema, table and filter there in one of the combinations that are allowed? */
static bool
is_allowed(const Slice *values)
{
	WjsonType	schema = wjson_type(values[KEY_SCHEMA]);
	WjsonType	table = wjson_type(values[KEY_TABLE]);
	WjsonType	filter = wjson_type(values[KEY_FILTER]);

	if (schema == WJSON_STRING && table == WJSON_STRING)
		return filter == WJSON_STRING || filter == WJSON_NONE;
	return filter == WJSON_NONE &&
		((schema == WJSON_STRING && table == WJSON_NONE) || (schema == WJSON_NONE && table == WJSON_STRING));
}

/* Take the name of a schema or a table, or its default. */
static bool
take_name(Slice value, Slice absent, Scratch *scratch, Slice *name, bool *any)
{
	if (value.len == 0)
		*name = absent;
	else if (!scratch_text(value, scratch, name))
		return false;
	*any = slice_equal(*name, star);
	return true;
}

/* Does any text of the entry hold a NUL, which PostgreSQL has no room for? */
static bool
has_nul(const ChangeEntry *entry)
{
	if (slice_has_byte(entry->schema, '\0') || slice_has_byte(entry->table, '\0'))
		return true;
	for (int i = 0; i < entry->condition_count; i++)
	{
		if (slice_has_byte(entry->conditions[i].column, '\0') || slice_has_byte(entry->conditions[i].value, '\0'))
			return true;
	}
	for (int i = 0; i < entry->select_count; i++)
	{
		if (slice_has_byte(entry->select[i], '\0'))
			return true;
	}
	return false;
}

/* Refuse an entry as the database would that gets a NUL. */
static bool
refuse_nul(const ChangeEntry *entry, Writer *error)
{
	static const Slice exception =
		SLICE_INIT(". Exception: ERROR 22021 (character_not_in_repertoire) "
				   "invalid byte sequence for encoding \"UTF8\": 0x00");
	Writer		before;

	writer_literal(error, "Unable to subscribe to changes with given parameters. "
				   "An exception happened so please check your connect parameters: ");
	before = *error;
	change_entry_write_inspected(error, entry);
	writer_slice(error, exception);
	if (error->failed)
	{
		*error = before;
		writer_literal(error, "[...]");
		writer_slice(error, exception);
	}
	return false;
}

/* Read an entry. */
bool
change_entry_parse(Slice entry, char *scratch, size_t scratch_size, ChangeEntry *out, Writer *error)
{
	Scratch		room = {scratch, scratch_size};
	Slice		values[KEY_COUNT];
	Slice		filter = SLICE_EMPTY;

	out->condition_count = 0;
	if (!wjson_members(entry, key_names, values, KEY_COUNT))
		return refuse_params(entry, values, error);
	out->events = parse_event(values[KEY_EVENT], &room);
	if (!parse_select(values[KEY_SELECT], &room, out, error))
		return false;
	if (!is_allowed(values) ||
		!take_name(values[KEY_SCHEMA], SLICE_LITERAL("public"), &room, &out->schema, &out->any_schema) ||
		!take_name(values[KEY_TABLE], star, &room, &out->table, &out->any_table) ||
		(values[KEY_FILTER].len > 0 && !scratch_text(values[KEY_FILTER], &room, &filter)))
		return refuse_params(entry, values, error);

	out->condition_count = filter_parse(filter, room.data, room.left, out->conditions, FILTER_MAX_CONDITIONS, error);
	if (out->condition_count < 0)
	{
		out->condition_count = 0;
		return false;
	}
	if (out->has_select && (out->any_schema || out->any_table))
	{
		writer_literal(error, "Column selection is not supported for wildcard subscriptions. "
					   "Provide an explicit schema and table name.");
		return false;
	}
	return !has_nul(out) || refuse_nul(out, error);
}

/* A name as it is, save that NUL is written as an escape. */
static void
write_name(Writer *w, Slice name)
{
	while (slice_has_byte(name, '\0'))
	{
		size_t		len = (size_t) ((const char *) memchr(name.data, '\0', name.len) - name.data);

		writer_bytes(w, name.data, len);
		writer_literal(w, "\\0");
		name = slice_skip(name, len + 1);
	}
	writer_slice(w, name);
}

/* The conditions of a filter as Elixir shows a list of tuples. */
static void
write_conditions(Writer *w, const ChangeEntry *entry)
{
	writer_char(w, '[');
	for (int i = 0; i < entry->condition_count; i++)
	{
		const FilterCondition *c = &entry->conditions[i];

		writer_cstring(w, i > 0 ? ", {" : "{");
		elixir_text(w, c->column);
		writer_literal(w, ", \"");
		writer_cstring(w, filter_op_name(c->op));
		writer_literal(w, "\", ");
		elixir_text(w, c->value);
		writer_cstring(w, c->negate ? ", true}" : ", false}");
	}
	writer_char(w, ']');
}

/* The columns of a select, or nil. */
static void
write_select(Writer *w, const ChangeEntry *entry)
{
	if (!entry->has_select)
	{
		writer_literal(w, "nil");
		return;
	}
	writer_char(w, '[');
	for (int i = 0; i < entry->select_count; i++)
	{
		if (i > 0)
			writer_literal(w, ", ");
		elixir_text(w, entry->select[i]);
	}
	writer_char(w, ']');
}

/* An entry as the reference shows it. */
void
change_entry_write_inspected(Writer *w, const ChangeEntry *entry)
{
	writer_literal(w, "[event: ");
	for (int i = 0; i < EVENT_COUNT; i++)
	{
		if (events[i].bits == entry->events)
			writer_slice(w, events[i].name);
	}
	writer_literal(w, ", schema: ");
	write_name(w, entry->schema);
	writer_literal(w, ", table: ");
	write_name(w, entry->table);
	writer_literal(w, ", filters: ");
	write_conditions(w, entry);
	writer_literal(w, ", select: ");
	write_select(w, entry);
	writer_char(w, ']');
}
