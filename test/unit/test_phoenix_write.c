/*
 * test_phoenix_write.c
 *		What the server sends, as it was recorded.
 */
#include "unit.h"

#include "wire/json.h"
#include "wire/phoenix.h"

/* The arguments of one encoder call. */
typedef struct Call
{
	int			vsn;
	Slice		join_ref;
	Slice		ref;
	PhxTopic	topic;
	bool		ok;
	Slice		event;
	Slice		payload;
	Slice		channel;
	bool		raw;
	const void *ids;
	size_t		id_count;
} Call;

static void
encode_reply(Writer *w, const void *argument)
{
	const Call *c = argument;

	phx_write_reply(w, c->vsn, c->join_ref, c->ref, c->topic, c->ok, c->payload);
}

static void
encode_error_reply(Writer *w, const void *argument)
{
	const Call *c = argument;

	phx_write_error_reply(w, c->vsn, c->join_ref, c->ref, c->topic, c->payload);
}

static void
encode_push(Writer *w, const void *argument)
{
	const Call *c = argument;

	phx_write_push(w, c->vsn, c->join_ref, c->topic, c->event, c->payload);
}

static void
encode_change(Writer *w, const void *argument)
{
	const Call *c = argument;

	phx_write_change(w, c->vsn, c->topic, c->ids, c->id_count, c->payload);
}

static void
encode_close(Writer *w, const void *argument)
{
	const Call *c = argument;

	phx_write_close(w, c->vsn, c->join_ref, c->topic);
}

static void
encode_error(Writer *w, const void *argument)
{
	const Call *c = argument;

	phx_write_error(w, c->vsn, c->join_ref, c->topic);
}

static void
encode_system(Writer *w, const void *argument)
{
	const Call *c = argument;

	phx_write_system(w, c->vsn, c->join_ref, c->topic, c->event, c->ok, c->payload, c->channel);
}

static void
encode_user_broadcast(Writer *w, const void *argument)
{
	const Call *c = argument;

	/* channel stands for the metadata */
	phx_write_user_broadcast(w, c->vsn, c->topic.data, c->event, c->channel, c->raw, c->payload);
}

static void
encode_user_broadcast_text(Writer *w, const void *argument)
{
	const Call *c = argument;

	phx_write_user_broadcast_text(w, c->vsn, c->join_ref, c->topic.data, c->event, c->channel, c->payload);
}

/* Encode the same call for both versions; texts must be JSON and within the bound. */
static void
check_both(Encoder encode, Call call, Slice v1, Slice v2)
{
	size_t		bound = phx_bound(call.join_ref.len + call.ref.len,
								  call.topic.data.len + call.event.len + call.payload.len + call.channel.len,
								  call.payload.len + call.channel.len);

	call.vsn = PHX_V1;
	check_encoder(encode, &call, v1);
	assert_true(wjson_validate(v1) && v1.len <= bound);
	call.vsn = PHX_V2;
	check_encoder(encode, &call, v2);
	assert_true(wjson_validate(v2) && v2.len <= bound);
}

static Call
call_on(const char *topic)
{
	return (Call) {.topic = phx_topic_text(slice_cstring(topic)), .join_ref = SLICE_LITERAL("\"1\"")};
}

static void
test_replies(void **state)
{
	Call		call = call_on("phoenix");

	(void) state;
	call.join_ref = SLICE_EMPTY;
	call.ref = SLICE_LITERAL("\"5\"");
	call.ok = true;
	call.payload = SLICE_LITERAL("{}");
	check_both(encode_reply, call,
			   SLICE_LITERAL("{\"ref\":\"5\",\"event\":\"phx_reply\",\"payload\":{\"status\":\"ok\",\"response\":{}},\"topic\":\"phoenix\"}"),
			   SLICE_LITERAL("[null,\"5\",\"phoenix\",\"phx_reply\",{\"status\":\"ok\",\"response\":{}}]"));

	/* Refs and topics of other types go back as they came. */
	call.ref = SLICE_LITERAL("3");
	call.topic = phx_topic_token(SLICE_LITERAL("7"));
	call.ok = false;
	call.payload = SLICE_LITERAL("unmatched topic");
	check_both(encode_error_reply, call,
			   SLICE_LITERAL("{\"ref\":3,\"event\":\"phx_reply\",\"payload\":{\"status\":\"error\",\"response\":{\"reason\":\"unmatched topic\"}},\"topic\":7}"),
			   SLICE_LITERAL("[null,3,7,\"phx_reply\",{\"status\":\"error\",\"response\":{\"reason\":\"unmatched topic\"}}]"));

	call = call_on("realtime:a\"b");
	call.ref = SLICE_LITERAL("\"\"");
	call.payload = SLICE_LITERAL("\"payload_size_exceeded\"");
	check_both(encode_reply, call,
			   SLICE_LITERAL("{\"ref\":\"\",\"event\":\"phx_reply\",\"payload\":{\"status\":\"error\",\"response\":\"payload_size_exceeded\"},\"topic\":\"realtime:a\\\"b\"}"),
			   SLICE_LITERAL("[\"1\",\"\",\"realtime:a\\\"b\",\"phx_reply\",{\"status\":\"error\",\"response\":\"payload_size_exceeded\"}]"));
}

