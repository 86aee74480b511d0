/*
 * fuzz_ws_reader.c
 *		Any bytes as frames of a client: read whole and read in chunks they say the same.
 */
#include "fuzz.h"

#include "wire/ws_reader.h"

/* What was read, in a form that does not show where it was split. */
typedef struct Log
{
	char	   *bytes;
	size_t		len;
	size_t		size;
	bool		failed;
} Log;

static void
note(Log *log, const void *bytes, size_t len)
{
	REQUIRE(log->len + len <= log->size);
	if (len > 0)
		memcpy(log->bytes + log->len, bytes, len);
	log->len += len;
}

static void
note_event(Log *log, const WsReader *reader, WsEvent event)
{
	char		end[3] = {(char) ('0' + event), reader->piece_final, reader->piece_binary};

	switch (event)
	{
		case WS_NOTHING:
			return;
		case WS_PIECE:
			note(log, reader->piece.data, reader->piece.len);
			if (reader->piece_remaining == 0)
				note(log, end, 3);
			return;
		case WS_PING:
		case WS_PONG:
		case WS_CLOSE:
			REQUIRE(reader->piece.len <= WS_MAX_CONTROL);
			note(log, reader->piece.data, reader->piece.len);
			note(log, end, 1);
			return;
		case WS_ERROR:
			log->failed = true;
			return;
	}
	abort();
}

/* Read a stream in chunks of this size, each in a block of its own, to the end, beyond an error too. */
static Log
read_in_chunks(const uint8_t *data, size_t size, size_t chunk)
{
	WsReader	reader = {0};
	Log			log = {malloc(4 * size + 8), 0, 4 * size + 8, false};

	REQUIRE(log.bytes != NULL);
	while (size > 0)
	{
		size_t		take = size < chunk ? size : chunk;
		char	   *block = malloc(take);
		size_t		done = 0;

		REQUIRE(block != NULL);
		memcpy(block, data, take);
		while (done < take)
		{
			size_t		used;
			WsEvent		event = ws_read(&reader, block + done, take - done, &used);

			REQUIRE(used > 0 && used <= take - done);
			REQUIRE(!log.failed || event == WS_ERROR);
			note_event(&log, &reader, event);
			done += used;
		}
		free(block);
		data += take;
		size -= take;
	}
	return log;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Log			whole;
	Log			split;

	if (size < 2)
		return 0;
	for (unsigned code = 0; code < 8; code++)
		(void) ws_close_code_valid((unsigned) data[0] << 8 | (data[1] ^ code));
	whole = read_in_chunks(data + 1, size - 1, size);
	split = read_in_chunks(data + 1, size - 1, 1 + data[0] % 32);
	REQUIRE(whole.failed == split.failed);
	REQUIRE(whole.len == split.len && memcmp(whole.bytes, split.bytes, whole.len) == 0);
	free(whole.bytes);
	free(split.bytes);
	return 0;
}
