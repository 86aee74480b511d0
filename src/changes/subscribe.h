/*
 * subscribe.h
 *	  A request to subscribe: is what it asks for there, and right (PROTOCOL 6.1, 6.2, 6.5)?
 */
#ifndef REALTIME_CHANGES_SUBSCRIBE_H
#define REALTIME_CHANGES_SUBSCRIBE_H

#include "changes/subscription.h"

/*
 * Check the request and make the subscription, which the caller enters. NULL: it is refused, and *refusal is the text for the client, in
 * UTF-8 and in the current memory context. Ends the transaction if there was an error. Throws only when memory runs out.
 */
extern Subscription *subscribe(const ChangeRequest *request, char **refusal);

#endif							/* REALTIME_CHANGES_SUBSCRIBE_H */
