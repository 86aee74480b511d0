/*
 * discard.c
 *	  Queues that nobody sends any more.
 */
#include "postgres.h"

#include "listener/discard.h"

#define AT_ONCE				256		/* frames of one queue */
#define PER_TURN			50000	/* frames: some tenths of a millisecond */
#define PER_TURN_HURRIED	500000

typedef struct Discarded
{
	struct Discarded *next;
	Frame	  **frames;
	uint32		first;
	uint32		end;
	uint32		capacity;
} Discarded;

static Discarded *list;
static Size memory;

void
discard_frames(Frame **frames, uint32 first, uint32 end, uint32 capacity)
{
	Discarded  *discarded = end - first > AT_ONCE ? malloc(sizeof(Discarded)) : NULL;

	if (discarded == NULL)
	{
		while (first < end)
			frame_unref(frames[first++]);
		free(frames);
		return;
	}
	*discarded = (Discarded) {.next = list, .frames = frames, .first = first, .end = end, .capacity = capacity};
	list = discarded;
	memory += (Size) capacity * sizeof(Frame *);
}

void
discard_turn(bool hurry)
{
	uint32		left = hurry ? PER_TURN_HURRIED : PER_TURN;

	while (list != NULL && left > 0)
	{
		Discarded  *discarded = list;

		for (; discarded->first < discarded->end && left > 0; left--)
			frame_unref(discarded->frames[discarded->first++]);
		if (discarded->first < discarded->end)
			break;
		list = discarded->next;
		memory -= (Size) discarded->capacity * sizeof(Frame *);
		free(discarded->frames);
		free(discarded);
	}
}

bool
discard_waiting(void)
{
	return list != NULL;
}

Size
discard_memory(void)
{
	return memory;
}
