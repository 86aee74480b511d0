/*
 * filter.h
 *		The filter of a Postgres Changes entry: `column=[not.]op.value`, several joined by commas (PROTOCOL 6.2).
 */
#ifndef REALTIME_WIRE_FILTER_H
#define REALTIME_WIRE_FILTER_H

#include "wire/elixir.h"
#include "wire/slice.h"

/* Most conditions in one filter; more refuse it. */
#define FILTER_MAX_CONDITIONS	100

/* No error of filter_parse() is longer, in bytes. */
#define FILTER_ERROR_BOUND		(2 * ELIXIR_TEXT_BOUND + 128)

typedef enum FilterOp
{
	FILTER_EQ,
	FILTER_NEQ,
	FILTER_LT,
	FILTER_LTE,
	FILTER_GT,
	FILTER_GTE,
	FILTER_IN,
	FILTER_LIKE,
	FILTER_ILIKE,
	FILTER_IS,
	FILTER_MATCH,
	FILTER_IMATCH,
	FILTER_ISDISTINCT
} FilterOp;

typedef struct FilterCondition
{
	Slice		column;			/* what is before the first `=`; may be empty or end in blanks */
	FilterOp	op;
	bool		negate;
	Slice		value;			/* unquoted; of FILTER_IN an array literal of PostgreSQL, {…} */
} FilterCondition;

/*
 * Read a filter, a text (not a JSON token). Returns the number of conditions, 0 for an empty one, and -1 if it is
 * wrong: then *error is written with the whole text of PROTOCOL 6.2, "Error parsing `filter` params: …". Values that
 * differ from what is written (an escape between quotes, the braces of FILTER_IN) go into scratch, of at least text.len
 * bytes; everything else points into text. conditions has room for max; more than that or than FILTER_MAX_CONDITIONS
 * are an error.
 *
 * Whether there are such columns and whether the values fit their types is for the database to say. Names and values
 * may hold NUL bytes if the text does.
 */
int			filter_parse(Slice text, char *scratch, size_t scratch_size, FilterCondition *conditions, int max,
						 Writer *error) WIRE_MUST_CHECK;

/* The name of an operator, as it is written. */
const char *filter_op_name(FilterOp op);

#endif							/* REALTIME_WIRE_FILTER_H */
