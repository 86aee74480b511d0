/*
 * presence_own.h
 *	  What the clients of this listener say of themselves, as it goes onto the bus. Used by presence*.c only.
 */
#ifndef REALTIME_LISTENER_PRESENCE_OWN_H
#define REALTIME_LISTENER_PRESENCE_OWN_H

#include "listener/channel.h"
#include "listener/presence_state.h"
#include "shared/bus.h"

#define PRESENCE_REF_SIZE	16	/* text of a phx_ref */

/* What a channel says of itself; made when it first does. */
typedef struct ChannelPresence
{
	bool		tracked;		/* on the bus, or on its way */
	char		ref[PRESENCE_REF_SIZE];	/* of what is tracked */
	Slice		meta;			/* that is tracked, with its refs; malloc'ed */
	TimestampTz since;
	Slice		payload;		/* that is tracked, or held back; malloc'ed */
	bool		held_back;		/* the latest is still to be sent: the payload, or, without one, an untrack */
	uint64		bucket;			/* of presence_rate */
	uint64		due;			/* loop clock, ms: when what is held back may be sent */
	Slice		key;			/* generated; malloc'ed */
} ChannelPresence;

/* At start; may end the process. */
extern void presence_own_init(int listener);

/*
 * Put the payload that the channel keeps on the bus. ref: to be answered when it comes back; empty: not. False: no
 * memory, or too long.
 */
extern bool presence_publish_track(Channel *channel, Slice ref);

/* Take it back: for good (BUS_PRESENCE_UNTRACK), or until the client has had its grace time (BUS_PRESENCE_LINGER). */
extern void presence_publish_untrack(Channel *channel, BusKind kind, Slice ref);

/* A track, or an untrack, of this listener was read back and applied. */
extern void presence_track_was_read(const BusRecord *read, PresenceOwner owner);
extern void presence_untrack_was_read(const BusRecord *read);

/* How many clients of this listener have said that they come or go, and were not read back yet. */
extern uint32 presence_on_the_way(void);

/* Put on the bus once more what this listener's own clients track. */
extern void presence_tell(void);

/* Free a malloc'ed slice. */
extern void presence_release(Slice *slice);

#endif							/* REALTIME_LISTENER_PRESENCE_OWN_H */
