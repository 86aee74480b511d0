/*
 * presence.c
 *	  What clients say about themselves.
 */
#include "postgres.h"

#include "port.h"
#include "utils/timestamp.h"

#include "listener/asking.h"
#include "listener/broadcast.h"
#include "listener/output.h"
#include "listener/presence.h"
#include "listener/presence_news.h"
#include "listener/presence_state.h"
#include "listener/server.h"
#include "shared/settings.h"
#include "wire/base64url.h"
#include "wire/json.h"

#define REF_SIZE			16	/* text of a phx_ref */
#define KEY_SIZE			36	/* a generated key: a UUID */
#define RATE_WINDOW			1000	/* ms */

/* What a channel says of itself; made when it first does. */
typedef struct ChannelPresence
{
	bool		tracked;		/* on the bus, or on its way */
	char		ref[REF_SIZE];	/* of what is tracked */
	Slice		meta;			/* that is tracked, with its refs; malloc'ed */
	TimestampTz since;
	Slice		payload;		/* that is tracked, or held back; malloc'ed */
	bool		held_back;		/* the latest is still to be sent: the payload, or, without one, an untrack */
	uint64		window_start;	/* loop clock, ms */
	int			window_count;
	Slice		key;			/* generated; malloc'ed */
} ChannelPresence;

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
static uint32 untracks_on_the_way;	/* ours that were published with form 1 and not read back yet */

static int	listener;
static unsigned char ref_base[4];
static uint64 refs;

void
presence_init(int index)
{
	listener = index;
	ref_base[0] = (unsigned char) index;
	if (!pg_strong_random(ref_base + 1, sizeof(ref_base) - 1))
		ereport(FATAL,
				(errcode(ERRCODE_INTERNAL_ERROR),
				 errmsg("could not generate random values")));
	presence_news_init(index);
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

static void
release(Slice *slice)
{
	free((char *) slice->data);
	*slice = SLICE_EMPTY;
}

/* Put a track on the bus. ref: to be answered when it comes back; empty: not. False: no memory, or too long. */
static bool
publish_track(Channel *channel, Slice ref)
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
	if (!presence->tracked)
		presence->since = record.committed_at;
	record.committed_at = presence->since;
	done = !w.failed && bus_publish(&record);
	if (!done)
	{
		free(meta);
		return false;
	}
	release(&presence->meta);
	presence->meta = record.payload;
	memcpy(presence->ref, new, REF_SIZE);
	presence->held_back = false;
	if (!presence->tracked)
	{
		presence->tracked = true;
		if (channel->connection->tracks++ == 0)
			server_limit_unacknowledged(channel->connection, realtime_client_timeout);
		connection_schedule(channel->connection);
	}
	if (record.origin.ack)
		channel->in_flight++;
	return true;
}

/* Take it back: for good, or until the client has had its grace time. */
static void
publish_untrack(Channel *channel, BusKind kind, Slice ref)
{
	BusRecord	record = record_of(channel, kind);

	record.form = 1;
	record.ref = ref;
	record.origin.ack = ref.len > 0;
	if (record.origin.ack)
		channel->in_flight++;
	if (bus_publish(&record))
		untracks_on_the_way++;
	channel->presence->tracked = false;
	channel->connection->tracks--;
}

void
presence_untrack_was_read(const BusRecord *read)
{
	if (read->origin.listener == listener && read->form == 1 && untracks_on_the_way > 0)
		untracks_on_the_way--;
}

/* Some may have been lost, and will never be read. */
void
presence_settle(void)
{
	while (untracks_on_the_way > 0 && broadcast_read_bus())
		;
	untracks_on_the_way = 0;
}

/* ------------------------------------------------------ pushes ------------------------------------------------------ */

static void
reply_ok(Channel *channel, Slice ref)
{
	channel_reply(channel, ref, true, SLICE_LITERAL("{}"));
}

static bool
keep_payload(ChannelPresence *presence, Slice payload)
{
	char	   *copy = malloc(payload.len);

	if (copy == NULL)
		return false;
	memcpy(copy, payload.data, payload.len);
	release(&presence->payload);
	presence->payload = slice_make(copy, payload.len);
	return true;
}

/* Is the channel within presence_rate? Counts. */
static bool
within_rate(ChannelPresence *presence)
{
	uint64		now = connection_clock();

	if (now >= presence->window_start + RATE_WINDOW)
	{
		presence->window_start = now;
		presence->window_count = 0;
	}
	return presence->window_count++ < realtime_presence_rate;
}

