/*
 * test_phoenix_parse.c
 *		What clients send, V1 and V2, text and binary.
 */
#include "unit.h"

#include "wire/json.h"
#include "wire/phoenix.h"

#define TEXT	1
#define BINARY	2

static char scratch[PHX_SCRATCH_SIZE];

static PhxResult
parse(int type, int vsn, Slice frame, PhxMessage *m)
{
	return type == TEXT ? phx_parse_text(vsn, frame, scratch, sizeof(scratch), m) :
		phx_parse_binary(vsn, frame, scratch, sizeof(scratch), m);
}

/* Parse a frame written in hexadecimal digits; it must be freed with copy_free(). */
static Slice
from_hex(const char *digits)
{
	size_t		len = strlen(digits) / 2;
	unsigned char *data = malloc(len == 0 ? 1 : len);

	assert_non_null(data);
	for (size_t i = 0; i < len; i++)
	{
		char		pair[3] = {digits[2 * i], digits[2 * i + 1], '\0'};

		data[i] = (unsigned char) strtoul(pair, NULL, 16);
	}
	return slice_make(data, len);
}

static void
test_v2_text(void **state)
{
	PhxMessage	m;

	(void) state;
	assert_int_equal(parse(TEXT, PHX_V2, SLICE_LITERAL("[\"1\",\"2\",\"realtime:a\",\"broadcast\",{\"b\": 2.50}]"), &m), PHX_OK);
	assert_int_equal(m.kind, PHX_TEXT);
	assert_text(m.join_ref, "\"1\"");
	assert_text(m.ref, "\"2\"");
	assert_text(m.topic, "\"realtime:a\"");
	assert_text(m.event, "\"broadcast\"");
	assert_true(m.has_topic_text && m.has_event_text);
	assert_text(m.topic_text, "realtime:a");
	assert_text(m.event_text, "broadcast");
	assert_text(m.payload, "{\"b\": 2.50}");
	assert_true(m.payload_is_json);

	/* Whitespace, extra elements, odd types of refs and payload. */
	assert_int_equal(parse(TEXT, PHX_V2, SLICE_LITERAL(" [ null , 3 , \"phoenix\" ,\n\"heartbeat\", \"x\" ,\"extra\",1] "), &m), PHX_OK);
	assert_text(m.join_ref, "null");
	assert_text(m.ref, "3");
	assert_text(m.topic_text, "phoenix");
	assert_text(m.payload, "\"x\"");
	assert_int_equal(parse(TEXT, PHX_V2, SLICE_LITERAL("[null,null,\"phoenix\",\"heartbeat\",null]"), &m), PHX_OK);
	assert_text(m.payload, "null");
	assert_int_equal(parse(TEXT, PHX_V2, SLICE_LITERAL("[\"\",{\"a\":[1]},\"\",\"\",[]]"), &m), PHX_OK);
	assert_text(m.join_ref, "\"\"");
	assert_text(m.ref, "{\"a\":[1]}");
	assert_true(m.has_topic_text);
	assert_int_equal(m.topic_text.len, 0);
}

/* A topic or event that is no string is answered, so its token is kept. */
static void
test_names_that_are_no_text(void **state)
{
	PhxMessage	m;

	(void) state;
	assert_int_equal(parse(TEXT, PHX_V2, SLICE_LITERAL("[null,\"1\",7,\"heartbeat\",{}]"), &m), PHX_OK);
	assert_false(m.has_topic_text);
	assert_int_equal(m.topic_text.len, 0);
	assert_text(m.topic, "7");
	assert_int_equal(parse(TEXT, PHX_V2, SLICE_LITERAL("[null,\"1\",\"phoenix\",7,{}]"), &m), PHX_OK);
	assert_true(m.has_topic_text);
	assert_false(m.has_event_text);
	assert_text(m.event, "7");
	assert_int_equal(parse(TEXT, PHX_V2, SLICE_LITERAL("[null,\"1\",\"realtime:open\\u0000secret\",\"phx_join\",{}]"), &m), PHX_OK);
	assert_false(m.has_topic_text);
	assert_int_equal(m.topic_text.len, 0);
	assert_text(m.topic, "\"realtime:open\\u0000secret\"");
}

