/*
 * inspect.c
 *	  What this listener shows of itself. Never a token; its claims only to those who sql/views.c lets see them.
 *
 * A cursor is where to go on: the slot of a connection, and for channels in the upper half how many of its channels
 * have been shown, for subscriptions moreover how many entries of the next channel; for presence the number of a bucket, and
 * how many of its entries have been shown. Rows that come or go between two pages may be missed or not, as in any view of what is running.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "listener/channel.h"
#include "listener/inspect.h"
#include "listener/presence_state.h"
#include "listener/subscription.h"
#include "shared/inspect.h"
#include "shared/registry.h"
#include "wire/join.h"

/* Longer keys are cut, and longer payloads left out, so that every row fits on a page. */
#define SHOWN_KEY			4096
#define SHOWN_PAYLOAD		(128 * 1024)

/* The number by which a connection is known in SQL. */
static int64
connection_id(uint64 serial, int listener)
{
	return (int64) serial * REALTIME_MAX_LISTENERS + listener;
}

/* A time as any session reads it, whatever its time zone. */
static void
write_time(InspectWriter *writer, TimestampTz time)
{
	struct pg_tm tm;
	fsec_t		fsec;
	char		text[64];

	if (timestamp2tm(time, NULL, &tm, &fsec, NULL, NULL) != 0)
	{
		inspect_null(writer);
		return;
	}
	snprintf(text, sizeof(text), "%04d-%02d-%02d %02d:%02d:%02d.%06d+00", tm.tm_year, tm.tm_mon, tm.tm_mday,
			 tm.tm_hour, tm.tm_min, tm.tm_sec, (int) fsec);
	inspect_text(writer, slice_cstring(text));
}

/* id, listener, client_addr, vsn, role, sub, connected_at, last_seen, channels, queued_bytes, sent, received */
static void
write_connection(InspectWriter *writer, const Connection *connection, int listener)
{
	const Token *token = connection->token;
	TimestampTz silent = (TimestampTz) (connection_clock() - connection->last_received) * 1000;

	inspect_row_begin(writer);
	inspect_int(writer, connection_id(connection->serial, listener));
	inspect_int(writer, listener);
	inspect_text(writer, slice_cstring(connection->address));
	if (connection->vsn == 0)
		inspect_null(writer);
	else
		inspect_text(writer, connection->vsn == PHX_V1 ? SLICE_LITERAL("1.0.0") : SLICE_LITERAL("2.0.0"));
	if (token != NULL && token->has_role)
		inspect_text(writer, token_role(token));
	else
		inspect_null(writer);
	if (token != NULL && token->has_sub)
		inspect_text(writer, token_sub(token));
	else
		inspect_null(writer);
	write_time(writer, connection->connected_at);
	write_time(writer, GetCurrentTimestamp() - silent);
	inspect_int(writer, connection->channel_count);
	inspect_int(writer, connection->queued_bytes);
	inspect_int(writer, connection->sent);
	inspect_int(writer, connection->received);
}

static void
write_connections(InspectWriter *writer, int listener)
{
	for (uint64 slot = writer->cursor; slot < connections_slots(); slot++)
	{
		Connection *connection = connection_at(slot);

		writer->cursor = slot;
		if (connection == NULL)
			continue;
		write_connection(writer, connection, listener);
		if (!inspect_row_end(writer))
			return;
	}
	writer->finished = true;
}

/* topic, private, connection, joined_at, presence_key, subscriptions */
static void
write_channel(InspectWriter *writer, const Channel *channel, int listener)
{
	inspect_row_begin(writer);
	inspect_text(writer, topic_name(channel->topic));
	inspect_text(writer, channel->topic->is_private ? SLICE_LITERAL("t") : SLICE_LITERAL("f"));
	inspect_int(writer, connection_id(channel->connection->serial, listener));
	write_time(writer, channel->joined_at);
	if (channel->presence_key.len > 0)
		inspect_text(writer, channel->presence_key);
	else
		inspect_null(writer);
	inspect_int(writer, channel->subscriptions);
}

/* The channels of one connection from the nth on; false: the page is full, *n is where to go on. */
static bool
write_channels_of(InspectWriter *writer, const Connection *connection, uint32 *n, int listener)
{
	uint32		i = 0;

	for (Channel *channel = connection->channels; channel != NULL; channel = channel->next, i++)
	{
		if (i < *n)
			continue;
		write_channel(writer, channel, listener);
		if (!inspect_row_end(writer))
		{
			*n = i;
			return false;
		}
	}
	*n = 0;
	return true;
}

static void
write_channels(InspectWriter *writer, int listener)
{
	uint32		n = writer->cursor >> 32;

	for (uint32 slot = (uint32) writer->cursor; slot < connections_slots(); slot++)
	{
		Connection *connection = connection_at(slot);

		if (connection != NULL && !write_channels_of(writer, connection, &n, listener))
		{
			writer->cursor = (uint64) n << 32 | slot;
			return;
		}
		n = 0;
	}
	writer->finished = true;
}