static void
test_pushes(void **state)
{
	Call		call = call_on("realtime:rec");

	(void) state;
	call.event = SLICE_LITERAL("presence_state");
	call.payload = SLICE_LITERAL("{}");
	check_both(encode_push, call,
			   SLICE_LITERAL("{\"ref\":null,\"event\":\"presence_state\",\"payload\":{},\"topic\":\"realtime:rec\"}"),
			   SLICE_LITERAL("[\"1\",null,\"realtime:rec\",\"presence_state\",{}]"));

	/* Payloads pass byte for byte, whatever is equal or odd in them. */
	call.join_ref = SLICE_EMPTY;
	call.event = SLICE_LITERAL("broadcast");
	call.payload = SLICE_LITERAL("{\"z\" : [2.50,1e3,-0,\"\\u00e9\\/\"],\n\"a\":1,\"a\":2}");
	check_both(encode_push, call,
			   SLICE_LITERAL("{\"ref\":null,\"event\":\"broadcast\",\"payload\":{\"z\" : [2.50,1e3,-0,\"\\u00e9\\/\"],\n\"a\":1,\"a\":2},\"topic\":\"realtime:rec\"}"),
			   SLICE_LITERAL("[null,null,\"realtime:rec\",\"broadcast\",{\"z\" : [2.50,1e3,-0,\"\\u00e9\\/\"],\n\"a\":1,\"a\":2}]"));
}

static void
test_changes(void **state)
{
	Call		call = call_on("realtime:rec");
	uint32_t	ids[2] = {7, 2147483647};
	char		unaligned[sizeof(ids) + 1];

	(void) state;
	memcpy(unaligned + 1, ids, sizeof(ids));
	call.ids = unaligned + 1;
	call.id_count = 2;
	call.payload = SLICE_LITERAL("{\"type\":\"INSERT\"}");
	check_both(encode_change, call,
			   SLICE_LITERAL("{\"ref\":null,\"event\":\"postgres_changes\",\"payload\":{\"ids\":[7,2147483647],\"data\":{\"type\":\"INSERT\"}},\"topic\":\"realtime:rec\"}"),
			   SLICE_LITERAL("[null,null,\"realtime:rec\",\"postgres_changes\",{\"ids\":[7,2147483647],\"data\":{\"type\":\"INSERT\"}}]"));
	call.id_count = 0;
	check_both(encode_change, call,
			   SLICE_LITERAL("{\"ref\":null,\"event\":\"postgres_changes\",\"payload\":{\"ids\":[],\"data\":{\"type\":\"INSERT\"}},\"topic\":\"realtime:rec\"}"),
			   SLICE_LITERAL("[null,null,\"realtime:rec\",\"postgres_changes\",{\"ids\":[],\"data\":{\"type\":\"INSERT\"}}]"));
}

static void
test_ends(void **state)
{
	Call		call = call_on("realtime:rec");

	(void) state;
	check_both(encode_close, call,
			   SLICE_LITERAL("{\"ref\":\"1\",\"event\":\"phx_close\",\"payload\":{},\"topic\":\"realtime:rec\"}"),
			   SLICE_LITERAL("[\"1\",\"1\",\"realtime:rec\",\"phx_close\",{}]"));
	check_both(encode_error, call,
			   SLICE_LITERAL("{\"ref\":\"1\",\"event\":\"phx_error\",\"payload\":{\"reason\":\"channel_crash\"},\"topic\":\"realtime:rec\"}"),
			   SLICE_LITERAL("[\"1\",\"1\",\"realtime:rec\",\"phx_error\",{\"reason\":\"channel_crash\"}]"));
	call.join_ref = SLICE_LITERAL("null");
	check_both(encode_close, call,
			   SLICE_LITERAL("{\"ref\":null,\"event\":\"phx_close\",\"payload\":{},\"topic\":\"realtime:rec\"}"),
			   SLICE_LITERAL("[null,null,\"realtime:rec\",\"phx_close\",{}]"));
}

