/*
 * fuzz_chunked.c
 *		Any bytes as a chunked body, whole and in pieces: the same body, the same end.
 */
#include "fuzz.h"

#include "wire/chunked.h"

/* Read in pieces of this size; what the last event was. */
static ChunkedEvent
read_body(Slice input, size_t size, Writer *w, size_t *used_in_all)
{
	ChunkedReader reader = {0};
	ChunkedEvent event = CHUNKED_MORE;

	*used_in_all = 0;
	while (input.len > 0 && event == CHUNKED_MORE)
	{
		size_t		len = input.len < size ? input.len : size;
		char	   *piece = malloc(len);
		Slice		rest = slice_make(piece, len);

		REQUIRE(piece != NULL);
		memcpy(piece, input.data, len);
		input = slice_skip(input, len);
		do
		{
			size_t		used;
			Slice		body;

			event = chunked_read(&reader, rest, &used, &body);
			REQUIRE(used <= rest.len && (event != CHUNKED_PIECE || (body.len > 0 && used >= body.len)));
			*used_in_all += used;
			rest = slice_skip(rest, used);
			writer_slice(w, body);
		} while (event == CHUNKED_PIECE);
		REQUIRE(event != CHUNKED_MORE || rest.len == 0);
		free(piece);
	}
	return event;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		input = slice_make(data, size);
	Writer		whole = fuzz_writer(size);
	Writer		pieces = fuzz_writer(size);
	size_t		used_whole;
	size_t		used_pieces;

	REQUIRE(read_body(input, size + 1, &whole, &used_whole) == read_body(input, 1 + size % 5, &pieces, &used_pieces));
	REQUIRE(!whole.failed && used_whole == used_pieces);
	REQUIRE(slice_equal(writer_written(&whole), writer_written(&pieces)));
	free(whole.data);
	free(pieces.data);
	return 0;
}
