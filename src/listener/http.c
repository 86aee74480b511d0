/*
 * http.c
 *	  HTTP requests.
 */
#include "postgres.h"

#include <openssl/sha.h>

#include "common/base64.h"

#include "listener/channel.h"
#include "listener/http.h"
#include "listener/limits.h"
#include "listener/metrics.h"
#include "listener/output.h"
#include "listener/rest.h"
#include "listener/tally.h"
#include "shared/settings.h"
#include "wire/http_body.h"
#include "wire/origin.h"
#include "wire/url.h"

#define JSON_TYPE		"application/json; charset=utf-8"
#define TEXT_TYPE		"text/plain; charset=utf-8"

/* What the key of a handshake is hashed with (RFC 6455, 4.2.2). */
#define WEBSOCKET_GUID	"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
#define WEBSOCKET_KEY_MAX	128

/* Long values of headers are not quoted whole. */
#define QUOTED_MAX		256

typedef struct Request
{
	Connection *connection;
	const HttpHead *head;		/* NULL: could not be read */
	bool		keep_alive;
} Request;

/* Requests below /api in the present second and in the last one. */
static struct
{
	uint64		second;			/* loop clock */
	int			now;
	int			before;
}			rate;

static char key_buffer[JWT_MAX_TOKEN + 1];

static const char *
reason_phrase(int status)
{
	switch (status)
	{
		case 200:
			return "OK";
		case 202:
			return "Accepted";
		case 204:
			return "No Content";
		case 400:
			return "Bad Request";
		case 401:
			return "Unauthorized";
		case 403:
			return "Forbidden";
		case 404:
			return "Not Found";
		case 413:
			return "Request Entity Too Large";
		case 415:
			return "Unsupported Media Type";
		case 422:
			return "Unprocessable Entity";
		case 429:
			return "Too Many Requests";
		case 431:
			return "Request Header Fields Too Large";
		default:
			return "Internal Server Error";
	}
}

/* An id for the request, as the reference gives one. */
static void
write_request_id(Writer *w)
{
	unsigned char random[12];

	if (!pg_strong_random(random, sizeof(random)))
		memset(random, 0, sizeof(random));
	for (int i = 0; i < (int) sizeof(random); i++)
	{
		writer_char(w, "0123456789abcdef"[random[i] >> 4]);
		writer_char(w, "0123456789abcdef"[random[i] & 0xF]);
	}
}

static bool
has_method(const Request *request, Slice method)
{
	return request->head != NULL && slice_equal(request->head->method, method);
}

/* A client that sends requests and does not read the answers. */
static bool
has_no_room(const Connection *connection, Size bound)
{
	return connection->queued_bytes > 0 && connection->queued_bytes + bound > (Size) realtime_client_queue_size * 1024;
}

/* Answer. type NULL: no body; headers: further ones, each with its line end, may be NULL. */
static void
answer(Request *request, int status, const char *type, Slice body, const char *headers)
{
	Size		bound = 2048 + body.len;
	Writer	   *w;

	if (has_no_room(request->connection, bound))
	{
		tally(COUNTER_SLOW_CONSUMERS_CLOSED, 1);
		connection_cut(request->connection);
		return;
	}
	w = frame_begin(bound);

	writer_literal(w, "HTTP/1.1 ");
	writer_int(w, status);
	writer_char(w, ' ');
	writer_cstring(w, reason_phrase(status));
	writer_literal(w, "\r\nx-request-id: ");
	write_request_id(w);
	if (type != NULL)
	{
		writer_literal(w, "\r\ncontent-type: ");
		writer_cstring(w, type);
	}
	if (status != 204)
	{
		writer_literal(w, "\r\ncontent-length: ");
		writer_uint(w, body.len);
	}
	writer_cstring(w, request->keep_alive ? "\r\n" : "\r\nconnection: close\r\n");
	if (headers != NULL)
		writer_cstring(w, headers);
	writer_literal(w, "\r\n");
	if (!has_method(request, SLICE_LITERAL("HEAD")))
		writer_slice(w, body);
	output_send(request->connection, frame_finish_plain());
	if (request->keep_alive)
		connection_await_request(request->connection);
	else
		connection_finish(request->connection);
}

/* Of this listener; what is allowed counts over all. */
static void
count_request(void)
{
	uint64		second = connection_clock() / 1000;

	if (second != rate.second)
	{
		rate.before = second == rate.second + 1 ? rate.now : 0;
		rate.now = 0;
		rate.second = second;
	}
	rate.now++;
}

