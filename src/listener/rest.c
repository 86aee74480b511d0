/*
 * rest.c
 *	  REST requests: head, body and answer.
 *
 * What can be refused by the head alone is: the body of a stranger is counted, and kept nowhere.
 */
#include "postgres.h"

#include "listener/asking.h"
#include "listener/http.h"
#include "listener/input.h"
#include "listener/limits.h"
#include "listener/output.h"
#include "listener/rest_call.h"
#include "shared/settings.h"
#include "wire/origin.h"

/* The reference allows 8,000,000 bytes and looks only after each piece that it reads, so a little more passes. */
#define BODY_MAX			(8000000 + 65536)

/* A body has the time of a handshake, and a second more for each so many bytes of it that have come. */
#define BODY_RATE			65536

/* Bodies that one listener holds at a time, in bytes. */
#define BODIES_MAX			((Size) 128 * 1024 * 1024)

static Size bodies_held;

static void
free_call(RestCall *call)
{
	call->connection->rest = NULL;
	bodies_held -= call->body_size;
	token_unref(call->token);
	free(call->body);
	free(call->messages);
	free(call->scratch);
	free(call->topic_of);
	if (call->topic_list != call->topics)
		free(call->topic_list);
	free((char *) call->policy_headers.data);
	free(call);
}

/* ------------------------------------------------ answers ------------------------------------------------ */

static void
answer(RestCall *call, int status, Slice body, bool with_rate, const char *headers)
{
	Connection *connection = call->connection;
	bool		waited = call->waits;
	char		text[128 + ORIGIN_CORS_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));
	Slice		origin;
	HttpReply	reply = {
		.status = status,
		.body = body,
		.headers = text,
		.with_rate = with_rate,
		.token = call->token,
		.keep_alive = call->keep_alive
	};

	if (http_header(&call->head, SLICE_LITERAL("origin"), &origin))
		origin_write_cors(&w, slice_cstring(realtime_allowed_origins), origin);
	writer_cstring(&w, headers);
	writer_char(&w, '\0');
	if (connection->state == CONNECTION_HTTP)
		http_reply(connection, &reply);
	free_call(call);
	if (waited)
		input_resume(connection);
}

void
rest_answer(RestCall *call, int status, Slice body)
{
	answer(call, status, body, status != 400 && status != 413 && status != 415, "");
}

void
rest_answer_busy(RestCall *call, int retry_ms)
{
	char		body[128];
	char		header[64];

	snprintf(body, sizeof(body), "{\"message\":\"Too many requests\",\"retry_after_ms\":%d}", retry_ms);
	http_write_retry(header, sizeof(header), retry_ms);
	answer(call, 429, slice_cstring(body), true, header);
}

void
rest_answer_limited(RestCall *call, int retry_ms)
{
	char		header[64];

	http_write_retry(header, sizeof(header), retry_ms);
	answer(call, 429, SLICE_LITERAL("{\"message\":\"You have exceeded your rate limit\"}"), true, header);
}

/* Answer before the body has been read: what is still coming can't be told from the next request. */
static void
answer_early(RestCall *call, int status, Slice body)
{
	call->keep_alive = false;
	rest_answer(call, status, body);
}

/* ------------------------------------------------ the head ------------------------------------------------ */

/* The same place in the copy of the head. */
static Slice
moved(Slice slice, const char *from, const char *to)
{
	return slice.data == NULL ? slice : slice_make(to + (slice.data - from), slice.len);
}

/* A call with a copy of its head; NULL: no memory. */
static RestCall *
make_call(Connection *connection, const HttpHead *head)
{
	const char *from = head->method.data;
	Size		length = head->headers.data + head->headers.len - from;
	RestCall   *call = malloc(offsetof(RestCall, head_bytes) + length);

	if (call == NULL)
		return NULL;
	memset(call, 0, offsetof(RestCall, head_bytes));
	memcpy(call->head_bytes, from, length);
	call->connection = connection;
	call->head = *head;
	call->head.method = moved(head->method, from, call->head_bytes);
	call->head.path = moved(head->path, from, call->head_bytes);
	call->head.query = moved(head->query, from, call->head_bytes);
	call->head.headers = moved(head->headers, from, call->head_bytes);
	call->topic_list = call->topics;
	call->began = connection_clock();
	connection->rest = call;
	return call;
}

