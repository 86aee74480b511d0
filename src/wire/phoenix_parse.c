/*
 * phoenix_parse.c
 *		Read the messages of Phoenix clients.
 */
#include "phoenix.h"

#include "json.h"
#include "scratch.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define KIND_PUSH				0
#define KIND_REPLY				1
#define KIND_BROADCAST			2
#define KIND_USER_PUSH			3
#define KIND_USER_BROADCAST		4

static const Slice null_token = SLICE_INIT("null");

/*
 * The text of a topic or event token, if it is a string that can be one.  False
 * only if the scratch buffer is too small.
 */
static bool
name_text(Slice token, Scratch *scratch, bool *has_text, Slice *text)
{
	*has_text = false;
	*text = SLICE_EMPTY;
	if (wjson_type(token) != WJSON_STRING)
		return true;
	if (!scratch_text(token, scratch, text))
		return false;
	*has_text = !slice_has_byte(*text, '\0');
	if (!*has_text)
		*text = SLICE_EMPTY;
	return true;
}

/* The five fields of a V2 array. */
static bool
read_array(Slice token, PhxMessage *out)
{
	Slice	   *fields[] = {&out->join_ref, &out->ref, &out->topic, &out->event, &out->payload};
	WjsonIter	it;
	Slice		key;

	if (wjson_type(token) != WJSON_ARRAY || !wjson_iter_start(&it, token))
		return false;
	for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
	{
		if (!wjson_iter_next(&it, &key, fields[i]))
			return false;
	}
	return true;
}

/* The fields of a V1 object, of which only join_ref may be absent. */
static bool
read_object(Slice token, PhxMessage *out)
{
	static const Slice names[] = {
		SLICE_INIT("topic"), SLICE_INIT("event"), SLICE_INIT("payload"), SLICE_INIT("ref"),
		SLICE_INIT("join_ref"),
	};
	Slice		values[5];

	if (!wjson_members(token, names, values, 5))
		return false;
	if (values[0].len == 0 || values[1].len == 0 || values[2].len == 0 || values[3].len == 0)
		return false;
	out->topic = values[0];
	out->event = values[1];
	out->payload = values[2];
	out->ref = values[3];
	out->join_ref = values[4].len == 0 ? null_token : values[4];
	return true;
}

/* Parse one text message. */
PhxResult
phx_parse_text(int vsn, Slice frame, char *scratch_buffer, size_t scratch_size, PhxMessage *out)
{
	Scratch		scratch = {scratch_buffer, scratch_size};
	Slice		token;

	memset(out, 0, sizeof(*out));
	if (!wjson_parse(frame, &token))
		return PHX_MALFORMED;
	if (!(vsn == PHX_V1 ? read_object(token, out) : read_array(token, out)))
		return PHX_MALFORMED;
	if (out->join_ref.len > PHX_MAX_REF || out->ref.len > PHX_MAX_REF)
		return PHX_MALFORMED;
	if (!name_text(out->topic, &scratch, &out->has_topic_text, &out->topic_text) ||
		!name_text(out->event, &scratch, &out->has_event_text, &out->event_text))
		return PHX_MALFORMED;
	out->kind = PHX_TEXT;
	out->payload_is_json = true;
	return PHX_OK;
}

/* Cut the next field off the body of a binary frame. */
static bool
take_field(Slice *body, unsigned char len, Slice *field)
{
	if (len > body->len)
		return false;
	*field = slice_make(body->data, len);
	*body = slice_skip(*body, len);
	return true;
}

/* A field of a binary frame as a JSON string. */
static bool
quote_field(Slice text, Scratch *scratch, Slice *token)
{
	Writer		w = writer_fixed(scratch->data, scratch->left);

	if (text.len == 0)
	{
		*token = SLICE_LITERAL("\"\"");
		return true;
	}
	if (!slice_is_utf8(text))
		return false;
	writer_json_string(&w, text);
	if (w.failed)
		return false;
	*token = writer_written(&w);
	scratch->data += w.len;
	scratch->left -= w.len;
	return true;
}

