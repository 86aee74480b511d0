/*
 * fuzz_frame.c
 *		Frame headers of any length, close frames with any reason, base64url.
 */
#include "fuzz.h"

#include "wire/base64url.h"
#include "wire/frame.h"

/* A header, read back. */
static void
check_header(FrameOpcode opcode, uint64_t payload_len)
{
	Writer		w = fuzz_writer(frame_header_size(payload_len));
	const unsigned char *p = (const unsigned char *) w.data;
	uint64_t	len;

	frame_write_header(&w, opcode, payload_len);
	if (!w.failed)
	{
		REQUIRE(w.len == w.cap && p[0] == (0x80 | opcode) && (p[1] & 0x80) == 0);
		len = w.len == 2 ? p[1] : 0;
		for (size_t i = 2; i < w.len; i++)
			len = len << 8 | p[i];
		REQUIRE(len == payload_len);
		REQUIRE(w.len == 2 || p[1] == (w.len == 4 ? 126 : 127));
	}
	else
		REQUIRE(payload_len > FRAME_MAX_CONTROL);
	free(w.data);
}

/* Decode, and encode to the same text. */
static void
check_base64url(Slice text)
{
	size_t		size = BASE64URL_DECODED_SIZE(text.len);
	char	   *bytes = malloc(size + 1);
	size_t		len;

	REQUIRE(bytes != NULL);
	if (base64url_decode(text, bytes, size, &len))
	{
		Writer		w = fuzz_writer(text.len);

		REQUIRE(len == size);
		base64url_write(&w, bytes, len);
		REQUIRE(!w.failed && slice_equal(writer_written(&w), text));
		free(w.data);
	}
	free(bytes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const FrameOpcode opcodes[] = {FRAME_TEXT, FRAME_BINARY, FRAME_CLOSE, FRAME_PING, FRAME_PONG};
	Writer		w = fuzz_writer(2 + FRAME_MAX_CONTROL);
	Slice		reason;
	uint64_t	len = 0;

	reason = slice_make(data, size);
	frame_write_close(&w, 1000, reason);
	REQUIRE(!w.failed && w.len >= 4 && (unsigned char) w.data[1] == w.len - 2);
	if (slice_is_utf8(reason))
		REQUIRE(slice_is_utf8(slice_skip(writer_written(&w), 4)));
	free(w.data);
	check_base64url(reason);
	if (size >= 9)
	{
		memcpy(&len, data + 1, sizeof(len));
		check_header(opcodes[data[0] % 5], len >> data[0] % 64);
	}
	return 0;
}