/* Two words: the second one. False: it isn't that. */
static bool
second_word(Slice text, Slice *first, Slice *second)
{
	const char *blank = text.len > 0 ? memchr(text.data, ' ', text.len) : NULL;

	if (blank == NULL)
		return false;
	*first = slice_make(text.data, blank - text.data);
	*second = slice_skip(text, first->len + 1);
	return second->len > 0 && !slice_has_byte(*second, ' ');
}

/* "Authorization: Bearer TOKEN", else the header apikey. False: neither, or the first can't be read. */
static bool
requested_token(const HttpHead *head, Slice *raw)
{
	Slice		value;
	Slice		scheme;

	if (http_header(head, SLICE_LITERAL("authorization"), &value))
	{
		if (!second_word(value, &scheme, raw))
			return false;
		if (slice_equal_nocase(scheme, SLICE_LITERAL("bearer")))
			return true;
	}
	return http_header(head, SLICE_LITERAL("apikey"), raw);
}

static void
refuse(RestCall *call, int status, const char *body, bool with_rate)
{
	call->refused_status = status;
	call->refused_body = body;
	call->refused_with_rate = with_rate;
}

/* Verify the token, unless that has been done; false: it is not good, or there is none. */
static bool
check_token(RestCall *call)
{
	TokenRefusal refusal;
	Slice		raw;

	if (call->token == NULL && requested_token(&call->head, &raw))
		call->token = token_verify(raw, NULL, &refusal);
	return call->token != NULL;
}

/*
 * What can be said without the body, in the order of the reference: the media type, the rate, the token. Only where the
 * rate depends on the role a request over it costs a signature.
 */
static void
check_head(RestCall *call)
{
	if (call->single && call->has_type && (call->type == MEDIA_FORM || call->type == MEDIA_OTHER))
	{
		refuse(call, 415, REST_UNSUPPORTED, false);
		return;
	}
	if (limit_differs(LIMIT_REQUESTS))
		(void) check_token(call);
	if (!http_count_request(call->token, &call->refused_retry_ms))
		refuse(call, 429, "{\"message\":\"Too many requests\"}", true);
	else if (!check_token(call))
		refuse(call, 401, "{\"message\":\"Unauthorized\"}", true);
}

static void
read_headers(RestCall *call)
{
	Slice		value;

	call->has_type = http_header(&call->head, SLICE_LITERAL("content-type"), &value);
	call->type = media_type(value);
}

/* The client waits to be told that its body is wanted. */
static void
send_continue(Connection *connection)
{
	writer_literal(frame_begin(64), "HTTP/1.1 100 Continue\r\n\r\n");
	output_send(connection, frame_finish_plain());
}

/* All is there. */
static void
complete(RestCall *call, Slice body)
{
	char		header[64] = "";

	if (call->refused_status == 0)
	{
		rest_run(call, body);
		return;
	}
	if (call->refused_retry_ms > 0)
		http_write_retry(header, sizeof(header), call->refused_retry_ms);
	answer(call, call->refused_status, slice_cstring(call->refused_body), call->refused_with_rate, header);
}

static void
set_deadline(RestCall *call)
{
	call->connection->deadline = call->began + realtime_handshake_timeout + call->received * 1000 / BODY_RATE;
	connection_schedule(call->connection);
}

void
rest_begin(Connection *connection, const HttpHead *head, bool single, bool keep_alive)
{
	RestCall   *call = make_call(connection, head);
	uint64_t	length;
	HttpFraming framing = http_framing(head, &length);
	bool		expects = head->minor_version > 0 &&
		http_header_holds(head, SLICE_LITERAL("expect"), SLICE_LITERAL("100-continue"));

	if (call == NULL)
	{
		connection_cut(connection);
		return;
	}
	call->single = single;
	call->keep_alive = keep_alive;
	call->chunked = framing == HTTP_BODY_CHUNKED;
	call->left = length;
	read_headers(call);
	if (framing == HTTP_BODY_BAD)
	{
		answer_early(call, 400, REST_BAD_REQUEST);
		return;
	}
	if (length > BODY_MAX)
	{
		answer_early(call, 413, SLICE_LITERAL("{\"message\":\"Request Entity Too Large\"}"));
		return;
	}
	check_head(call);
	if (framing == HTTP_BODY_NONE)
	{
		complete(call, SLICE_EMPTY);
		return;
	}
	if (expects && call->refused_status != 0)
	{
		call->keep_alive = false;
		complete(call, SLICE_EMPTY);
		return;
	}
	if (expects)
		send_continue(connection);
	set_deadline(call);
}

