/*
 * asking.c
 *	  What this listener waits for, and the messages that wait with it.
 */
#include "postgres.h"

#include "listener/asking.h"
#include "listener/broadcast.h"
#include "listener/changes.h"
#include "listener/input.h"
#include "listener/limits.h"
#include "shared/settings.h"

/* A frame that waits for an answer. */
typedef struct KeptFrame
{
	struct KeptFrame *next;
	bool		binary;
	Size		len;
	char		bytes[FLEXIBLE_ARRAY_MEMBER];
} KeptFrame;

/* How often it is looked whether an answer is overdue, in ms. */
#define SWEEP_INTERVAL		500

typedef struct Asking
{
	struct Asking *next;		/* of the same connection */
	Connection *connection;
	uint64		question;		/* NO_QUESTION: none */
	struct Subscription *subscription;	/* ASKING_SUBSCRIPTION: what it waits for instead */
	bool		is_another;		/* likewise: no channel is there that it would take the place of */
	AskingFor	why;
	bool		again;			/* policies have changed meanwhile */
	uint64		deadline;		/* loop clock, ms: then nobody waits any longer */
	AskingDone	done;			/* ASKING_CALLBACK: whom to tell */
	void	   *owner;
	uint32		tag;
	KeptFrame  *first;			/* what was asked for, then what came after it */
	KeptFrame  *last;
	uint32		frames;
	AskedReplay *replay;		/* NULL: no stored messages are asked for */
	uint32		topic_len;
	char		topic[FLEXIBLE_ARRAY_MEMBER];	/* without prefix */
} Asking;

static void sweep(Timer *timer);

static int	listener;
static Asking **open_questions; /* by the lower half of the question's number */
static Timer sweep_timer;

/* The one whose answer is being handled. */
static Asking *settled;
static const Answer *settled_by;

void
asking_init(int index)
{
	listener = index;
	open_questions = calloc(realtime_max_questions + 1, sizeof(Asking *));
	if (open_questions == NULL)
		ereport(FATAL,
				(errcode(ERRCODE_OUT_OF_MEMORY),
				 errmsg("out of memory")));
	sweep_timer.fire = sweep;
}

static Slice
topic_of(const Asking *asking)
{
	return slice_make(asking->topic, asking->topic_len);
}

static Asking *
find(const Connection *connection, Slice topic)
{
	for (Asking *asking = connection->askings; asking != NULL; asking = asking->next)
		if (slice_equal(topic_of(asking), topic))
			return asking;
	return NULL;
}

/* False: there is no memory. */
static bool
keep(Asking *asking, Slice bytes, bool binary)
{
	KeptFrame  *frame = malloc(offsetof(KeptFrame, bytes) + bytes.len);

	if (frame == NULL)
		return false;
	frame->next = NULL;
	frame->binary = binary;
	frame->len = bytes.len;
	memcpy(frame->bytes, bytes.data, bytes.len);
	if (asking->first == NULL)
		asking->first = frame;
	else
		asking->last->next = frame;
	asking->last = frame;
	asking->frames++;
	asking->connection->kept_bytes += bytes.len;
	return true;
}

/* Does it count among the questions that a connection may have open? */
static bool
counts(AskingFor why)
{
	return why != ASKING_AGAIN && why != ASKING_SUBSCRIPTION;
}

/* Take it off its connection; what it has kept stays with it. */
static void
unlink_asking(Asking *asking)
{
	Asking	  **link = &asking->connection->askings;

	while (*link != asking)
		link = &(*link)->next;
	*link = asking->next;
	if (counts(asking->why))
		asking->connection->asking_count--;
	if (asking->subscription != NULL)
	{
		if (asking->is_another)
			asking->connection->held_joins--;
		asking->subscription->asking = NULL;
	}
	else
		open_questions[(uint32) asking->question] = NULL;
}

/* The join goes on waiting, for something else: what has come for it waits with it. */
static void
hand_on_replay(Asking *asking)
{
	if (settled == NULL || settled->replay == NULL)
		return;
	asking->replay = settled->replay;
	asked_replay_refer(asking->replay, topic_of(asking));
	settled->replay = NULL;
}

static void
free_asking(Asking *asking)
{
	while (asking->first != NULL)
	{
		KeptFrame  *frame = asking->first;

		asking->first = frame->next;
		free(frame);
	}
	asked_replay_forget(asking->replay);
	free(asking);
}

/* One more for this connection; NULL if it has too many, or there is no memory. */
static Asking *
make_asking(Connection *connection, Slice topic, AskingFor why)
{
	Asking	   *asking;

	if (counts(why) && connection->asking_count >= (uint32) limits_of_connection(connection, LIMIT_QUESTIONS))
		return NULL;
	asking = calloc(1, offsetof(Asking, topic) + topic.len);
	if (asking == NULL)
		return NULL;
	asking->connection = connection;
	asking->why = why;
	asking->topic_len = topic.len;
	memcpy(asking->topic, topic.data, topic.len);
	return asking;
}

