/*
 * wheel.c
 *	  Coarse timers.
 */
#include "listener/wheel.h"

#include <stddef.h>

#define SLOT(tick)		((tick) & (WHEEL_SLOTS - 1))

static inline void
unlink_timer(Timer *timer)
{
	timer->prev->next = timer->next;
	timer->next->prev = timer->prev;
	timer->next = timer->prev = NULL;
}

static inline void
link_timer(Timer *head, Timer *timer)
{
	timer->prev = head->prev;
	timer->next = head;
	head->prev->next = timer;
	head->prev = timer;
}

/* Prepare an empty wheel. */
void
wheel_init(Wheel *wheel, uint64_t now)
{
	*wheel = (Wheel) {.reached = now / WHEEL_TICK};
	for (int i = 0; i < WHEEL_SLOTS; i++)
		wheel->slots[i].next = wheel->slots[i].prev = &wheel->slots[i];
}

/* Set or move a timer. */
void
wheel_set(Wheel *wheel, Timer *timer, uint64_t due)
{
	uint64_t	tick = (due + WHEEL_TICK - 1) / WHEEL_TICK;

	if (tick <= wheel->reached)
		tick = wheel->reached + 1;
	if (tick > wheel->reached + WHEEL_SLOTS - 1)
		tick = wheel->reached + WHEEL_SLOTS - 1;
	if (timer->next != NULL)
		unlink_timer(timer);
	timer->due = due;
	link_timer(&wheel->slots[SLOT(tick)], timer);
	wheel->busy[SLOT(tick) / 64] |= UINT64_C(1) << (SLOT(tick) % 64);
}

/* Take a timer out, if it is set. */
void
wheel_cancel(Timer *timer)
{
	if (timer->next != NULL)
		unlink_timer(timer);
}

/*
 * Fire one slot. Its timers are moved to a list of their own first, so that one that sets itself again does not meet
 * itself; cancelling works on that list as well.
 */
static void
fire_slot(Wheel *wheel, uint64_t tick, uint64_t now)
{
	Timer	   *slot = &wheel->slots[SLOT(tick)];
	Timer		todo;

	wheel->busy[SLOT(tick) / 64] &= ~(UINT64_C(1) << (SLOT(tick) % 64));
	if (slot->next == slot)
		return;
	todo.next = slot->next;
	todo.prev = slot->prev;
	todo.next->prev = todo.prev->next = &todo;
	slot->next = slot->prev = slot;

	while (todo.next != &todo)
	{
		Timer	   *timer = todo.next;

		unlink_timer(timer);
		if (timer->due <= now)
			timer->fire(timer);
		else
			wheel_set(wheel, timer, timer->due);
	}
}

/* Fire everything that is due; after a long sleep each slot is visited once. */
void
wheel_turn(Wheel *wheel, uint64_t now)
{
	uint64_t	target = now / WHEEL_TICK;

	if (target > wheel->reached + WHEEL_SLOTS)
		wheel->reached = target - WHEEL_SLOTS;
	while (wheel->reached < target)
	{
		wheel->reached++;
		fire_slot(wheel, wheel->reached, now);
	}
}

/* How long until the first slot that holds something is over. */
int64_t
wheel_wait(Wheel *wheel, uint64_t now)
{
	for (uint64_t tick = wheel->reached + 1; tick < wheel->reached + WHEEL_SLOTS; tick++)
	{
		uint64_t	word = wheel->busy[SLOT(tick) / 64];
		uint64_t	bit = UINT64_C(1) << (SLOT(tick) % 64);

		if (word == 0 && SLOT(tick) % 64 == 0)
		{
			tick += 63;
			continue;
		}
		if ((word & bit) == 0)
			continue;
		if (wheel->slots[SLOT(tick)].next != &wheel->slots[SLOT(tick)])
		{
			uint64_t	at = tick * WHEEL_TICK;

			return at > now ? (int64_t) (at - now) : 0;
		}
		wheel->busy[SLOT(tick) / 64] &= ~bit;
	}
	return -1;
}
