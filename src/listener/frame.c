/*
 * frame.c
 *	  Messages ready to be sent.
 */
#include "postgres.h"

#include "listener/frame.h"

#define SCRATCH_MIN		(64 * 1024)
#define SCRATCH_KEPT	(1024 * 1024)	/* a larger one is given back at the next message */

static char *scratch;
static Size scratch_size;
static Writer writer;
static Size memory;

/* Hand out a writer that takes at least bound bytes. */
Writer *
frame_begin(Size bound)
{
	Size		wanted = Max(bound, SCRATCH_MIN);

	if (wanted > scratch_size || (scratch_size > SCRATCH_KEPT && wanted <= SCRATCH_KEPT))
	{
		free(scratch);
		scratch = malloc(wanted);
		scratch_size = scratch != NULL ? wanted : 0;
	}
	writer = writer_fixed(scratch, scratch_size);
	return &writer;
}

Size
frame_memory(void)
{
	return memory;
}

/* A frame with room for so many bytes; all are used, which frame_unref counts on. */
static Frame *
make(Size size, uint32 messages)
{
	Frame	   *frame = malloc(offsetof(Frame, bytes) + size);

	if (frame != NULL)
	{
		frame->refs = 1;
		frame->len = size;
		frame->messages = messages;
		memory += size;
	}
	return frame;
}

Frame *
frame_finish_plain(void)
{
	Frame	   *frame = writer.failed ? NULL : make(writer.len, 0);

	if (frame == NULL)
		return NULL;
	memcpy(frame->bytes, writer.data, writer.len);
	return frame;
}

Frame *
frame_finish(FrameOpcode opcode)
{
	bool		is_message = opcode == FRAME_TEXT || opcode == FRAME_BINARY;
	Frame	   *frame = NULL;
	Writer		header;

	if (!writer.failed)
		frame = make(frame_header_size(writer.len) + writer.len, is_message ? 1 : 0);
	if (frame == NULL)
		return NULL;
	header = writer_fixed(frame->bytes, FRAME_MAX_HEADER);
	frame_write_header(&header, opcode, writer.len);
	memcpy(frame->bytes + header.len, writer.data, writer.len);
	return frame;
}

Frame *
frame_join(Frame **frames, uint32 count)
{
	Size		size = 0;
	uint32		messages = 0;
	Frame	   *frame;

	if (count == 1)
		return frame_ref(frames[0]);
	for (uint32 i = 0; i < count; i++)
	{
		size += frames[i]->len;
		messages += frames[i]->messages;
	}
	frame = make(size, messages);
	if (frame == NULL)
		return NULL;
	size = 0;
	for (uint32 i = 0; i < count; i++)
	{
		memcpy(frame->bytes + size, frames[i]->bytes, frames[i]->len);
		size += frames[i]->len;
	}
	return frame;
}

Frame *
frame_control(FrameOpcode opcode, Slice payload)
{
	writer_slice(frame_begin(FRAME_MAX_CONTROL), payload);
	return frame_finish(opcode);
}

Frame *
frame_close(uint16 code, Slice reason)
{
	frame_write_close(frame_begin(FRAME_MAX_CONTROL), code, reason);
	return frame_finish_plain();
}

void
frame_unref(Frame *frame)
{
	if (frame != NULL && --frame->refs == 0)
	{
		memory -= frame->len;
		free(frame);
	}
}