/* Ask, and remember who did; false: the question was refused. */
static bool
ask(Asking *asking, AskingWants wants, const Token *token, Slice headers, int *retry_ms)
{
	Connection *connection = asking->connection;
	Question	question = {
		.kind = asking->why == ASKING_WRITE || asking->why == ASKING_CALLBACK ? QUESTION_WRITE : QUESTION_READ,
		.presence = wants.presence,
		.replay_limit = wants.replay_limit,
		.replay_since = wants.replay_since,
		.replay_room = (Size) limits_of_connection(connection, LIMIT_QUEUE) * 1024 / 2,
		.can_wait = asking->why == ASKING_AGAIN,
		.topic = topic_of(asking),
		.role = token_role(token),
		.sub = token_sub(token),
		.claims = token_claims(token),
		.headers = headers
	};

	asking->question = question_ask(listener, &question, retry_ms);
	if (asking->question == NO_QUESTION)
		return false;
	asking->next = connection->askings;
	connection->askings = asking;
	if (counts(asking->why))
		connection->asking_count++;
	open_questions[(uint32) asking->question] = asking;
	asking->deadline = connection_clock() + QUESTION_PATIENCE + realtime_policy_timeout;
	if (sweep_timer.next == NULL)
		wheel_set(&connection_wheel, &sweep_timer, connection_clock() + SWEEP_INTERVAL);
	return true;
}

bool
asking_begin(Connection *connection, Slice topic, AskingFor why, AskingWants wants, Token *token,
			 const Incoming *incoming, int *retry_ms)
{
	Asking	   *asking;

	Assert(find(connection, topic) == NULL);
	*retry_ms = 1000;
	if (incoming != NULL && connection->kept_bytes + incoming->frame.len > ASKING_MAX_BYTES)
		return false;
	asking = make_asking(connection, topic, why);
	if (asking == NULL)
		return false;
	if ((wants.replay_limit > 0 && (asking->replay = asked_replay_begin(topic_of(asking))) == NULL) ||
		(incoming != NULL && !keep(asking, incoming->frame, incoming->binary)))
	{
		free_asking(asking);
		return false;
	}
	if (!ask(asking, wants, token, connection->headers, retry_ms))
	{
		if (incoming != NULL)
			connection->kept_bytes -= incoming->frame.len;
		free_asking(asking);
		return false;
	}
	return true;
}

bool
asking_write_right(Connection *connection, Slice topic, const Token *token, Slice headers,
				   AskingDone done, void *owner, uint32 tag, int *retry_ms)
{
	Asking	   *asking;

	*retry_ms = 1000;
	asking = make_asking(connection, topic, ASKING_CALLBACK);
	if (asking == NULL)
		return false;
	asking->done = done;
	asking->owner = owner;
	asking->tag = tag;
	if (!ask(asking, (AskingWants) {0}, token, headers, retry_ms))
	{
		free_asking(asking);
		return false;
	}
	return true;
}

bool
asking_hold(Connection *connection, Slice topic, Subscription *subscription, const Incoming *incoming)
{
	Asking	   *asking;

	Assert(find(connection, topic) == NULL);
	if (connection->kept_bytes + incoming->frame.len > ASKING_MAX_BYTES)
		return false;
	asking = make_asking(connection, topic, ASKING_SUBSCRIPTION);
	if (asking == NULL)
		return false;
	if (!keep(asking, incoming->frame, incoming->binary))
	{
		free_asking(asking);
		return false;
	}
	asking->subscription = subscription;
	subscription->asking = asking;
	hand_on_replay(asking);
	asking->next = connection->askings;
	connection->askings = asking;
	asking->is_another = channel_find(connection, topic) == NULL;
	if (asking->is_another)
		connection->held_joins++;
	return true;
}

bool
asking_keeps(Connection *connection, Slice topic, const Incoming *incoming)
{
	Asking	   *asking = find(connection, topic);

	if (asking == NULL)
		return false;
	if (asking->frames >= ASKING_MAX_FRAMES ||
		connection->kept_bytes + incoming->frame.len > ASKING_MAX_BYTES ||
		!keep(asking, incoming->frame, incoming->binary))
		connection_reply_error(connection, incoming->message, incoming->message->join_ref,
							   SLICE_LITERAL("TooManyRequests: too much was sent before the topic was judged, "
											 "wait for the reply to the join"));
	return true;
}

bool
asking_refreshes(const Connection *connection, Slice topic)
{
	const Asking *asking = find(connection, topic);

	return asking != NULL && asking->why == ASKING_REFRESH;
}

