/*
 * questions.h
 *	  Questions of the listeners to the authorizers: may this token read, or write, this topic?
 *
 * A fixed number of slots in shared memory. A slot goes round:
 *
 *	  FREE -> WAITING (in the queue) -> TAKEN (an authorizer works on it) -> ANSWERED (in its listener's list) -> FREE
 *
 * Everything is bounded and a refusal comes at once: no free slot, or a queue that would take longer than QUESTION_PATIENCE
 * at the pace of late, is told to the asker with a time after which to try again. What already waits and can't be
 * answered in time any more, because a policy turned out to be slow, is answered ANSWER_BUSY from the tail of the queue.
 * The questions of an authorizer that ends are asked again, at the head of the queue, once.
 */
#ifndef REALTIME_QUESTIONS_H
#define REALTIME_QUESTIONS_H

#include "datatype/timestamp.h"

#include "shared/history.h"
#include "wire/slice.h"

/* Topic, role, sub, claims and headers of one question together, in bytes. */
#define QUESTION_BODY_SIZE		24576

/* What can't be answered within this many milliseconds is refused. */
#define QUESTION_PATIENCE		5000

#define NO_QUESTION				0

typedef enum QuestionKind
{
	QUESTION_READ,				/* SELECT policies, for broadcast and, if asked, for presence */
	QUESTION_WRITE				/* INSERT policies */
} QuestionKind;

typedef struct Question
{
	QuestionKind kind;
	bool		presence;		/* judge presence too */
	int			replay_limit;	/* read: at most so many stored messages are wanted; 0: none */
	int64		replay_since;	/* ms since 1970 */
	Size		replay_room;	/* all of them together, in bytes of the bus */
	bool		can_wait;		/* such may have a part of the slots only, so that others find one */
	Slice		topic;			/* without "realtime:" */
	Slice		role;
	Slice		sub;			/* empty if the token has none */
	Slice		claims;			/* JSON object */
	Slice		headers;		/* JSON object, or empty */
	uint64		number;			/* filled in by question_take, as the next */
	int			listener;
} Question;

typedef enum AnswerStatus
{
	ANSWER_JUDGED,				/* broadcast and presence say what is allowed */
	ANSWER_FAILED,				/* a policy raised, no such role, or one that may not be taken on: nothing is allowed */
	ANSWER_CANCELED,			/* a policy took longer than realtime.policy_timeout */
	ANSWER_BUSY					/* not judged: too many questions wait; retry_ms says when to try again */
} AnswerStatus;

typedef enum ReplayStatus
{
	REPLAY_NONE,				/* not asked for, or not allowed */
	REPLAY_DONE,				/* the messages are on the bus, as BUS_REPLAY, oldest first */
	REPLAY_FAILED
} ReplayStatus;

typedef struct Answer
{
	uint64		question;		/* what question_ask returned */
	QuestionKind kind;
	AnswerStatus status;
	bool		broadcast;
	bool		presence;
	int			retry_ms;
	ReplayStatus replay;
	uint32		replayed;		/* that many are */
	int			left_out;		/* newest ones that fit were taken, and so many did not */
	uint64		bus_position;	/* who has read as far has seen them */
	HistoryMark mark;			/* what comes after this is not among them */
} Answer;

extern Size questions_shmem_size(void);
extern void questions_shmem_init(void);

/*
 * Listener: put a question in the queue. Returns its number, or NO_QUESTION if it was refused: *retry_ms then says after
 * how many milliseconds it is worth another try (0: never, the body is larger than QUESTION_BODY_SIZE). Never throws.
 */
extern uint64 question_ask(int listener, const Question *question, int *retry_ms);

/* Listener: nobody wants to know any more. The answer, if it still comes, is thrown away. */
extern void question_abandon(uint64 question);

/* Listener, once per loop turn: the next answer; false if there is none. */
extern bool question_next_answer(int listener, Answer *answer);

/*
 * Authorizer: take the question at the head of the queue; its slices point into buffer, of QUESTION_BODY_SIZE bytes.
 * false if there is none: the authorizer is then noted as idle, and woken by the next question.
 */
extern bool question_take(int authorizer, Question *question, char *buffer);

/* Authorizer: answer the question that it has taken. question and kind are filled in here. */
extern void question_answer(int authorizer, Answer answer);

/* Authorizer, at start: give back what a process before it has left, and do the same when this one ends. */
extern void question_attach(int authorizer);

/* Authorizer: the policies are now such that this number stands for them; true if it was another number before. */
extern bool question_policies_are(uint64 fingerprint);

/* For health() and stats: questions that wait or are worked on, and the mean time of one, in microseconds. */
extern void question_load(int *open, int *waiting, int64 *mean_us);

#endif							/* REALTIME_QUESTIONS_H */
