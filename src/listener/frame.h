/*
 * frame.h
 *	  Messages ready to be sent: WebSocket frames in memory, counted, shared by all who get them.
 *
 * Frames from the server are not masked, so one buffer serves every connection of one protocol version; each
 * connection only remembers how far it has got in it.
 */
#ifndef REALTIME_LISTENER_FRAME_H
#define REALTIME_LISTENER_FRAME_H

#include "wire/frame.h"

typedef struct Frame
{
	uint32		refs;
	uint32		len;			/* bytes, header included */
	uint32		messages;		/* that are in it: 0 for control frames and HTTP */
	unsigned char bytes[FLEXIBLE_ARRAY_MEMBER];
} Frame;

/*
 * Begin a message: a writer over memory that the next call hands out again. bound is the most that will be written.
 * Without memory the writer has failed already.
 */
extern Writer *frame_begin(Size bound);

/* What was written, as a frame with one reference that the caller owns; NULL if there is no memory. */
extern Frame *frame_finish(FrameOpcode opcode);

/* The same without a header: HTTP. */
extern Frame *frame_finish_plain(void);

/* Several as one, which is sent as they would be one after the other; the caller owns the reference. NULL: no memory. */
extern Frame *frame_join(Frame **frames, uint32 count);

/* A control frame. */
extern Frame *frame_control(FrameOpcode opcode, Slice payload);
extern Frame *frame_close(uint16 code, Slice reason);

extern void frame_unref(Frame *frame);

/* Bytes of all frames that somebody refers to. */
extern Size frame_memory(void);

static inline Frame *
frame_ref(Frame *frame)
{
	frame->refs++;
	return frame;
}

#endif							/* REALTIME_LISTENER_FRAME_H */