/* Over the rate only the latest counts, and is sent when the window is over. */
static void
hold_back(Channel *channel, Slice ref)
{
	channel->presence->held_back = true;
	channel_schedule(channel);
	reply_ok(channel, ref);
}

static void
track(Channel *channel, Slice payload, Slice ref)
{
	ChannelPresence *presence = channel->presence;

	if (presence->payload.data != NULL && wjson_equal(presence->payload, payload))
	{
		reply_ok(channel, ref);
		return;
	}
	if (!presence->tracked &&
		presence_state_count(topic_name(channel->topic), channel->topic->is_private) >= (uint32) realtime_max_presence_per_topic)
		channel_reply_error(channel, ref, SLICE_LITERAL("TooManyPresences: as many clients as realtime.max_presence_per_topic "
														"allows are present on this topic, try again later"));
	else if (!presence->tracked && presence_state_total() >= (uint32) realtime_max_presence)
		channel_reply_error(channel, ref, SLICE_LITERAL("TooManyPresences: as many clients as realtime.max_presence "
														"allows are present, try again later"));
	else if (!keep_payload(presence, payload))
		channel_reply_error(channel, ref, SLICE_LITERAL("OutOfMemory: the server has no memory for this payload, try again later"));
	else if (!within_rate(presence))
		hold_back(channel, ref);
	else if (!publish_track(channel, ref))
	{
		/* the same payload must not be taken for one that is tracked */
		release(&presence->payload);
		channel_reply_error(channel, ref, SLICE_LITERAL("OutOfMemory: the server has no memory for this payload, try again later"));
	}
}

static void
untrack(Channel *channel, Slice ref)
{
	ChannelPresence *presence = channel->presence;

	if (presence != NULL)
		release(&presence->payload);
	if (presence == NULL || (!presence->tracked && !presence->held_back))
		reply_ok(channel, ref);
	else if (!within_rate(presence))
		hold_back(channel, ref);
	else
	{
		presence->held_back = false;
		if (presence->tracked)
			publish_untrack(channel, BUS_PRESENCE_UNTRACK, ref);
		else
			reply_ok(channel, ref);
	}
}

/*
 * May the channel say that it is present? As with broadcasts it is asked once. False: not, and the push has been
 * answered, or it waits for the answer.
 */
static bool
may_track(Channel *channel, const Incoming *incoming)
{
	const Answer *answer = incoming->answer;
	Slice		ref = incoming->message->ref;
	char		text[TOO_MANY_BOUND];
	int			retry_ms;

	if (channel->write_presence == RIGHT_UNKNOWN && answer == NULL)
	{
		if (!asking_begin(channel->connection, topic_name(channel->topic), ASKING_WRITE, true, channel->token, incoming,
						  &retry_ms))
			channel_reply_error(channel, ref, too_many_requests(text, retry_ms));
		return false;
	}
	if (channel->write_presence == RIGHT_UNKNOWN && answer->status == ANSWER_BUSY)
		channel_reply_error(channel, ref, too_many_requests(text, answer->retry_ms));
	else if (channel->write_presence == RIGHT_UNKNOWN && answer->status == ANSWER_CANCELED)
		channel_reply(channel, ref, false, SLICE_LITERAL("{}"));
	else if (channel->write_presence == RIGHT_UNKNOWN)
	{
		channel->write_broadcast = answer->broadcast ? RIGHT_YES : RIGHT_NO;
		channel->write_presence = answer->presence ? RIGHT_YES : RIGHT_NO;
	}
	if (channel->write_presence == RIGHT_NO)
		channel_reply(channel, ref, false, SLICE_LITERAL("{}"));
	return channel->write_presence == RIGHT_YES;
}

/*
 * Who tracks is told of others from then on; of a private topic, if the policies let it, which was not asked when it
 * joined without presence. False: it is asked now and the push waits, or the push has been answered.
 */
