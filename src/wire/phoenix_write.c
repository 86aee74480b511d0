/*
 * phoenix_write.c
 *		Write messages to Phoenix clients.
 *
 * The order of keys in objects is the one that the reference server writes.
 */
#include "phoenix.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define KIND_USER_BROADCAST		4
#define MAX_BINARY_FIELD		255

/* A token, or null if there is none. */
static void
write_ref(Writer *w, Slice token)
{
	writer_slice(w, token.len == 0 ? SLICE_LITERAL("null") : token);
}

static void
write_topic(Writer *w, PhxTopic topic)
{
	if (topic.is_token)
		writer_slice(w, topic.data);
	else
		writer_json_string(w, topic.data);
}

/* All that comes before the payload. */
static void
begin_message(Writer *w, int vsn, Slice join_ref, Slice ref, PhxTopic topic, Slice event)
{
	if (vsn == PHX_V1)
	{
		writer_literal(w, "{\"ref\":");
		write_ref(w, ref);
		writer_literal(w, ",\"event\":");
		writer_json_string(w, event);
		writer_literal(w, ",\"payload\":");
		return;
	}
	writer_char(w, '[');
	write_ref(w, join_ref);
	writer_char(w, ',');
	write_ref(w, ref);
	writer_char(w, ',');
	write_topic(w, topic);
	writer_char(w, ',');
	writer_json_string(w, event);
	writer_char(w, ',');
}

/* All that comes after the payload. */
static void
end_message(Writer *w, int vsn, PhxTopic topic)
{
	if (vsn == PHX_V1)
	{
		writer_literal(w, ",\"topic\":");
		write_topic(w, topic);
		writer_char(w, '}');
	}
	else
		writer_char(w, ']');
}

/* A phx_reply up to its response. */
static void
begin_reply(Writer *w, int vsn, Slice join_ref, Slice ref, PhxTopic topic, bool ok)
{
	begin_message(w, vsn, join_ref, ref, topic, SLICE_LITERAL("phx_reply"));
	writer_literal(w, "{\"status\":");
	writer_slice(w, ok ? SLICE_LITERAL("\"ok\"") : SLICE_LITERAL("\"error\""));
	writer_literal(w, ",\"response\":");
}

/* The answer to a push or a join. */
void
phx_write_reply(Writer *w, int vsn, Slice join_ref, Slice ref, PhxTopic topic, bool ok,
				Slice response)
{
	begin_reply(w, vsn, join_ref, ref, topic, ok);
	writer_slice(w, response);
	writer_char(w, '}');
	end_message(w, vsn, topic);
}

/* The answer that refuses a push or a join. */
void
phx_write_error_reply(Writer *w, int vsn, Slice join_ref, Slice ref, PhxTopic topic, Slice reason)
{
	begin_reply(w, vsn, join_ref, ref, topic, false);
	writer_literal(w, "{\"reason\":");
	writer_json_string(w, reason);
	writer_literal(w, "}}");
	end_message(w, vsn, topic);
}

/* A message that answers nothing. */
void
phx_write_push(Writer *w, int vsn, Slice join_ref, PhxTopic topic, Slice event, Slice payload)
{
	begin_message(w, vsn, join_ref, SLICE_EMPTY, topic, event);
	writer_slice(w, payload);
	end_message(w, vsn, topic);
}

/* A change of a row. */
void
phx_write_change(Writer *w, int vsn, PhxTopic topic, const void *ids, size_t id_count, Slice data)
{
	begin_message(w, vsn, SLICE_EMPTY, SLICE_EMPTY, topic, SLICE_LITERAL("postgres_changes"));
	writer_literal(w, "{\"ids\":[");
	for (size_t i = 0; i < id_count; i++)
	{
		uint32_t	id;

		memcpy(&id, (const char *) ids + i * sizeof(id), sizeof(id));
		if (i > 0)
			writer_char(w, ',');
		writer_uint(w, id);
	}
	writer_literal(w, "],\"data\":");
	writer_slice(w, data);
	writer_char(w, '}');
	end_message(w, vsn, topic);
}

