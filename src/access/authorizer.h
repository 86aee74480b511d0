/*
 * authorizer.h
 *	  The authorizer: answers the listeners' questions by the policies of realtime.messages.
 */
#ifndef REALTIME_AUTHORIZER_H
#define REALTIME_AUTHORIZER_H

/* Entry point of the worker, called by the postmaster's child only; the argument is the authorizer's index. */
extern PGDLLEXPORT void realtime_authorizer_main(Datum argument);

#endif							/* REALTIME_AUTHORIZER_H */