static bool
enable(Channel *channel, Incoming *incoming)
{
	const Answer *answer = incoming->answer;
	Slice		ref = incoming->message->ref;
	char		text[TOO_MANY_BOUND];
	int			retry_ms;

	if (channel->presence_enabled)
		return true;
	if (!channel->topic->is_private)
	{
		channel->presence_enabled = true;
		return true;
	}
	if (answer == NULL)
	{
		if (!asking_begin(channel->connection, topic_name(channel->topic), ASKING_PRESENCE, true, channel->token,
						  incoming, &retry_ms))
			channel_reply_error(channel, ref, too_many_requests(text, retry_ms));
		return false;
	}
	if (answer->status == ANSWER_BUSY)
		channel_reply_error(channel, ref, too_many_requests(text, answer->retry_ms));
	else if (answer->status == ANSWER_CANCELED)
		channel_reply(channel, ref, false, SLICE_LITERAL("{}"));
	else
	{
		channel->presence_enabled = true;
		channel->read_presence = answer->presence;
		incoming->answer = NULL;
	}
	return channel->presence_enabled;
}

static void
push_track(Channel *channel, const Incoming *pushed, Slice payload)
{
	Incoming	waiting = *pushed;
	Incoming   *incoming = &waiting;
	Slice		ref = incoming->message->ref;

	if (payload.len == 0)
		payload = SLICE_LITERAL("{}");
	if (wjson_type(payload) != WJSON_OBJECT)
	{
		channel_reply_error(channel, ref, SLICE_LITERAL("Presence track payload must be a map"));
		return;
	}
	if (payload.len + channel->presence_key.len > settings_max_payload())
	{
		channel_reply_error(channel, ref, SLICE_LITERAL("PresencePayloadTooLarge: the payload is longer than "
														"realtime.max_payload_size, track less"));
		return;
	}
	if (!enable(channel, incoming) || !may_track(channel, incoming))
		return;
	if (channel->presence == NULL)
		channel->presence = calloc(1, sizeof(ChannelPresence));
	if (channel->presence == NULL)
	{
		channel_reply_error(channel, ref, SLICE_LITERAL("OutOfMemory: the server has no memory for this payload, try again later"));
		return;
	}
	track(channel, payload, ref);
}

void
presence_push(Channel *channel, const Incoming *incoming)
{
	static const Slice names[] = {SLICE_INIT("event"), SLICE_INIT("payload")};
	const PhxMessage *message = incoming->message;
	Slice		values[2];
	char		name[16];
	Slice		text = SLICE_EMPTY;

	/* reading the bus, just before, may have closed it: nobody would take back what it tracks now */
	if (channel->connection->state != CONNECTION_OPEN)
		return;
	if (!message->payload_is_json)
	{
		channel_reply_error(channel, message->ref, SLICE_LITERAL("InvalidPresencePayload: expected JSON"));
		return;
	}
	/* as in the reference, what has no event is answered and ignored */
	if (!wjson_members(message->payload, names, values, 2) || wjson_type(values[0]) == WJSON_NONE)
		reply_ok(channel, message->ref);
	else if (wjson_type(values[0]) != WJSON_STRING || !wjson_string_text(values[0], name, sizeof(name), &text, NULL))
		channel_reply(channel, message->ref, false, SLICE_LITERAL("{}"));
	else if (slice_equal_nocase(text, SLICE_LITERAL("track")))
		push_track(channel, incoming, values[1]);
	else if (slice_equal_nocase(text, SLICE_LITERAL("untrack")))
		untrack(channel, message->ref);
	else
		channel_reply(channel, message->ref, false, SLICE_LITERAL("{}"));
}

uint64
presence_due(const Channel *channel)
{
	const ChannelPresence *presence = channel->presence;

	return presence == NULL || !presence->held_back ? PG_UINT64_MAX : presence->window_start + RATE_WINDOW;
}

void
presence_send_due(Channel *channel)
{
	ChannelPresence *presence = channel->presence;

	presence->held_back = false;
	(void) within_rate(presence);
	if (presence->payload.data != NULL)
		(void) publish_track(channel, SLICE_EMPTY);
	else if (presence->tracked)
		publish_untrack(channel, BUS_PRESENCE_UNTRACK, SLICE_EMPTY);
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
		publish_untrack(channel, lost && channel->presence_grace > 0 && linger(channel) ?
						BUS_PRESENCE_LINGER : BUS_PRESENCE_UNTRACK, SLICE_EMPTY);
	release(&presence->meta);
	release(&presence->payload);
	release(&presence->key);
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

	if (owner.listener != listener || is_present(owner) || is_lingering(owner))
		return;
	record.origin.ack = false;
	(void) bus_publish(&record);
}

/* Entries of ours that no channel stands behind: they linger, or should be gone. */
static void
tell_entry(const PresenceEntry *entry)
{
	bool		lingers = entry->lingers && is_lingering(entry->owner);
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
