/*
 * fuzz_phoenix_write.c
 *		Messages of the server with any topic, event, text and JSON, which are separated by NUL in the input.
 */
#include "fuzz.h"

#include "wire/phoenix.h"

/* Cuts the next part off the input. */
static Slice
next_part(Slice *input)
{
	const char *end = input->len == 0 ? NULL : memchr(input->data, '\0', input->len);
	Slice		part = slice_make(input->data, end == NULL ? input->len : (size_t) (end - input->data));

	*input = slice_skip(*input, part.len + 1);
	return part;
}

/* A writer of just the size that a caller would take. */
static Writer
bounded(size_t refs_len, size_t texts_len, size_t json_len)
{
	return fuzz_writer(phx_bound(refs_len, texts_len, json_len));
}

/* All that was written is one JSON text. */
static void
finish(Writer *w)
{
	REQUIRE(!w->failed && wjson_validate(writer_written(w)));
	free(w->data);
}

static void
write_for_channel(int vsn, Slice ref, Slice topic, Slice text, Slice json)
{
	PhxTopic	to = phx_topic_text(topic);
	Writer		w = bounded(2 * ref.len, topic.len, json.len);

	phx_write_reply(&w, vsn, ref, ref, to, text.len % 2 == 0, json);
	finish(&w);
	w = bounded(2 * ref.len, topic.len + text.len, 0);
	phx_write_error_reply(&w, vsn, ref, ref, to, text);
	finish(&w);
	w = bounded(2 * ref.len, topic.len, 0);
	phx_write_close(&w, vsn, ref, to);
	finish(&w);
	w = bounded(2 * ref.len, topic.len, 0);
	phx_write_error(&w, vsn, ref, to);
	finish(&w);
	w = bounded(ref.len, 2 * topic.len + text.len + 20, 0);
	phx_write_system(&w, vsn, ref, to, SLICE_LITERAL("postgres_changes"), text.len % 2 == 0, text, topic);
	finish(&w);
	w = bounded(ref.len, topic.len + text.len + 20, 0);
	phx_write_system(&w, vsn, ref, to, SLICE_LITERAL("system"), false, text, SLICE_EMPTY);
	finish(&w);
	w = bounded(ref.len, topic.len + text.len, json.len);
	phx_write_push(&w, vsn, ref, to, text, json);
	finish(&w);
}

static void
write_broadcast(int vsn, Slice ref, Slice topic, Slice event, Slice metadata, bool raw, Slice payload)
{
	Writer		w = bounded(0, topic.len + event.len, payload.len + metadata.len);
	PhxForm		form = phx_write_user_broadcast(&w, vsn, topic, event, metadata, raw, payload);

	REQUIRE(form == phx_user_broadcast_form(vsn, topic, event, metadata, raw));
	REQUIRE(!w.failed && (form != PHX_FORM_NONE || w.len == 0));
	REQUIRE(form != PHX_FORM_TEXT || (!raw && wjson_validate(writer_written(&w))));
	if (form == PHX_FORM_BINARY)
		REQUIRE(w.len == 5 + topic.len + event.len + metadata.len + payload.len && w.data[0] == 4);
	free(w.data);
	if (!raw)
	{
		w = bounded(ref.len, topic.len + event.len, payload.len + metadata.len);
		phx_write_user_broadcast_text(&w, vsn, ref, topic, event, metadata, payload);
		finish(&w);
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		input = slice_make(data, size);
	Slice		topic = next_part(&input);
	Slice		text = next_part(&input);
	Slice		ref = next_part(&input);
	Slice		json = next_part(&input);
	Slice		metadata = next_part(&input);

	if (!slice_is_utf8(topic) || !slice_is_utf8(text))
		return 0;
	if (ref.len > PHX_MAX_REF || !wjson_validate(ref))
		ref = SLICE_EMPTY;
	if (!wjson_validate(metadata))
		metadata = SLICE_EMPTY;
	for (int vsn = PHX_V1; vsn <= PHX_V2; vsn++)
	{
		write_broadcast(vsn, ref, topic, text, metadata, true, json);
		if (wjson_validate(json))
		{
			write_for_channel(vsn, ref, topic, text, json);
			write_broadcast(vsn, ref, topic, text, metadata, false, json);
		}
	}
	return 0;
}
