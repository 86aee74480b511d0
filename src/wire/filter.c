/*
 * filter.c
 *		Read the filter of a Postgres Changes entry.
 */
#include "filter.h"

#include "scratch.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* In the order of FilterOp. */
static const char *const op_names[] = {
	"eq", "neq", "lt", "lte", "gt", "gte", "in", "like", "ilike", "is", "match", "imatch", "isdistinct"
};

#define OP_COUNT	((int) (sizeof(op_names) / sizeof(op_names[0])))

/* The name of an operator. */
const char *
filter_op_name(FilterOp op)
{
	return op_names[op];
}

/* The operator of this name; false if there is none. */
static bool
find_op(Slice name, FilterOp *op)
{
	for (int i = 0; i < OP_COUNT; i++)
	{
		if (slice_equal(name, slice_cstring(op_names[i])))
		{
			*op = (FilterOp) i;
			return true;
		}
	}
	return false;
}

/* Begin an error. */
static void
start_error(Writer *error)
{
	writer_literal(error, "Error parsing `filter` params: ");
}

/* Refuse the filter for this reason. */
static bool
refuse(Writer *error, const char *reason)
{
	start_error(error);
	writer_cstring(error, reason);
	return false;
}

/* Refuse the filter and show what it fell into: one piece, or two. */
static bool
refuse_pieces(Writer *error, Slice first, const Slice *second)
{
	start_error(error);
	writer_char(error, '[');
	elixir_text(error, first);
	if (second != NULL)
	{
		writer_literal(error, ", ");
		elixir_text(error, *second);
	}
	writer_char(error, ']');
	return false;
}

/* Is this character, of n bytes, white space to Unicode? */
static bool
is_space(const char *p, size_t n)
{
	const unsigned char *u = (const unsigned char *) p;

	switch (n)
	{
		case 1:
			return (u[0] >= 0x09 && u[0] <= 0x0D) || u[0] == ' ';
		case 2:
			return u[0] == 0xC2 && (u[1] == 0x85 || u[1] == 0xA0);
		default:
			if (u[0] == 0xE2 && u[1] == 0x80)	/* U+2000 to U+200A, U+2028, U+2029, U+202F */
				return (u[2] >= 0x80 && u[2] <= 0x8A) || u[2] == 0xA8 || u[2] == 0xA9 || u[2] == 0xAF;
			return memcmp(p, "\xE1\x9A\x80", 3) == 0 || memcmp(p, "\xE2\x81\x9F", 3) == 0 ||
				memcmp(p, "\xE3\x80\x80", 3) == 0;
	}
}

/* The length of the white space character at one end of a text, or 0. */
static size_t
space_at(Slice text, bool end)
{
	for (size_t n = 1; n <= 3 && n <= text.len; n++)
	{
		if (is_space(end ? text.data + text.len - n : text.data, n))
			return n;
	}
	return 0;
}

/* A text without the white space around it. */
static Slice
trim(Slice text)
{
	size_t		n;

	while ((n = space_at(text, false)) > 0)
		text = slice_skip(text, n);
	while ((n = space_at(text, true)) > 0)
		text.len -= n;
	return text;
}

/* How many bytes belong to the first segment: those before the first comma outside parentheses and quotes. */
static size_t
segment_length(Slice text)
{
	size_t		depth = 0;
	bool		quoted = false;
	char		previous = '\0';

	for (size_t i = 0; i < text.len; i++)
	{
		char		c = text.data[i];

		if (quoted)
		{
			if (c == '\\')
				i++;
			else if (c == '"')
				quoted = false;
		}
		else if (c == '"')
			quoted = previous == '.' || previous == '(' || previous == ',';
		else if (c == '(')
			depth++;
		else if (c == ')')
			depth -= depth > 0 ? 1 : 0;
		else if (c == ',' && depth == 0)
			return i;
		previous = c;
	}
	return text.len;
}

/* Cut a text in two at the first of this byte; false if it has none. */
static bool
cut(Slice text, char byte, Slice *before, Slice *after)
{
	const char *at = text.len == 0 ? NULL : memchr(text.data, byte, text.len);

	if (at == NULL)
		return false;
	*before = slice_make(text.data, (size_t) (at - text.data));
	*after = slice_skip(text, before->len + 1);
	return true;
}

