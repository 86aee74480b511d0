/*
 * change_entry.h
 *		One entry of postgres_changes in a join: what of which table (PROTOCOL 6.1).
 */
#ifndef REALTIME_WIRE_CHANGE_ENTRY_H
#define REALTIME_WIRE_CHANGE_ENTRY_H

#include "wire/filter.h"
#include "wire/slice.h"

/* Most names in a select; more refuse the entry. No table has more columns. */
#define CHANGE_ENTRY_MAX_SELECT	1600

/* A writer with room for this many bytes takes every error of change_entry_parse(). */
#define CHANGE_ENTRY_ERROR_BOUND	FILTER_ERROR_BOUND

/* Bits of ChangeEntry.events, in the order of INSERT, UPDATE, DELETE. */
#define CHANGE_EVENT_INSERT	1
#define CHANGE_EVENT_UPDATE	2
#define CHANGE_EVENT_DELETE	4
#define CHANGE_EVENT_ALL	7

typedef struct ChangeEntry
{
	unsigned	events;			/* one bit, or all three */
	bool		any_schema;		/* "*" */
	bool		any_table;		/* "*", or no table at all */
	Slice		schema;			/* texts; "*" if any will do */
	Slice		table;
	int			condition_count;
	FilterCondition *conditions;	/* the caller's array */
	bool		has_select;		/* false without the key, and if the array holds no string */
	int			select_count;
	Slice	   *select;			/* the caller's array; texts, in the order given */
} ChangeEntry;

/*
 * Read an entry, a valid JSON object. out->conditions and out->select are arrays of FILTER_MAX_CONDITIONS and
 * CHANGE_ENTRY_MAX_SELECT that the caller provides. Texts point into the entry or, where they can't, into scratch, of
 * at least 2 * entry.len bytes. False: it is wrong, and the text for the client (PROTOCOL 6.1, 6.2) is written to
 * error; the entry is shown there as the reference shows its map, or as %{...} if it is very long or error has too
 * little room.
 *
 * No text of an entry that was accepted holds a NUL byte.
 */
bool		change_entry_parse(Slice entry, char *scratch, size_t scratch_size, ChangeEntry *out,
							   Writer *error) WIRE_MUST_CHECK;

/*
 * How the reference shows an entry in its errors, with the brackets: `[event: INSERT, schema: public, table: t,
 * filters: [], select: nil]`, filters as `[{"id", "eq", "hey", false}]`. Always on one line, whatever the reference does
 * with long ones.
 */
void		change_entry_write_inspected(Writer *w, const ChangeEntry *entry);

#endif							/* REALTIME_WIRE_CHANGE_ENTRY_H */
