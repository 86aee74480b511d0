/*
 * fuzz_change_entry.c
 *		Any JSON as an entry of postgres_changes; what is right must be complete, what is wrong must be explained.
 */
#include "fuzz.h"

#include "wire/change_entry.h"

/* A text that may be given to PostgreSQL. */
static void
check_text(Slice text)
{
	REQUIRE(slice_is_utf8(text) && !slice_has_byte(text, '\0'));
}

static void
check_inspected(const ChangeEntry *entry)
{
	Writer		measured = writer_measuring();
	Writer		w;

	change_entry_write_inspected(&measured, entry);
	w = fuzz_writer(measured.len);
	change_entry_write_inspected(&w, entry);
	REQUIRE(!w.failed && w.len == w.cap);
	REQUIRE(slice_starts_with(writer_written(&w), SLICE_LITERAL("[event: ")));
	REQUIRE(slice_is_utf8(writer_written(&w)) && w.data[w.len - 1] == ']');
	free(w.data);
}

static void
check_entry(const ChangeEntry *entry)
{
	REQUIRE(entry->events == CHANGE_EVENT_ALL || entry->events == CHANGE_EVENT_INSERT ||
			entry->events == CHANGE_EVENT_UPDATE || entry->events == CHANGE_EVENT_DELETE);
	check_text(entry->schema);
	check_text(entry->table);
	REQUIRE(entry->any_schema == slice_equal(entry->schema, SLICE_LITERAL("*")));
	REQUIRE(entry->any_table == slice_equal(entry->table, SLICE_LITERAL("*")));
	REQUIRE(entry->condition_count >= 0 && entry->condition_count <= FILTER_MAX_CONDITIONS);
	for (int i = 0; i < entry->condition_count; i++)
	{
		check_text(entry->conditions[i].column);
		check_text(entry->conditions[i].value);
	}
	REQUIRE(entry->has_select == (entry->select_count > 0) && entry->select_count <= CHANGE_ENTRY_MAX_SELECT);
	REQUIRE(!entry->has_select || (!entry->any_schema && !entry->any_table));
	for (int i = 0; i < entry->select_count; i++)
		check_text(entry->select[i]);
	check_inspected(entry);
}

/* Parse with room for an error of this size. */
static void
parse(Slice token, size_t error_size)
{
	FilterCondition conditions[FILTER_MAX_CONDITIONS];
	Slice		select[CHANGE_ENTRY_MAX_SELECT];
	ChangeEntry entry = {.conditions = conditions, .select = select};
	char	   *scratch = malloc(2 * token.len);
	Writer		error = fuzz_writer(error_size);
	bool		ok;

	REQUIRE(scratch != NULL);
	ok = change_entry_parse(token, scratch, 2 * token.len, &entry, &error);
	if (ok)
	{
		REQUIRE(error.len == 0);
		check_entry(&entry);
	}
	else if (error_size == CHANGE_ENTRY_ERROR_BOUND)
	{
		REQUIRE(!error.failed && error.len > 0);
		REQUIRE(slice_is_utf8(writer_written(&error)) && !slice_has_byte(writer_written(&error), '\0'));
	}
	free(error.data);
	free(scratch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		token;

	if (!wjson_parse(slice_make(data, size), &token))
		return 0;
	parse(token, CHANGE_ENTRY_ERROR_BOUND);
	parse(token, 128 + size % 128);
	return 0;
}