/* Is the text one string in double quotes?  Then *inside is what they hold, with the escapes. */
static bool
quoted_string(Slice text, Slice *inside)
{
	size_t		i;

	if (text.len < 2 || text.data[0] != '"')
		return false;
	for (i = 1; i < text.len && text.data[i] != '"'; i++)
	{
		if (text.data[i] == '\\')
			i++;
	}
	if (i != text.len - 1)
		return false;
	*inside = slice_make(text.data + 1, text.len - 2);
	return true;
}

/* The value of every operator but `in`; false if the scratch is too small. */
static bool
unquote(Slice written, Scratch *scratch, Slice *value)
{
	Slice		inside;
	Writer		w;

	*value = written;
	if (!quoted_string(written, &inside))
		return true;
	*value = inside;
	if (!slice_has_byte(inside, '\\'))
		return true;
	w = writer_fixed(scratch->data, scratch->left);
	for (size_t i = 0; i < inside.len; i++)
	{
		if (inside.data[i] == '\\')
			i++;
		writer_char(&w, inside.data[i]);
	}
	*value = writer_written(&w);
	scratch->data += w.len;
	scratch->left -= w.len;
	return !w.failed;
}

/* The value of `in`, which is between parentheses, as an array literal; false if the scratch is too small. */
static bool
make_array(Slice written, Scratch *scratch, Slice *value)
{
	if (written.len > scratch->left)
		return false;
	memcpy(scratch->data, written.data, written.len);
	scratch->data[0] = '{';
	scratch->data[written.len - 1] = '}';
	*value = slice_make(scratch->data, written.len);
	scratch->data += written.len;
	scratch->left -= written.len;
	return true;
}

/* Read the value of a condition whose operator is known. */
static bool
parse_value(Slice written, Scratch *scratch, FilterCondition *condition, Writer *error)
{
	bool		fits;

	if (condition->op == FILTER_IN)
	{
		if (written.len < 2 || written.data[0] != '(' || written.data[written.len - 1] != ')')
			return refuse(error, "`in` filter value must be wrapped by parentheses");
		fits = make_array(written, scratch, &condition->value);
	}
	else
		fits = unquote(written, scratch, &condition->value);

	/* Can't happen with a scratch as the header asks for. */
	return fits || refuse(error, "filter is too long");
}

/* Read one condition, trimmed. */
static bool
parse_segment(Slice segment, Scratch *scratch, FilterCondition *condition, Writer *error)
{
	static const Slice not_prefix = SLICE_INIT("not.");
	Slice		rest;
	Slice		op;
	Slice		value;

	if (segment.len == 0)
		return refuse(error, "filter must not contain empty segments (check for extra commas)");
	if (!cut(segment, '=', &condition->column, &rest))
		return refuse_pieces(error, segment, NULL);
	condition->negate = slice_starts_with(rest, not_prefix);
	if (condition->negate)
		rest = slice_skip(rest, not_prefix.len);
	if (!cut(rest, '.', &op, &value))
		return refuse_pieces(error, rest, NULL);
	if (!find_op(op, &condition->op))
		return refuse_pieces(error, op, &value);
	return parse_value(value, scratch, condition, error);
}

/* Read a filter. */
int
filter_parse(Slice text, char *scratch, size_t scratch_size, FilterCondition *conditions, int max, Writer *error)
{
	Scratch		room = {scratch, scratch_size};
	Slice		rest = trim(text);
	int			count = 0;

	if (rest.len == 0)
		return 0;
	if (max > FILTER_MAX_CONDITIONS)
		max = FILTER_MAX_CONDITIONS;
	for (;;)
	{
		size_t		len = segment_length(rest);

		if (count == max)
		{
			start_error(error);
			writer_literal(error, "filter must not contain more than ");
			writer_int(error, max);
			writer_literal(error, " conditions");
			return -1;
		}
		if (!parse_segment(trim(slice_make(rest.data, len)), &room, &conditions[count], error))
			return -1;
		count++;
		if (len == rest.len)
			return count;
		rest = slice_skip(rest, len + 1);
	}
}
