/*
 * topic.h
 *	  The topics that somebody on this listener has joined, and their members.
 *
 * Public and private channels of the same name are two topics: nothing of one ever reaches the other. A topic lives as
 * long as it has members.
 */
#ifndef REALTIME_LISTENER_TOPIC_H
#define REALTIME_LISTENER_TOPIC_H

#include "wire/slice.h"

struct Channel;

/* What comes before the name of every topic on the wire. */
#define TOPIC_PREFIX		SLICE_LITERAL("realtime:")

typedef struct Topic
{
	struct Topic *next;			/* in its bucket */
	uint64		hash;
	struct Channel **members;	/* in no particular order */
	uint32		member_count;
	uint32		member_capacity;
	bool		is_private;
	uint32		full_len;
	char		full[FLEXIBLE_ARRAY_MEMBER];	/* with the prefix */
} Topic;

static inline Slice
topic_full(const Topic *topic)
{
	return slice_make(topic->full, topic->full_len);
}

/* Without the prefix. */
static inline Slice
topic_name(const Topic *topic)
{
	return slice_skip(topic_full(topic), TOPIC_PREFIX.len);
}

extern void topics_init(void);

/* The topic of this name, without the prefix; NULL if nobody here has joined it. */
extern Topic *topic_find(Slice name, bool is_private);

/* Enter and leave. Entering makes the topic if there is none; false: no memory. Leaving may free it. */
extern bool topic_enter(struct Channel *channel, Slice name, bool is_private);
extern void topic_leave(struct Channel *channel);

#endif							/* REALTIME_LISTENER_TOPIC_H */
