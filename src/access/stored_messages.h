/*
 * stored_messages.h
 *	  The messages of a private topic that realtime.messages holds, for a join that wants them replayed. Authorizers only.
 */
#ifndef REALTIME_STORED_MESSAGES_H
#define REALTIME_STORED_MESSAGES_H

#include "shared/questions.h"

/*
 * Put the newest question->replay_limit messages of the topic on the bus, oldest first, for the listener that asks, and say
 * so in the answer. In a transaction, as this worker: the policies have said that the topic may be read. May throw.
 */
extern void stored_messages_publish(const Question *question, const char *topic, Answer *answer);

#endif							/* REALTIME_STORED_MESSAGES_H */
