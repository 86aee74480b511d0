/*
 * presence_own.c
 *	  What the clients of this listener say of themselves, on its way to the bus: metas and refs, who lingers, and what
 *	  other listeners are told when they ask.
 */
#include "postgres.h"

#include "port.h"
#include "utils/timestamp.h"

#include "listener/broadcast.h"
#include "listener/presence.h"
#include "listener/presence_own.h"
#include "listener/presence_state.h"
#include "listener/server.h"
#include "listener/tally.h"
#include "shared/histograms.h"
#include "shared/settings.h"
#include "wire/base64url.h"
#include "wire/json.h"

#define REF_SIZE			PRESENCE_REF_SIZE
#define KEY_SIZE			36	/* a generated key: a UUID */

/* An entry whose client is gone, and may come back. */
typedef struct Lingering
{
	Timer		timer;
	struct Lingering *next;
	bool		is_private;
	PresenceOwner owner;
	uint32		topic_len;
	char		topic[FLEXIBLE_ARRAY_MEMBER];
} Lingering;

static Lingering *lingering_list;
static uint32 on_the_way;		/* records of ours that were published with form 1 and not read back yet */

static int	listener;
static unsigned char ref_base[4];
static uint64 refs;

void
presence_own_init(int index)
{
	listener = index;
	ref_base[0] = (unsigned char) index;
	if (!pg_strong_random(ref_base + 1, sizeof(ref_base) - 1))
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
}

static PresenceOwner
owner_of(const Channel *channel)
{
	return (PresenceOwner)
	{
		listener, channel->connection->slot, channel->connection->generation, channel->number
	};
}

static BusRecord
record_of(const Channel *channel, BusKind kind)
{
	PresenceOwner owner = owner_of(channel);
	BusRecord	record = {
		.kind = kind,
		.has_id = true,
		.is_private = channel->topic->is_private,
		.topic = topic_name(channel->topic),
		.origin = {
			.listener = owner.listener,
			.connection = owner.connection,
			.connection_generation = owner.generation,
			.channel = owner.channel
		},
		.committed_at = GetCurrentTimestamp()
	};

	memcpy(record.id, &channel->connection->serial, sizeof(channel->connection->serial));
	return record;
}

/* ------------------------------------------------------ what is said ------------------------------------------------ */

/* Unique among all listeners and their restarts: 16 characters, as those of the reference. */
static void
new_ref(char *ref)
{
	unsigned char bytes[12];
	Writer		w = writer_fixed(ref, REF_SIZE);

	refs++;
	memcpy(bytes, ref_base, sizeof(ref_base));
	for (int i = 0; i < 8; i++)
		bytes[4 + i] = (unsigned char) (refs >> (56 - 8 * i));
	base64url_write(&w, bytes, sizeof(bytes));
}

/* {"phx_ref":R,"phx_ref_prev":P, and the members of the payload, but for those of these names}. */
static void
write_meta(Writer *w, const char *ref, Slice prev, Slice payload)
{
	WjsonIter	it;
	Slice		key;
	Slice		value;

	writer_literal(w, "{\"phx_ref\":\"");
	writer_bytes(w, ref, REF_SIZE);
	writer_char(w, '"');
	if (prev.len > 0)
	{
		writer_literal(w, ",\"phx_ref_prev\":\"");
		writer_slice(w, prev);
		writer_char(w, '"');
	}
	if (wjson_iter_start(&it, payload))
		while (wjson_iter_next(&it, &key, &value))
		{
			if (wjson_string_equals(key, SLICE_LITERAL("phx_ref")) ||
				wjson_string_equals(key, SLICE_LITERAL("phx_ref_prev")))
				continue;
			writer_char(w, ',');
			writer_slice(w, key);
			writer_char(w, ':');
			writer_slice(w, value);
		}
	writer_char(w, '}');
}

/* The key of the join, or one that is made for the channel. */
static Slice
key_of(Channel *channel)
{
	static const char hex[] = "0123456789abcdef";
	ChannelPresence *presence = channel->presence;
	unsigned char bytes[16];
	char	   *text;
	Writer		w;

	if (channel->presence_key.len > 0)
		return channel->presence_key;
	if (presence->key.len > 0)
		return presence->key;
	text = malloc(KEY_SIZE);
	if (text == NULL || !pg_strong_random(bytes, sizeof(bytes)))
	{
		free(text);
		return SLICE_EMPTY;
	}
	bytes[6] = (bytes[6] & 0x0F) | 0x40;
	bytes[8] = (bytes[8] & 0x3F) | 0x80;
	w = writer_fixed(text, KEY_SIZE);
	for (int i = 0; i < 16; i++)
	{
		if (i == 4 || i == 6 || i == 8 || i == 10)
			writer_char(&w, '-');
		writer_char(&w, hex[bytes[i] >> 4]);
		writer_char(&w, hex[bytes[i] & 0xF]);
	}
	presence->key = writer_written(&w);
	return presence->key;
}

