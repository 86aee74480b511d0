/*
 * fuzz_phoenix.c
 *		The first byte chooses version and type of a message; what is accepted
 *		is answered and relayed in every form.
 */
#include "fuzz.h"

#include "wire/phoenix.h"

/* Answer a message and pass it on; all that goes out as text must be JSON. */
static void
send_on(const PhxMessage *m, int vsn)
{
	Writer		w = fuzz_writer(phx_bound(m->join_ref.len + m->ref.len, m->topic.len + 100, 0));
	size_t		bound = phx_bound(m->join_ref.len, m->topic_text.len + m->user_event.len, m->payload.len);
	PhxForm		form;

	phx_write_error_reply(&w, vsn, m->join_ref, m->ref, phx_topic_token(m->topic), SLICE_LITERAL("unmatched topic"));
	REQUIRE(!w.failed && wjson_validate(writer_written(&w)));
	free(w.data);
	if (!m->has_topic_text)
		return;
	w = fuzz_writer(bound + 6 * m->topic_text.len);
	if (m->kind == PHX_USER_BROADCAST)
	{
		if (!m->payload_is_json && !m->raw)
		{
			free(w.data);
			return;
		}
		form = phx_write_user_broadcast(&w, vsn, m->topic_text, m->user_event, SLICE_EMPTY, m->raw, m->payload);
	}
	else
	{
		phx_write_push(&w, vsn, SLICE_EMPTY, phx_topic_text(m->topic_text), SLICE_LITERAL("broadcast"),
					   m->payload_is_json ? m->payload : SLICE_LITERAL("{}"));
		form = PHX_FORM_TEXT;
	}
	REQUIRE(!w.failed);
	if (form == PHX_FORM_TEXT && m->payload.len < 200)
		REQUIRE(wjson_validate(writer_written(&w)));
	free(w.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char scratch[PHX_SCRATCH_SIZE];
	PhxMessage	m;
	PhxResult	result;
	Slice		frame;
	int			vsn;
	size_t		scratch_size = sizeof(scratch);

	if (size == 0)
		return 0;
	vsn = data[0] & 1 ? PHX_V1 : PHX_V2;
	if (data[0] & 4)
		scratch_size = data[0] >> 3;
	frame = slice_make(data + 1, size - 1);
	result = data[0] & 2 ? phx_parse_binary(vsn, frame, scratch, scratch_size, &m) :
		phx_parse_text(vsn, frame, scratch, scratch_size, &m);
	if (result != PHX_OK && result != PHX_BAD_PAYLOAD)
		return 0;
	REQUIRE(wjson_validate(m.join_ref) && m.join_ref.len <= PHX_MAX_REF);
	REQUIRE(wjson_validate(m.ref) && m.ref.len <= PHX_MAX_REF);
	REQUIRE(wjson_validate(m.topic) && wjson_validate(m.event));
	REQUIRE(slice_is_utf8(m.topic_text) && !slice_has_byte(m.topic_text, '\0'));
	REQUIRE(slice_is_utf8(m.event_text) && !slice_has_byte(m.event_text, '\0'));
	REQUIRE(slice_is_utf8(m.user_event) && m.user_event.len <= 255);
	REQUIRE(m.payload_is_json == (!m.raw && wjson_validate(m.payload)));
	REQUIRE(m.kind != PHX_TEXT || m.payload_is_json);
	send_on(&m, PHX_V1);
	send_on(&m, PHX_V2);
	return 0;
}
