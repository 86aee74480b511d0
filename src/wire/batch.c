/*
 * batch.c
 *		The body of POST /api/broadcast.
 *
 * What is valid is what the reference's schema takes: a text of blanks counts as none, and booleans may be texts.
 */
#include "batch.h"

#include "json.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

/* Members of a message. */
enum
{
	TOPIC,
	EVENT,
	PAYLOAD,
	PRIVATE,
	ID,
	MEMBERS
};

static const struct
{
	uint32_t	problem;
	Slice		member;
	Slice		text;
}			problem_texts[] =
{
	{BATCH_EVENT_BLANK, SLICE_INIT("event"), SLICE_INIT("can't be blank")},
	{BATCH_EVENT_INVALID, SLICE_INIT("event"), SLICE_INIT("is invalid")},
	{BATCH_EVENT_LONG, SLICE_INIT("event"), SLICE_INIT("should be at most 4096 byte(s)")},
	{BATCH_ID_INVALID, SLICE_INIT("id"), SLICE_INIT("is invalid")},
	{BATCH_ID_LONG, SLICE_INIT("id"), SLICE_INIT("should be at most 4096 byte(s)")},
	{BATCH_PAYLOAD_BLANK, SLICE_INIT("payload"), SLICE_INIT("can't be blank")},
	{BATCH_PAYLOAD_INVALID, SLICE_INIT("payload"), SLICE_INIT("is invalid")},
	{BATCH_PAYLOAD_LARGE, SLICE_INIT("payload"), SLICE_INIT("Payload size exceeds tenant limit")},
	{BATCH_PRIVATE_INVALID, SLICE_INIT("private"), SLICE_INIT("is invalid")},
	{BATCH_TOPIC_BLANK, SLICE_INIT("topic"), SLICE_INIT("can't be blank")},
	{BATCH_TOPIC_INVALID, SLICE_INIT("topic"), SLICE_INIT("is invalid")},
	{BATCH_TOPIC_LONG, SLICE_INIT("topic"), SLICE_INIT("should be at most 4096 byte(s)")},
	{BATCH_TOPIC_DENIED, SLICE_INIT("topic"), SLICE_INIT("You do not have permissions to write to this Channel topic")},
	{BATCH_TOPIC_FAILED, SLICE_INIT("topic"), SLICE_INIT("RLS policy error")},
};

/* Is this absent, null, or a text of blanks? */
static bool
is_blank(Slice token)
{
	if (wjson_type(token) != WJSON_STRING)
		return wjson_type(token) == WJSON_NONE || wjson_type(token) == WJSON_NULL;
	for (size_t i = 1; i + 1 < token.len; i++)
		if (token.data[i] != ' ')
			return false;
	return true;
}

/* Is there a list of messages, and how many are in it? */
BatchStatus
batch_open(Slice body, Slice *list, size_t *count)
{
	Slice		object;
	Slice		value;
	Slice		key;
	WjsonIter	it;

	*list = SLICE_EMPTY;
	*count = 0;
	if (!wjson_parse(body, &object))
		return BATCH_NOT_JSON;
	if (!wjson_member(object, SLICE_LITERAL("messages"), list))
		return BATCH_BLANK;
	if (!wjson_iter_start(&it, *list))
		return BATCH_INVALID;
	while (wjson_iter_next(&it, &key, &value))
	{
		if (wjson_type(*list) == WJSON_OBJECT || wjson_type(value) != WJSON_OBJECT)
			return BATCH_INVALID;
		if (++*count > BATCH_MAX_MESSAGES)
			return BATCH_TOO_MANY;
	}
	return *count == 0 ? BATCH_BLANK : BATCH_OK;
}

/* A text that is passed on as it came; empty if it is blank. */
static void
read_token(Slice token, Slice *value, uint32_t *problems, uint32_t blank, uint32_t invalid, uint32_t too_long)
{
	if (is_blank(token))
		*problems |= blank;
	else if (wjson_type(token) != WJSON_STRING)
		*problems |= invalid;
	else if (token.len - 2 > BATCH_MAX_NAME)
		*problems |= too_long;
	else
		*value = token;
}

/* The topic, which is looked up and therefore unescaped. A NUL can be in no topic. */
static void
read_topic(Slice token, BatchMessage *message, char **scratch, size_t *size)
{
	size_t		used;

	if (is_blank(token))
		message->problems |= BATCH_TOPIC_BLANK;
	else if (!wjson_string_text(token, *scratch, *size, &message->topic, &used))
		message->problems |= BATCH_TOPIC_INVALID;
	else
	{
		*scratch += used;
		*size -= used;
		if (slice_has_byte(message->topic, '\0'))
			message->problems |= BATCH_TOPIC_INVALID;
		else if (message->topic.len > BATCH_MAX_NAME)
			message->problems |= BATCH_TOPIC_LONG;
	}
}

