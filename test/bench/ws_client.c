/*
 * ws_client.c
 *		One WebSocket connection of the load generator (RFC 6455, client side).
 */
#include "ws_client.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

/* The example pair of RFC 6455, section 1.3: a fixed key needs no SHA-1 to check the answer. */
#define UPGRADE_KEY		"dGhlIHNhbXBsZSBub25jZQ=="
#define UPGRADE_ACCEPT	"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

#define MAX_UNSENT		(16 * 1024 * 1024)
#define MAX_CONTROL		125

/* Ends a connection and remembers why; the first reason stays. Always false. */
static bool
fail(ws_client *ws, const char *format,...)
{
	va_list		args;

	if (ws->error[0] == '\0')
	{
		va_start(args, format);
		vsnprintf(ws->error, sizeof(ws->error), format, args);
		va_end(args);
	}
	ws_close(ws);
	return false;
}

/* Closes the socket without a close frame and frees the buffers; may be called twice. */
void
ws_close(ws_client *ws)
{
	if (ws->fd >= 0)
		close(ws->fd);
	ws->fd = -1;
	ws->state = WS_DEAD;
	free(ws->held);
	free(ws->unsent);
	ws->held = ws->unsent = NULL;
	ws->held_length = ws->held_size = ws->unsent_length = ws->unsent_size = 0;
}

/*
 * Begins to connect; source_address (host order, 0 for any) spreads many
 * connections over several addresses, since one has 28,000 ports only.
 */
