/*
 * presence_state.h
 *	  Who is present where: the same state in every listener, since each applies the same records of the bus in one order.
 *
 * An entry belongs to the channel that tracks. What members of the topic know of it (announced) and what is true (meta)
 * differ between the record that changed it and the next presence_state_flush, which tells the members in one
 * presence_diff a topic. An entry that changes twice in between is told in two: nothing is left out.
 *
 * Listener only. Nothing throws; without memory an operation does nothing and says so.
 */
#ifndef REALTIME_LISTENER_PRESENCE_STATE_H
#define REALTIME_LISTENER_PRESENCE_STATE_H

#include "datatype/timestamp.h"

#include "wire/slice.h"

/* The channel that tracks, on any listener. */
typedef struct PresenceOwner
{
	int16		listener;
	uint32		connection;
	uint32		generation;
	uint32		channel;
} PresenceOwner;

typedef struct PresenceEntry
{
	struct PresenceEntry *next; /* of its topic */
	struct PresenceTopic *topic;
	PresenceOwner owner;
	uint64		serial;			/* of its connection, for people */
	TimestampTz since;
	bool		lingers;		/* its client is gone, and may come back under the same key */
	bool		confirmed;		/* seen since the state was last put in doubt */
	bool		changed;		/* meta is not what is announced */
	Slice		key;			/* these three are malloc'ed */
	Slice		meta;			/* JSON object; no data: it has left; may be the very text of announced */
	Slice		announced;		/* no data: members don't know of it */
} PresenceEntry;

typedef struct PresenceTopic
{
	struct PresenceTopic *next; /* in its bucket */
	struct PresenceTopic *next_changed;
	PresenceEntry *entries;
	uint32		count;
	bool		changed;
	bool		is_private;
	uint32		name_len;
	char		name[FLEXIBLE_ARRAY_MEMBER];	/* without prefix */
} PresenceTopic;

static inline bool
presence_same_owner(PresenceOwner a, PresenceOwner b)
{
	return a.listener == b.listener && a.connection == b.connection && a.generation == b.generation &&
		a.channel == b.channel;
}

/* Tell the members of a topic; diff is the payload of a presence_diff. Empty: no memory for it. */
typedef void (*PresenceAnnounce) (const PresenceTopic *topic, Slice diff);

/* At start; may end the process. */
extern void presence_state_init(PresenceAnnounce announce);

/*
 * The channel tracks with this key and meta: a new entry, another meta of its entry, or that of a lingering one of the
 * same key, which it takes over. The same meta again changes nothing. False: no memory.
 */
extern bool presence_state_track(Slice topic, bool is_private, PresenceOwner owner, uint64 serial, Slice key,
								 Slice meta, TimestampTz since);

/* It no longer does; or its client is gone, but may come back. */
extern void presence_state_untrack(Slice topic, bool is_private, PresenceOwner owner);
extern void presence_state_linger(Slice topic, bool is_private, PresenceOwner owner);

/* A listener is gone, with all its clients. */
extern void presence_state_drop_listener(int listener);

/* All entries but those of this listener are in doubt; and those that were not seen again since then are gone. */
extern void presence_state_doubt(int own_listener);
extern void presence_state_drop_doubtful(void);

/* Tell the members what has changed. */
extern void presence_state_flush(void);

/* Entries of a topic, and of all. */
extern uint32 presence_state_count(Slice topic, bool is_private);
extern uint32 presence_state_total(void);

/* The lingering entry of this key that a client that tracks would take over; NULL if there is none. */
extern const PresenceEntry *presence_state_lingering(Slice topic, bool is_private, Slice key);

/* The payload of a presence_state: what the members know. */
extern void presence_state_write(Writer *w, Slice topic, bool is_private);

/* Walk over all topics by number, from 0 on; NULL: there is none of this number, but there may be further ones below the limit. */
extern uint32 presence_state_buckets(void);
extern PresenceTopic *presence_state_bucket(uint32 number);

static inline Slice
presence_topic_name(const PresenceTopic *topic)
{
	return slice_make(topic->name, topic->name_len);
}

#endif							/* REALTIME_LISTENER_PRESENCE_STATE_H */