static void
test_escapes(void **state)
{
	PhxMessage	m;
	Slice		frame = SLICE_LITERAL("[\"\\u0031\",\"2\",\"realtime:\\u0416\\\"\",\"broad\\u0063ast\",{\"\\u0061\":1}]");
	char		small[20];

	(void) state;
	assert_int_equal(parse(TEXT, PHX_V2, frame, &m), PHX_OK);
	assert_text(m.join_ref, "\"\\u0031\"");
	assert_text(m.topic, "\"realtime:\\u0416\\\"\"");
	assert_text(m.topic_text, "realtime:Ж\"");
	assert_text(m.event_text, "broadcast");
	assert_text(m.payload, "{\"\\u0061\":1}");

	/* 12 and 9 bytes don't fit into 20, and no more is written than there is. */
	assert_int_equal(phx_parse_text(PHX_V2, frame, small, sizeof(small), &m), PHX_MALFORMED);
	assert_int_equal(phx_parse_text(PHX_V2, frame, NULL, 0, &m), PHX_MALFORMED);
	assert_int_equal(phx_parse_text(PHX_V2, SLICE_LITERAL("[1,2,\"a\",\"b\",3]"), NULL, 0, &m), PHX_OK);
}

static void
test_v1_text(void **state)
{
	PhxMessage	m;

	(void) state;
	assert_int_equal(parse(TEXT, PHX_V1, SLICE_LITERAL("{\"topic\":\"realtime:a\",\"event\":\"phx_join\",\"payload\":{},\"ref\":\"8\",\"join_ref\":\"7\"}"), &m), PHX_OK);
	assert_text(m.join_ref, "\"7\"");
	assert_text(m.ref, "\"8\"");
	assert_text(m.topic_text, "realtime:a");
	assert_text(m.event_text, "phx_join");
	assert_text(m.payload, "{}");

	/* join_ref may be absent, unknown keys are ignored (kt's joinRef is one), null refs stay. */
	assert_int_equal(parse(TEXT, PHX_V1, SLICE_LITERAL("{\"ref\":null,\"joinRef\":\"7\",\"payload\":null,\"event\":\"heartbeat\",\"topic\":\"phoenix\"}"), &m), PHX_OK);
	assert_text(m.join_ref, "null");
	assert_text(m.ref, "null");
	assert_text(m.payload, "null");

	/* Of equal keys the first counts. */
	assert_int_equal(parse(TEXT, PHX_V1, SLICE_LITERAL("{\"topic\":\"a\",\"topic\":\"b\",\"event\":\"e\",\"payload\":1,\"payload\":2,\"ref\":3,\"ref\":4}"), &m), PHX_OK);
	assert_text(m.topic_text, "a");
	assert_text(m.payload, "1");
	assert_text(m.ref, "3");
	assert_int_equal(parse(TEXT, PHX_V1, SLICE_LITERAL("{\"topic\":7,\"event\":\"heartbeat\",\"payload\":{},\"ref\":\"1\"}"), &m), PHX_OK);
	assert_false(m.has_topic_text);
}

/* The rows of the recording malformed-v2, and more. */
static void
test_malformed_text(void **state)
{
	static const struct
	{
		int			vsn;
		Slice		frame;
	}			cases[] = {
		{PHX_V2, SLICE_INIT("{\"topic\":")}, {PHX_V2, SLICE_INIT("")}, {PHX_V2, SLICE_INIT("null")},
		{PHX_V2, SLICE_INIT("7")}, {PHX_V2, SLICE_INIT("\"x\"")}, {PHX_V2, SLICE_INIT("[]")},
		{PHX_V2, SLICE_INIT("{}")}, {PHX_V2, SLICE_INIT("[null,\"1\",\"realtime:x\"]")},
		{PHX_V2, SLICE_INIT("[\"1\",\"2\",\"realtime:rec-malformed-v2\",\"broadcast\"]")},
		{PHX_V2, SLICE_INIT("{\"topic\":\"phoenix\",\"event\":\"heartbeat\",\"payload\":{},\"ref\":\"1\"}")},
		{PHX_V2, SLICE_INIT("[\xff\xfe]")},
		{PHX_V2, SLICE_INIT("[null,\"1\",\"phoenix\",\"heartbeat\",{}")},
		{PHX_V2, SLICE_INIT("[null,\"1\",\"phoenix\",\"heartbeat\",{}]]")},
		{PHX_V2, SLICE_INIT("[null,\"1\",\"phoenix\",\"heartbeat\",{},]")},
		{PHX_V2, SLICE_INIT("[null,\"1\",\"\xff\",\"heartbeat\",{}]")},
		{PHX_V2, SLICE_INIT("[null,\"1\",\"\\ud800\",\"heartbeat\",{}]")},
		{PHX_V1, SLICE_INIT("")}, {PHX_V1, SLICE_INIT("[]")}, {PHX_V1, SLICE_INIT("null")},
		{PHX_V1, SLICE_INIT("{}")}, {PHX_V1, SLICE_INIT("[null,\"1\",\"phoenix\",\"heartbeat\",{}]")},
		{PHX_V1, SLICE_INIT("{\"topic\":\"phoenix\",\"event\":\"heartbeat\",\"ref\":\"1\"}")},
		{PHX_V1, SLICE_INIT("{\"topic\":\"phoenix\",\"event\":\"heartbeat\",\"payload\":{}}")},
		{PHX_V1, SLICE_INIT("{\"topic\":\"phoenix\",\"payload\":{},\"ref\":\"1\"}")},
		{PHX_V1, SLICE_INIT("{\"event\":\"heartbeat\",\"payload\":{},\"ref\":\"1\"}")},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		copy = copy_exactly(cases[i].frame);
		PhxMessage	m;

		if (parse(TEXT, cases[i].vsn, copy, &m) != PHX_MALFORMED)
			fail_msg("accepted %.*s", (int) copy.len, copy.data);
		copy_free(copy);
	}
}

