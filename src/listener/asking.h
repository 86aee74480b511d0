/*
 * asking.h
 *	  What this listener waits for, and the messages that wait with it: answers of the authorizers to questions, and of the
 *	  changes worker to a subscription.
 *
 * There is at most one question about a topic of a connection at a time, and a subscription that a join waits for is one of
 * them. While it is open, what the client says about that topic is kept, as it came, and handled afterwards in its order: so
 * a client sees the same whether a policy takes a microsecond or a second, and the messages of all other topics and clients
 * go on.
 */
#ifndef REALTIME_LISTENER_ASKING_H
#define REALTIME_LISTENER_ASKING_H

#include "listener/asked_replay.h"
#include "listener/channel.h"
#include "shared/bus.h"
#include "shared/questions.h"

/* Frames that are kept: so many for one topic of one connection, and so many bytes for all of them. */
#define ASKING_MAX_FRAMES	100
#define ASKING_MAX_BYTES	(8 * 1024 * 1024)

/* What a question was asked for. */
typedef enum AskingFor
{
	ASKING_JOIN,				/* the frame is a phx_join */
	ASKING_WRITE,				/* the frame is the first push that needs the right to write */
	ASKING_PRESENCE,			/* the frame is a track, the first that has to do with presence: may it read it? */
	ASKING_REFRESH,				/* the frame is an access_token with another token than the channel's */
	ASKING_AGAIN,				/* no frame: policies may have changed */
	ASKING_SUBSCRIPTION,		/* the frame is a phx_join that waits for the changes worker: asking_hold */
	ASKING_CALLBACK				/* no frame: asking_write_right */
} AskingFor;

/* What is to be found out about reading besides the right to broadcasts. */
typedef struct AskingWants
{
	bool		presence;
	int			replay_limit;	/* stored messages; 0: none */
	int64		replay_since;	/* ms since 1970 */
} AskingWants;

/* Told of an answer, outside of callbacks of libwebsockets; may ask again. */
typedef void (*AskingDone) (void *owner, uint32 tag, const Answer *answer);

extern void asking_init(int listener);

/*
 * Ask about a topic, with this token; the frame (empty for ASKING_AGAIN) is handled again when the answer is there, and
 * then finds it as incoming.answer. False: the question was refused, and *retry_ms says when to try again; also if too much
 * is kept already. The token is referenced.
 */
extern bool asking_begin(Connection *connection, Slice topic, AskingFor why, AskingWants wants, Token *token,
						 const Incoming *incoming, int *retry_ms);

/*
 * Ask whether this token, with these headers (a JSON object, or empty), may write broadcasts to a private topic. The
 * answer goes to done, unless the connection is gone before or asking_drop was called. False: refused, as above.
 */
extern bool asking_write_right(Connection *connection, Slice topic, const Token *token, Slice headers,
							   AskingDone done, void *owner, uint32 tag, int *retry_ms);

/*
 * Hold a join until asking_release. The frame is then handled again, and finds the subscription as incoming.subscription and
 * what it was allowed (subscription.rights, if judged) as incoming.answer; if it comes to no channel the subscription
 * ends. False: too much is kept already.
 */
extern bool asking_hold(Connection *connection, Slice topic, struct Subscription *subscription,
						const Incoming *incoming);
extern void asking_release(struct Subscription *subscription);

/*
 * Is a question about this topic open? Then the frame is kept for later, or refused if too much is kept already, and
 * the caller is done with it.
 */
extern bool asking_keeps(Connection *connection, Slice topic, const Incoming *incoming);

/* Is a fresh token of the channel on this topic being judged? */
extern bool asking_refreshes(const Connection *connection, Slice topic);

/* Policies have changed while a question about this topic is open: ask again after it. False: none is open. */
extern bool asking_again_later(Connection *connection, Slice topic);

/* The same for all questions about a topic, or about any if it is empty: what is being answered may be out of date. */
extern void asking_judge_again(Slice topic);

/* A BUS_REPLAY has come by. */
extern void asking_replay_row(const BusRecord *record);

/* While an answer is handled: the messages that wait for it, NULL if none were asked for, and how many did not fit. */
extern const AskedReplay *asking_replay(void);
extern int	asking_left_out(void);

/* Handle the answers that have come, once per turn, outside of callbacks. */
extern void asking_turn(void);

/* The connection is gone, or does not want to know any more: nor are its questions asked, nor what it subscribes. */
extern void asking_drop(Connection *connection);

#endif							/* REALTIME_LISTENER_ASKING_H */
