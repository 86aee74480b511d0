/*
 * ws_client.h
 *		One WebSocket connection of the load generator, never blocking.
 *
 * Frames are handed to the caller where they lie in the read buffer, which all
 * connections share; only the part of a frame that a read has cut off is kept
 * per connection.
 */
#ifndef BENCH_WS_CLIENT_H
#define BENCH_WS_CLIENT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WS_OPCODE_TEXT		1
#define WS_OPCODE_BINARY	2
#define WS_OPCODE_CLOSE		8
#define WS_OPCODE_PING		9
#define WS_OPCODE_PONG		10

#define WS_SCRATCH_SIZE		(1024 * 1024)

typedef enum ws_state
{
	WS_CONNECTING,				/* TCP is not up yet */
	WS_UPGRADING,				/* the request is on its way, the answer isn't complete */
	WS_OPEN,
	WS_DEAD						/* fd is closed, error says why */
} ws_state;

typedef struct ws_client
{
	int			fd;
	ws_state	state;
	uint32_t	mask;			/* changes with every frame */
	uint8_t    *held;			/* start of a frame whose end has not been read */
	uint32_t	held_length;
	uint32_t	held_size;
	uint8_t    *unsent;			/* what the socket did not take */
	uint32_t	unsent_length;
	uint32_t	unsent_size;
	char		error[120];
} ws_client;

/* Called for each text and binary message; data lives only during the call. */
typedef void (*ws_message_fn) (void *arg, int opcode, const uint8_t *data, size_t length);

extern bool ws_open(ws_client *ws, const struct sockaddr_in *server, uint32_t source_address);
extern bool ws_upgrade(ws_client *ws, const char *path);
extern bool ws_read(ws_client *ws, uint8_t *scratch, ws_message_fn message, void *arg);
extern size_t ws_frame(ws_client *ws, uint8_t *out, int opcode, const void *data, size_t length);
extern bool ws_send(ws_client *ws, const void *bytes, size_t length);
extern bool ws_send_message(ws_client *ws, int opcode, const void *data, size_t length);
extern bool ws_flush(ws_client *ws);
extern void ws_close(ws_client *ws);

/* Room that ws_frame needs beside the data. */
#define WS_FRAME_OVERHEAD	14

#endif							/* BENCH_WS_CLIENT_H */
