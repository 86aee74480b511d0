/*
 * scratch.h
 *		A buffer of the caller's for texts that do not stand in the message as they are meant.
 */
#ifndef REALTIME_WIRE_SCRATCH_H
#define REALTIME_WIRE_SCRATCH_H

#include "json.h"

/* What is left of it. */
typedef struct Scratch
{
	char	   *data;
	size_t		left;
} Scratch;

/* The text of a string token; false if it is none, or there is too little left for it. */
static inline bool
scratch_text(Slice token, Scratch *scratch, Slice *text)
{
	size_t		used;

	if (!wjson_string_text(token, scratch->data, scratch->left, text, &used))
		return false;
	if (used > 0)
	{
		scratch->data += used;
		scratch->left -= used;
	}
	return true;
}

#endif							/* REALTIME_WIRE_SCRATCH_H */
