/*
 * input.c
 *	  From bytes to requests and messages.
 *
 * What comes in one piece, which is nearly everything, is read where libwebsockets has it. Memory for a long
 * one is asked for once, at the size that its frame announces; pages that nothing has come for cost nothing.
 */
#include "postgres.h"

#include "listener/channel.h"
#include "listener/http.h"
#include "listener/input.h"
#include "listener/output.h"
#include "listener/rest.h"
#include "listener/tally.h"

/* For topics and events with escapes: the longest that can be joined, six bytes for each of its own. */
#define SCRATCH_SIZE		(64 * 1024)

/* Requests that came while one before them waits for the authorizers; of a client that sends more it is the last. */
#define PIPELINE_MAX		(256 * 1024)

static char scratch[SCRATCH_SIZE];

void
input_message(Connection *connection, Slice frame, bool binary, const Answer *answer,
			  struct Subscription *subscription)
{
	PhxMessage	message;
	Incoming	incoming = {
		.message = &message,
		.frame = frame,
		.binary = binary,
		.answer = answer,
		.subscription = subscription
	};

	if (binary)
		incoming.result = phx_parse_binary(connection->vsn, frame, scratch, sizeof(scratch), &message);
	else
		incoming.result = phx_parse_text(connection->vsn, frame, scratch, sizeof(scratch), &message);
	if (incoming.result == PHX_MALFORMED)
		tally(COUNTER_MESSAGES_MALFORMED, 1);
	else if (incoming.result != PHX_IGNORED)
		channel_message(connection, &incoming);
}

/* A whole message has come. */
static void
message_received(Connection *connection, Slice frame, bool binary)
{
	connection->received++;
	tally(COUNTER_MESSAGES_RECEIVED, 1);
	input_message(connection, frame, binary, NULL, NULL);
}

void
input_drop(Connection *connection)
{
	free(connection->input);
	connection->input = NULL;
	connection->input_len = connection->input_size = 0;
	connection->input_started = false;
}

/* Room for so many bytes in all: as many as the frame announces, doubling from frame to frame. */
static bool
make_room(Connection *connection, Size needed)
{
	Size		size = Max(needed, Min(connection->input_size * 2, (Size) CONNECTION_MAX_MESSAGE));
	char	   *larger;

	if (needed <= connection->input_size)
		return true;
	larger = realloc(connection->input, size);
	if (larger == NULL)
		return false;
	connection->input = larger;
	connection->input_size = size;
	return true;
}

/* The last piece is there. The message outlives its connection's input, which is dropped should it be closed. */
static void
assembled(Connection *connection, bool binary)
{
	char	   *input = connection->input;
	Slice		message = slice_make(input, connection->input_len);

	connection->input = NULL;
	input_drop(connection);
	message_received(connection, message, binary);
	free(input);
}

/* A piece of a message; one that is going to be too long is refused as soon as that is known. */
static void
piece_received(Connection *connection)
{
	WsReader   *reader = &connection->reader;
	Slice		piece = reader->piece;
	bool		whole = reader->piece_final && reader->piece_remaining == 0;

	if (reader->piece_remaining > CONNECTION_MAX_MESSAGE ||
		connection->input_len + piece.len + reader->piece_remaining > CONNECTION_MAX_MESSAGE)
	{
		connection_close(connection, CLOSE_TOO_BIG, "message over 5000000 bytes", false);
		return;
	}
	if (whole && !connection->input_started)
	{
		message_received(connection, piece, reader->piece_binary);
		return;
	}
	connection->input_started = true;
	if (!make_room(connection, connection->input_len + piece.len + reader->piece_remaining))
	{
		connection_close(connection, CLOSE_INTERNAL, "out of memory", false);
		return;
	}
	if (piece.len > 0)
		memcpy(connection->input + connection->input_len, piece.data, piece.len);
	connection->input_len += piece.len;
	if (whole)
		assembled(connection, reader->piece_binary);
}

