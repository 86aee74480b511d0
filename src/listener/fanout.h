/*
 * fanout.h
 *	  From the bus to the members of a topic.
 *
 * Broadcasts that follow each other on one topic are delivered together: to nearly all members they are one frame in their
 * queues, made once. So what a member costs is paid once in a turn of the loop and not for each message, which counts most
 * when there are many members, many messages, and sockets that don't take them.
 *
 * Everything here runs in the listener. Nothing throws; frames are only queued.
 */
#ifndef REALTIME_LISTENER_FANOUT_H
#define REALTIME_LISTENER_FANOUT_H

#include "listener/channel.h"
#include "shared/bus.h"

/* Of which listener this process is: its own records bring acks. */
extern void fanout_init(int listener);

/*
 * A broadcast, in the order of the bus. It may wait for those that follow it on its topic, and points into the reader's
 * buffer: fanout_flush has to come before any other record is handled and before the buffer is used again.
 */
extern void fanout_add(const BusRecord *record);
extern void fanout_flush(void);

/* Deliver a broadcast to one member of its topic. */
extern void fanout_to(Channel *channel, const BusRecord *record);

/* The id of a row of realtime.messages, as text. */
extern void fanout_write_id(Writer *w, const BusRecord *record);

/* The channel that has put this record on the bus, if it is one of this listener's and still there; else NULL. */
extern Channel *fanout_sender(const BusRecord *record);

#endif							/* REALTIME_LISTENER_FANOUT_H */
