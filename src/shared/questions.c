/*
 * questions.c
 *	  Questions of the listeners to the authorizers.
 */
#include "postgres.h"

#include "port/atomics.h"
#include "storage/ipc.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

#include "shared/histograms.h"
#include "shared/questions.h"
#include "shared/registry.h"
#include "shared/settings.h"
#include "shared/shmem.h"

#define NO_SLOT		(-1)

/* How often a question is asked again because its authorizer ended. */
#define MAX_RETRIES	1

/* The part of all slots that questions which can wait may have. */
#define PATIENT_PART	16

/* Weight of the past in the mean, in 32nds. */
#define MEAN_PAST	31

typedef enum SlotState
{
	SLOT_FREE,
	SLOT_WAITING,
	SLOT_TAKEN,
	SLOT_ANSWERED
} SlotState;

typedef struct QuestionSlot
{
	SlotState	state;
	bool		abandoned;
	uint32		serial;			/* changes with each use; upper half of the question's number */
	int			next;			/* in the free list, the queue or a listener's answers */
	int			listener;
	int			retries;
	TimestampTz asked_at;
	Answer		answer;
	Question	question;		/* the lengths; the pointers are those of the asker and of no use */
	char		body[QUESTION_BODY_SIZE];
} QuestionSlot;

/* A list of slots, threaded through next. */
typedef struct SlotList
{
	int			head;
	int			tail;
	int			length;
} SlotList;

typedef struct Asked
{
	int			slot;			/* that this authorizer works on */
	TimestampTz since;
	bool		idle;
} Asked;

typedef struct Questions
{
	int			size;
	int			patient;		/* open questions that can wait */
	int64		mean_us;
	pg_atomic_uint64 policies;	/* the fingerprint that somebody was last judged by */
	SlotList	free;
	SlotList	queue;
	SlotList	answers[REALTIME_MAX_LISTENERS];
	pg_atomic_uint32 answered[REALTIME_MAX_LISTENERS];	/* length of answers, read without the lock */
	Asked		asked[REALTIME_MAX_AUTHORIZERS];
	QuestionSlot slots[FLEXIBLE_ARRAY_MEMBER];
} Questions;

static Questions *questions;

static void
list_push_tail(SlotList *list, int slot)
{
	questions->slots[slot].next = NO_SLOT;
	if (list->length++ == 0)
		list->head = slot;
	else
		questions->slots[list->tail].next = slot;
	list->tail = slot;
}

static void
list_push_head(SlotList *list, int slot)
{
	questions->slots[slot].next = list->length == 0 ? NO_SLOT : list->head;
	if (list->length++ == 0)
		list->tail = slot;
	list->head = slot;
}

static int
list_pop(SlotList *list)
{
	int			slot = list->head;

	if (list->length == 0)
		return NO_SLOT;
	list->head = questions->slots[slot].next;
	list->length--;
	return slot;
}

/* Cut the list behind its first n and return the rest as a list of its own. */
static SlotList
list_split(SlotList *list, int n)
{
	SlotList	rest = {NO_SLOT, NO_SLOT, 0};
	int			last;

	if (list->length <= n)
		return rest;
	if (n == 0)
	{
		rest = *list;
		list->length = 0;
		return rest;
	}
	last = list->head;
	for (int i = 1; i < n; i++)
		last = questions->slots[last].next;
	rest.head = questions->slots[last].next;
	rest.tail = list->tail;
	rest.length = list->length - n;
	list->tail = last;
	list->length = n;
	return rest;
}

Size
questions_shmem_size(void)
{
	return add_size(offsetof(Questions, slots), mul_size(sizeof(QuestionSlot), realtime_max_questions));
}

void
questions_shmem_init(void)
{
	bool		found;

	questions = ShmemInitStruct("realtime questions", questions_shmem_size(), &found);
	if (found)
		return;
	memset(questions, 0, offsetof(Questions, slots));
	questions->size = realtime_max_questions;
	pg_atomic_init_u64(&questions->policies, 0);
	for (int i = 0; i < REALTIME_MAX_LISTENERS; i++)
		pg_atomic_init_u32(&questions->answered[i], 0);
	for (int i = 0; i < REALTIME_MAX_AUTHORIZERS; i++)
		questions->asked[i].slot = NO_SLOT;

	/* The free list is used as a stack, so that bodies which were never needed are never touched. */
	for (int i = questions->size - 1; i >= 0; i--)
	{
		questions->slots[i].state = SLOT_FREE;
		questions->slots[i].serial = 0;
		list_push_head(&questions->free, i);
	}
}

static uint64
number_of(int slot)
{
	return ((uint64) questions->slots[slot].serial << 32) | (uint32) (slot + 1);
}

static void
free_slot(int slot)
{
	questions->slots[slot].state = SLOT_FREE;
	if (questions->slots[slot].question.can_wait)
		questions->patient--;
	list_push_head(&questions->free, slot);
}