static void
test_long_refs(void **state)
{
	char		frame[PHX_MAX_REF + 100];
	PhxMessage	m;

	(void) state;
	for (int which = 0; which < 2; which++)
	{
		for (size_t len = PHX_MAX_REF - 1; len <= PHX_MAX_REF + 1; len++)
		{
			Writer		w = writer_fixed(frame, sizeof(frame));

			writer_cstring(&w, which == 0 ? "[" : "[null,");
			for (size_t i = 0; i < len; i++)
				writer_char(&w, i == 0 || i == len - 1 ? '"' : 'r');
			writer_cstring(&w, which == 0 ? ",null,\"t\",\"e\",{}]" : ",\"t\",\"e\",{}]");
			assert_false(w.failed);
			assert_int_equal(parse(TEXT, PHX_V2, writer_written(&w), &m),
							 len <= PHX_MAX_REF ? PHX_OK : PHX_MALFORMED);
		}
	}
}

/* Frames of the recordings broadcast-kind3-json, -raw and -bad. */
static void
test_kind3(void **state)
{
	Slice		frame = from_hex("0301010f02000131327265616c74696d653a7265632d6b3365767b2278223a312c2273223a22c3a9227d");
	PhxMessage	m;

	(void) state;
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_int_equal(m.kind, PHX_USER_BROADCAST);
	assert_text(m.join_ref, "\"1\"");
	assert_text(m.ref, "\"2\"");
	assert_text(m.topic, "\"realtime:rec-k3\"");
	assert_text(m.topic_text, "realtime:rec-k3");
	assert_text(m.event, "\"broadcast\"");
	assert_text(m.event_text, "broadcast");
	assert_text(m.user_event, "ev");
	assert_text(m.payload, "{\"x\":1,\"s\":\"é\"}");
	assert_false(m.raw);
	assert_true(m.payload_is_json);
	copy_free(frame);

	/* Metadata is checked and left out; any encoding but 0 is JSON. */
	frame = from_hex("0301010f040d0131337265616c74696d653a7265632d6b336d6574617b226964223a226d696e65227d7b2278223a327d");
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_text(m.user_event, "meta");
	assert_text(m.payload, "{\"x\":2}");
	copy_free(frame);
	frame = from_hex("0301010f04000731347265616c74696d653a7265632d6b33656e63377b2278223a337d");
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_false(m.raw);
	copy_free(frame);

	/* Empty refs are empty strings, not null. */
	frame = from_hex("0300000f0700017265616c74696d653a7265632d6b336e6f2d726566737b2278223a347d");
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_text(m.join_ref, "\"\"");
	assert_text(m.ref, "\"\"");
	copy_free(frame);

	/* JSON that is no object, with whitespace and number forms of its own. */
	frame = from_hex("0301010f06000131387265616c74696d653a7265632d6b336a736f6e2d387b2262223a312c0a20226122203a20322e35307d");
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_text(m.payload, "{\"b\":1,\n \"a\" : 2.50}");
	copy_free(frame);
	frame = from_hex("0301010f06000131377265616c74696d653a7265632d6b336a736f6e2d376e756c6c");
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_text(m.payload, "null");
	copy_free(frame);

	/* An empty event; raw bytes, also none at all. */
	frame = from_hex("0301020f0000013131307265616c74696d653a7265632d6b337b2278223a357d");
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_int_equal(m.user_event.len, 0);
	assert_text(m.ref, "\"10\"");
	copy_free(frame);
	frame = from_hex("0301011202000031327265616c74696d653a7265632d6b337261776576000102fffe");
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_true(m.raw);
	assert_false(m.payload_is_json);
	assert_text(m.payload, "\x00\x01\x02\xff\xfe");
	copy_free(frame);
	frame = from_hex("0301011205000031337265616c74696d653a7265632d6b33726177656d707479");
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_true(m.raw);
	assert_int_equal(m.payload.len, 0);
	copy_free(frame);
}

