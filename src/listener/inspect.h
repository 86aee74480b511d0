/*
 * inspect.h
 *	  What this listener shows of itself in realtime.connections and realtime.channels.
 */
#ifndef REALTIME_LISTENER_INSPECT_H
#define REALTIME_LISTENER_INSPECT_H

/* The loop, once per turn: answer a backend that asks. */
extern void listener_inspect(int listener);

#endif							/* REALTIME_LISTENER_INSPECT_H */