/* Quote what is echoed, and take topic and event as text where they can be one. */
static bool
set_fields(PhxMessage *out, Scratch *scratch, Slice join_ref, Slice ref, Slice topic, Slice event)
{
	if (!quote_field(join_ref, scratch, &out->join_ref) ||
		!quote_field(ref, scratch, &out->ref) ||
		!quote_field(topic, scratch, &out->topic) ||
		!quote_field(event, scratch, &out->event))
		return false;
	out->has_topic_text = !slice_has_byte(topic, '\0');
	out->topic_text = out->has_topic_text ? topic : SLICE_EMPTY;
	out->has_event_text = !slice_has_byte(event, '\0');
	out->event_text = out->has_event_text ? event : SLICE_EMPTY;
	return true;
}

/* Kind 0: join_ref, ref, topic, event, data. */
static PhxResult
parse_push(Slice frame, Scratch *scratch, PhxMessage *out)
{
	const unsigned char *size = (const unsigned char *) frame.data;
	Slice		body = slice_skip(frame, 5);
	Slice		join_ref;
	Slice		ref;
	Slice		topic;
	Slice		event;

	if (frame.len < 5 || !take_field(&body, size[1], &join_ref) ||
		!take_field(&body, size[2], &ref) || !take_field(&body, size[3], &topic) ||
		!take_field(&body, size[4], &event))
		return PHX_MALFORMED;
	if (!set_fields(out, scratch, join_ref, ref, topic, event))
		return PHX_MALFORMED;
	out->kind = PHX_PUSH;
	out->payload = body;
	out->payload_is_json = wjson_validate(body);
	return PHX_OK;
}

/* Kind 3: join_ref, ref, topic, user event, metadata, payload. */
static PhxResult
parse_user_push(Slice frame, Scratch *scratch, PhxMessage *out)
{
	const unsigned char *size = (const unsigned char *) frame.data;
	Slice		body = slice_skip(frame, 7);
	Slice		join_ref;
	Slice		ref;
	Slice		topic;
	Slice		metadata;

	if (frame.len < 7 || !take_field(&body, size[1], &join_ref) ||
		!take_field(&body, size[2], &ref) || !take_field(&body, size[3], &topic) ||
		!take_field(&body, size[4], &out->user_event) ||
		!take_field(&body, size[5], &metadata))
		return PHX_MALFORMED;
	if (!set_fields(out, scratch, join_ref, ref, topic, SLICE_LITERAL("broadcast")) ||
		!slice_is_utf8(out->user_event))
		return PHX_MALFORMED;
	if (metadata.len > 0 && !wjson_validate(metadata))
		return PHX_MALFORMED;
	out->kind = PHX_USER_BROADCAST;
	out->raw = size[6] == 0;
	out->payload = body;
	if (out->raw)
		return PHX_OK;
	out->payload_is_json = wjson_validate(body);
	return out->payload_is_json ? PHX_OK : PHX_BAD_PAYLOAD;
}

/* Parse one binary message. */
PhxResult
phx_parse_binary(int vsn, Slice frame, char *scratch_buffer, size_t scratch_size, PhxMessage *out)
{
	Scratch		scratch = {scratch_buffer, scratch_size};

	if (vsn == PHX_V1)
		return phx_parse_text(vsn, frame, scratch_buffer, scratch_size, out);
	memset(out, 0, sizeof(*out));
	if (frame.len == 0)
		return PHX_MALFORMED;
	switch ((unsigned char) frame.data[0])
	{
		case KIND_PUSH:
			return parse_push(frame, &scratch, out);
		case KIND_USER_PUSH:
			return parse_user_push(frame, &scratch, out);
		case KIND_REPLY:
		case KIND_BROADCAST:
		case KIND_USER_BROADCAST:
			return PHX_IGNORED;
		default:
			return PHX_MALFORMED;
	}
}