/* What the client has tracked: its meta without what the server has put there. */
static void
write_payload(InspectWriter *writer, Slice meta)
{
	static char text[SHOWN_PAYLOAD];
	Writer		w = writer_fixed(text, sizeof(text));
	WjsonIter	it;
	Slice		key;
	Slice		value;
	bool		first = true;

	writer_char(&w, '{');
	if (wjson_iter_start(&it, meta))
		while (wjson_iter_next(&it, &key, &value))
		{
			if (wjson_string_equals(key, SLICE_LITERAL("phx_ref")) ||
				wjson_string_equals(key, SLICE_LITERAL("phx_ref_prev")))
				continue;
			if (!first)
				writer_char(&w, ',');
			first = false;
			writer_slice(&w, key);
			writer_char(&w, ':');
			writer_slice(&w, value);
		}
	writer_char(&w, '}');
	if (w.failed)
		inspect_null(writer);
	else
		inspect_text(writer, writer_written(&w));
}

/* A key is UTF-8, and is cut between two characters. */
static Slice
shown_key(Slice key)
{
	if (key.len <= SHOWN_KEY)
		return key;
	key.len = SHOWN_KEY;
	while (key.len > 0 && ((unsigned char) key.data[key.len] & 0xC0) == 0x80)
		key.len--;
	return key;
}

/* topic, private, key, phx_ref, payload, since, connection, listener, seen_by */
static void
write_entry(InspectWriter *writer, const PresenceEntry *entry, int listener)
{
	Slice		ref;

	inspect_row_begin(writer);
	inspect_text(writer, presence_topic_name(entry->topic));
	inspect_text(writer, entry->topic->is_private ? SLICE_LITERAL("t") : SLICE_LITERAL("f"));
	inspect_text(writer, shown_key(entry->key));
	if (wjson_member(entry->meta, SLICE_LITERAL("phx_ref"), &ref) && ref.len >= 2)
		inspect_text(writer, slice_make(ref.data + 1, ref.len - 2));
	else
		inspect_null(writer);
	write_payload(writer, entry->meta);
	write_time(writer, entry->since);
	inspect_int(writer, connection_id(entry->serial, entry->owner.listener));
	inspect_int(writer, entry->owner.listener);
	inspect_int(writer, listener);
}

/* The entries of one bucket from the nth on; false: the page is full, *n is where to go on. */
static bool
write_entries_of(InspectWriter *writer, uint32 bucket, uint32 *n, int listener)
{
	uint32		i = 0;

	for (const PresenceTopic *topic = presence_state_bucket(bucket); topic != NULL; topic = topic->next)
		for (const PresenceEntry *entry = topic->entries; entry != NULL; entry = entry->next)
		{
			if (entry->meta.data == NULL || i++ < *n)
				continue;
			write_entry(writer, entry, listener);
			if (!inspect_row_end(writer))
			{
				*n = i - 1;
				return false;
			}
		}
	return true;
}

static void
write_presence(InspectWriter *writer, int listener)
{
	uint32		n = writer->cursor >> 32;

	for (uint32 bucket = (uint32) writer->cursor; bucket < presence_state_buckets(); bucket++)
	{
		if (!write_entries_of(writer, bucket, &n, listener))
		{
			writer->cursor = (uint64) n << 32 | bucket;
			return;
		}
		n = 0;
	}
	writer->finished = true;
}

/* A member of an entry that should be a text; one that is not there is null, or what it stands for. */
static void
write_member(InspectWriter *writer, Slice entry, Slice name, Slice missing)
{
	static char buffer[SHOWN_PAYLOAD];
	Slice		value;
	Slice		text;

	if (!wjson_member(entry, name, &value) || !wjson_string_text(value, buffer, sizeof(buffer), &text, NULL))
		text = missing;
	if (text.data == NULL)
		inspect_null(writer);
	else
		inspect_text(writer, shown_key(text));
}

/* As the reference writes it. */
static void
write_action(InspectWriter *writer, Slice entry)
{
	static const char *const actions[] = {"INSERT", "UPDATE", "DELETE"};
	Slice		value;
	Slice		text = SLICE_LITERAL("*");

	if (wjson_member(entry, SLICE_LITERAL("event"), &value) && value.len >= 2)
		for (int i = 0; i < lengthof(actions); i++)
			if (slice_equal_nocase(slice_make(value.data + 1, value.len - 2), slice_cstring(actions[i])))
				text = slice_cstring(actions[i]);
	inspect_text(writer, text);
}

