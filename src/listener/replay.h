/*
 * replay.h
 *	  Stored messages that a join asks for (PROTOCOL 4.6).
 */
#ifndef REALTIME_LISTENER_REPLAY_H
#define REALTIME_LISTENER_REPLAY_H

#include "listener/asking.h"
#include "listener/channel.h"
#include "wire/join.h"

/* What the question of such a join asks for; nothing if it does not ask, or not in the right way. */
extern void replay_ask(const JoinConfig *config, AskingWants *wants);

/* Why a join that may read is refused nevertheless; NULL: it is not. */
extern const char *replay_refusal(const JoinConfig *config, const Answer *answer);

/* Send what has come with the answer that is being handled, and remember it, so that it does not come twice. */
extern void replay_send(Channel *channel);

#endif							/* REALTIME_LISTENER_REPLAY_H */