/* The ref that the new one replaces: the channel's own, or that of a client that was lost under the same key. */
static Slice
previous_ref(Channel *channel, Slice key)
{
	ChannelPresence *presence = channel->presence;
	const PresenceEntry *lost;
	Slice		ref;

	if (presence->tracked)
		return slice_make(presence->ref, REF_SIZE);
	lost = presence_state_lingering(topic_name(channel->topic), channel->topic->is_private, key);
	if (lost != NULL && lost->announced.data != NULL && wjson_member(lost->announced, SLICE_LITERAL("phx_ref"), &ref))
		return slice_make(ref.data + 1, ref.len - 2);
	return SLICE_EMPTY;
}

void
presence_release(Slice *slice)
{
	free((char *) slice->data);
	*slice = SLICE_EMPTY;
}

bool
presence_publish_track(Channel *channel, Slice ref)
{
	ChannelPresence *presence = channel->presence;
	BusRecord	record = record_of(channel, BUS_PRESENCE_TRACK);
	char		new[REF_SIZE];
	Slice		key = key_of(channel);
	char		prev[REF_SIZE];
	Slice		previous = previous_ref(channel, key);
	Writer		measure = writer_measuring();
	Writer		w;
	char	   *meta;
	bool		done;

	if (key.len == 0 || previous.len > REF_SIZE)
		return false;
	if (previous.len > 0)
		memcpy(prev, previous.data, previous.len);
	previous = slice_make(prev, previous.len);
	new_ref(new);
	write_meta(&measure, new, previous, presence->payload);
	meta = malloc(measure.len);
	if (meta == NULL)
		return false;
	w = writer_fixed(meta, measure.len);
	write_meta(&w, new, previous, presence->payload);
	record.event = key;
	record.payload = writer_written(&w);
	record.ref = ref;
	record.origin.ack = ref.len > 0;
	record.form = presence->tracked ? 0 : 1;
	if (!presence->tracked)
		presence->since = record.committed_at;
	record.committed_at = presence->since;
	done = !w.failed && bus_publish(&record);
	if (!done)
	{
		free(meta);
		return false;
	}
	tally(COUNTER_PRESENCE_EVENTS, 1);
	histogram_add(HISTOGRAM_PRESENCE_SIZE, presence->payload.len);
	presence_release(&presence->meta);
	presence->meta = record.payload;
	memcpy(presence->ref, new, REF_SIZE);
	presence->held_back = false;
	if (!presence->tracked)
	{
		on_the_way++;
		presence->tracked = true;
		if (channel->connection->tracks++ == 0)
			server_limit_unacknowledged(channel->connection, realtime_client_timeout);
		connection_schedule(channel->connection);
	}
	if (record.origin.ack)
		channel->in_flight++;
	return true;
}

void
presence_publish_untrack(Channel *channel, BusKind kind, Slice ref)
{
	BusRecord	record = record_of(channel, kind);

	record.form = 1;
	record.ref = ref;
	record.origin.ack = ref.len > 0;
	if (record.origin.ack)
		channel->in_flight++;
	if (bus_publish(&record))
		on_the_way++;
	channel->presence->tracked = false;
	if (--channel->connection->tracks == 0)
		server_limit_unacknowledged(channel->connection, 0);
}

static void
count_read(const BusRecord *read)
{
	if (read->origin.listener == listener && read->form == 1 && on_the_way > 0)
		on_the_way--;
}

void
presence_untrack_was_read(const BusRecord *read)
{
	count_read(read);
}

uint32
presence_on_the_way(void)
{
	return on_the_way;
}

/* Some may have been lost, and will never be read. */
void
presence_settle(void)
{
	while (on_the_way > 0 && broadcast_read_bus())
		;
	on_the_way = 0;
}

/* ------------------------------------------------------ the end ----------------------------------------------------- */

/* The grace time is over: for all listeners, whoever has taken the entry over meanwhile keeps it. */
static void
grace_is_over(Timer *timer)
{
	Lingering  *lingering = (Lingering *) ((char *) timer - offsetof(Lingering, timer));
	BusRecord	record = {
		.kind = BUS_PRESENCE_UNTRACK,
		.is_private = lingering->is_private,
		.topic = slice_make(lingering->topic, lingering->topic_len),
		.origin = {
			.listener = lingering->owner.listener,
			.connection = lingering->owner.connection,
			.connection_generation = lingering->owner.generation,
			.channel = lingering->owner.channel
		}
	};

	for (Lingering **link = &lingering_list; *link != NULL; link = &(*link)->next)
		if (*link == lingering)
		{
			*link = lingering->next;
			break;
		}
	(void) bus_publish(&record);
	free(lingering);
}

