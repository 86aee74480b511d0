/*
 * batch.h
 *		The body of POST /api/broadcast: {"messages":[{"topic","event","payload","private","id"}, …]} (PROTOCOL 4.3).
 *
 * Nothing here allocates; what is read points into the body or the scratch.
 */
#ifndef REALTIME_WIRE_BATCH_H
#define REALTIME_WIRE_BATCH_H

#include "slice.h"

/* Messages in one request, and bytes of a topic, and of an event and an id as they stand in the body. */
#define BATCH_MAX_MESSAGES	10000
#define BATCH_MAX_NAME		4096

typedef enum BatchStatus
{
	BATCH_OK,
	BATCH_NOT_JSON,				/* 400 */
	BATCH_BLANK,				/* 422: no messages */
	BATCH_INVALID,				/* 422: messages is no list of objects */
	BATCH_TOO_MANY				/* 429: more than BATCH_MAX_MESSAGES */
} BatchStatus;

typedef struct BatchMessage
{
	Slice		topic;			/* without "realtime:", unescaped */
	Slice		event;			/* JSON string, as it came */
	Slice		payload;		/* JSON object, as it came */
	Slice		id;				/* JSON string, as it came; empty: none */
	bool		is_private;
	uint32_t	problems;		/* bits; 0: none. Those that batch.c finds, and BATCH_TOPIC_… of the caller. */
} BatchMessage;

/* What may be wrong with a message, in the order in which it is written. */
#define BATCH_EVENT_BLANK		(1u << 0)
#define BATCH_EVENT_INVALID		(1u << 1)
#define BATCH_EVENT_LONG		(1u << 2)
#define BATCH_ID_INVALID		(1u << 3)
#define BATCH_ID_LONG			(1u << 4)
#define BATCH_PAYLOAD_BLANK		(1u << 5)
#define BATCH_PAYLOAD_INVALID	(1u << 6)
#define BATCH_PAYLOAD_LARGE		(1u << 7)
#define BATCH_PRIVATE_INVALID	(1u << 8)
#define BATCH_TOPIC_BLANK		(1u << 9)
#define BATCH_TOPIC_INVALID		(1u << 10)
#define BATCH_TOPIC_LONG		(1u << 11)
#define BATCH_TOPIC_DENIED		(1u << 12)	/* the caller may not write there */
#define BATCH_TOPIC_FAILED		(1u << 13)	/* a policy raised an error */

/* Find the messages: *list is the JSON array, *count how many there are, if the answer is BATCH_OK. */
BatchStatus batch_open(Slice body, Slice *list, size_t *count) WIRE_MUST_CHECK;

/*
 * Read count messages of such a list. scratch needs at most list.len bytes. Payloads over max_payload bytes are a
 * problem; returns how many messages have one.
 */
size_t		batch_read(Slice list, size_t max_payload, BatchMessage *messages, size_t count, char *scratch, size_t size);

/* {"errors":{"messages":TEXT}}, for BATCH_BLANK and BATCH_INVALID. */
void		batch_write_refusal(Writer *w, BatchStatus status);

/* {"errors":{"messages":[{},{"payload":["can't be blank"]}]}}; with message: "message":MESSAGE comes before the errors. */
void		batch_write_errors(Writer *w, Slice message, const BatchMessage *messages, size_t count);

/* What the members get as payload of the event "broadcast". */
void		batch_write_text(Writer *w, const BatchMessage *message);

/* At most so many bytes are written. */
#define BATCH_ERRORS_BOUND(count)	(512 + 320 * (count))

#endif							/* REALTIME_WIRE_BATCH_H */
