/*
 * resume.h
 *	  Where a channel begins in the messages of its topic: clients that come back get what they have missed, or are told
 *	  that they can't; and nothing comes twice after a replay.
 */
#ifndef REALTIME_LISTENER_RESUME_H
#define REALTIME_LISTENER_RESUME_H

#include "listener/channel.h"
#include "shared/bus.h"
#include "wire/join.h"

/*
 * A join, in this order and with nothing in between that reads the bus: find out where the channel begins; add that to the
 * response of its ok reply, a JSON object, at most RESUME_REPLY_BOUND bytes; and after the reply send what comes first.
 */
#define RESUME_REPLY_BOUND	(RESUME_MARK_BOUND + 64)

extern void resume_begin(Channel *channel, const JoinConfig *config, const Answer *answer);
extern void resume_write_reply(const Channel *channel, Writer *response);
extern void resume_send(Channel *channel);

/* Has this channel had this message already, or was it sent before it began? */
extern bool resume_keeps_back(const Channel *channel, const BusRecord *record);

/* The whole payload of a BUS_FORM_TEXT, with its mark; empty if there is no memory. Valid until the next call. */
extern Slice resume_payload(const BusRecord *record);

#endif							/* REALTIME_LISTENER_RESUME_H */
