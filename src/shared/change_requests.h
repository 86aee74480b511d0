/*
 * change_requests.h
 *	  What the listeners ask of the changes worker: subscribe a channel, and end that.
 *
 * A ring in shared memory, many producers and one consumer. It is bounded: a listener that finds it full tries again in
 * its next turn. Answers come on the bus (BUS_CHANGES_ANSWER). A worker that starts asks all listeners by
 * BUS_CHANGES_ASK for the subscriptions that they have, and forgets nothing else.
 */
#ifndef REALTIME_CHANGE_REQUESTS_H
#define REALTIME_CHANGE_REQUESTS_H

#include "wire/slice.h"

/* A request is at most so large, all of it. */
#define CHANGE_REQUEST_MAX	(1024 * 1024)

typedef enum ChangeRequestKind
{
	CHANGE_REQUEST_RESET,		/* a listener has just started: whatever it had subscribed before is gone */
	CHANGE_REQUEST_SUBSCRIBE,	/* replaces the channel's subscription, if it has one */
	CHANGE_REQUEST_UNSUBSCRIBE
} ChangeRequestKind;

typedef struct ChangeRequest
{
	ChangeRequestKind kind;
	int16		listener;
	uint32		connection;		/* slot and generation are the listener's own business */
	uint32		connection_generation;
	uint32		subscription;	/* the listener's own number, not used before since it started: one for each channel */
	uint32		version;		/* SUBSCRIBE: repeated in the answer; grows when the same subscription is asked for again */
	Slice		topic;			/* without "realtime:", for logs */
	Slice		role;
	Slice		claims;			/* JSON object */
	Slice		entries;		/* JSON array of the postgres_changes of the join, as it came */
} ChangeRequest;

extern Size change_requests_shmem_size(void);
extern void change_requests_shmem_init(void);

/* Listener: false if the ring is full just now; *too_large: it can never be taken. Wakes the changes worker. Never throws. */
extern bool change_request_put(const ChangeRequest *request, bool *too_large);

/*
 * Changes worker: take the oldest request; its slices point into *buffer, which is grown by repalloc as needed (pass a buffer from
 * palloc and its size). false if there is none. May throw for want of memory; the request is then still there.
 */
extern bool change_request_take(ChangeRequest *request, char **buffer, Size *size);

#endif							/* REALTIME_CHANGE_REQUESTS_H */
