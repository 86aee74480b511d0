/*
 * fuzz_batch.c
 *		Any bytes as the body of a batch: what is accepted is delivered as JSON, what is refused is refused in JSON.
 */
#include "fuzz.h"

#include "wire/batch.h"
#include "wire/http_body.h"

#define MOST	64

static void
check_message(const BatchMessage *message)
{
	Writer		w = writer_measuring();
	Slice		type;

	REQUIRE(slice_is_utf8(message->topic) && message->topic.len > 0 && message->topic.len <= BATCH_MAX_NAME);
	REQUIRE(!slice_has_byte(message->topic, '\0'));
	REQUIRE(wjson_type(message->payload) == WJSON_OBJECT && wjson_type(message->event) == WJSON_STRING);
	batch_write_text(&w, message);
	w = fuzz_writer(w.len);
	batch_write_text(&w, message);
	REQUIRE(!w.failed && w.len == w.cap && wjson_validate(writer_written(&w)));
	REQUIRE(wjson_member(writer_written(&w), SLICE_LITERAL("type"), &type));
	free(w.data);
}

static void
check_list(Slice list, size_t count)
{
	BatchMessage messages[MOST];
	char	   *scratch = malloc(list.len);
	Writer		w = fuzz_writer(BATCH_ERRORS_BOUND(MOST));
	size_t		bad;
	size_t		found = 0;

	REQUIRE(scratch != NULL);
	if (count > MOST)
		count = MOST;
	bad = batch_read(list, 256, messages, count, scratch, list.len);
	for (size_t i = 0; i < count; i++)
	{
		if (messages[i].problems == 0)
			check_message(&messages[i]);
		else
			found++;
		messages[i].problems |= i % 3 == 0 ? BATCH_TOPIC_DENIED : 0;
	}
	REQUIRE(found == bad);
	batch_write_errors(&w, SLICE_LITERAL("Unauthorized"), messages, count);
	REQUIRE(!w.failed && wjson_validate(writer_written(&w)));
	free(w.data);
	free(scratch);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		body = slice_make(data, size);
	Slice		list;
	size_t		count;
	BatchStatus status = batch_open(body, &list, &count);
	Writer		w = fuzz_writer(BATCH_ERRORS_BOUND(0));

	if (status == BATCH_OK)
	{
		REQUIRE(count > 0 && count <= BATCH_MAX_MESSAGES);
		check_list(list, count);
	}
	else if (status == BATCH_BLANK || status == BATCH_INVALID)
	{
		batch_write_refusal(&w, status);
		REQUIRE(!w.failed && wjson_validate(writer_written(&w)));
	}
	free(w.data);
	REQUIRE(media_type(body) <= MEDIA_OTHER);
	return 0;
}
