/*
 * worker.h
 *	  The changes worker: takes changes from the change decoder, judges them for every subscriber, and puts them on the bus.
 */
#ifndef REALTIME_CHANGES_WORKER_H
#define REALTIME_CHANGES_WORKER_H

/* Entry point of the worker, called by the postmaster's child only. */
extern PGDLLEXPORT void realtime_changes_main(Datum argument);

#endif							/* REALTIME_CHANGES_WORKER_H */