/* As the text of an array of texts; null if there is none, or it is too long to be shown. */
static void
write_select(InspectWriter *writer, Slice entry)
{
	static char text[SHOWN_PAYLOAD];
	static char name[SHOWN_KEY];
	Writer		w = writer_fixed(text, sizeof(text));
	WjsonIter	it;
	Slice		key;
	Slice		value;
	Slice		column;

	writer_char(&w, '{');
	if (wjson_member(entry, SLICE_LITERAL("select"), &value) && wjson_iter_start(&it, value))
		while (wjson_iter_next(&it, &key, &value))
		{
			if (!wjson_string_text(value, name, sizeof(name), &column, NULL) || slice_has_byte(column, '\0'))
				continue;
			writer_cstring(&w, w.len > 1 ? ",\"" : "\"");
			for (size_t i = 0; i < column.len; i++)
			{
				if (column.data[i] == '"' || column.data[i] == '\\')
					writer_char(&w, '\\');
				writer_char(&w, column.data[i]);
			}
			writer_char(&w, '"');
		}
	writer_char(&w, '}');
	if (w.failed || w.len == 2)
		inspect_null(writer);
	else
		inspect_text(writer, writer_written(&w));
}

/* connection, topic, number, position, id, schema_name, table_name, action, filter, selected, role, sub, claims, since */
static void
write_subscribed(InspectWriter *writer, const Subscription *subscription, uint32 position, Slice entry, int listener)
{
	const Token *token = subscription->token;
	Slice		table;

	inspect_row_begin(writer);
	inspect_int(writer, connection_id(subscription->connection->serial, listener));
	inspect_text(writer, channel_subscription_topic(subscription));
	inspect_int(writer, subscription->number);
	inspect_int(writer, position);
	inspect_int(writer, join_change_id(entry));
	write_member(writer, entry, SLICE_LITERAL("schema"), SLICE_LITERAL("public"));
	if (!wjson_member(entry, SLICE_LITERAL("table"), &table))
		inspect_text(writer, SLICE_LITERAL("*"));
	else
		write_member(writer, entry, SLICE_LITERAL("table"), SLICE_EMPTY);
	write_action(writer, entry);
	write_member(writer, entry, SLICE_LITERAL("filter"), SLICE_EMPTY);
	write_select(writer, entry);
	inspect_text(writer, token_role(token));
	if (token->has_sub)
		inspect_text(writer, token_sub(token));
	else
		inspect_null(writer);
	inspect_text(writer, token_claims(token));
	write_time(writer, subscription->since);
}

/* The entries of one channel from the nth on; false: the page is full, *n is where to go on. */
static bool
write_entries_of_channel(InspectWriter *writer, const Subscription *subscription, uint32 *n, int listener)
{
	WjsonIter	it;
	Slice		entry;
	uint32		i = 0;

	join_changes_start(&it, channel_subscription_entries(subscription));
	for (; join_changes_next(&it, &entry); i++)
	{
		if (i < *n)
			continue;
		write_subscribed(writer, subscription, i, entry, listener);
		if (!inspect_row_end(writer))
		{
			*n = i;
			return false;
		}
	}
	*n = 0;
	return true;
}

/* The subscriptions of one connection from the nth entry of the cth channel on; false: the page is full. */
static bool
write_subscriptions_of(InspectWriter *writer, const Connection *connection, uint32 *c, uint32 *n, int listener)
{
	uint32		i = 0;

	for (Channel *channel = connection->channels; channel != NULL; channel = channel->next, i++)
	{
		if (i < *c || channel->subscription == NULL || channel->subscription->state != SUBSCRIPTION_LIVE)
			continue;
		if (!write_entries_of_channel(writer, channel->subscription, n, listener))
		{
			*c = i;
			return false;
		}
	}
	*c = *n = 0;
	return true;
}

/* The cursor: 32 bits for the slot, 22 for the channel, and 10 for the entry. */
static void
write_subscriptions(InspectWriter *writer, int listener)
{
	uint32		c = (writer->cursor >> 32) & 0x3FFFFF;
	uint32		n = writer->cursor >> 54;

	StaticAssertStmt(JOIN_MAX_CHANGES < 1 << 10, "cursor too small");
	for (uint32 slot = (uint32) writer->cursor; slot < connections_slots(); slot++)
	{
		Connection *connection = connection_at(slot);

		if (connection != NULL && !write_subscriptions_of(writer, connection, &c, &n, listener))
		{
			writer->cursor = (uint64) n << 54 | (uint64) c << 32 | slot;
			return;
		}
		c = n = 0;
	}
	writer->finished = true;
}

/* Not an inspection but an order: end the connections that it names, and say how many those are. */
static void
disconnect(InspectWriter *writer)
{
	inspect_row_begin(writer);
	inspect_int(writer, channels_disconnect(writer->arguments[0], writer->arguments[1], writer->arguments[2]));
	(void) inspect_row_end(writer);
	writer->finished = true;
}

void
listener_inspect(int listener)
{
	InspectWriter writer;

	if (!inspect_pending(listener, &writer))
		return;
	writer.finished = false;
	switch (writer.what)
	{
		case INSPECT_CONNECTIONS:
			write_connections(&writer, listener);
			break;
		case INSPECT_CHANNELS:
			write_channels(&writer, listener);
			break;
		case INSPECT_PRESENCE:
			write_presence(&writer, listener);
			break;
		case INSPECT_SUBSCRIPTIONS:
			write_subscriptions(&writer, listener);
			break;
		case INSPECT_DISCONNECT:
			disconnect(&writer);
			break;
	}
	inspect_answer(listener, &writer);
}
