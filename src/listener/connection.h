/*
 * connection.h
 *	  One client: its state, its channels, what it is sending and what it still has to get.
 *
 * A connection is in exactly one state, and only connection_enter() in connection.c changes it; README.md has the
 * diagram. Closing never frees anything at once: the structure goes back to the pool between two turns of the loop,
 * after libwebsockets has let go of the socket. libwebsockets and the bus know a connection by slot and generation,
 * never by its address.
 *
 * Everything here runs in the listener. Functions may be called inside callbacks of libwebsockets unless it says
 * otherwise, and none throws.
 */
#ifndef REALTIME_LISTENER_CONNECTION_H
#define REALTIME_LISTENER_CONNECTION_H

#include "datatype/timestamp.h"

#include "listener/frame.h"
#include "listener/token.h"
#include "listener/wheel.h"
#include "wire/ws_reader.h"

struct lws;
struct Channel;
struct RestCall;

/* Longest message that a client may send, after reassembly (PROTOCOL 1.5). */
#define CONNECTION_MAX_MESSAGE	5000000

/* How long a client has to take what is queued, and then to close on its side, in ms. */
#define CONNECTION_CLOSE_TIME	5000
#define CONNECTION_LINGER_TIME	2000

/* WebSocket close codes that we use. */
typedef enum CloseCode
{
	CLOSE_NORMAL = 1000,		/* idle for too long */
	CLOSE_PROTOCOL_ERROR = 1002,	/* frames that are not RFC 6455 */
	CLOSE_TOO_BIG = 1009,		/* message over CONNECTION_MAX_MESSAGE */
	CLOSE_INTERNAL = 1011,		/* no memory for this client */
	CLOSE_RESTART = 1012,		/* the server asks to come again */
	CLOSE_TRY_LATER = 1013		/* does not take its messages fast enough */
} CloseCode;

typedef enum ConnectionState
{
	CONNECTION_FREE,			/* in the pool */
	CONNECTION_HTTP,			/* accepted: HTTP requests, or none yet */
	CONNECTION_OPEN,			/* WebSocket */
	CONNECTION_CLOSING,			/* gets what is queued, the last of it a close frame or an HTTP answer */
	CONNECTION_LINGERING,		/* has got everything; what it still sends is thrown away until it closes */
	CONNECTION_CUT,				/* the socket is shut; libwebsockets will notice */
	CONNECTION_GONE				/* no socket any more; back to the pool after this turn */
} ConnectionState;

typedef struct Connection
{
	uint32		slot;
	uint32		generation;		/* changes each time the slot is used again */
	uint64		serial;			/* unique in this process; the id in realtime.connections */
	ConnectionState state;
	struct lws *wsi;			/* NULL: none */
	struct Tls *tls;			/* NULL: plain; server.c */
	uint8		vsn;			/* PHX_V1 or PHX_V2 from the upgrade on; before that 0 */
	bool		over_limit;		/* accepted only to be told that there are too many */
	bool		counted_unjoined;
	bool		peer_closed;	/* the client's close frame has come */
	Token	   *token;			/* of the connect; NULL before the upgrade */

	/* What the client still has to get; output.c. Touched for each message: kept close to the state. */
	bool		blocked;		/* the socket is full: wait until it is writeable */
	bool		on_output_list;
	Frame	  **queue;
	uint32		queue_head;
	uint32		queue_count;	/* including those before queue_head, which are done */
	uint32		queue_capacity;
	uint32		head_offset;	/* bytes of the first frame that are sent */
	Size		queued_bytes;
	uint64		over_soft_since;	/* loop clock, ms; 0: not over client_queue_soft */
	struct Connection *next_output;
	uint64		sent;			/* messages */

	TimestampTz connected_at;
	uint64		last_received;	/* loop clock, ms */
	uint64		received;		/* messages */
	char		address[46];	/* of the client, as text */

	uint64		messages_bucket;	/* of max_messages_per_second */

	struct Channel *channels;
	uint32		channel_count;
	uint32		tracks;			/* channels that are present */
	uint64		pinged_at;		/* loop clock, ms; a ping is open if this is after last_received */
	Slice		headers;		/* those of the connect that policies may read, as a JSON object; malloc'ed, or empty */

	/* Questions about its topics, and the frames that wait for the answers; asking.c. */
	struct Asking *askings;
	uint32		asking_count;
	uint32		held_joins;		/* that wait for the changes worker, and will make one channel more each */
	Size		kept_bytes;
	Size		subscribed_bytes;	/* of the entries of postgres_changes; subscription.c */

	/* What has come in part: a request, or a message; input.c. */
	char	   *input;
	Size		input_len;
	Size		input_size;
	bool		input_started;
	WsReader	reader;
	struct RestCall *rest;		/* the request whose body is read, or that waits for the authorizers; rest.c */

	Timer		timer;
	uint64		deadline;		/* of the request, of the close, of lingering; loop clock, ms */
	struct Connection *next_free;	/* also: next of those that are gone */
} Connection;

/* Loop clock in ms: monotonic, read once per turn. */
extern uint64 connection_clock(void);
extern void connection_clock_read(void);

/* The wheel of all timers of the listener. */
extern Wheel connection_wheel;

extern void connections_init(void);

/* A connection in CONNECTION_HTTP for a socket that was accepted; NULL if there is no memory. */
extern Connection *connection_new(const char *address);

/* Its handle for libwebsockets, and back: NULL if that connection is gone. */
extern void *connection_handle(const Connection *connection);
extern Connection *connection_of_handle(const void *handle);

/* By slot and generation, as the bus carries them; NULL if it is gone. */
extern Connection *connection_find(uint32 slot, uint32 generation);

/* Another request may come: start the time for it anew. */
extern void connection_await_request(Connection *connection);

/* The upgrade is answered: from now on it is a WebSocket. Takes over the token. */
extern void connection_upgraded(Connection *connection, Token *token, Slice headers, uint8 vsn);

/* Something came in: moves the idle time on. */
static inline void
connection_heard(Connection *connection)
{
	connection->last_received = connection_clock();
}

/*
 * Close a WebSocket with a code and a reason (at most 123 bytes) once what is queued has been sent; drop: without
 * that. Only marks: the rest happens between turns. Does nothing unless the connection is open.
 */
extern void connection_close(Connection *connection, CloseCode code, const char *reason, bool drop);

/* The client's close frame: answer it with its own code, if it has one, after what is queued. */
extern void connection_peer_closed(Connection *connection, Slice payload);

/* No more requests: close once the answer has been sent. */
extern void connection_finish(Connection *connection);

/* Everything has been sent to a connection in CONNECTION_CLOSING. */
extern void connection_drained(Connection *connection);

/* Shut the socket at once; libwebsockets finds out by itself. */
extern void connection_cut(Connection *connection);

/* libwebsockets has let go of the socket. */
extern void connection_gone(Connection *connection);

/* Between two turns only: give back those that are gone. */
extern void connections_recycle(void);

/* Look again at when the timer has to fire. */
extern void connection_schedule(Connection *connection);

/* The settings were read again: those of open WebSockets hold from now on, also for those that wait already. */
extern void connections_reloaded(void);

/* The first channel was joined: the connection no longer counts as unjoined. */
extern void connection_joined(Connection *connection);

/* Connections of this listener by slot: NULL for one that is free or gone. */
extern uint32 connections_slots(void);
extern Connection *connection_at(uint32 slot);

/* How many there are here, and how many of them without a channel. */
extern uint32 connections_count(void);
extern uint32 connections_unjoined(void);

#endif							/* REALTIME_LISTENER_CONNECTION_H */