static void
test_system(void **state)
{
	Call		call = call_on("realtime:rec");

	(void) state;
	call.event = SLICE_LITERAL("system");
	call.ok = true;
	call.payload = SLICE_LITERAL("Replication connection established");
	call.channel = SLICE_LITERAL("rec");
	check_both(encode_system, call,
			   SLICE_LITERAL("{\"ref\":null,\"event\":\"system\",\"payload\":{\"message\":\"Replication connection established\",\"status\":\"ok\",\"extension\":\"system\",\"channel\":\"rec\"},\"topic\":\"realtime:rec\"}"),
			   SLICE_LITERAL("[\"1\",null,\"realtime:rec\",\"system\",{\"message\":\"Replication connection established\",\"status\":\"ok\",\"extension\":\"system\",\"channel\":\"rec\"}]"));
	call.join_ref = SLICE_EMPTY;
	call.channel = SLICE_EMPTY;
	call.payload = SLICE_LITERAL("Server requested disconnect");
	check_both(encode_system, call,
			   SLICE_LITERAL("{\"ref\":null,\"event\":\"system\",\"payload\":{\"message\":\"Server requested disconnect\",\"status\":\"ok\",\"extension\":\"system\"},\"topic\":\"realtime:rec\"}"),
			   SLICE_LITERAL("[null,null,\"realtime:rec\",\"system\",{\"message\":\"Server requested disconnect\",\"status\":\"ok\",\"extension\":\"system\"}]"));
}

/* Frames of the recordings broadcast-kind3-json, db-insert and broadcast-kind3-raw. */
static void
test_user_broadcast(void **state)
{
	Call		call = call_on("realtime:rec-k3");

	(void) state;
	call.event = SLICE_LITERAL("ev");
	call.payload = SLICE_LITERAL("{\"x\":1,\"s\":\"é\"}");
	call.vsn = PHX_V2;
	check_encoder(encode_user_broadcast, &call,
				  SLICE_LITERAL("\x04\x0f\x02\x00\x01realtime:rec-k3ev{\"x\":1,\"s\":\"é\"}"));
	call.vsn = PHX_V1;
	check_encoder(encode_user_broadcast, &call,
				  SLICE_LITERAL("{\"ref\":null,\"event\":\"broadcast\",\"payload\":{\"event\":\"ev\",\"payload\":{\"x\":1,\"s\":\"é\"},\"type\":\"broadcast\"},\"topic\":\"realtime:rec-k3\"}"));

	call.channel = SLICE_LITERAL("{\"id\":\"d8283e6c-1100-4a19-8415-6f141713f734\"}");
	call.payload = SLICE_LITERAL("{\"x\": 1}");
	check_encoder(encode_user_broadcast, &call,
				  SLICE_LITERAL("{\"ref\":null,\"event\":\"broadcast\",\"payload\":{\"event\":\"ev\",\"meta\":{\"id\":\"d8283e6c-1100-4a19-8415-6f141713f734\"},\"payload\":{\"x\": 1},\"type\":\"broadcast\"},\"topic\":\"realtime:rec-k3\"}"));
	call.vsn = PHX_V2;
	check_encoder(encode_user_broadcast, &call,
				  SLICE_LITERAL("\x04\x0f\x02\x2d\x01realtime:rec-k3ev{\"id\":\"d8283e6c-1100-4a19-8415-6f141713f734\"}{\"x\": 1}"));

	call.channel = SLICE_EMPTY;
	call.raw = true;
	call.payload = SLICE_LITERAL("\x00\x01\x02\xff\xfe");
	check_encoder(encode_user_broadcast, &call,
				  SLICE_LITERAL("\x04\x0f\x02\x00\x00realtime:rec-k3ev\x00\x01\x02\xff\xfe"));
	call.vsn = PHX_V1;
	check_encoder(encode_user_broadcast, &call, SLICE_EMPTY);

	/* A replayed message is a push of the channel. */
	call.raw = false;
	call.payload = SLICE_LITERAL("1");
	call.channel = SLICE_LITERAL("{\"id\":\"u\",\"replayed\":true}");
	check_both(encode_user_broadcast_text, call,
			   SLICE_LITERAL("{\"ref\":null,\"event\":\"broadcast\",\"payload\":{\"event\":\"ev\",\"meta\":{\"id\":\"u\",\"replayed\":true},\"payload\":1,\"type\":\"broadcast\"},\"topic\":\"realtime:rec-k3\"}"),
			   SLICE_LITERAL("[\"1\",null,\"realtime:rec-k3\",\"broadcast\",{\"event\":\"ev\",\"meta\":{\"id\":\"u\",\"replayed\":true},\"payload\":1,\"type\":\"broadcast\"}]"));
}