/* ------------------------------------------------ the body ------------------------------------------------ */

/* Room for so many bytes of the body; false, and the call is answered, if that is not possible. */
static bool
make_room(RestCall *call, Size needed)
{
	Size		size = Max(needed, Min(call->received + call->left, (Size) BODY_MAX));
	char	   *larger;

	if (needed <= call->body_size)
		return true;
	if (call->chunked)
		size = Max(needed, Min(call->body_size * 2, (Size) BODY_MAX));
	if (bodies_held + size > BODIES_MAX)
	{
		call->keep_alive = false;
		rest_answer_busy(call, 1000);
		return false;
	}
	larger = realloc(call->body, size);
	if (larger == NULL)
	{
		answer_early(call, 500, REST_NO_MEMORY);
		return false;
	}
	bodies_held += size - call->body_size;
	call->body = larger;
	call->body_size = size;
	return true;
}

bool
rest_own_body(RestCall *call, Slice *body)
{
	if (body->len == 0 || body->data == call->body)
		return true;
	if (!make_room(call, body->len))
		return false;
	memcpy(call->body, body->data, body->len);
	body->data = call->body;
	return true;
}

/* Keep a piece, unless the call is refused anyway; false: it has been answered. */
static bool
keep(RestCall *call, Slice piece)
{
	if (call->received + piece.len > BODY_MAX)
	{
		answer_early(call, 413, SLICE_LITERAL("{\"message\":\"Request Entity Too Large\"}"));
		return false;
	}
	if (call->refused_status == 0)
	{
		if (!make_room(call, call->received + piece.len))
			return false;
		memcpy(call->body + call->received, piece.data, piece.len);
	}
	call->received += piece.len;
	return true;
}

/* So many bytes, as announced; those that come in one piece are read where they lie. */
static Size
counted_received(RestCall *call, Slice bytes)
{
	Slice		piece = slice_make(bytes.data, Min(bytes.len, call->left));

	if (call->received == 0 && piece.len == call->left)
	{
		complete(call, piece);
		return piece.len;
	}
	call->left -= piece.len;
	if (!keep(call, piece))
		return bytes.len;
	if (call->left == 0)
		complete(call, slice_make(call->body, call->received));
	else
		set_deadline(call);
	return piece.len;
}

static Size
chunks_received(RestCall *call, Slice bytes)
{
	Size		used = 0;

	for (;;)
	{
		size_t		step;
		Slice		piece;

		switch (chunked_read(&call->chunks, slice_skip(bytes, used), &step, &piece))
		{
			case CHUNKED_MORE:
				set_deadline(call);
				return bytes.len;
			case CHUNKED_PIECE:
				if (!keep(call, piece))
					return bytes.len;
				break;
			case CHUNKED_END:
				complete(call, slice_make(call->body, call->received));
				return used + step;
			case CHUNKED_BAD:
				answer_early(call, 400, REST_BAD_REQUEST);
				return bytes.len;
		}
		used += step;
	}
}

Size
rest_body_received(Connection *connection, Slice bytes)
{
	RestCall   *call = connection->rest;

	return call->chunked ? chunks_received(call, bytes) : counted_received(call, bytes);
}

/* ------------------------------------------------ waiting ------------------------------------------------ */

bool
rest_waits(const Connection *connection)
{
	return connection->rest != NULL && connection->rest->waits;
}

bool
rest_keeps_alive(const Connection *connection)
{
	return connection->rest->keep_alive;
}

void
rest_is_last(Connection *connection)
{
	connection->rest->keep_alive = false;
}

bool
rest_too_late(Connection *connection)
{
	if (!rest_waits(connection))
		return false;
	asking_drop(connection);
	rest_answer(connection->rest, 422, REST_CANCELED);
	return true;
}

void
rest_drop(Connection *connection)
{
	if (connection->rest != NULL)
		free_call(connection->rest);
}
