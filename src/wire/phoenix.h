/*
 * phoenix.h
 *		Messages of the Phoenix channel protocol, V1 and V2, text and binary.
 *
 * Inbound: one call per WebSocket message, which validates all of it.
 * Outbound: encoders that write the payload of one WebSocket message (not its
 * frame header, see frame.h) into a Writer; run one with writer_measuring()
 * to learn the exact size, or take phx_bound().
 *
 * A *token* is JSON text that goes out as it came in: join_ref and ref are
 * echoed verbatim, whatever their type.
 */
#ifndef REALTIME_WIRE_PHOENIX_H
#define REALTIME_WIRE_PHOENIX_H

#include "slice.h"

/* The protocol version of a connection (see vsn_parse() in url.h). */
#define PHX_V1		1
#define PHX_V2		2

/*
 * Longest token of a join_ref or ref that is accepted, in bytes.  A message
 * with a longer one is malformed: they are stored and echoed.
 */
#define PHX_MAX_REF		1536

/*
 * Size of the scratch buffer that the parsers want; see PhxMessage.  With this
 * much every binary frame can be parsed, and every text frame whose topic and
 * event have no escapes, or fit together when unescaped.  A caller that allows
 * longer names with escapes gives more.
 */
#define PHX_SCRATCH_SIZE	8192

typedef enum PhxResult
{
	PHX_OK,
	PHX_MALFORMED,				/* drop the message, the socket stays open */
	PHX_IGNORED,				/* a binary kind that only servers send */
	PHX_BAD_PAYLOAD				/* kind 3 that says JSON and isn't: refuse the push;
								 * the message is filled in, so that it can be answered */
} PhxResult;

typedef enum PhxKind
{
	PHX_TEXT,					/* a text frame: payload is a JSON token */
	PHX_PUSH,					/* kind 0: payload is bytes, perhaps JSON */
	PHX_USER_BROADCAST			/* kind 3: stands for event "broadcast" */
} PhxKind;

typedef struct PhxMessage
{
	PhxKind		kind;

	/*
	 * JSON tokens, to be echoed.  An absent join_ref is "null".  Of binary
	 * frames these are the JSON strings of their fields (zero bytes: `""`),
	 * and event is `"broadcast"` for kind 3.
	 */
	Slice		join_ref;
	Slice		ref;
	Slice		topic;
	Slice		event;

	/*
	 * The text of topic and event, when they are strings without U+0000;
	 * else has_… is false, the text empty, and the message is answered
	 * `unmatched topic`.  (A topic with U+0000 would be cut short, and so
	 * become another one, wherever PostgreSQL sees it.)
	 */
	bool		has_topic_text;
	bool		has_event_text;
	Slice		topic_text;
	Slice		event_text;

	/* JSON token (kind 0 and 3: all the bytes that follow the header). */
	Slice		payload;
	bool		payload_is_json;	/* valid JSON; always so for PHX_TEXT */

	/* Kind 3 only. */
	Slice		user_event;		/* UTF-8 text, at most 255 bytes, perhaps with NULs */
	bool		raw;			/* encoding byte 0: payload is bytes */
} PhxMessage;

/*
 * Parse one text message.  vsn is PHX_V1 or PHX_V2.
 *
 * Slices of *out point into the frame, into the scratch buffer, or to
 * constants; all are valid as long as the first two are.  *out is meaningful
 * after PHX_OK only.
 */
PhxResult	phx_parse_text(int vsn, Slice frame, char *scratch, size_t scratch_size,
						   PhxMessage *out) WIRE_MUST_CHECK;

/* Parse one binary message.  V1 takes the bytes for JSON text. */
PhxResult	phx_parse_binary(int vsn, Slice frame, char *scratch, size_t scratch_size,
							 PhxMessage *out) WIRE_MUST_CHECK;

/*
 * The topic of an outbound message: either a token that is echoed, or text
 * that is written as a JSON string.
 */
typedef struct PhxTopic
{
	Slice		data;
	bool		is_token;
} PhxTopic;

static inline PhxTopic
phx_topic_token(Slice token)
{
	return (PhxTopic) {token, true};
}

