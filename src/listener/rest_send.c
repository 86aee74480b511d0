/*
 * rest_send.c
 *	  What a REST request asks for: its messages, the right to send them, and sending them.
 *
 * All messages of a request go onto the bus, or none.
 */
#include "postgres.h"

#include "listener/asking.h"
#include "listener/http.h"
#include "listener/limits.h"
#include "listener/rest_call.h"
#include "listener/tally.h"
#include "shared/bus.h"
#include "shared/settings.h"
#include "wire/json.h"
#include "wire/url.h"

#define ERRORS_TOO_LARGE	SLICE_LITERAL("{\"errors\":{\"payload\":[\"Payload size exceeds tenant limit\"]}}")
#define TOO_MANY_MESSAGES \
	SLICE_LITERAL("{\"message\":\"Too many messages to broadcast, please reduce the batch size\"}")

/* ------------------------------------------------ sending ------------------------------------------------ */

static void
accepted(RestCall *call, Size messages)
{
	tally(COUNTER_BROADCASTS_FROM_CLIENTS, messages);
	rest_answer(call, 202, SLICE_EMPTY);
}

static void
send_single(RestCall *call)
{
	BusRecord	record = {
		.kind = BUS_BROADCAST,
		.form = call->type == MEDIA_BYTES && call->has_type ? BUS_FORM_BINARY : BUS_FORM_JSON,
		.is_private = call->is_private,
		.origin.listener = -1,
		.topic = call->topics[0].name,
		.event = call->event,
		.payload = call->payload
	};

	if (bus_publish(&record))
		accepted(call, 1);
	else
		rest_answer(call, 422, ERRORS_TOO_LARGE);
}

/* The record of a message; its text goes to w. */
static BusRecord
record_of(const BatchMessage *message, Writer *w)
{
	Size		before = w->len;
	BusRecord	record = {
		.kind = BUS_BROADCAST,
		.form = BUS_FORM_TEXT,
		.is_private = message->is_private,
		.origin.listener = -1,
		.topic = message->topic
	};

	batch_write_text(w, message);
	record.payload = slice_make(w->data + before, w->len - before);
	return record;
}

/* The records in their order: public ones first, then those of each private topic. */
static void
make_records(const RestCall *call, BusRecord *records, Writer *w)
{
	Size		n = 0;

	for (Size i = 0; i < call->message_count; i++)
		if (!call->messages[i].is_private)
			records[n++] = record_of(&call->messages[i], w);
	for (uint32 topic = 0; topic < call->topic_count; topic++)
		for (Size i = 0; i < call->message_count; i++)
			if (call->messages[i].is_private && call->topic_of[i] == topic)
				records[n++] = record_of(&call->messages[i], w);
}

static bool
all_fit(const BusRecord *records, Size count)
{
	for (Size i = 0; i < count; i++)
		if (bus_record_size(&records[i]) > bus_max_record())
			return false;
	return true;
}

static void
send_batch(RestCall *call)
{
	Size		count = call->message_count;
	Writer		w = writer_measuring();
	BusRecord  *records;
	char	   *text;
	bool		fit = false;

	for (Size i = 0; i < count; i++)
		batch_write_text(&w, &call->messages[i]);
	records = malloc(count * sizeof(BusRecord));
	text = malloc(w.len);
	if (records != NULL && text != NULL)
	{
		w = writer_fixed(text, w.len);
		make_records(call, records, &w);
		fit = all_fit(records, count);
		if (fit)
		{
			bus_begin();
			for (Size i = 0; i < count; i++)
				(void) bus_append(&records[i]);
			bus_end();
		}
	}
	if (fit)
		accepted(call, count);
	else if (records == NULL || text == NULL)
		rest_answer(call, 500, REST_NO_MEMORY);
	else
		rest_answer(call, 422, ERRORS_TOO_LARGE);
	free(records);
	free(text);
}

static void
send_all(RestCall *call)
{
	uint32		count = call->single ? 1 : call->message_count;
	int			retry_ms;

	if (!limits_http_messages(call->token, count, &retry_ms))
	{
		tally(COUNTER_MESSAGES_REFUSED, count);
		rest_answer_limited(call, retry_ms);
	}
	else if (call->single)
		send_single(call);
	else
		send_batch(call);
}

