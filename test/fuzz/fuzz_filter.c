/*
 * fuzz_filter.c
 *		Any bytes as a filter; what was read of a right one is written anew, and must be read as the same.
 */
#include "fuzz.h"

#include "wire/filter.h"

/* Does this slice lie within the block? */
static bool
is_within(Slice inner, const char *block, size_t size)
{
	return inner.len == 0 || (inner.data >= block && inner.data + inner.len <= block + size);
}

/* Write a value so that it is read as this one: between quotes, or as the list of `in`. */
static void
write_value(Writer *w, const FilterCondition *c)
{
	if (c->op == FILTER_IN)
	{
		writer_char(w, '(');
		writer_bytes(w, c->value.data + 1, c->value.len - 2);
		writer_char(w, ')');
		return;
	}
	writer_char(w, '"');
	for (size_t i = 0; i < c->value.len; i++)
	{
		if (c->value.data[i] == '"' || c->value.data[i] == '\\')
			writer_char(w, '\\');
		writer_char(w, c->value.data[i]);
	}
	writer_char(w, '"');
}

static void
write_condition(Writer *w, const FilterCondition *c)
{
	writer_slice(w, c->column);
	writer_char(w, '=');
	writer_cstring(w, c->negate ? "not." : "");
	writer_cstring(w, filter_op_name(c->op));
	writer_char(w, '.');
	write_value(w, c);
}

/* One condition, written alone, is read as itself. */
static void
check_again(const FilterCondition *c)
{
	Writer		w = writer_measuring();
	char		error_text[FILTER_ERROR_BOUND];
	Writer		error = writer_fixed(error_text, sizeof(error_text));
	FilterCondition again;
	char	   *scratch;

	write_condition(&w, c);
	w = fuzz_writer(w.len);
	write_condition(&w, c);
	scratch = malloc(w.len);
	REQUIRE(scratch != NULL);
	REQUIRE(filter_parse(writer_written(&w), scratch, w.len, &again, 1, &error) == 1);
	REQUIRE(slice_equal(again.column, c->column) && again.op == c->op && again.negate == c->negate);
	REQUIRE(slice_equal(again.value, c->value));
	free(scratch);
	free(w.data);
}

/* Read the text with an error of this size. */
static int
parse(Slice text, char *scratch, FilterCondition *conditions, size_t error_size)
{
	Writer		error = fuzz_writer(error_size);
	int			count = filter_parse(text, scratch, text.len, conditions, FILTER_MAX_CONDITIONS, &error);

	REQUIRE(count <= FILTER_MAX_CONDITIONS);
	if (error_size == FILTER_ERROR_BOUND)
	{
		REQUIRE(!error.failed);
		REQUIRE((count < 0) == (error.len > 0));
		REQUIRE(!slice_is_utf8(text) || slice_is_utf8(writer_written(&error)));
		REQUIRE(!slice_has_byte(writer_written(&error), '\n') && !slice_has_byte(writer_written(&error), '\0'));
	}
	free(error.data);
	return count;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FilterCondition conditions[FILTER_MAX_CONDITIONS];
	Slice		text = slice_make(data, size);
	char	   *scratch = malloc(size + 1);
	int			count;

	REQUIRE(scratch != NULL);
	(void) parse(text, scratch, conditions, size % 64);
	count = parse(text, scratch, conditions, FILTER_ERROR_BOUND);
	for (int i = 0; i < count; i++)
	{
		const FilterCondition *c = &conditions[i];

		REQUIRE(is_within(c->column, text.data, size));
		REQUIRE(is_within(c->value, text.data, size) || is_within(c->value, scratch, size));
		REQUIRE(!slice_has_byte(c->column, '='));
		REQUIRE(c->op != FILTER_IN || (c->value.data[0] == '{' && c->value.data[c->value.len - 1] == '}'));

		/* What opens a quote or a parenthesis in the column swallows what follows when it stands alone, too. */
		if (c->op != FILTER_IN && !slice_has_byte(c->column, '"') && !slice_has_byte(c->column, '('))
			check_again(c);
	}
	free(scratch);
	return 0;
}