static inline PhxTopic
phx_topic_text(Slice text)
{
	return (PhxTopic) {text, false};
}

/*
 * An upper bound for what one encoder below writes, given the lengths of its
 * arguments in bytes: refs_len is that of join_ref plus ref, texts_len that of
 * topic, event, and every other text that it quotes, json_len that of payload,
 * response and metadata.
 */
static inline size_t
phx_bound(size_t refs_len, size_t texts_len, size_t json_len)
{
	return 256 + 2 * refs_len + 6 * texts_len + json_len;
}

/*
 * In all encoders below join_ref and ref are tokens; an empty slice stands for
 * null.  V1 has no join_ref and leaves it out.
 */

/* A phx_reply; response is JSON.  {"status":"ok","response":{}} and the like. */
void		phx_write_reply(Writer *w, int vsn, Slice join_ref, Slice ref, PhxTopic topic,
							bool ok, Slice response);

/* A phx_reply with {"status":"error","response":{"reason":REASON}}; reason is text. */
void		phx_write_error_reply(Writer *w, int vsn, Slice join_ref, Slice ref, PhxTopic topic,
								  Slice reason);

/*
 * A message with this event (text) and payload (JSON, written byte for byte).
 * With a join_ref it is a push of the channel itself, without it goes to every
 * member of a topic and its bytes are the same for all members of one vsn.
 */
void		phx_write_push(Writer *w, int vsn, Slice join_ref, PhxTopic topic, Slice event,
						   Slice payload);

/*
 * A change for members of a topic with these entries, {"ids":[…],"data":DATA}. ids are id_count numbers of type uint32_t, which
 * need not be aligned; 11 bytes of JSON for each.
 */
void		phx_write_change(Writer *w, int vsn, PhxTopic topic, const void *ids, size_t id_count,
							 Slice data);

/* phx_close {}: the ref is the join_ref. */
void		phx_write_close(Writer *w, int vsn, Slice join_ref, PhxTopic topic);

/* phx_error {"reason":"channel_crash"}: the ref is the join_ref. */
void		phx_write_error(Writer *w, int vsn, Slice join_ref, PhxTopic topic);

/*
 * A `system` message.  extension is "system" or "postgres_changes"; message is
 * text; channel is the topic without "realtime:", and with data NULL it is left
 * out (`Server requested disconnect`).
 */
void		phx_write_system(Writer *w, int vsn, Slice join_ref, PhxTopic topic, Slice extension,
							 bool ok, Slice message, Slice channel);

/*
 * User broadcasts: what came in as kind 3, or from the database or REST.  Which
 * form a member gets:
 *
 *				JSON						raw bytes
 *		V1		text						not deliverable
 *		V2		kind 4, or text when		kind 4, or not deliverable when topic,
 *				topic, event or metadata	event or metadata are over 255 bytes
 *				are over 255 bytes
 */
typedef enum PhxForm
{
	PHX_FORM_NONE,				/* can't be delivered to this member */
	PHX_FORM_TEXT,				/* a text frame */
	PHX_FORM_BINARY				/* a binary frame */
} PhxForm;

PhxForm		phx_user_broadcast_form(int vsn, Slice topic, Slice event, Slice metadata, bool raw);

/*
 * Write a user broadcast in that form, which is also returned (PHX_FORM_NONE:
 * nothing is written).  topic and event are text; metadata is JSON or empty;
 * payload is valid JSON unless raw, and goes out byte for byte.
 */
PhxForm		phx_write_user_broadcast(Writer *w, int vsn, Slice topic, Slice event, Slice metadata,
									 bool raw, Slice payload);

/*
 * The text form for either vsn, with a join_ref for replayed messages:
 * payload {"event":E,"meta":METADATA,"payload":J,"type":"broadcast"}, without
 * "meta" if metadata is empty.
 */
void		phx_write_user_broadcast_text(Writer *w, int vsn, Slice join_ref, Slice topic,
										  Slice event, Slice metadata, Slice payload);

#endif							/* REALTIME_WIRE_PHOENIX_H */