/* ------------------------------------------------ the right to ------------------------------------------------ */

static bool
any_verdict(const RestCall *call, RestVerdict verdict)
{
	for (uint32 i = 0; i < call->topic_count; i++)
		if (call->topic_list[i].verdict == verdict)
			return true;
	return false;
}

/* Refuse a batch and name what is wrong with which message. */
static void
refuse_batch(RestCall *call, int status, Slice message)
{
	Size		size = BATCH_ERRORS_BOUND(call->message_count);
	char	   *text = malloc(size);
	Writer		w = writer_fixed(text, size);

	batch_write_errors(&w, message, call->messages, call->message_count);
	if (w.failed)
		rest_answer(call, 500, REST_NO_MEMORY);
	else
		rest_answer(call, status, writer_written(&w));
	free(text);
}

/* The messages that may not be sent. */
static void
mark_denied(RestCall *call)
{
	for (Size i = 0; i < call->message_count; i++)
	{
		BatchMessage *message = &call->messages[i];
		RestVerdict verdict = message->is_private ? call->topic_list[call->topic_of[i]].verdict : REST_ALLOWED;

		if (verdict != REST_ALLOWED)
			message->problems |= verdict == REST_FAILED ? BATCH_TOPIC_FAILED : BATCH_TOPIC_DENIED;
	}
}

/* All topics are judged. */
static void
decide(RestCall *call)
{
	bool		denied = any_verdict(call, REST_DENIED);

	if (!denied && !any_verdict(call, REST_FAILED))
	{
		send_all(call);
		return;
	}
	tally(COUNTER_MESSAGES_REFUSED, call->single ? 1 : call->message_count);
	if (!call->single)
	{
		mark_denied(call);
		refuse_batch(call, denied ? 403 : 422, denied ? SLICE_LITERAL("Unauthorized") : SLICE_LITERAL("RLS policy error"));
	}
	else if (denied)
		rest_answer(call, 403, REST_UNAUTHORIZED);
	else
		rest_answer(call, 422, SLICE_LITERAL("{\"message\":\"RLS policy error\"}"));
}

static void judged(void *owner, uint32 tag, const Answer *answer);

/*
 * Ask about the next topics, as many at a time as a client may. False: the call is answered, since it has to come again
 * later, or its headers are too long to be judged.
 */
static bool
ask_more(RestCall *call)
{
	Connection *connection = call->connection;
	int			retry_ms;

	while (call->asked < call->topic_count && connection->asking_count < realtime_max_questions_per_client)
	{
		if (!asking_write_right(connection, call->topic_list[call->asked].name, call->token, call->policy_headers,
								judged, call, call->asked, &retry_ms))
		{
			asking_drop(connection);
			if (retry_ms == 0)
				rest_answer(call, 431, SLICE_LITERAL("{\"message\":\"Request Header Fields Too Large\"}"));
			else
				rest_answer_busy(call, retry_ms);
			return false;
		}
		call->asked++;
	}
	return true;
}

/* An authorizer has answered. */
static void
judged(void *owner, uint32 tag, const Answer *answer)
{
	RestCall   *call = owner;

	if (answer->status == ANSWER_BUSY || answer->status == ANSWER_CANCELED)
	{
		asking_drop(call->connection);
		if (answer->status == ANSWER_BUSY)
			rest_answer_busy(call, answer->retry_ms);
		else
			rest_answer(call, 422, REST_CANCELED);
		return;
	}
	call->topic_list[tag].verdict = answer->status == ANSWER_FAILED ? REST_FAILED :
		answer->broadcast ? REST_ALLOWED : REST_DENIED;
	if (++call->judged == call->topic_count)
		decide(call);
	else
		(void) ask_more(call);
}

/* From now on the call belongs to the answers; the deadline is for authorizers that are not there. */
static void
ask_all(RestCall *call)
{
	call->policy_headers = http_policy_headers(&call->head, true);
	if (!ask_more(call))
		return;
	call->waits = true;
	call->connection->deadline = connection_clock() + QUESTION_PATIENCE + (uint64) realtime_policy_timeout;
	connection_schedule(call->connection);
}