/* Hand an answer to its listener, or throw it away if nobody waits for it. Under the lock; the caller wakes the listener. */
static void
deliver(int slot, Answer answer)
{
	QuestionSlot *to = &questions->slots[slot];

	if (to->abandoned)
	{
		free_slot(slot);
		return;
	}
	to->answer = answer;
	to->answer.question = number_of(slot);
	to->answer.kind = to->question.kind;
	to->state = SLOT_ANSWERED;
	list_push_tail(&questions->answers[to->listener], slot);
	pg_atomic_write_u32(&questions->answered[to->listener], questions->answers[to->listener].length);
}

/* How many questions can wait and still be answered in time, at the pace of late. */
static int
longest_queue(void)
{
	if (questions->mean_us == 0)
		return questions->size;
	return (int) Min((int64) questions->size,
					 Max((int64) 1, (int64) QUESTION_PATIENCE * 1000 * realtime_authorizers / questions->mean_us));
}

/* Time that the questions which wait now will take, in milliseconds. */
static int
queue_ms(void)
{
	return (int) Min((int64) 60000, questions->mean_us * questions->queue.length / realtime_authorizers / 1000 + 1);
}

static Slice
pack(char *body, size_t *used, Slice from)
{
	if (from.len > 0)
		memcpy(body + *used, from.data, from.len);
	*used += from.len;
	return from;
}

/* When policies change all that was judged is judged again, beside those who come: it may take this part of the slots. */
static bool
is_full(const Question *question)
{
	return questions->free.length == 0 || questions->queue.length >= longest_queue() ||
		(question->can_wait && questions->patient >= Max(questions->size / PATIENT_PART, 1));
}

uint64
question_ask(int listener, const Question *question, int *retry_ms)
{
	size_t		length = question->topic.len + question->role.len + question->sub.len + question->claims.len +
		question->headers.len;
	size_t		used = 0;
	uint64		number = NO_QUESTION;
	int			wake = -1;
	TimestampTz now = GetCurrentTimestamp();

	*retry_ms = 0;
	if (length > QUESTION_BODY_SIZE)
		return NO_QUESTION;

	LWLockAcquire(realtime_lock(LOCK_QUESTIONS), LW_EXCLUSIVE);
	if (is_full(question))
		*retry_ms = queue_ms();
	else
	{
		int			index = list_pop(&questions->free);
		QuestionSlot *slot = &questions->slots[index];

		slot->state = SLOT_WAITING;
		slot->abandoned = false;
		slot->serial++;
		slot->listener = listener;
		slot->retries = 0;
		slot->asked_at = now;
		slot->question = *question;
		if (question->can_wait)
			questions->patient++;
		pack(slot->body, &used, question->topic);
		pack(slot->body, &used, question->role);
		pack(slot->body, &used, question->sub);
		pack(slot->body, &used, question->claims);
		pack(slot->body, &used, question->headers);
		list_push_tail(&questions->queue, index);
		number = number_of(index);
		for (int i = 0; i < realtime_authorizers && wake < 0; i++)
			if (questions->asked[i].idle)
			{
				questions->asked[i].idle = false;
				wake = i;
			}
	}
	LWLockRelease(realtime_lock(LOCK_QUESTIONS));
	if (wake >= 0)
		registry_wake(WORKER_AUTHORIZER, wake);
	return number;
}

void
question_abandon(uint64 question)
{
	int			index = (int) (uint32) question - 1;

	if (index < 0 || index >= questions->size)
		return;
	LWLockAcquire(realtime_lock(LOCK_QUESTIONS), LW_EXCLUSIVE);
	if (questions->slots[index].serial == (uint32) (question >> 32))
		questions->slots[index].abandoned = true;
	LWLockRelease(realtime_lock(LOCK_QUESTIONS));
}

bool
question_next_answer(int listener, Answer *answer)
{
	bool		found = false;

	if (pg_atomic_read_u32(&questions->answered[listener]) == 0)
		return false;
	LWLockAcquire(realtime_lock(LOCK_QUESTIONS), LW_EXCLUSIVE);
	while (!found)
	{
		int			index = list_pop(&questions->answers[listener]);

		if (index == NO_SLOT)
			break;
		found = !questions->slots[index].abandoned;
		*answer = questions->slots[index].answer;
		free_slot(index);
	}
	pg_atomic_write_u32(&questions->answered[listener], questions->answers[listener].length);
	LWLockRelease(realtime_lock(LOCK_QUESTIONS));
	return found;
}

static Slice
unpack(const char **body, Slice from)
{
	Slice		bytes = {*body, from.len};

	*body += from.len;
	return bytes;
}

static void
wake_listeners(uint32 listeners)
{
	for (int i = 0; i < REALTIME_MAX_LISTENERS; i++)
		if (listeners & (1u << i))
			registry_wake(WORKER_LISTENER, i);
}

/* Has this question, which was at the head of the queue, waited too long, or for nobody? Then it is done with. Under the lock. */
static bool
is_over(int index, TimestampTz now, uint32 *listeners)
{
	QuestionSlot *slot = &questions->slots[index];

	if (!slot->abandoned && !TimestampDifferenceExceeds(slot->asked_at, now, QUESTION_PATIENCE))
		return false;
	*listeners |= 1u << slot->listener;
	deliver(index, (Answer) {.status = ANSWER_BUSY, .retry_ms = queue_ms()});
	return true;
}