bool
asking_again_later(Connection *connection, Slice topic)
{
	Asking	   *asking = find(connection, topic);

	if (asking != NULL)
		asking->again = true;
	return asking != NULL;
}

/*
 * The answer is there: handle the frame that it was asked for, then those that came after it. One of them may ask a
 * question of its own; those behind it are then kept by that.
 */
static void
handle_frames(Asking *asking, const Answer *answer)
{
	Connection *connection = asking->connection;
	Subscription *subscription = asking->subscription;
	uint32		number = subscription != NULL ? subscription->number : 0;

	for (KeptFrame *frame = asking->first; frame != NULL; frame = frame->next)
	{
		bool		asked_for = frame == asking->first && asking->why != ASKING_AGAIN;

		connection->kept_bytes -= frame->len;
		if (connection->state == CONNECTION_OPEN)
			input_message(connection, slice_make(frame->bytes, frame->len), frame->binary,
						  asked_for ? answer : NULL, asked_for ? subscription : NULL);
		settled = NULL;
		if (asked_for && subscription != NULL)
			changes_unjoined(number);
	}
}

/*
 * Policies may have changed while the question was open: then what the channel may is judged again, after a question that one
 * of its frames has asked.
 */
static void
settle(Asking *asking, const Answer *answer)
{
	Connection *connection = asking->connection;
	Channel    *channel;

	unlink_asking(asking);
	if (asking->done != NULL)
	{
		asking->done(asking->owner, asking->tag, answer);
		free_asking(asking);
		return;
	}
	settled = asking;
	settled_by = answer;
	if (asking->why == ASKING_AGAIN && (channel = channel_find(connection, topic_of(asking))) != NULL)
		channel_judged_again(channel, answer);
	handle_frames(asking, answer);
	settled = NULL;
	if (asking->again && !asking_again_later(connection, topic_of(asking)))
	{
		channel = channel_find(connection, topic_of(asking));
		if (channel != NULL && channel->topic->is_private)
			channel_judge_again(channel);
	}
	free_asking(asking);
}

void
asking_release(Subscription *subscription)
{
	Answer		rights = subscription->rights;

	settle(subscription->asking, subscription->judged ? &rights : NULL);
}

/* Nobody answers: no authorizer runs, or all of them are busy for too long. */
static void
sweep(Timer *timer)
{
	bool		left = false;

	for (int i = 1; i <= realtime_max_questions; i++)
	{
		Asking	   *asking = open_questions[i];

		if (asking != NULL && connection_clock() >= asking->deadline)
		{
			Answer		answer = {.question = asking->question,.status = ANSWER_BUSY,.retry_ms = 1000};

			question_abandon(asking->question);
			settle(asking, &answer);
		}
		left = left || open_questions[i] != NULL;
	}
	if (left)
		wheel_set(&connection_wheel, &sweep_timer, connection_clock() + SWEEP_INTERVAL);
}

void
asking_judge_again(Slice topic)
{
	for (uint32 slot = 0; slot < connections_slots(); slot++)
	{
		Connection *connection = connection_at(slot);

		if (connection == NULL)
			continue;
		for (Asking *asking = connection->askings; asking != NULL; asking = asking->next)
			if (topic.len == 0 || slice_equal(topic_of(asking), topic))
				asking->again = true;
	}
}

void
asking_replay_row(const BusRecord *record)
{
	uint32		index = (uint32) record->commit_lsn;
	Asking	   *asking = index <= realtime_max_questions ? open_questions[index] : NULL;

	if (record->origin.listener != listener || asking == NULL || asking->question != record->commit_lsn ||
		asking->replay == NULL)
		return;
	asked_replay_row(asking->replay, record);
}

const AskedReplay *
asking_replay(void)
{
	return settled == NULL ? NULL : settled->replay;
}

int
asking_left_out(void)
{
	return settled == NULL ? 0 : settled_by->left_out;
}

void
asking_turn(void)
{
	Answer		answer;

	while (question_next_answer(listener, &answer))
	{
		Asking	   *asking;

		if (answer.replay == REPLAY_DONE)
			broadcast_read_until(answer.bus_position);
		asking = open_questions[(uint32) answer.question];

		if (asking != NULL && asking->question == answer.question)
			settle(asking, &answer);
	}
}

void
asking_drop(Connection *connection)
{
	while (connection->askings != NULL)
	{
		Asking	   *asking = connection->askings;
		Subscription *subscription = asking->subscription;

		if (subscription == NULL)
			question_abandon(asking->question);
		unlink_asking(asking);
		free_asking(asking);
		if (subscription != NULL)
			channel_subscription_end(subscription);
	}
	connection->kept_bytes = 0;
}
