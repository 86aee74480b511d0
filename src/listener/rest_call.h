/*
 * rest_call.h
 *	  A REST request under way; between rest.c, which reads and answers it, and rest_send.c, which does what it asks for.
 */
#ifndef REALTIME_LISTENER_REST_CALL_H
#define REALTIME_LISTENER_REST_CALL_H

#include "listener/rest.h"
#include "wire/batch.h"
#include "wire/chunked.h"
#include "wire/http_body.h"

/* Private topics of one request. */
#define REST_MAX_TOPICS		256

typedef enum RestVerdict
{
	REST_UNJUDGED,
	REST_ALLOWED,
	REST_DENIED,
	REST_FAILED					/* a policy raised an error */
} RestVerdict;

typedef struct RestTopic
{
	Slice		name;			/* without "realtime:" */
	RestVerdict verdict;
} RestTopic;

/* Memory that it points to is malloc'ed and its own. */
typedef struct RestCall
{
	Connection *connection;
	HttpHead	head;			/* points to head_bytes */
	Token	   *token;			/* NULL: refused */
	bool		single;			/* /api/broadcast/TOPIC/events/EVENT */
	bool		keep_alive;
	bool		has_type;
	MediaType	type;

	/* Known to be refused before the body is there, which is then read and thrown away; 0: not. */
	int			refused_status;
	const char *refused_body;
	bool		refused_with_rate;
	int			refused_retry_ms;	/* 0: it does not depend on the time */

	/* The body. */
	bool		chunked;
	Size		left;			/* not chunked: bytes still to come */
	ChunkedReader chunks;
	Size		received;
	uint64		began;			/* loop clock, ms */
	char	   *body;			/* what is kept of it; NULL: nothing yet */
	Size		body_size;

	/* What it asks for. */
	bool		is_private;		/* single */
	Slice		event;			/* single */
	Slice		payload;		/* single */
	BatchMessage *messages;
	Size		message_count;
	char	   *scratch;
	RestTopic	topics[1];		/* of a single one */
	RestTopic  *topic_list;		/* all that have to be judged */
	uint32		topic_count;
	uint32	   *topic_of;		/* batch: of each private message, by its number */

	/* While the authorizers are asked. */
	bool		waits;
	uint32		asked;
	uint32		judged;
	Slice		policy_headers;

	char		head_bytes[FLEXIBLE_ARRAY_MEMBER];
} RestCall;

/* Answer, and forget the call. body: JSON, may be empty. */
extern void rest_answer(RestCall *call, int status, Slice body);

/* The same, naming a time after which to try again, in ms: the authorizers are busy, or the rate is used up. */
extern void rest_answer_busy(RestCall *call, int retry_ms);
extern void rest_answer_limited(RestCall *call, int retry_ms);

/* The body is complete: the call is answered, or waits, when this returns. body need not be the call's own. */
extern void rest_run(RestCall *call, Slice body);

/* Make the body the call's own; false: no memory. */
extern bool rest_own_body(RestCall *call, Slice *body);

#define REST_UNAUTHORIZED	SLICE_LITERAL("{\"message\":\"Unauthorized\"}")
#define REST_BAD_REQUEST	SLICE_LITERAL("{\"message\":\"Bad Request\"}")
#define REST_NO_MEMORY		SLICE_LITERAL("{\"message\":\"Out of memory\"}")
#define REST_CANCELED		SLICE_LITERAL("{\"message\":\"Query canceled\"}")
#define REST_UNSUPPORTED \
	"{\"error\":\"Unsupported Media Type. Use application/json or application/octet-stream\"}"

#endif							/* REALTIME_LISTENER_REST_CALL_H */