bool
http_count_request(const Token *token, int *retry_ms)
{
	count_request();
	return limits_request(token, retry_ms);
}

/* Answer a request below /api: with the headers that tell of its rate (PROTOCOL 4.5). */
static void
answer_api(Request *request, int status, const char *type, Slice body, const char *more_headers, const Token *token)
{
	char		headers[1024];

	snprintf(headers, sizeof(headers), "x-rate-rolling: %d\r\nx-rate-limit: %d\r\nx-rate-limit-remaining: %u\r\n%s",
			 rate.before, limit_of(token != NULL ? token_role(token) : SLICE_EMPTY, LIMIT_REQUESTS), limits_requests_left(token),
			 more_headers == NULL ? "" : more_headers);
	answer(request, status, type, body, headers);
}

void
http_write_retry(char *header, Size size, int retry_ms)
{
	snprintf(header, size, "retry-after: %d\r\n", retry_ms / 1000 + (retry_ms % 1000 != 0));
}

void
http_reply(Connection *connection, const HttpReply *reply)
{
	Request		request = {.connection = connection, .keep_alive = reply->keep_alive};
	const char *type = reply->body.len > 0 ? JSON_TYPE : NULL;

	if (reply->with_rate)
		answer_api(&request, reply->status, type, reply->body, reply->headers, reply->token);
	else
		answer(&request, reply->status, type, reply->body, reply->headers);
}

static void
answer_json(Request *request, int status, Slice body)
{
	answer(request, status, JSON_TYPE, body, NULL);
}

/* A connect that is refused. */
static void
refuse(Request *request, int status, Slice text)
{
	char		buffer[JWT_ERROR_BODY_BOUND(JWT_TEXT_BOUND)];
	Writer		w = writer_fixed(buffer, sizeof(buffer));

	jwt_write_error_body(&w, text);
	answer_json(request, status, writer_written(&w));
}

/* A handshake with a header that is missing or wrong: "'NAME' header WHAT", and what it is. */
static void
refuse_header(Request *request, const char *name, const char *what, const Slice *got)
{
	char		buffer[256 + WRITER_JSON_STRING_BOUND(QUOTED_MAX)];
	Writer		w = writer_fixed(buffer, sizeof(buffer));

	writer_char(&w, '\'');
	writer_cstring(&w, name);
	writer_literal(&w, "' header ");
	writer_cstring(&w, what);
	if (got != NULL)
	{
		writer_literal(&w, ", got [");
		if (got->data != NULL)
			writer_json_string(&w, slice_cut_text(*got, QUOTED_MAX));
		writer_literal(&w, "]");
	}
	answer(request, 400, TEXT_TYPE, writer_written(&w), NULL);
}

/* The parts of a WebSocket handshake (PROTOCOL 1.4, step 2). */
static bool
check_handshake(Request *request, Slice *key)
{
	const HttpHead *head = request->head;
	Slice		value;

	if (!has_method(request, SLICE_LITERAL("GET")))
		answer(request, 400, NULL, SLICE_EMPTY, NULL);
	else if (!http_header_holds(head, SLICE_LITERAL("connection"), SLICE_LITERAL("upgrade")))
	{
		(void) http_header(head, SLICE_LITERAL("connection"), &value);
		refuse_header(request, "connection", "must contain 'upgrade'", &value);
	}
	else if (!http_header_holds(head, SLICE_LITERAL("upgrade"), SLICE_LITERAL("websocket")))
	{
		(void) http_header(head, SLICE_LITERAL("upgrade"), &value);
		refuse_header(request, "upgrade", "must contain 'websocket'", &value);
	}
	else if (!http_header(head, SLICE_LITERAL("sec-websocket-key"), key))
		refuse_header(request, "sec-websocket-key", "is absent", NULL);
	else if (key->len > WEBSOCKET_KEY_MAX)
		refuse_header(request, "sec-websocket-key", "is too long", NULL);
	else if (!http_header(head, SLICE_LITERAL("sec-websocket-version"), &value) ||
			 !slice_equal(value, SLICE_LITERAL("13")))
		refuse_header(request, "sec-websocket-version", "must equal '13'", &value);
	else
		return true;
	return false;
}

/* The protocol version: 0 if it is none that we speak. */
static int
requested_vsn(const Request *request)
{
	char		buffer[64];
	Slice		text;

	switch (url_query_param(request->head->query, SLICE_LITERAL("vsn"), buffer, sizeof(buffer), &text))
	{
		case URL_PARAM_ABSENT:
			return PHX_V1;
		case URL_PARAM_TEXT:
			return vsn_parse(text);
		default:
			return 0;
	}
}

