/*
 * readiness.h
 *	  Are messages from the database delivered? What the channels are told about it.
 */
#ifndef REALTIME_LISTENER_READINESS_H
#define REALTIME_LISTENER_READINESS_H

#include "listener/channel.h"

/* After a join. */
extern void readiness_joined(Channel *channel, bool wants_ready);

/* BUS_DATABASE_WAITING with its text, and BUS_DATABASE_READY. */
extern void readiness_waiting(Slice text);
extern void readiness_ready(void);

/* Either of them may have been lost. */
extern void readiness_lapped(void);

#endif							/* REALTIME_LISTENER_READINESS_H */