static void
test_long_names(void **state)
{
	char		name[256];
	Slice		fits = slice_make(name, 255);
	Slice		too_long = slice_make(name, 256);
	Slice		e = SLICE_LITERAL("e");
	char		frame[2048];
	Writer		w = writer_fixed(frame, sizeof(frame));

	(void) state;
	memset(name, 'n', sizeof(name));
	assert_int_equal(phx_user_broadcast_form(PHX_V2, fits, fits, fits, false), PHX_FORM_BINARY);
	assert_int_equal(phx_user_broadcast_form(PHX_V2, fits, fits, fits, true), PHX_FORM_BINARY);
	assert_int_equal(phx_user_broadcast_form(PHX_V2, too_long, e, e, false), PHX_FORM_TEXT);
	assert_int_equal(phx_user_broadcast_form(PHX_V2, e, too_long, e, false), PHX_FORM_TEXT);
	assert_int_equal(phx_user_broadcast_form(PHX_V2, e, e, too_long, false), PHX_FORM_TEXT);
	assert_int_equal(phx_user_broadcast_form(PHX_V2, too_long, e, e, true), PHX_FORM_NONE);
	assert_int_equal(phx_user_broadcast_form(PHX_V2, e, too_long, e, true), PHX_FORM_NONE);
	assert_int_equal(phx_user_broadcast_form(PHX_V2, e, e, too_long, true), PHX_FORM_NONE);
	assert_int_equal(phx_user_broadcast_form(PHX_V1, too_long, e, e, false), PHX_FORM_TEXT);
	assert_int_equal(phx_user_broadcast_form(PHX_V1, e, e, e, true), PHX_FORM_NONE);

	assert_int_equal(phx_write_user_broadcast(&w, PHX_V2, fits, fits, SLICE_EMPTY, false, SLICE_LITERAL("{}")),
					 PHX_FORM_BINARY);
	assert_memory_equal(frame, "\x04\xff\xff\x00\x01nnn", 8);
	assert_int_equal(w.len, 5 + 255 + 255 + 2);
	w = writer_fixed(frame, sizeof(frame));
	assert_int_equal(phx_write_user_broadcast(&w, PHX_V2, too_long, e, SLICE_EMPTY, false, SLICE_LITERAL("{}")),
					 PHX_FORM_TEXT);
	assert_true(wjson_validate(writer_written(&w)));
	assert_memory_equal(frame, "[null,null,\"nnn", 15);
	w = writer_fixed(frame, sizeof(frame));
	assert_int_equal(phx_write_user_broadcast(&w, PHX_V2, too_long, e, SLICE_EMPTY, true, e), PHX_FORM_NONE);
	assert_int_equal(w.len, 0);
	assert_false(w.failed);
}

/* The bound holds where every byte needs an escape. */
static void
test_bound(void **state)
{
	char		worst[200];
	char		buffer[16384];
	Slice		text = slice_make(worst, sizeof(worst));
	Slice		ref = SLICE_LITERAL("\"ref-of-some-length\"");

	(void) state;
	memset(worst, '\x01', sizeof(worst));
	for (int vsn = PHX_V1; vsn <= PHX_V2; vsn++)
	{
		Writer		w = writer_fixed(buffer, phx_bound(2 * ref.len, 2 * text.len, 0));

		phx_write_error_reply(&w, vsn, ref, ref, phx_topic_text(text), text);
		assert_false(w.failed);
		w = writer_fixed(buffer, phx_bound(2 * ref.len, 4 * text.len, 0));
		phx_write_system(&w, vsn, ref, phx_topic_text(text), text, false, text, text);
		assert_false(w.failed);
		w = writer_fixed(buffer, phx_bound(ref.len, 2 * text.len, 4));
		phx_write_user_broadcast_text(&w, vsn, ref, text, text, SLICE_LITERAL("{}"), SLICE_LITERAL("{}"));
		assert_false(w.failed);
		w = writer_fixed(buffer, phx_bound(ref.len, text.len, 0));
		phx_write_error(&w, vsn, ref, phx_topic_text(text));
		assert_false(w.failed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replies),
		cmocka_unit_test(test_pushes),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_system),
		cmocka_unit_test(test_user_broadcast),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests_name("phoenix_write", tests, NULL, NULL);
}