/* The key of the connect: of the header x-api-key, else of the parameter apikey. False: there is none. */
static bool
requested_key(const Request *request, Slice *key)
{
	*key = SLICE_EMPTY;
	if (http_header(request->head, SLICE_LITERAL("x-api-key"), key))
		return true;
	switch (url_query_param(request->head->query, SLICE_LITERAL("apikey"), key_buffer, sizeof(key_buffer), key))
	{
		case URL_PARAM_TEXT:
			return true;
		case URL_PARAM_INVALID:
			*key = SLICE_EMPTY;
			return true;
		default:
			return false;
	}
}

static void
write_policy_headers(Writer *w, const HttpHead *head, bool all)
{
	Slice		at = head->headers;
	Slice		name;
	Slice		value;
	bool		first = true;

	writer_char(w, '{');
	while (http_header_next(&at, &name, &value))
	{
		if (!all && (name.len < 2 || (name.data[0] | 0x20) != 'x' || name.data[1] != '-'))
			continue;
		if (!slice_is_utf8(value))
			continue;
		if (!first)
			writer_char(w, ',');
		first = false;
		writer_char(w, '"');
		for (size_t i = 0; i < name.len; i++)
			writer_char(w, pg_ascii_tolower((unsigned char) name.data[i]));
		writer_literal(w, "\":");
		writer_json_string(w, value);
	}
	writer_char(w, '}');
}

Slice
http_policy_headers(const HttpHead *head, bool all)
{
	Writer		measure = writer_measuring();
	Writer		w;
	char	   *text;

	write_policy_headers(&measure, head, all);
	if (measure.len <= 2 || (text = malloc(measure.len)) == NULL)
		return SLICE_EMPTY;
	w = writer_fixed(text, measure.len);
	write_policy_headers(&w, head, all);
	return writer_written(&w);
}

/* 101, and what comes from now on are frames. Takes over the token. */
static void
upgrade(Request *request, Slice key, Token *token, int vsn)
{
	char		text[WEBSOCKET_KEY_MAX + sizeof(WEBSOCKET_GUID)];
	Writer		hashed = writer_fixed(text, sizeof(text));
	unsigned char digest[SHA_DIGEST_LENGTH];
	char		accept[64];
	Writer	   *w = frame_begin(512);

	writer_slice(&hashed, key);
	writer_literal(&hashed, WEBSOCKET_GUID);
	SHA1((unsigned char *) text, hashed.len, digest);
	writer_literal(w, "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
				   "sec-websocket-accept: ");
	writer_bytes(w, accept, pg_b64_encode((void *) digest, sizeof(digest), accept, sizeof(accept)));
	writer_literal(w, "\r\n\r\n");
	output_send(request->connection, frame_finish_plain());
	if (request->connection->state != CONNECTION_HTTP)
	{
		token_unref(token);		/* no memory for the answer: it was cut */
		return;
	}
	connection_upgraded(request->connection, token, http_policy_headers(request->head, false), vsn);
}

/* May a page of this origin connect? A client that names none is no browser. */
static bool
origin_may_connect(const Request *request)
{
	Slice		origin;

	return !http_header(request->head, SLICE_LITERAL("origin"), &origin) ||
		origin_allowed(slice_cstring(realtime_allowed_origins), origin);
}

/*
 * The checks of PROTOCOL 1.4 in their order.
 */
static void
connect_websocket(Request *request)
{
	Connection *connection = request->connection;
	TokenRefusal refusal;
	Token	   *token = NULL;
	Slice		api_key;
	Slice		key;
	char		text[JWT_TEXT_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));
	int			vsn = requested_vsn(request);
	int			status;

	request->keep_alive = false;
	if (vsn == 0)
		answer(request, 403, NULL, SLICE_EMPTY, NULL);
	else if (!check_handshake(request, &key))
		;
	else if (!origin_may_connect(request))
		refuse(request, 403, SLICE_LITERAL("Origin not allowed"));
	else if (!requested_key(request, &api_key))
		refuse(request, 401, JWT_API_KEY_MISSING);
	else if ((token = token_verify(api_key, NULL, &refusal)) == NULL)
	{
		status = jwt_write_connect_refusal(&w, refusal.status, &refusal.claims);
		refuse(request, status, writer_written(&w));
	}
	else if (connection->over_limit)
		refuse(request, 429, SLICE_LITERAL("Too many connected users"));
	else if (!limits_join_possible(token))
		refuse(request, 429, SLICE_LITERAL("Too many joins per second"));
	else
	{
		upgrade(request, key, token, vsn);
		return;
	}
	token_unref(token);
	tally(COUNTER_CONNECTS_REFUSED, 1);
}

