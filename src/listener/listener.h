/*
 * listener.h
 *	  The listener: owns sockets and nothing else.
 */
#ifndef REALTIME_LISTENER_H
#define REALTIME_LISTENER_H

/* Entry point of the worker, called by the postmaster's child only; the argument is the listener's index. */
extern PGDLLEXPORT void realtime_listener_main(Datum argument);

#endif							/* REALTIME_LISTENER_H */