static void
test_kind3_bad(void **state)
{
	static const struct
	{
		const char *hex;
		PhxResult	result;
	}			cases[] = {
		/* Says JSON and isn't, or is empty: refused, but answered. */
		{"0301011207000131327265616c74696d653a7265632d6b336261646e6f746a736f6e6e6f74206a736f6e", PHX_BAD_PAYLOAD},
		{"0301010f06000131397265616c74696d653a7265632d6b336a736f6e2d39", PHX_BAD_PAYLOAD},
		/* Metadata that is not JSON; that is JSON but no object. */
		{"0301011207040131337265616c74696d653a7265632d6b336261646261646d6574617b6261647b2278223a317d", PHX_MALFORMED},
		{"0301011209030131347265616c74696d653a7265632d6b336261646d65746161727261795b315d7b2278223a317d", PHX_OK},
		/* Lengths beyond the end, cut headers, unknown kinds, nothing. */
		{"030101c80400013135", PHX_MALFORMED}, {"03010101", PHX_MALFORMED}, {"0301", PHX_MALFORMED},
		{"03", PHX_MALFORMED}, {"", PHX_MALFORMED}, {"09010101", PHX_MALFORMED}, {"ff", PHX_MALFORMED},
		{"5b6e756c6c2c2262696e222c2270686f656e6978222c22686561727462656174222c7b7d5d", PHX_MALFORMED},
		/* Kinds of the server. */
		{"01010101020000", PHX_IGNORED}, {"0201010101", PHX_IGNORED}, {"0401010000aabb", PHX_IGNORED},
		{"01", PHX_IGNORED},
		/* Bytes that are no UTF-8 in join_ref, ref, topic, event. */
		{"0301000000" "0001" "ff" "31", PHX_MALFORMED}, {"0300010000" "0001" "ff" "31", PHX_MALFORMED},
		{"0300000100" "0001" "ff" "31", PHX_MALFORMED}, {"0300000001" "0001" "ff" "31", PHX_MALFORMED},
		{"03000000000001" "31", PHX_OK}, {"03000000000000" "ff", PHX_OK},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		Slice		frame = from_hex(cases[i].hex);
		PhxMessage	m;

		if (parse(BINARY, PHX_V2, frame, &m) != cases[i].result)
			fail_msg("%s", cases[i].hex);
		if (cases[i].result == PHX_BAD_PAYLOAD)
		{
			assert_text(m.join_ref, "\"1\"");
			assert_true(m.has_topic_text);
			assert_false(m.raw);
			assert_false(m.payload_is_json);
		}
		copy_free(frame);
	}
}

static void
test_kind0(void **state)
{
	Slice		frame = from_hex("000101120931367265616c74696d653a7265632d6b3362616462726f616463617374010203");
	PhxMessage	m;

	(void) state;
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_int_equal(m.kind, PHX_PUSH);
	assert_text(m.ref, "\"6\"");
	assert_text(m.topic_text, "realtime:rec-k3bad");
	assert_text(m.event_text, "broadcast");
	assert_text(m.payload, "\x01\x02\x03");
	assert_false(m.payload_is_json);
	copy_free(frame);
	frame = from_hex("000101120931387265616c74696d653a7265632d6b336261647068785f6c65617665");
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_text(m.event_text, "phx_leave");
	assert_int_equal(m.payload.len, 0);
	assert_false(m.payload_is_json);
	copy_free(frame);
	frame = from_hex("000000010174657b7d");
	assert_int_equal(parse(BINARY, PHX_V2, frame, &m), PHX_OK);
	assert_true(m.payload_is_json);
	copy_free(frame);

	/* A binary frame on V1 is JSON text all the same. */
	frame = copy_exactly(SLICE_LITERAL("{\"topic\":\"phoenix\",\"event\":\"heartbeat\",\"payload\":{},\"ref\":\"bin\"}"));
	assert_int_equal(parse(BINARY, PHX_V1, frame, &m), PHX_OK);
	assert_int_equal(m.kind, PHX_TEXT);
	assert_text(m.ref, "\"bin\"");
	copy_free(frame);
	frame = from_hex("000000010174657b7d");
	assert_int_equal(parse(BINARY, PHX_V1, frame, &m), PHX_MALFORMED);
	copy_free(frame);
}

