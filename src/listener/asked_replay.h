/*
 * asked_replay.h
 *	  The messages of a join that wants stored ones, until it has them: those that come with the answer to its question, and
 *	  those that come by live meanwhile.
 */
#ifndef REALTIME_LISTENER_ASKED_REPLAY_H
#define REALTIME_LISTENER_ASKED_REPLAY_H

#include "shared/bus.h"
#include "wire/slice.h"

typedef struct AskedReplay AskedReplay;

/* From now on what comes by for this private topic is kept. NULL: there is no memory. The topic is referenced. */
extern AskedReplay *asked_replay_begin(Slice topic);

/* The same topic, which is referenced elsewhere from now on. */
extern void asked_replay_refer(AskedReplay *replay, Slice topic);

/* NULL: there is nothing to forget. */
extern void asked_replay_forget(AskedReplay *replay);

/* A BUS_REPLAY has come by that belongs to it. */
extern void asked_replay_row(AskedReplay *replay, const BusRecord *record);

/* The stored messages, for bus_next, and how many; none of NULL. */
extern Slice asked_replay_rows(const AskedReplay *replay);
extern uint32 asked_replay_count(const AskedReplay *replay);

/* What has come live, if that is all after this mark. False: it is not, or nothing was kept. */
extern bool asked_replay_live_since(const AskedReplay *replay, HistoryMark mark, Slice *records);

/* A broadcast has come by: those on its topic keep it. */
extern void asked_replays_broadcast(const BusRecord *record);

/* Broadcasts of this topic, or of any if it is empty, did not come by. */
extern void asked_replays_lost(Slice topic);

#endif							/* REALTIME_LISTENER_ASKED_REPLAY_H */