/* ------------------------------------------------ a single message ------------------------------------------------ */

/* Decode the topic and the event of the path; false: they are not text. */
static bool
read_path(RestCall *call)
{
	Slice		topic;
	Slice		event;
	Slice		decoded;

	url_broadcast_event(call->head.path, &topic, &event);
	call->scratch = malloc(topic.len + event.len);
	if (call->scratch == NULL ||
		!url_decode(topic, false, call->scratch, topic.len, &decoded) ||
		!url_decode(event, false, call->scratch + topic.len, event.len, &call->event))
		return false;
	call->topics[0].name = decoded;
	call->topic_count = 1;
	return slice_is_utf8(decoded) && !slice_has_byte(decoded, '\0') && slice_is_utf8(call->event);
}

/* private=true in the query; nothing else counts, nor does what is in the body. */
static bool
wants_private(const RestCall *call)
{
	char		text[16];
	Slice		value;

	return url_query_param(call->head.query, SLICE_LITERAL("private"), text, sizeof(text), &value) == URL_PARAM_TEXT &&
		slice_equal(value, SLICE_LITERAL("true"));
}

/* A JSON value that is no object becomes one. False: no memory. */
static bool
wrap_payload(RestCall *call, Slice value)
{
	static const char before[] = "{\"_json\":";
	Size		size = sizeof(before) + value.len;
	char	   *text = malloc(call->topics[0].name.len + call->event.len + size);
	Writer		w = writer_fixed(text, call->topics[0].name.len + call->event.len + size);

	if (text == NULL)
		return false;
	writer_slice(&w, call->topics[0].name);
	writer_slice(&w, call->event);
	call->topics[0].name.data = text;
	call->event.data = text + call->topics[0].name.len;
	writer_literal(&w, "{\"_json\":");
	writer_slice(&w, value);
	writer_char(&w, '}');
	call->payload = slice_skip(writer_written(&w), call->topics[0].name.len + call->event.len);
	free(call->scratch);
	call->scratch = text;
	return true;
}

/* The payload that the body is; 0, or the status that refuses it. */
static int
read_payload(RestCall *call, Slice body)
{
	if (call->has_type && call->type == MEDIA_BYTES)
	{
		call->payload = body;
		return 0;
	}
	if (call->has_type && call->type == MEDIA_MULTIPART)
		return 400;
	if (body.len == 0)
		call->payload = SLICE_LITERAL("{}");
	else if (!wjson_parse(body, &call->payload))
		return 400;
	if (call->has_type && call->type == MEDIA_JSON_LIKE)
		return 415;
	if (wjson_type(call->payload) != WJSON_OBJECT && !wrap_payload(call, call->payload))
		return 500;
	return 0;
}

static void
run_single(RestCall *call, Slice body)
{
	int			status;

	call->is_private = wants_private(call);
	if (!read_path(call))
	{
		rest_answer(call, 400, REST_BAD_REQUEST);
		return;
	}
	if (call->is_private && !rest_own_body(call, &body))
		return;
	status = read_payload(call, body);
	if (status == 415)
		rest_answer(call, 415, SLICE_LITERAL(REST_UNSUPPORTED));
	else if (status == 400)
		rest_answer(call, 400, REST_BAD_REQUEST);
	else if (status != 0)
		rest_answer(call, status, REST_NO_MEMORY);
	else if (call->payload.len > limits_payload(call->token))
		rest_answer(call, 422, ERRORS_TOO_LARGE);
	else if (call->topics[0].name.len > REALTIME_MAX_TOPIC)
		rest_answer(call, 422, SLICE_LITERAL("{\"errors\":{\"topic\":[\"should be at most 4096 byte(s)\"]}}"));
	else if (call->event.len > BATCH_MAX_NAME)
		rest_answer(call, 422, SLICE_LITERAL("{\"errors\":{\"event\":[\"should be at most 4096 byte(s)\"]}}"));
	else if (call->is_private)
		ask_all(call);
	else
		send_all(call);
}

/* ------------------------------------------------ a batch ------------------------------------------------ */

