/*
 * inspect.h
 *	  How a backend looks into a listener: the views connections, channels, presence and subscription read the listener's own
 *	  state, and realtime.disconnect acts on it.
 *
 * One request at a time, through one page in shared memory: the backend asks a listener for rows from a cursor on and
 * sets its latch; the listener fills the page between two turns of its loop, with whole rows only, and sets the
 * backend's latch. A row is a list of fields, each a 4-byte length (INSPECT_NULL: null) and that many bytes of text.
 */
#ifndef REALTIME_INSPECT_H
#define REALTIME_INSPECT_H

#include "wire/slice.h"

#define INSPECT_NULL		0xFFFFFFFFu
#define INSPECT_PAGE_SIZE	(256 * 1024)
#define INSPECT_ARGUMENTS	3
#define INSPECT_ARGUMENT_SIZE	(16 * 1024) /* bytes of all arguments */

typedef enum InspectWhat
{
	INSPECT_CONNECTIONS,
	INSPECT_CHANNELS,
	INSPECT_PRESENCE,
	INSPECT_SUBSCRIPTIONS,		/* also claims: who may see them is decided by who asks, sql/views.c */
	INSPECT_DISCONNECT			/* arguments topic, sub, reason, each may be null; one row: how many connections it ended */
} InspectWhat;

/* The listener's side of a request. Row: inspect_row_begin, a field for each column, inspect_row_end. */
typedef struct InspectWriter
{
	InspectWhat what;
	Slice		arguments[INSPECT_ARGUMENTS];	/* null: no data */
	uint64		cursor;			/* in: where to go on, 0 at first; out: where the next request goes on */
	bool		finished;		/* out: there are no more rows */
	char	   *page;
	Size		used;
	Size		row_start;
	bool		overflow;
} InspectWriter;

extern Size inspect_shmem_size(void);
extern void inspect_shmem_init(void);

/*
 * Listener, once per loop turn: is there a request for me? Then fill the writer and answer it with inspect_answer.
 * Never throws.
 */
extern bool inspect_pending(int listener, InspectWriter *writer);
extern void inspect_answer(int listener, InspectWriter *writer);

/* false from row_end: the row did not fit and was taken back; stop, and leave the cursor at it. */
extern void inspect_row_begin(InspectWriter *writer);
extern void inspect_text(InspectWriter *writer, Slice text);
extern void inspect_int(InspectWriter *writer, int64 value);
extern void inspect_null(InspectWriter *writer);
extern bool inspect_row_end(InspectWriter *writer);

/*
 * Backend: ask each running listener for what, with these arguments (INSPECT_ARGUMENTS of them, or NULL for none; an
 * error if they are too long together). All rows are handed, page by page, to callback (which may throw) as a palloc'd
 * copy of the page. A listener that does not answer within 5 s is an error with a hint.
 */
typedef void (*InspectCallback) (int listener, const char *page, Size length, void *arg);
extern void inspect_all(InspectWhat what, const Slice *arguments, InspectCallback callback, void *arg);

/* Next field of a page: false at its end; a null field has data NULL. */
extern bool inspect_next_field(const char *page, Size length, Size *offset, Slice *field);

#endif							/* REALTIME_INSPECT_H */