static void
read_payload(Slice token, size_t max_payload, BatchMessage *message)
{
	if (is_blank(token))
		message->problems |= BATCH_PAYLOAD_BLANK;
	else if (wjson_type(token) != WJSON_OBJECT)
		message->problems |= BATCH_PAYLOAD_INVALID;
	else if (token.len > max_payload)
		message->problems |= BATCH_PAYLOAD_LARGE;
	else
		message->payload = token;
}

static void
read_private(Slice token, BatchMessage *message)
{
	message->is_private = wjson_type(token) == WJSON_TRUE ||
		wjson_string_equals(token, SLICE_LITERAL("true")) || wjson_string_equals(token, SLICE_LITERAL("1"));
	if (!message->is_private && !is_blank(token) && wjson_type(token) != WJSON_FALSE &&
		!wjson_string_equals(token, SLICE_LITERAL("false")) && !wjson_string_equals(token, SLICE_LITERAL("0")))
		message->problems |= BATCH_PRIVATE_INVALID;
}

/* Read the messages of a list. */
size_t
batch_read(Slice list, size_t max_payload, BatchMessage *messages, size_t count, char *scratch, size_t size)
{
	static const Slice names[MEMBERS] = {
		SLICE_INIT("topic"), SLICE_INIT("event"), SLICE_INIT("payload"), SLICE_INIT("private"), SLICE_INIT("id")
	};
	size_t		bad = 0;
	size_t		n = 0;
	WjsonIter	it;
	Slice		key;
	Slice		item;

	if (!wjson_iter_start(&it, list))
		return 0;
	while (n < count && wjson_iter_next(&it, &key, &item))
	{
		BatchMessage *message = &messages[n++];
		Slice		values[MEMBERS];

		*message = (BatchMessage) {0};
		(void) wjson_members(item, names, values, MEMBERS);
		read_topic(values[TOPIC], message, &scratch, &size);
		read_token(values[EVENT], &message->event, &message->problems,
				   BATCH_EVENT_BLANK, BATCH_EVENT_INVALID, BATCH_EVENT_LONG);
		read_payload(values[PAYLOAD], max_payload, message);
		read_private(values[PRIVATE], message);
		read_token(values[ID], &message->id, &message->problems, 0, BATCH_ID_INVALID, BATCH_ID_LONG);
		if (message->problems != 0)
			bad++;
	}
	return bad;
}

/* The list as a whole is refused. */
void
batch_write_refusal(Writer *w, BatchStatus status)
{
	writer_literal(w, "{\"errors\":{\"messages\":[");
	writer_json_string(w, status == BATCH_BLANK ? SLICE_LITERAL("can't be blank") : SLICE_LITERAL("is invalid"));
	writer_literal(w, "]}}");
}

/* {"payload":["can't be blank"]}; a member has at most one problem. */
static void
write_problems(Writer *w, uint32_t problems)
{
	bool		first = true;

	writer_char(w, '{');
	for (size_t i = 0; i < sizeof(problem_texts) / sizeof(problem_texts[0]); i++)
	{
		if ((problems & problem_texts[i].problem) == 0)
			continue;
		if (!first)
			writer_char(w, ',');
		first = false;
		writer_json_string(w, problem_texts[i].member);
		writer_literal(w, ":[");
		writer_json_string(w, problem_texts[i].text);
		writer_char(w, ']');
	}
	writer_char(w, '}');
}

/* The problems of each message. */
void
batch_write_errors(Writer *w, Slice message, const BatchMessage *messages, size_t count)
{
	writer_char(w, '{');
	if (message.len > 0)
	{
		writer_literal(w, "\"message\":");
		writer_json_string(w, message);
		writer_char(w, ',');
	}
	writer_literal(w, "\"errors\":{\"messages\":[");
	for (size_t i = 0; i < count; i++)
	{
		if (i > 0)
			writer_char(w, ',');
		write_problems(w, messages[i].problems);
	}
	writer_literal(w, "]}}");
}

/* {"event":E,"meta":{"id":ID},"payload":P,"type":"broadcast"} */
void
batch_write_text(Writer *w, const BatchMessage *message)
{
	writer_literal(w, "{\"event\":");
	writer_slice(w, message->event);
	if (message->id.len > 0)
	{
		writer_literal(w, ",\"meta\":{\"id\":");
		writer_slice(w, message->id);
		writer_char(w, '}');
	}
	writer_literal(w, ",\"payload\":");
	writer_slice(w, message->payload);
	writer_literal(w, ",\"type\":\"broadcast\"}");
}
