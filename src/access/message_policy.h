/*
 * message_policy.h
 *	  One question about realtime.messages: read or write, for broadcast and presence, judged on the row that the
 *	  reference would have inserted as a probe. Authorizers only.
 */
#ifndef REALTIME_MESSAGE_POLICY_H
#define REALTIME_MESSAGE_POLICY_H

#include "shared/questions.h"

/* Once per process; watch_all: of one process, the one that looks often (policy_watch.h). */
extern void message_policy_init(bool watch_all);

/*
 * Answer a question, in a transaction of its own that is rolled back. Never throws, apart from FATAL: what a policy
 * raises is logged, with topic and role, and answered ANSWER_FAILED or ANSWER_CANCELED. *changed: the policies are not those
 * that others were judged by.
 */
extern Answer message_policy_answer(const Question *question, bool *changed);

/* Have the policies changed? Runs an empty transaction; does not wait for locks. May throw, for want of memory. */
extern bool message_policy_changed(void);

#endif							/* REALTIME_MESSAGE_POLICY_H */
