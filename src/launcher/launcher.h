/*
 * launcher.h
 *	  The launcher: says which workers are wanted, keeps the partitions of realtime.messages and the anchor slot.
 */
#ifndef REALTIME_LAUNCHER_H
#define REALTIME_LAUNCHER_H

/* Entry point of the worker, called by the postmaster's child only. */
extern PGDLLEXPORT void realtime_launcher_main(Datum argument);

#endif							/* REALTIME_LAUNCHER_H */
