/*
 * work.h
 *	  The transaction in which the changes worker judges: begun when something needs it, always rolled back.
 */
#ifndef REALTIME_CHANGES_WORK_H
#define REALTIME_CHANGES_WORK_H

/* There is a transaction with an active snapshot from here on. Stays in the memory context of the caller. */
extern void work_begin(void);

/* Take a new snapshot: what was committed before now is seen. Inside one. */
extern void work_look_again(void);

/* Roll back, if there is one; after an error as well. Stays in the memory context of the caller. */
extern void work_end(void);

extern bool work_is_on(void);

#endif							/* REALTIME_CHANGES_WORK_H */