/* Preflight of a browser for the REST interface. */
static bool
is_preflight(const Request *request)
{
	UrlRoute	where = url_route(request->head->path);

	return has_method(request, SLICE_LITERAL("OPTIONS")) && (where == URL_BROADCAST || where == URL_BROADCAST_EVENT);
}

static void
answer_preflight(Request *request)
{
	char		buffer[512 + ORIGIN_CORS_BOUND];
	Writer		w = writer_fixed(buffer, sizeof(buffer));
	Slice		origin = SLICE_EMPTY;

	(void) http_header(request->head, SLICE_LITERAL("origin"), &origin);
	origin_write_cors(&w, slice_cstring(realtime_allowed_origins), origin);
	writer_literal(&w, "access-control-allow-methods: POST, OPTIONS\r\n"
				   "access-control-allow-headers: authorization, apikey, content-type, x-client-info\r\n"
				   "access-control-max-age: 86400\r\n");
	writer_char(&w, '\0');
	answer(request, 204, NULL, SLICE_EMPTY, buffer);
}

static void
answer_ping(Request *request)
{
	char		header[64];
	int			retry_ms;

	if (http_count_request(NULL, &retry_ms))
	{
		answer_api(request, 200, JSON_TYPE, SLICE_LITERAL("{\"message\":\"Success\"}"), NULL, NULL);
		return;
	}
	http_write_retry(header, sizeof(header), retry_ms);
	answer_api(request, 429, JSON_TYPE, SLICE_LITERAL("{\"message\":\"Too many requests\"}"), header, NULL);
}

static void
route(Request *request)
{
	UrlRoute	where = url_route(request->head->path);
	bool		reads = has_method(request, SLICE_LITERAL("GET")) || has_method(request, SLICE_LITERAL("HEAD"));

	if (where == URL_WEBSOCKET)
		connect_websocket(request);
	else if (where == URL_HEALTHCHECK && reads)
		answer(request, 200, TEXT_TYPE, SLICE_LITERAL("ok"), NULL);
	else if (where == URL_PING && reads)
	{
		answer_ping(request);
	}
	else if (is_preflight(request))
		answer_preflight(request);
	else if (slice_equal(request->head->path, SLICE_LITERAL("/metrics")) && reads)
	{
		if (metrics_may_read(request->connection, request->head))
		{
			Slice		text = metrics_text();

			answer(request, text.len > 0 ? 200 : 500, METRICS_TYPE, text, NULL);
		}
		else
			answer(request, 403, NULL, SLICE_EMPTY, NULL);
	}
	else
		answer_json(request, 404, SLICE_LITERAL("{\"message\":\"Not Found\"}"));
}

/* Does the client want to send more requests? */
static bool
wants_keep_alive(const HttpHead *head)
{
	if (http_header_holds(head, SLICE_LITERAL("connection"), SLICE_LITERAL("close")))
		return false;
	return head->minor_version > 0 ||
		http_header_holds(head, SLICE_LITERAL("connection"), SLICE_LITERAL("keep-alive"));
}

/*
 * Only REST requests have bodies that somebody reads. After another one with a body no request may come: what is left
 * of it is thrown away while the connection closes.
 */
void
http_request(Connection *connection, const HttpHead *head)
{
	Request		request = {.connection = connection, .head = head, .keep_alive = wants_keep_alive(head)};
	UrlRoute	where = url_route(head->path);
	uint64_t	length;

	if (has_method(&request, SLICE_LITERAL("POST")) && (where == URL_BROADCAST || where == URL_BROADCAST_EVENT))
	{
		rest_begin(connection, head, where == URL_BROADCAST_EVENT, request.keep_alive);
		return;
	}
	request.keep_alive = request.keep_alive && http_framing(head, &length) == HTTP_BODY_NONE;
	route(&request);
}

void
http_bad_request(Connection *connection, HttpHeadResult result)
{
	Request		request = {.connection = connection};

	if (result == HTTP_HEAD_TOO_LONG)
		answer_json(&request, 431, SLICE_LITERAL("{\"message\":\"Request Header Fields Too Large\"}"));
	else
		answer_json(&request, 400, SLICE_LITERAL("{\"message\":\"Bad Request\"}"));
}
