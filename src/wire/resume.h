/*
 * resume.h
 *		What a client and the server say to each other about the place of a message in its topic: `resume` in the
 *		config of a join, `epoch` and `seq` in the `meta` of messages.
 *
 * An epoch is written as a string of 16 hexadecimal digits, a sequence number as a JSON integer.
 */
#ifndef REALTIME_WIRE_RESUME_H
#define REALTIME_WIRE_RESUME_H

#include "json.h"

typedef struct ResumeRequest
{
	bool		asked;			/* the client wants epoch and seq */
	bool		has_mark;		/* and all that came after this message */
	uint64_t	epoch;
	uint64_t	seq;
} ResumeRequest;

/*
 * Read config.broadcast.resume: {} or {"epoch":E,"seq":N}.  False if the value is bad: what is no object asks for
 * nothing; an object without a usable mark has one that stands for no message (epoch 0, seq 2^64-1), so that the client
 * is told that it could not resume.
 */
bool		resume_parse(Slice token, ResumeRequest *out) WIRE_MUST_CHECK;

/* "epoch":E,"seq":N, without braces.  At most RESUME_MARK_BOUND bytes. */
#define RESUME_MARK_BOUND	64

void		resume_write_mark(Writer *w, uint64_t epoch, uint64_t seq);

/*
 * A payload, a JSON object, with epoch and seq in its member `meta`, which is added or stands for what is there: the
 * members of a `meta` that is an object stay, but for those two.  At most RESUME_META_BOUND bytes more than the payload.
 */
#define RESUME_META_BOUND	(RESUME_MARK_BOUND + 16)

void		resume_write_payload(Writer *w, Slice payload, uint64_t epoch, uint64_t seq);

#endif							/* REALTIME_WIRE_RESUME_H */
