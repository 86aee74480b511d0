/*
 * wheel.h
 *	  Coarse timers: setting, moving and cancelling one costs the same however many there are.
 *
 * A ring of slots, each WHEEL_TICK milliseconds long, holds the timers that are due in it. A timer never fires early;
 * it may fire up to a tick late. One that lies beyond the ring waits in the last slot and is put further on from
 * there. No PostgreSQL, no allocation.
 *
 *		 reached           reached + 1 ... reached + WHEEL_SLOTS - 1
 *		 ^ all fired		^ fire next
 */
#ifndef REALTIME_LISTENER_WHEEL_H
#define REALTIME_LISTENER_WHEEL_H

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_TICK		64		/* ms */
#define WHEEL_SLOTS		1024	/* a power of two */

/* Part of what it belongs to. All zero is a timer that is not set. */
typedef struct Timer
{
	struct Timer *next;			/* NULL: not set */
	struct Timer *prev;
	uint64_t	due;			/* ms */
	void		(*fire) (struct Timer *timer);
} Timer;

typedef struct Wheel
{
	uint64_t	reached;		/* tick up to which everything has fired */
	uint64_t	busy[WHEEL_SLOTS / 64]; /* slots that may hold something */
	Timer		slots[WHEEL_SLOTS]; /* heads of circular lists */
} Wheel;

/* Times are milliseconds of one clock that does not go back. */
extern void wheel_init(Wheel *wheel, uint64_t now);

/* Fire at this time; a timer that is set already is moved. */
extern void wheel_set(Wheel *wheel, Timer *timer, uint64_t due);

extern void wheel_cancel(Timer *timer);

/* Fire what is due. A timer may set, move and cancel any timer, also itself. */
extern void wheel_turn(Wheel *wheel, uint64_t now);

/* Milliseconds until there may be something to fire; -1 if no timer is set. */
extern int64_t wheel_wait(Wheel *wheel, uint64_t now);

#endif							/* REALTIME_LISTENER_WHEEL_H */
