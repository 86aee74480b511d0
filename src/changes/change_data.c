/*
 * change_data.c
 *	  What a subscriber gets of a change. Members come in the order of the reference, columns in that of the table.
 *
 * A record is in the encoding of the database, and so is what is made of it here, until it is whole: the bytes that
 * mean something in JSON are the same in each encoding that a database may have.
 */
#include "postgres.h"

#include "pgtime.h"
#include "utils/timestamp.h"

#include "changes/change_data.h"
#include "changes/utf8.h"

/*
 * What wal2json writes around the values: {"name":"","type":"","typeoid":12345,"value":}, for a column, and the rest.
 */
#define COLUMN_OVERHEAD	48
#define CHANGE_OVERHEAD	160

static const char *const action_names[CHANGE_ACTIONS] = {
	[CHANGE_INSERT] = "INSERT",
	[CHANGE_UPDATE] = "UPDATE",
	[CHANGE_DELETE] = "DELETE",
};

#define put_literal(out, literal)	appendBinaryStringInfo((out), "" literal, sizeof(literal) - 1)

static inline void
put_slice(StringInfo out, Slice text)
{
	appendBinaryStringInfo(out, text.data, text.len);
}

/* ----------------------------------------------------- JSON strings ----------------------------------------------- */

static inline bool
needs_escape(unsigned char byte)
{
	return byte < ' ' || byte == '"' || byte == '\\';
}

/* Bit 7 of each byte of the result that is zero in word, and perhaps of some behind the first of these. */
static inline uint64
zero_bytes(uint64 word)
{
	return (word - UINT64CONST(0x0101010101010101)) & ~word & UINT64CONST(0x8080808080808080);
}

/* How many bytes from the beginning stand in a JSON string as they are. Looks at eight at a time. */
static Size
plain_length(const char *text, Size len)
{
	Size		done = 0;

	for (; done + sizeof(uint64) <= len; done += sizeof(uint64))
	{
		uint64		word;

		memcpy(&word, text + done, sizeof(word));
		if (((word - UINT64CONST(0x2020202020202020)) & ~word & UINT64CONST(0x8080808080808080)) != 0 ||
			zero_bytes(word ^ (UINT64CONST(0x0101010101010101) * '"')) != 0 ||
			zero_bytes(word ^ (UINT64CONST(0x0101010101010101) * '\\')) != 0)
			break;
	}
	while (done < len && !needs_escape(text[done]))
		done++;
	return done;
}

/* The letter behind the backslash, for bytes that have a short form; 0: it has none. */
static inline char
short_escape(char byte)
{
	switch (byte)
	{
		case '"':
		case '\\':
			return byte;
		case '\b':
			return 'b';
		case '\f':
			return 'f';
		case '\n':
			return 'n';
		case '\r':
			return 'r';
		case '\t':
			return 't';
		default:
			return 0;
	}
}

static void
put_escaped(StringInfo out, char byte)
{
	char		letter = short_escape(byte);

	if (letter != 0)
	{
		char		escape[2] = {'\\', letter};

		appendBinaryStringInfo(out, escape, sizeof(escape));
	}
	else
		appendStringInfo(out, "\\u%04x", (unsigned char) byte);
}

static void
put_string(StringInfo out, Slice text)
{
	Size		plain = plain_length(text.data, text.len);

	enlargeStringInfo(out, text.len + 2);
	out->data[out->len++] = '"';
	put_slice(out, slice_make(text.data, plain));
	while (plain < text.len)
	{
		put_escaped(out, text.data[plain]);
		text = slice_skip(text, plain + 1);
		plain = plain_length(text.data, text.len);
		put_slice(out, slice_make(text.data, plain));
	}
	put_literal(out, "\"");
}

/* The length of what put_string writes, or something beyond max. */
static Size
string_length(Slice text, Size max)
{
	Size		length = text.len + 2;

	while (length <= max)
	{
		Size		plain = plain_length(text.data, text.len);

		if (plain == text.len)
			break;
		length += short_escape(text.data[plain]) != 0 ? 1 : 5;
		text = slice_skip(text, plain + 1);
	}
	return length;
}

/* ----------------------------------------------------- values ----------------------------------------------------- */

/* The length of a value's JSON, or something beyond max. */
static Size
value_length(const ChangeValue *value, Size max)
{
	switch (value->kind)
	{
		case VALUE_NULL:
			return strlen("null");
		case VALUE_RAW:
			return value->text.len;
		case VALUE_STRING:
			return string_length(value->text, max);
		case VALUE_JSON:
			return value->json.len;
		case VALUE_ABSENT:
		case VALUE_UNCHANGED:
			break;
	}
	return 0;
}

static void
put_value(StringInfo out, const ChangeValue *value)
{
	switch (value->kind)
	{
		case VALUE_NULL:
			put_literal(out, "null");
			break;
		case VALUE_RAW:
			put_slice(out, value->text);
			break;
		case VALUE_STRING:
			put_string(out, value->text);
			break;
		case VALUE_JSON:
			put_slice(out, value->json);
			break;
		case VALUE_ABSENT:
		case VALUE_UNCHANGED:
			break;
	}
}

