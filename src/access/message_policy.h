/*
 * message_policy.h
 *	  One question about realtime.messages: read or write, for broadcast and presence, judged on the row that the
 *	  reference would have inserted as a probe. Authorizers only.
 */
#ifndef REALTIME_MESSAGE_POLICY_H
#define REALTIME_MESSAGE_POLICY_H

#include "shared/questions.h"

/* Once per process. */
extern void message_policy_init(void);

/*
 * Answer a question, in a transaction of its own that is rolled back. Never throws, apart from FATAL: what a policy
 * raises is logged, with topic and role, and answered ANSWER_FAILED or ANSWER_CANCELED.
 */
extern Answer message_policy_answer(const Question *question);

/* A number that changes whenever verdicts may have changed because of DDL. Runs an empty transaction. */
extern uint64 message_policy_fingerprint(void);

#endif							/* REALTIME_MESSAGE_POLICY_H */
