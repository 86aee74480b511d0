/*
 * input.h
 *	  From the bytes of a socket to requests and messages.
 */
#ifndef REALTIME_LISTENER_INPUT_H
#define REALTIME_LISTENER_INPUT_H

#include "listener/connection.h"
#include "shared/questions.h"

struct Subscription;

/* Bytes have come; they are changed (unmasked) where they lie. What they are depends on the state of the connection. */
extern void input_received(Connection *connection, char *data, Size length);

/* The request that has waited is answered: go on with those behind it. Outside of callbacks. */
extern void input_resume(Connection *connection);

/* Forget a request or a message that has come in part. */
extern void input_drop(Connection *connection);

/* Handle a whole message; answer, subscription: it has waited for this, NULL otherwise. */
extern void input_message(Connection *connection, Slice frame, bool binary, const Answer *answer,
						  struct Subscription *subscription);

#endif							/* REALTIME_LISTENER_INPUT_H */