bool
ws_open(ws_client *ws, const struct sockaddr_in *server, uint32_t source_address)
{
	int			one = 1;

	memset(ws, 0, sizeof(*ws));
	ws->mask = (uint32_t) random() | 1;
	ws->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (ws->fd < 0)
		return fail(ws, "socket: %s", strerror(errno));
	setsockopt(ws->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (source_address != 0)
	{
		struct sockaddr_in source = {.sin_family = AF_INET};

		source.sin_addr.s_addr = htonl(source_address);
		setsockopt(ws->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(ws->fd, (struct sockaddr *) &source, sizeof(source)) != 0)
			return fail(ws, "bind: %s", strerror(errno));
	}
	ws->state = WS_CONNECTING;
	if (connect(ws->fd, (const struct sockaddr *) server, sizeof(*server)) != 0 &&
		errno != EINPROGRESS)
		return fail(ws, "connect: %s", strerror(errno));
	return true;
}

/* Asks for the upgrade; to be called once the socket is writable for the first time. */
bool
ws_upgrade(ws_client *ws, const char *path)
{
	char		request[4096];
	int			error = 0;
	socklen_t	size = sizeof(error);
	int			length;

	getsockopt(ws->fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (error != 0)
		return fail(ws, "connect: %s", strerror(error));
	length = snprintf(request, sizeof(request),
					  "GET %s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
					  "Connection: Upgrade\r\nSec-WebSocket-Key: " UPGRADE_KEY "\r\n"
					  "Sec-WebSocket-Version: 13\r\n\r\n", path);
	if (length >= (int) sizeof(request))
		return fail(ws, "request too long");
	ws->state = WS_UPGRADING;
	return ws_send(ws, request, (size_t) length);
}

/* Grows a buffer to hold at least so many bytes; false if there is no memory. */
static bool
reserve(uint8_t **buffer, uint32_t *size, size_t wanted)
{
	uint8_t    *larger;

	if (wanted <= *size)
		return true;
	wanted = wanted < 1024 ? 1024 : wanted * 2;
	larger = realloc(*buffer, wanted);
	if (larger == NULL)
		return false;
	*buffer = larger;
	*size = (uint32_t) wanted;
	return true;
}

/* Keeps what the socket did not take, to be sent by ws_flush. */
static bool
keep_unsent(ws_client *ws, const uint8_t *bytes, size_t length)
{
	if (length == 0)
		return true;
	if (ws->unsent_length + length > MAX_UNSENT)
		return fail(ws, "the server reads too slowly");
	if (!reserve(&ws->unsent, &ws->unsent_size, ws->unsent_length + length))
		return fail(ws, "out of memory");
	memcpy(ws->unsent + ws->unsent_length, bytes, length);
	ws->unsent_length += (uint32_t) length;
	return true;
}

/* Sends bytes as they are; what doesn't fit the socket waits for ws_flush. */
bool
ws_send(ws_client *ws, const void *bytes, size_t length)
{
	ssize_t		n = 0;

	if (ws->state == WS_DEAD)
		return false;
	if (ws->unsent_length == 0)
	{
		n = send(ws->fd, bytes, length, MSG_NOSIGNAL);
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return fail(ws, "send: %s", strerror(errno));
		if (n < 0)
			n = 0;
	}
	return keep_unsent(ws, (const uint8_t *) bytes + n, length - (size_t) n);
}

/* Tries again to send what waits. */
bool
ws_flush(ws_client *ws)
{
	ssize_t		n;

	if (ws->unsent_length == 0)
		return true;
	n = send(ws->fd, ws->unsent, ws->unsent_length, MSG_NOSIGNAL);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR || fail(ws, "send: %s", strerror(errno));
	ws->unsent_length -= (uint32_t) n;
	memmove(ws->unsent, ws->unsent + n, ws->unsent_length);
	return true;
}

/*
 * Builds one masked frame; out must have room for length + WS_FRAME_OVERHEAD.
 * Returns its size.
 */
size_t
ws_frame(ws_client *ws, uint8_t *out, int opcode, const void *data, size_t length)
{
	const uint8_t *bytes = data;
	uint8_t    *at = out;
	uint8_t		mask[4];

	*at++ = (uint8_t) (0x80 | opcode);
	if (length < 126)
		*at++ = (uint8_t) (0x80 | length);
	else if (length < 65536)
	{
		*at++ = 0x80 | 126;
		*at++ = (uint8_t) (length >> 8);
		*at++ = (uint8_t) length;
	}
	else
	{
		*at++ = 0x80 | 127;
		for (int i = 7; i >= 0; i--)
			*at++ = (uint8_t) ((uint64_t) length >> (8 * i));
	}
	ws->mask = ws->mask * 1664525 + 1013904223;
	memcpy(mask, &ws->mask, 4);
	memcpy(at, mask, 4);
	at += 4;
	for (size_t i = 0; i < length; i++)
		at[i] = bytes[i] ^ mask[i & 3];
	return (size_t) (at - out) + length;
}

/* Sends one message of at most 4 kB in one frame. */
bool
ws_send_message(ws_client *ws, int opcode, const void *data, size_t length)
{
	uint8_t		frame[4096 + WS_FRAME_OVERHEAD];

	if (length > 4096)
		return fail(ws, "message too long to send");
	return ws_send(ws, frame, ws_frame(ws, frame, opcode, data, length));
}

/*
 * Reads the answer to the upgrade. Returns the number of bytes that it takes, 0 if
 * it isn't complete yet; a refusal kills the connection.
 */
static size_t
read_answer(ws_client *ws, const uint8_t *data, size_t length)
{
	const uint8_t *end = memmem(data, length, "\r\n\r\n", 4);

	if (end == NULL)
	{
		if (length > 16384)
			fail(ws, "endless answer to the upgrade");
		return 0;
	}
	if (length < 12 || memcmp(data, "HTTP/1.1 101", 12) != 0)
	{
		/* the body says why, if it came along */
		fail(ws, "refused: %.12s %.*s", data, (int) (data + length - end - 4), end + 4);
		return 0;
	}
	if (memmem(data, (size_t) (end - data), UPGRADE_ACCEPT, sizeof(UPGRADE_ACCEPT) - 1) == NULL)
	{
		fail(ws, "wrong Sec-WebSocket-Accept");
		return 0;
	}
	ws->state = WS_OPEN;
	return (size_t) (end + 4 - data);
}

/* Answers a ping, notes a close. False if the connection is over. */
static bool
control_frame(ws_client *ws, int opcode, const uint8_t *data, size_t length)
{
	if (length > MAX_CONTROL)
		return fail(ws, "control frame of %zu bytes", length);
	if (opcode == WS_OPCODE_PING)
		return ws_send_message(ws, WS_OPCODE_PONG, data, length);
	if (opcode != WS_OPCODE_CLOSE)
		return true;
	if (length < 2)
		return fail(ws, "closed by the server without a code");
	return fail(ws, "closed by the server: %d %.*s", data[0] << 8 | data[1],
				(int) (length - 2), data + 2);
}

/*
 * Reads the head of a frame. Returns its size and sets the size of the payload; 0 if
 * the head isn't complete.
 */
static size_t
frame_head(const uint8_t *data, size_t length, uint64_t *payload)
{
	if (length < 2)
		return 0;
	*payload = data[1] & 0x7f;
	if (*payload < 126)
		return 2;
	if (*payload == 126)
	{
		if (length < 4)
			return 0;
		*payload = (uint64_t) data[2] << 8 | data[3];
		return 4;
	}
	if (length < 10)
		return 0;
	*payload = 0;
	for (int i = 2; i < 10; i++)
		*payload = *payload << 8 | data[i];
	return 10;
}

/* Hands out all whole frames; returns the number of bytes used. The connection may die in it. */
static size_t
read_frames(ws_client *ws, const uint8_t *data, size_t length, ws_message_fn message, void *arg)
{
	size_t		used = 0;

	while (ws->state == WS_OPEN)
	{
		const uint8_t *frame = data + used;
		uint64_t	payload;
		size_t		head = frame_head(frame, length - used, &payload);
		int			opcode;

		if (head == 0)
			break;
		if (payload > WS_SCRATCH_SIZE / 2)
		{
			fail(ws, "frame of %llu bytes", (unsigned long long) payload);
			break;
		}
		if (length - used < head + payload)
			break;
		if ((frame[0] & 0xf0) != 0x80 || (frame[1] & 0x80) != 0)
		{
			fail(ws, "frame is fragmented, masked or has reserved bits: %02x %02x",
				 frame[0], frame[1]);
			break;
		}
		opcode = frame[0] & 0x0f;
		used += head + payload;
		if (opcode == WS_OPCODE_TEXT || opcode == WS_OPCODE_BINARY)
			message(arg, opcode, frame + head, payload);
		else if (!control_frame(ws, opcode, frame + head, payload))
			break;
	}
	return used;
}

/*
 * Reads what has come, once, into scratch (WS_SCRATCH_SIZE bytes, shared by all
 * connections) and hands out the messages. False if the connection is over. One
 * recv() per call: the poll is level-triggered and tells of the rest.
 */
bool
ws_read(ws_client *ws, uint8_t *scratch, ws_message_fn message, void *arg)
{
	size_t		length = ws->held_length;
	size_t		used = 0;
	ssize_t		n;

	if (length > 0)
		memcpy(scratch, ws->held, length);
	n = recv(ws->fd, scratch + length, WS_SCRATCH_SIZE - length, 0);
	if (n < 0)
		return errno == EAGAIN || errno == EINTR || fail(ws, "recv: %s", strerror(errno));
	if (n == 0)
		return fail(ws, "the server cut the connection");
	length += (size_t) n;

	if (ws->state == WS_UPGRADING)
		used = read_answer(ws, scratch, length);
	if (ws->state == WS_OPEN)
		used += read_frames(ws, scratch + used, length - used, message, arg);
	if (ws->state == WS_DEAD)
		return false;

	ws->held_length = 0;
	if (used < length)
	{
		if (!reserve(&ws->held, &ws->held_size, length - used))
			return fail(ws, "out of memory");
		memcpy(ws->held, scratch + used, length - used);
		ws->held_length = (uint32_t) (length - used);
	}
	return true;
}
