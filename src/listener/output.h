/*
 * output.h
 *	  From queues to sockets: everything that a connection gets in one turn of the loop goes out in one write.
 */
#ifndef REALTIME_LISTENER_OUTPUT_H
#define REALTIME_LISTENER_OUTPUT_H

#include "listener/connection.h"

/*
 * Queue a frame (one more reference). Over client_queue_size, or without memory, the connection is closed instead.
 * A NULL frame stands for one that could not be made for want of memory. Nothing happens unless the connection is in
 * CONNECTION_HTTP or CONNECTION_OPEN.
 */
extern void output_queue(Connection *connection, Frame *frame);

/* Queue and give up the caller's reference. */
extern void output_send(Connection *connection, Frame *frame);

/* The last frame that a connection gets: past every limit, while it is being closed. Gives up the reference. */
extern void output_last(Connection *connection, Frame *frame);

/* Let the next output_turn visit this connection. */
extern void output_wants_turn(Connection *connection);

/* The loop, not callbacks: write for every connection that has something to send. */
extern void output_turn(void);

/* The loop, at the end of a turn: past queue_memory the connections with the longest queues are closed. */
extern void output_keep_budget(void);

/* Write for one connection now, also in its own callback. */
extern void output_now(Connection *connection);

/* Is somebody left for the next turn? */
extern bool output_waiting(void);

/* The socket takes more. False: it is broken, and shall be closed. */
extern bool output_writeable(Connection *connection);

/* client_queue_soft may be another. */
extern void output_reloaded(Connection *connection);

/* Forget what is queued, but for a frame that is half sent. */
extern void output_drop(Connection *connection);

/* The connection is gone: forget everything. */
extern void output_free(Connection *connection);

#endif							/* REALTIME_LISTENER_OUTPUT_H */