/* NULLs vanish with the long values, as they do in the reference. */
static bool
is_delivered(const ChangeValue *value, bool too_large)
{
	if (value->kind <= VALUE_UNCHANGED)
		return false;
	if (!too_large)
		return true;
	return value->kind != VALUE_NULL && value_length(value, CHANGE_DATA_SHORT_VALUE) <= CHANGE_DATA_SHORT_VALUE;
}

/* The reference measures the line that wal2json writes; so do we, without writing it. */
bool
change_data_is_too_large(const ChangeRecord *record)
{
	Size		size = CHANGE_OVERHEAD + record->schema.len + record->table.len;

	for (int i = 0; i < record->column_count && size <= CHANGE_DATA_MAX; i++)
	{
		const ChangeColumn *column = &record->columns[i];
		const ChangeValue *images[2] = {change_column_after(column), &column->old};
		Size		around = COLUMN_OVERHEAD + column->name.len + column->type_name.len;

		for (int j = 0; j < 2; j++)
			if (images[j]->kind > VALUE_UNCHANGED)
				size += around + value_length(images[j], CHANGE_DATA_MAX);
		if (column->is_key)
			size += around;
	}
	return size > CHANGE_DATA_MAX;
}

/* ----------------------------------------------------- the object ------------------------------------------------- */

static void
put_image(StringInfo out, const ChangeRecord *record, const bool *shown, bool old, bool key_only, bool too_large)
{
	bool		first = true;

	put_literal(out, "{");
	for (int i = 0; i < record->column_count; i++)
	{
		const ChangeColumn *column = &record->columns[i];
		const ChangeValue *value = old ? &column->old : change_column_after(column);

		if (!shown[i] || (key_only && !column->is_key) || !is_delivered(value, too_large))
			continue;
		if (!first)
			put_literal(out, ",");
		first = false;
		put_string(out, column->name);
		put_literal(out, ":");
		put_value(out, value);
	}
	put_literal(out, "}");
}

static void
put_columns(StringInfo out, const ChangeRecord *record, const bool *shown)
{
	bool		first = true;

	put_literal(out, ",\"columns\":[");
	for (int i = 0; i < record->column_count; i++)
	{
		if (!shown[i])
			continue;
		if (first)
			put_literal(out, "{\"name\":");
		else
			put_literal(out, ",{\"name\":");
		first = false;
		put_string(out, record->columns[i].name);
		put_literal(out, ",\"type\":");
		put_string(out, record->columns[i].type_name);
		put_literal(out, "}");
	}
	put_literal(out, "]");
}

/* "2026-01-02T03:04:05.678Z", cut to milliseconds. */
static void
put_commit_timestamp(StringInfo out, TimestampTz at)
{
	struct pg_tm tm;
	fsec_t		fsec;

	if (TIMESTAMP_NOT_FINITE(at) || timestamp2tm(at, NULL, &tm, &fsec, NULL, NULL) != 0)
		put_literal(out, "null");
	else
		appendStringInfo(out, "\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"", tm.tm_year, tm.tm_mon, tm.tm_mday,
						 tm.tm_hour, tm.tm_min, tm.tm_sec, (int) (fsec / 1000));
}

static void
put_beginning(StringInfo out, const ChangeRecord *record)
{
	put_literal(out, "{\"table\":");
	put_string(out, record->table);
	put_literal(out, ",\"type\":\"");
	appendBinaryStringInfo(out, action_names[record->action], strlen("INSERT"));
	put_literal(out, "\"");
}

void
change_data_write(StringInfo out, const ChangeRecord *record, const bool *shown, bool key_only_old, bool too_large)
{
	int			start = out->len;

	put_beginning(out, record);
	if (record->action != CHANGE_DELETE)
	{
		put_literal(out, ",\"record\":");
		put_image(out, record, shown, false, false, too_large);
	}
	put_columns(out, record, shown);
	if (too_large)
		put_literal(out, ",\"errors\":[\"" CHANGE_ERROR_TOO_LARGE "\"]");
	else
		put_literal(out, ",\"errors\":null");
	put_literal(out, ",\"schema\":");
	put_string(out, record->schema);
	put_literal(out, ",\"commit_timestamp\":");
	put_commit_timestamp(out, record->committed_at);
	if (record->action != CHANGE_INSERT)
	{
		put_literal(out, ",\"old_record\":");
		put_image(out, record, shown, true, key_only_old, too_large);
	}
	put_literal(out, "}");
	utf8_convert(out, start);
}

void
change_data_write_error(StringInfo out, const ChangeRecord *record, const char *error)
{
	int			start = out->len;

	put_beginning(out, record);
	if (record->action != CHANGE_DELETE)
		put_literal(out, ",\"record\":{}");
	put_literal(out, ",\"columns\":[],\"errors\":[");
	put_string(out, slice_cstring(error));
	put_literal(out, "],\"schema\":");
	put_string(out, record->schema);
	put_literal(out, ",\"commit_timestamp\":null");
	if (record->action != CHANGE_INSERT)
		put_literal(out, ",\"old_record\":{}");
	put_literal(out, "}");
	utf8_convert(out, start);
}