/* False: no memory. */
static bool
linger(Channel *channel)
{
	Slice		name = topic_name(channel->topic);
	Lingering  *lingering = calloc(1, offsetof(Lingering, topic) + name.len);

	if (lingering == NULL)
		return false;
	lingering->timer.fire = grace_is_over;
	lingering->is_private = channel->topic->is_private;
	lingering->owner = owner_of(channel);
	lingering->topic_len = name.len;
	memcpy(lingering->topic, name.data, name.len);
	lingering->next = lingering_list;
	lingering_list = lingering;
	wheel_set(&connection_wheel, &lingering->timer, connection_clock() + channel->presence_grace);
	return true;
}

void
presence_channel_ends(Channel *channel, bool lost)
{
	ChannelPresence *presence = channel->presence;

	if (presence == NULL)
		return;
	if (presence->tracked)
		presence_publish_untrack(channel, lost && channel->presence_grace > 0 && linger(channel) ?
						BUS_PRESENCE_LINGER : BUS_PRESENCE_UNTRACK, SLICE_EMPTY);
	presence_release(&presence->meta);
	presence_release(&presence->payload);
	presence_release(&presence->key);
	free(presence);
	channel->presence = NULL;
}

void
presence_connection_lost(Connection *connection)
{
	for (Channel *channel = connection->channels; channel != NULL; channel = channel->next)
		presence_channel_ends(channel, true);
}

/* ------------------------------------------------- telling other listeners ------------------------------------------ */

static void
tell_channel(Channel *channel, void *arg)
{
	ChannelPresence *presence = channel->presence;
	BusRecord	record;

	if (presence == NULL || !presence->tracked)
		return;
	record = record_of(channel, BUS_PRESENCE_TRACK);
	record.event = key_of(channel);
	record.payload = presence->meta;
	record.committed_at = presence->since;
	(void) bus_publish(&record);
}

/* Is the channel that this entry of ours belongs to present? */
static bool
is_present(PresenceOwner owner)
{
	Connection *connection = connection_find(owner.connection, owner.generation);

	for (Channel *channel = connection == NULL ? NULL : connection->channels; channel != NULL; channel = channel->next)
		if (channel->number == owner.channel)
			return channel->presence != NULL && channel->presence->tracked;
	return false;
}

static bool
is_lingering(PresenceOwner owner)
{
	for (const Lingering *lingering = lingering_list; lingering != NULL; lingering = lingering->next)
		if (presence_same_owner(lingering->owner, owner))
			return true;
	return false;
}

/*
 * What is told of a client that lingers may come after what has ended it, and would then stay for ever: whoever reads
 * back that a client of his is present which is not any more says that it has left.
 */
void
presence_track_was_read(const BusRecord *read, PresenceOwner owner)
{
	BusRecord	record = {
		.kind = BUS_PRESENCE_UNTRACK,
		.is_private = read->is_private,
		.topic = read->topic,
		.origin = read->origin
	};

	count_read(read);
	if (owner.listener != listener || is_present(owner) || is_lingering(owner))
		return;
	record.origin.ack = false;
	(void) bus_publish(&record);
}

/* Entries of ours that no channel stands behind: they linger, or should be gone. */
static void
tell_entry(const PresenceEntry *entry)
{
	bool		lingers = is_lingering(entry->owner);
	BusRecord	record = {
		.kind = BUS_PRESENCE_TRACK,
		.has_id = true,
		.is_private = entry->topic->is_private,
		.topic = presence_topic_name(entry->topic),
		.event = entry->key,
		.payload = entry->meta,
		.committed_at = entry->since,
		.origin = {
			.listener = entry->owner.listener,
			.connection = entry->owner.connection,
			.connection_generation = entry->owner.generation,
			.channel = entry->owner.channel
		}
	};

	if (entry->owner.listener != listener || entry->meta.data == NULL || is_present(entry->owner))
		return;
	memcpy(record.id, &entry->serial, sizeof(entry->serial));
	if (lingers)
		(void) bus_publish(&record);
	record.kind = lingers ? BUS_PRESENCE_LINGER : BUS_PRESENCE_UNTRACK;
	(void) bus_publish(&record);
}

void
presence_tell(void)
{
	channels_each(tell_channel, NULL);
	for (uint32 i = 0; i < presence_state_buckets(); i++)
		for (PresenceTopic *topic = presence_state_bucket(i); topic != NULL; topic = topic->next)
			for (PresenceEntry *entry = topic->entries; entry != NULL; entry = entry->next)
				tell_entry(entry);
}