/* Frames of a WebSocket. One that is being closed only waits for the client's close frame. */
static void
frames_received(Connection *connection, char *data, Size length)
{
	while (length > 0 && !connection->peer_closed)
	{
		bool		open = connection->state == CONNECTION_OPEN;
		size_t		used;
		WsEvent		event = ws_read(&connection->reader, data, length, &used);

		data += used;
		length -= used;
		switch (event)
		{
			case WS_PIECE:
				if (open)
					piece_received(connection);
				break;
			case WS_PING:
				if (open)
					output_send(connection, frame_control(FRAME_PONG, connection->reader.piece));
				break;
			case WS_CLOSE:
				connection_peer_closed(connection, connection->reader.piece);
				break;
			case WS_ERROR:
				connection_close(connection, CLOSE_PROTOCOL_ERROR, "not a WebSocket frame", false);
				return;
			case WS_PONG:
			case WS_NOTHING:
				break;
		}
		if (connection->state == CONNECTION_CUT)
			return;
	}
}

/*
 * Requests that are complete, one after the other; returns the bytes that were used. Behind a request that waits none
 * is looked at, or its answer might come first.
 */
static Size
read_requests(Connection *connection, const char *data, Size length)
{
	Size		used = 0;

	while (used < length && connection->state == CONNECTION_HTTP && !rest_waits(connection))
	{
		Slice		rest = slice_make(data + used, length - used);
		HttpHead	head;
		HttpHeadResult result;

		if (connection->rest != NULL)
		{
			used += rest_body_received(connection, rest);
			continue;
		}
		result = http_head_parse(rest, &head);
		if (result == HTTP_HEAD_INCOMPLETE)
			break;
		if (result != HTTP_HEAD_OK)
		{
			http_bad_request(connection, result);
			return length;
		}
		used += head.length;
		http_request(connection, &head);
	}
	return used;
}

/* Keep the beginning of a request, or requests for later. */
static void
keep_request(Connection *connection, const char *data, Size length)
{
	if (rest_waits(connection) && connection->input_len + length > PIPELINE_MAX)
		rest_is_last(connection);
	if (rest_waits(connection) && !rest_keeps_alive(connection))
	{
		input_drop(connection);
		return;
	}
	if (!make_room(connection, connection->input_len + length))
	{
		connection_cut(connection);
		return;
	}
	memcpy(connection->input + connection->input_len, data, length);
	connection->input_len += length;
}

/* HTTP; behind a request that was upgraded there may already be frames. */
static void
requests_received(Connection *connection, char *data, Size length)
{
	Size		used = read_requests(connection, data, length);

	if (connection->state == CONNECTION_OPEN)
		frames_received(connection, data + used, length - used);
	else if (connection->state == CONNECTION_HTTP && used < length)
		keep_request(connection, data + used, length - used);
}

/* Look again at what has been kept. Requests outlive the input, which is dropped when they are answered. */
static void
requests_kept(Connection *connection)
{
	char	   *input = connection->input;
	Size		input_len = connection->input_len;

	connection->input = NULL;
	input_drop(connection);
	if (input_len > 0)
		requests_received(connection, input, input_len);
	free(input);
}

void
input_resume(Connection *connection)
{
	if (connection->state == CONNECTION_HTTP)
		requests_kept(connection);
}

void
input_received(Connection *connection, char *data, Size length)
{
	connection_heard(connection);
	tally(COUNTER_BYTES_RECEIVED, length);
	if (connection->state == CONNECTION_HTTP)
	{
		if (connection->input_len == 0 && !rest_waits(connection))
			requests_received(connection, data, length);
		else
		{
			keep_request(connection, data, length);
			if (!rest_waits(connection))
				requests_kept(connection);
		}
		/* at once: a client may have shut its side, and libwebsockets closes when it reads that */
		output_now(connection);
	}
	else if (connection->vsn != 0 && connection->state != CONNECTION_CUT)
		frames_received(connection, data, length);
}
