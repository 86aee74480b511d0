/*
 * discard.h
 *	  Queues that nobody sends any more.
 *
 * Whoever never reads may leave a long queue behind, and a thousand of them are closed by the very same message. To give up
 * all their frames there and then would keep the others waiting: it is done a part in each turn. Only the listener.
 */
#ifndef REALTIME_LISTENER_DISCARD_H
#define REALTIME_LISTENER_DISCARD_H

#include "listener/frame.h"

/*
 * Take over a malloced array of references, of which those from first to before end count; they and it are given up now if
 * they are few, or there is no memory to remember them, else in later turns.
 */
extern void discard_frames(Frame **frames, uint32 first, uint32 end, uint32 capacity);

/* The loop, once a turn: a part, or the tenfold if memory is short. */
extern void discard_turn(bool hurry);

/* Is something left? Then the loop shall not sleep. */
extern bool discard_waiting(void);

/* Bytes of the arrays that are left; what they refer to is counted by frame.c. */
extern Size discard_memory(void);

#endif							/* REALTIME_LISTENER_DISCARD_H */