static void
refuse_list(RestCall *call, BatchStatus status)
{
	char		text[128];
	Writer		w = writer_fixed(text, sizeof(text));

	batch_write_refusal(&w, status);
	rest_answer(call, 422, writer_written(&w));
}

/* A body that is no JSON holds no messages; a form may have something of that name. */
static void
refuse_other_type(RestCall *call, Slice body)
{
	char		text[64];
	Slice		value;

	if (call->type == MEDIA_MULTIPART)
		rest_answer(call, 400, REST_BAD_REQUEST);
	else if (call->has_type && call->type == MEDIA_FORM &&
			 url_query_param(body, SLICE_LITERAL("messages"), text, sizeof(text), &value) != URL_PARAM_ABSENT)
		refuse_list(call, BATCH_INVALID);
	else
		refuse_list(call, BATCH_BLANK);
}

/* The private topics, each once; false: there are too many, or there is no memory, and the call is answered. */
static bool
list_topics(RestCall *call)
{
	call->topic_of = malloc(call->message_count * sizeof(uint32));
	call->topic_list = malloc(REST_MAX_TOPICS * sizeof(RestTopic));
	if (call->topic_of == NULL || call->topic_list == NULL)
	{
		rest_answer(call, 500, REST_NO_MEMORY);
		return false;
	}
	for (Size i = 0; i < call->message_count; i++)
	{
		Slice		topic = call->messages[i].topic;
		uint32		n = 0;

		if (!call->messages[i].is_private)
			continue;
		while (n < call->topic_count && !slice_equal(call->topic_list[n].name, topic))
			n++;
		if (n == REST_MAX_TOPICS)
		{
			rest_answer(call, 422, SLICE_LITERAL("{\"message\":\"Too many private topics in one request, "
												 "at most 256 are judged at a time: please split it\"}"));
			return false;
		}
		if (n == call->topic_count)
			call->topic_list[call->topic_count++] = (RestTopic) {.name = topic};
		call->topic_of[i] = n;
	}
	return true;
}

static bool
any_private(const RestCall *call)
{
	for (Size i = 0; i < call->message_count; i++)
		if (call->messages[i].is_private)
			return true;
	return false;
}

/* Find the messages and read them; false: the call is answered. */
static bool
read_messages(RestCall *call, Slice body)
{
	Slice		list;
	size_t		count;
	BatchStatus status = body.len == 0 ? BATCH_BLANK : batch_open(body, &list, &count);

	if (status == BATCH_NOT_JSON)
		rest_answer(call, 400, REST_BAD_REQUEST);
	else if (status == BATCH_BLANK || status == BATCH_INVALID)
		refuse_list(call, status);
	else if (status == BATCH_TOO_MANY || count > limit_of(token_role(call->token), LIMIT_REQUESTS))
		rest_answer(call, 429, TOO_MANY_MESSAGES);
	else
	{
		call->message_count = count;
		call->messages = malloc(count * sizeof(BatchMessage));
		call->scratch = malloc(list.len);
		if (call->messages == NULL || call->scratch == NULL)
			rest_answer(call, 500, REST_NO_MEMORY);
		else if (batch_read(list, limits_payload(call->token), call->messages, count, call->scratch, list.len) == 0)
			return true;
		else
			refuse_batch(call, 422, SLICE_EMPTY);
	}
	return false;
}

/* What a batch with private messages points to has to outlive the bytes that came. */
static bool
read_messages_to_keep(RestCall *call, Slice body)
{
	if (!any_private(call) || body.data == call->body)
		return true;
	free(call->messages);
	free(call->scratch);
	call->messages = NULL;
	call->scratch = NULL;
	return rest_own_body(call, &body) && read_messages(call, body);
}

static void
run_batch(RestCall *call, Slice body)
{
	if (!call->has_type || (call->type != MEDIA_JSON && call->type != MEDIA_JSON_LIKE))
		refuse_other_type(call, body);
	else if (!read_messages(call, body) || !read_messages_to_keep(call, body))
		;						/* answered */
	else if (!any_private(call))
		send_all(call);
	else if (list_topics(call))
		ask_all(call);
}

void
rest_run(RestCall *call, Slice body)
{
	if (call->single)
		run_single(call, body);
	else
		run_batch(call, body);
}