/* The end of a channel, asked for by either side. */
void
phx_write_close(Writer *w, int vsn, Slice join_ref, PhxTopic topic)
{
	begin_message(w, vsn, join_ref, join_ref, topic, SLICE_LITERAL("phx_close"));
	writer_literal(w, "{}");
	end_message(w, vsn, topic);
}

/* The end of a channel by a fault; clients join again. */
void
phx_write_error(Writer *w, int vsn, Slice join_ref, PhxTopic topic)
{
	begin_message(w, vsn, join_ref, join_ref, topic, SLICE_LITERAL("phx_error"));
	writer_literal(w, "{\"reason\":\"channel_crash\"}");
	end_message(w, vsn, topic);
}

/* A message about the state of a channel. */
void
phx_write_system(Writer *w, int vsn, Slice join_ref, PhxTopic topic, Slice extension, bool ok,
				 Slice message, Slice channel)
{
	begin_message(w, vsn, join_ref, SLICE_EMPTY, topic, SLICE_LITERAL("system"));
	writer_literal(w, "{\"message\":");
	writer_json_string(w, message);
	writer_literal(w, ",\"status\":");
	writer_slice(w, ok ? SLICE_LITERAL("\"ok\"") : SLICE_LITERAL("\"error\""));
	writer_literal(w, ",\"extension\":");
	writer_json_string(w, extension);
	if (channel.data != NULL)
	{
		writer_literal(w, ",\"channel\":");
		writer_json_string(w, channel);
	}
	writer_char(w, '}');
	end_message(w, vsn, topic);
}

/* How a user broadcast can reach a member that speaks this vsn. */
PhxForm
phx_user_broadcast_form(int vsn, Slice topic, Slice event, Slice metadata, bool raw)
{
	if (vsn == PHX_V1)
		return raw ? PHX_FORM_NONE : PHX_FORM_TEXT;
	if (topic.len <= MAX_BINARY_FIELD && event.len <= MAX_BINARY_FIELD &&
		metadata.len <= MAX_BINARY_FIELD)
		return PHX_FORM_BINARY;
	return raw ? PHX_FORM_NONE : PHX_FORM_TEXT;
}

/* The text form of a user broadcast. */
void
phx_write_user_broadcast_text(Writer *w, int vsn, Slice join_ref, Slice topic, Slice event,
							  Slice metadata, Slice payload)
{
	begin_message(w, vsn, join_ref, SLICE_EMPTY, phx_topic_text(topic),
				  SLICE_LITERAL("broadcast"));
	writer_literal(w, "{\"event\":");
	writer_json_string(w, event);
	if (metadata.len > 0)
	{
		writer_literal(w, ",\"meta\":");
		writer_slice(w, metadata);
	}
	writer_literal(w, ",\"payload\":");
	writer_slice(w, payload);
	writer_literal(w, ",\"type\":\"broadcast\"}");
	end_message(w, vsn, phx_topic_text(topic));
}

/* A user broadcast in the form that its receiver understands. */
PhxForm
phx_write_user_broadcast(Writer *w, int vsn, Slice topic, Slice event, Slice metadata, bool raw,
						 Slice payload)
{
	PhxForm		form = phx_user_broadcast_form(vsn, topic, event, metadata, raw);

	if (form == PHX_FORM_TEXT)
		phx_write_user_broadcast_text(w, vsn, SLICE_EMPTY, topic, event, metadata, payload);
	else if (form == PHX_FORM_BINARY)
	{
		writer_char(w, KIND_USER_BROADCAST);
		writer_char(w, (char) topic.len);
		writer_char(w, (char) event.len);
		writer_char(w, (char) metadata.len);
		writer_char(w, raw ? 0 : 1);
		writer_slice(w, topic);
		writer_slice(w, event);
		writer_slice(w, metadata);
		writer_slice(w, payload);
	}
	return form;
}