/* Fields of 255 bytes that need an escape each fit into the promised scratch. */
static void
test_longest_binary(void **state)
{
	char	   *exact = malloc(PHX_SCRATCH_SIZE);

	(void) state;
	assert_non_null(exact);
	for (int kind = 0; kind <= 3; kind += 3)
	{
		char		frame[7 + 5 * 255 + 1];
		Writer		w = writer_fixed(frame, sizeof(frame));
		PhxMessage	m;

		writer_char(&w, (char) kind);
		for (int i = 0; i < 4; i++)
			writer_char(&w, (char) 255);
		if (kind == 3)
			writer_bytes(&w, "\0\1", 2);
		for (int i = 0; i < 4 * 255; i++)
			writer_char(&w, '\x01');
		writer_char(&w, '1');
		assert_false(w.failed);
		assert_int_equal(phx_parse_binary(PHX_V2, writer_written(&w), exact, PHX_SCRATCH_SIZE, &m), PHX_OK);
		assert_int_equal(m.join_ref.len, 6 * 255 + 2);
		assert_true(m.join_ref.len <= PHX_MAX_REF);
		assert_true(wjson_validate(m.join_ref) && wjson_validate(m.ref) && wjson_validate(m.topic));
		assert_text(m.payload, "1");
		for (size_t size = 0; size < 4 * 1532 && kind == 0; size += 97)
			assert_int_equal(phx_parse_binary(PHX_V2, writer_written(&w), exact, size, &m), PHX_MALFORMED);
	}
	free(exact);
}

/* Whatever is accepted must be fit to be sent on. */
static void
check_message(PhxResult result, const PhxMessage *m)
{
	if (result == PHX_MALFORMED || result == PHX_IGNORED)
		return;
	assert_true(wjson_validate(m->join_ref));
	assert_true(wjson_validate(m->ref));
	assert_true(wjson_validate(m->topic));
	assert_true(wjson_validate(m->event));
	assert_true(slice_is_utf8(m->topic_text));
	assert_true(slice_is_utf8(m->user_event));
	assert_int_equal(m->payload_is_json, !m->raw && wjson_validate(m->payload));
}

static void
test_cut_and_changed(void **state)
{
	static const struct
	{
		int			type;
		int			vsn;
		const char *text;		/* hexadecimal if binary */
	}			seeds[] = {
		{TEXT, PHX_V2, "[\"1\",null,\"realtime:\\u0416\",\"broadcast\",{\"a\":[1.5,\"x\"]}]"},
		{TEXT, PHX_V1, "{\"topic\":\"realtime:x\",\"event\":\"e\",\"payload\":{},\"ref\":\"1\",\"join_ref\":null}"},
		{BINARY, PHX_V2, "0301010f040d0131337265616c74696d653a7265632d6b336d6574617b226964223a226d696e65227d7b2278223a327d"},
		{BINARY, PHX_V2, "0301011202000031327265616c74696d653a7265632d6b337261776576000102fffe"},
		{BINARY, PHX_V2, "000101120931367265616c74696d653a7265632d6b3362616462726f616463617374010203"},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(seeds) / sizeof(seeds[0]); i++)
	{
		Slice		seed = seeds[i].type == TEXT ? copy_exactly(slice_cstring(seeds[i].text)) : from_hex(seeds[i].text);
		PhxMessage	m;

		for (size_t len = 0; len <= seed.len; len++)
		{
			Slice		copy = copy_exactly(slice_make(seed.data, len));
			PhxResult	result = parse(seeds[i].type, seeds[i].vsn, copy, &m);

			if (seeds[i].type == TEXT)
				assert_int_equal(result, len == seed.len ? PHX_OK : PHX_MALFORMED);
			check_message(result, &m);
			copy_free(copy);
		}
		for (size_t at = 0; at < seed.len; at++)
		{
			for (int byte = 0; byte < 256; byte++)
			{
				Slice		copy = copy_exactly(seed);

				((char *) copy.data)[at] = (char) byte;
				check_message(parse(seeds[i].type, seeds[i].vsn, copy, &m), &m);
				copy_free(copy);
			}
		}
		copy_free(seed);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v2_text),
		cmocka_unit_test(test_names_that_are_no_text),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_v1_text),
		cmocka_unit_test(test_malformed_text),
		cmocka_unit_test(test_long_refs),
		cmocka_unit_test(test_kind3),
		cmocka_unit_test(test_kind3_bad),
		cmocka_unit_test(test_kind0),
		cmocka_unit_test(test_longest_binary),
		cmocka_unit_test(test_cut_and_changed),
	};

	return cmocka_run_group_tests_name("phoenix_parse", tests, NULL, NULL);
}
