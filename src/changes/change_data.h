/*
 * change_data.h
 *	  What a subscriber gets of a change: the DATA object of a postgres_changes message (PROTOCOL 6.6), UTF-8 JSON.
 *
 * Changes worker. Everything appends to out and throws only when memory runs out; what was appended until then stays.
 */
#ifndef REALTIME_CHANGE_DATA_H
#define REALTIME_CHANGE_DATA_H

#include "lib/stringinfo.h"

#include "shared/change_record.h"

/* A change whose JSON, all columns of it, has more bytes is delivered without its long values. */
#define CHANGE_DATA_MAX	(1024 * 1024)

/* The JSON of a value that stays in a change that is too large has at most so many bytes. */
#define CHANGE_DATA_SHORT_VALUE	64

#define CHANGE_ERROR_NO_KEY			"Error 400: Bad Request, no primary key"
#define CHANGE_ERROR_UNAUTHORIZED	"Error 401: Unauthorized"
#define CHANGE_ERROR_TOO_LARGE		"Error 413: Payload Too Large"

/* Is the change over CHANGE_DATA_MAX? It does not depend on who gets it. */
extern bool change_data_is_too_large(const ChangeRecord *record);

/*
 * The change, of the columns i for which shown[i] is set. With key_only_old old_record has primary key columns only.
 * too_large is what change_data_is_too_large said.
 */
extern void change_data_write(StringInfo out, const ChangeRecord *record, const bool *shown, bool key_only_old,
							  bool too_large);

/* What is told instead of a change that can't be shown: error is CHANGE_ERROR_NO_KEY or CHANGE_ERROR_UNAUTHORIZED. */
extern void change_data_write_error(StringInfo out, const ChangeRecord *record, const char *error);

/*
 * The column in the row after the change. An out-of-line value that an UPDATE has not touched is the one of the old
 * row, if that is known.
 */
static inline const ChangeValue *
change_column_after(const ChangeColumn *column)
{
	if (column->new.kind == VALUE_UNCHANGED && column->old.kind > VALUE_UNCHANGED)
		return &column->old;
	return &column->new;
}

#endif							/* REALTIME_CHANGE_DATA_H */