bool
question_take(int authorizer, Question *question, char *buffer)
{
	Asked	   *asked = &questions->asked[authorizer];
	const char *from = buffer;
	TimestampTz now = GetCurrentTimestamp();
	uint32		listeners = 0;
	int			index;

	LWLockAcquire(realtime_lock(LOCK_QUESTIONS), LW_EXCLUSIVE);
	while ((index = list_pop(&questions->queue)) != NO_SLOT && is_over(index, now, &listeners))
		;
	asked->idle = index == NO_SLOT;
	if (index != NO_SLOT)
	{
		QuestionSlot *slot = &questions->slots[index];

		slot->state = SLOT_TAKEN;
		asked->slot = index;
		asked->since = now;
		*question = slot->question;
		question->number = number_of(index);
		question->listener = slot->listener;
		memcpy(buffer, slot->body, question->topic.len + question->role.len + question->sub.len +
			   question->claims.len + question->headers.len);
	}
	LWLockRelease(realtime_lock(LOCK_QUESTIONS));
	wake_listeners(listeners);
	if (index == NO_SLOT)
		return false;
	question->topic = unpack(&from, question->topic);
	question->role = unpack(&from, question->role);
	question->sub = unpack(&from, question->sub);
	question->claims = unpack(&from, question->claims);
	question->headers = unpack(&from, question->headers);
	return true;
}

/* Answer BUSY to those at the tail of the queue that can't be answered in time at this pace. Returns whose listeners to wake. */
static uint32
refuse_the_late(void)
{
	SlotList	late = list_split(&questions->queue, longest_queue());
	uint32		listeners = 0;
	int			index;

	while ((index = list_pop(&late)) != NO_SLOT)
	{
		listeners |= 1u << questions->slots[index].listener;
		deliver(index, (Answer) {.status = ANSWER_BUSY, .retry_ms = queue_ms()});
	}
	return listeners;
}

void
question_answer(int authorizer, Answer answer)
{
	Asked	   *asked = &questions->asked[authorizer];
	TimestampTz now = GetCurrentTimestamp();
	int64		took;
	uint32		listeners;

	LWLockAcquire(realtime_lock(LOCK_QUESTIONS), LW_EXCLUSIVE);

	/* More than that is no work: the clock was set, or the machine slept. */
	took = Max((int64) 1, Min(now - asked->since, (int64) Max(realtime_policy_timeout, QUESTION_PATIENCE) * 1000));
	questions->mean_us = (MEAN_PAST * questions->mean_us + took) / (MEAN_PAST + 1);
	histogram_add(questions->slots[asked->slot].question.kind == QUESTION_READ ? HISTOGRAM_READ_CHECK :
				  HISTOGRAM_WRITE_CHECK, took);
	listeners = 1u << questions->slots[asked->slot].listener;
	deliver(asked->slot, answer);
	asked->slot = NO_SLOT;
	listeners |= refuse_the_late();
	LWLockRelease(realtime_lock(LOCK_QUESTIONS));
	wake_listeners(listeners);
}

/* The authorizer is gone, or a new one finds what the last has left: ask again, but not for ever. */
static void
question_detach(int code, Datum argument)
{
	Asked	   *asked = &questions->asked[DatumGetInt32(argument)];
	uint32		listeners = 0;
	int			index;

	LWLockAcquire(realtime_lock(LOCK_QUESTIONS), LW_EXCLUSIVE);
	index = asked->slot;
	asked->idle = false;
	asked->slot = NO_SLOT;
	if (index != NO_SLOT)
	{
		QuestionSlot *slot = &questions->slots[index];

		if (slot->retries++ < MAX_RETRIES)
		{
			slot->state = SLOT_WAITING;
			list_push_head(&questions->queue, index);
		}
		else
		{
			listeners = 1u << slot->listener;
			deliver(index, (Answer) {.status = ANSWER_BUSY, .retry_ms = 1000});
		}
	}
	LWLockRelease(realtime_lock(LOCK_QUESTIONS));
	wake_listeners(listeners);
	for (int i = 0; i < realtime_authorizers; i++)
		if (i != DatumGetInt32(argument))
			registry_wake(WORKER_AUTHORIZER, i);
}

void
question_attach(int authorizer)
{
	question_detach(0, Int32GetDatum(authorizer));
	before_shmem_exit(question_detach, Int32GetDatum(authorizer));
}

bool
question_policies_are(uint64 fingerprint)
{
	return pg_atomic_exchange_u64(&questions->policies, fingerprint) != fingerprint;
}

void
question_load(int *open, int *waiting, int64 *mean_us)
{
	LWLockAcquire(realtime_lock(LOCK_QUESTIONS), LW_SHARED);
	*open = questions->size - questions->free.length;
	*waiting = questions->queue.length;
	*mean_us = questions->mean_us;
	LWLockRelease(realtime_lock(LOCK_QUESTIONS));
}
