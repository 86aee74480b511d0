/*
 * test_join.c
 *		Join payloads of every shape, and the reply that lists the entries.
 */
#include "unit.h"

#include "wire/join.h"

static char scratch[4096];

/* Parse a payload that must be valid JSON. */
static const char *
parse(const char *payload, JoinConfig *config)
{
	Slice		text = slice_cstring(payload);

	assert_true(wjson_validate(text));
	return join_parse(text, scratch, sizeof(scratch), config);
}

static void
test_what_js_sends(void **state)
{
	JoinConfig	c;

	(void) state;
	assert_null(parse("{\"config\":{\"broadcast\":{\"ack\":true,\"self\":true},\"presence\":{\"key\":\"\",\"enabled\":true},"
					  "\"postgres_changes\":[{\"event\":\"*\",\"schema\":\"public\",\"table\":\"t\"}],\"private\":false},"
					  "\"access_token\":\"a.b.c\",\"version\":\"realtime-js/2.x\"}", &c));
	assert_false(c.legacy);
	assert_true(c.broadcast_ack && c.broadcast_self);
	assert_false(c.replication_ready || c.has_replay || c.is_private);
	assert_true(c.presence_enabled);
	assert_false(c.has_presence_key);
	assert_text(c.postgres_changes, "[{\"event\":\"*\",\"schema\":\"public\",\"table\":\"t\"}]");
	assert_int_equal(c.changes_count, 1);
	assert_true(c.has_token);
	assert_text(c.token, "a.b.c");
	assert_int_equal(c.warnings, 0);
}

/* The recordings join-config-shapes and pg-no-params. */
static void
test_shapes(void **state)
{
	static const struct
	{
		const char *payload;
		const char *refusal;
		unsigned	warnings;
		bool		legacy;
	}			cases[] = {
		{"{}", NULL, 0, true},
		{"{\"config\":{}}", NULL, 0, false},
		{"{\"config\":null}", NULL, 0, false},
		{"{\"config\":{\"broadcast\":null,\"presence\":null,\"postgres_changes\":null,\"private\":null}}", NULL, 0, false},
		{"{\"config\":{\"foo\":1,\"broadcast\":{\"foo\":1},\"presence\":{\"foo\":2}},\"version\":\"x/1\",\"other\":{}}", NULL, 0, false},
		{"{\"user_token\":\"a.b.c\"}", NULL, 0, true},

		{"{\"config\":[]}", "InvalidJoinPayload: config: expected an object", 0, false},
		{"{\"config\":\"x\"}", "InvalidJoinPayload: config: expected an object", 0, false},
		{"{\"config\":7}", "InvalidJoinPayload: config: expected an object", 0, false},
		{"[]", "InvalidJoinPayload: payload: expected an object", 0, false},
		{"null", "InvalidJoinPayload: payload: expected an object", 0, false},
		{"\"x\"", "InvalidJoinPayload: payload: expected an object", 0, false},
		{"{\"config\":{\"broadcast\":\"x\",\"presence\":\"x\",\"postgres_changes\":\"x\",\"private\":\"x\"}}",
		"InvalidJoinPayload: config.broadcast: expected an object", 0, false},
		{"{\"config\":{\"broadcast\":[],\"presence\":[],\"postgres_changes\":{},\"private\":[]}}",
		"InvalidJoinPayload: config.broadcast: expected an object", 0, false},
		{"{\"config\":{\"postgres_changes\":[\"x\",{\"event\":\"*\"}]}}",
		"InvalidJoinPayload: config.postgres_changes: expected an array of objects", 0, false},
		{"{\"config\":{\"postgres_changes\":[{},7]}}",
		"InvalidJoinPayload: config.postgres_changes: expected an array of objects", 0, false},

		{"{\"config\":{\"presence\":\"x\",\"postgres_changes\":\"x\"}}", NULL,
		JOIN_BAD_PRESENCE | JOIN_BAD_POSTGRES_CHANGES, false},
		{"{\"config\":{\"presence\":[],\"postgres_changes\":{}}}", NULL,
		JOIN_BAD_PRESENCE | JOIN_BAD_POSTGRES_CHANGES, false},
		{"{\"config\":{},\"access_token\":7,\"user_token\":{}}", NULL,
		JOIN_BAD_ACCESS_TOKEN | JOIN_BAD_USER_TOKEN, false},
		{"{\"config\":{},\"access_token\":null,\"user_token\":null}", NULL, 0, false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		JoinConfig	c;
		const char *refusal = parse(cases[i].payload, &c);

		if (cases[i].refusal == NULL)
		{
			if (refusal != NULL)
				fail_msg("%s: %s", cases[i].payload, refusal);
			assert_int_equal(c.warnings, cases[i].warnings);
			assert_int_equal(c.legacy, cases[i].legacy);
			assert_false(c.broadcast_ack || c.broadcast_self || c.presence_enabled || c.is_private);
			assert_int_equal(c.postgres_changes.len, 0);
		}
		else
		{
			assert_non_null(refusal);
			assert_string_equal(refusal, cases[i].refusal);
		}
	}
}

/* The recordings join-booleans, join-private-values and replication-ready. */
static void
test_booleans(void **state)
{
	static const struct
	{
		const char *value;
		bool		is_true;
		bool		bad;
		bool		ready;		/* replication_ready takes the word "false" for true */
	}			cases[] = {
		{"true", true, false, true}, {"false", false, false, false}, {"\"true\"", true, false, true},
		{"\"TRUE\"", true, false, true}, {"\"True\"", true, false, true}, {"\"false\"", false, false, true},
		{"\"FALSE\"", false, false, true}, {"null", false, false, false}, {"\"yes\"", false, true, false},
		{"1", false, true, false}, {"0", false, true, false}, {"[]", false, true, false},
		{"{}", false, true, false}, {"\"\"", false, true, false}, {"\" true\"", false, true, false},
		{"\"true \"", false, true, false}, {"\"1\"", false, true, false},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		payload[512];
		Writer		w = writer_fixed(payload, sizeof(payload) - 1);
		JoinConfig	c;
		const char *refusal;

		writer_cstring(&w, "{\"config\":{\"broadcast\":{\"ack\":");
		writer_cstring(&w, cases[i].value);
		writer_cstring(&w, ",\"self\":");
		writer_cstring(&w, cases[i].value);
		writer_cstring(&w, ",\"replication_ready\":");
		writer_cstring(&w, cases[i].value);
		writer_cstring(&w, "},\"presence\":{\"enabled\":");
		writer_cstring(&w, cases[i].value);
		writer_cstring(&w, ",\"key\":\"k\"}}}");
		payload[w.len] = '\0';
		assert_null(parse(payload, &c));
		assert_int_equal(c.broadcast_ack, cases[i].is_true);
		assert_int_equal(c.broadcast_self, cases[i].is_true);
		assert_int_equal(c.presence_enabled, cases[i].is_true);
		assert_int_equal(c.replication_ready, cases[i].ready);
		assert_text(c.presence_key, "k");
		assert_int_equal(c.warnings, cases[i].bad ? JOIN_BAD_ACK | JOIN_BAD_SELF | JOIN_BAD_REPLICATION_READY |
						 JOIN_BAD_PRESENCE_ENABLED : 0);

		/* A private that is no boolean must not end up on the public bus. */
		w = writer_fixed(payload, sizeof(payload) - 1);
		writer_cstring(&w, "{\"config\":{\"private\":");
		writer_cstring(&w, cases[i].value);
		writer_cstring(&w, "}}");
		payload[w.len] = '\0';
		refusal = parse(payload, &c);
		if (cases[i].bad)
		{
			assert_non_null(refusal);
			assert_string_equal(refusal, "InvalidJoinPayload: config.private: expected a boolean");
		}
		else
		{
			assert_null(refusal);
			assert_int_equal(c.is_private, cases[i].is_true);
		}
	}
}

/* The recordings presence-keys and presence-key-object. */
static void
test_presence_keys(void **state)
{
	static const struct
	{
		const char *value;
		bool		refused;
		const char *key;		/* NULL: the server makes one */
	}			cases[] = {
		{"\"k\"", false, "k"}, {"\"\"", false, NULL}, {"null", false, NULL}, {"7", false, "7"},
		{"-1.50e3", false, "-1.50e3"}, {"true", false, "true"}, {"false", false, "false"},
		{"\"ключ \\\"q\\\"\"", false, "ключ \"q\""}, {"\"\\u00e9\"", false, "é"},
		{"[\"x\"]", true, NULL}, {"{\"a\":1}", true, NULL}, {"[]", true, NULL}, {"\"a\\u0000b\"", true, NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		payload[256];
		Writer		w = writer_fixed(payload, sizeof(payload) - 1);
		JoinConfig	c;
		const char *refusal;

		writer_cstring(&w, "{\"config\":{\"presence\":{\"enabled\":true,\"key\":");
		writer_cstring(&w, cases[i].value);
		writer_cstring(&w, "}}}");
		payload[w.len] = '\0';
		refusal = parse(payload, &c);
		assert_int_equal(refusal != NULL, cases[i].refused);
		if (cases[i].refused)
		{
			assert_true(slice_starts_with(slice_cstring(refusal), SLICE_LITERAL("InvalidJoinPayload: config.presence.key: expected a string")));
			continue;
		}
		assert_int_equal(c.has_presence_key, cases[i].key != NULL);
		if (cases[i].key != NULL)
			assert_slice(c.presence_key, slice_cstring(cases[i].key));
	}
}

static void
test_presence_grace(void **state)
{
	static const struct
	{
		const char *value;
		int			grace;
		bool		bad;
	}			cases[] = {
		{"0", 0, false}, {"1", 1, false}, {"1500", 1500, false}, {"30000", 30000, false}, {"30001", 30000, false},
		{"9223372036854775807", 30000, false}, {"null", 0, false}, {"-1", 0, true}, {"1.5", 0, true},
		{"9223372036854775808", 0, true}, {"\"1000\"", 0, true}, {"true", 0, true}, {"[]", 0, true}, {"{}", 0, true},
	};
	JoinConfig	c;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		char		payload[256];
		Writer		w = writer_fixed(payload, sizeof(payload) - 1);

		writer_cstring(&w, "{\"config\":{\"presence\":{\"key\":\"k\",\"grace_ms\":");
		writer_cstring(&w, cases[i].value);
		writer_cstring(&w, ",\"enabled\":true}}}");
		payload[w.len] = '\0';
		assert_null(parse(payload, &c));
		assert_int_equal(c.presence_grace_ms, cases[i].grace);
		assert_int_equal(c.warnings, cases[i].bad ? JOIN_BAD_PRESENCE_GRACE : 0);
		assert_true(c.presence_enabled);
		assert_text(c.presence_key, "k");
	}
	assert_null(parse("{\"config\":{\"presence\":{\"enabled\":true}}}", &c));
	assert_int_equal(c.presence_grace_ms, 0);
}

static void
test_replay(void **state)
{
	JoinConfig	c;

	(void) state;
	assert_null(parse("{\"config\":{\"broadcast\":{\"replay\":{\"since\":1,\"limit\":2}}}}", &c));
	assert_true(c.has_replay);
	assert_text(c.replay, "{\"since\":1,\"limit\":2}");
	assert_null(parse("{\"config\":{\"broadcast\":{\"replay\":null}}}", &c));
	assert_true(c.has_replay);
	assert_text(c.replay, "null");
	assert_null(parse("{\"config\":{\"broadcast\":{}}}", &c));
	assert_false(c.has_replay);
}

/* PROTOCOL 3.3. */
static void
test_tokens(void **state)
{
	static const struct
	{
		const char *payload;
		const char *token;		/* NULL: that of the connect */
	}			cases[] = {
		{"{\"access_token\":\"a\"}", "a"}, {"{\"user_token\":\"u\"}", "u"},
		{"{\"access_token\":\"a\",\"user_token\":\"u\"}", "u"},
		{"{\"access_token\":\"sb_x\",\"user_token\":\"u\"}", NULL},
		{"{\"access_token\":\"sb_publishable_x\"}", NULL}, {"{\"user_token\":\"sb_x\"}", NULL},
		{"{\"access_token\":null,\"user_token\":\"sb_x\"}", NULL},
		{"{\"access_token\":\"a\",\"user_token\":\"sb_x\"}", "sb_x"},
		{"{\"access_token\":7,\"user_token\":\"u\"}", "u"}, {"{\"access_token\":\"a\",\"user_token\":7}", "a"},
		{"{\"access_token\":\"\"}", ""}, {"{\"access_token\":null}", NULL}, {"{\"access_token\":7}", NULL},
		{"{}", NULL}, {"{\"access_token\":\"\\u0061.b\"}", "a.b"}, {"{\"access_token\":\"s\\u0062_\"}", NULL},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		JoinConfig	c;

		assert_null(parse(cases[i].payload, &c));
		assert_int_equal(c.has_token, cases[i].token != NULL);
		if (cases[i].token != NULL)
			assert_slice(c.token, slice_cstring(cases[i].token));
	}
}

static void
test_token_push(void **state)
{
	static const struct
	{
		const char *payload;
		JoinTokenPush result;
		const char *token;
	}			cases[] = {
		{"{\"access_token\":\"a.b.c\"}", JOIN_TOKEN_GIVEN, "a.b.c"},
		{"{\"access_token\":\"\"}", JOIN_TOKEN_GIVEN, ""},
		{"{\"access_token\":\"\\u0061\"}", JOIN_TOKEN_GIVEN, "a"},
		{"{\"access_token\":null}", JOIN_TOKEN_IGNORED, NULL},
		{"{\"access_token\":\"sb_secret_x\"}", JOIN_TOKEN_IGNORED, NULL},
		{"{\"access_token\":7}", JOIN_TOKEN_NONE, NULL}, {"{\"access_token\":{}}", JOIN_TOKEN_NONE, NULL},
		{"{}", JOIN_TOKEN_NONE, NULL}, {"null", JOIN_TOKEN_NONE, NULL}, {"\"a.b.c\"", JOIN_TOKEN_NONE, NULL},
		{"[\"access_token\"]", JOIN_TOKEN_NONE, NULL},
	};
	Slice		token;

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		assert_int_equal(join_token_push(slice_cstring(cases[i].payload), scratch, sizeof(scratch), &token), cases[i].result);
		if (cases[i].token != NULL)
			assert_slice(token, slice_cstring(cases[i].token));
	}
	assert_int_equal(join_token_push(SLICE_LITERAL("{\"access_token\":\"\\u0061bc\"}"), scratch, 2, &token), JOIN_TOKEN_GIVEN);
	assert_int_equal(token.len, 0);
}

static void
test_warning_texts(void **state)
{
	char		text[JOIN_WARNING_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));

	(void) state;
	join_write_warning(&w, JOIN_BAD_SELF);
	assert_text(writer_written(&w), "InvalidJoinPayload: config.broadcast.self: expected a boolean; the default is used");
	w = writer_fixed(text, sizeof(text));
	join_write_warning(&w, JOIN_BAD_ACK | JOIN_BAD_POSTGRES_CHANGES);
	assert_text(writer_written(&w), "InvalidJoinPayload: config.broadcast.ack: expected a boolean; "
				"config.postgres_changes: expected an array of objects; the default is used");
	w = writer_fixed(text, sizeof(text));
	join_write_warning(&w, ~0u);
	assert_false(w.failed);
	w = writer_fixed(text, sizeof(text));
	join_write_warning(&w, 0);
	assert_int_equal(w.len, 0);
}

static void
test_scratch_too_small(void **state)
{
	Slice		payload = SLICE_LITERAL("{\"config\":{\"presence\":{\"key\":\"\\u0061bcd\"}},\"access_token\":\"\\u0061bcdef\"}");
	JoinConfig	c;

	(void) state;
	for (size_t size = 0; size <= 10; size++)
	{
		char	   *exact = malloc(size == 0 ? 1 : size);
		const char *refusal = join_parse(payload, exact, size, &c);

		if (size < 10)
			assert_string_equal(refusal, "InvalidJoinPayload: a string of the payload is too long");
		else
		{
			assert_null(refusal);
			assert_text(c.presence_key, "abcd");
			assert_text(c.token, "abcdef");
		}
		free(exact);
	}
}

static uint32_t
id_of(const char *entry)
{
	assert_true(wjson_validate(slice_cstring(entry)));
	return join_change_id(slice_cstring(entry));
}

/* The recordings pg-rejoin-ids and pg-client-id. */
static void
test_ids(void **state)
{
	uint32_t	id = id_of("{\"event\":\"INSERT\",\"schema\":\"rec\",\"table\":\"items\"}");

	(void) state;
	assert_true(id >= 1 && id <= INT32_MAX);
	assert_int_equal(id, id_of("{\"table\":\"items\",\"schema\":\"rec\",\"event\":\"INSERT\"}"));
	assert_int_equal(id, id_of("{ \"table\" : \"items\", \"schema\":\"rec\",\n\"event\":\"INSERT\" }"));
	assert_int_equal(id, id_of("{\"event\":\"INS\\u0045RT\",\"schema\":\"rec\",\"table\":\"items\"}"));
	assert_int_equal(id, id_of("{\"event\":\"INSERT\",\"schema\":\"rec\",\"table\":\"items\",\"id\":5}"));
	assert_int_equal(id, id_of("{\"id\":null,\"event\":\"INSERT\",\"schema\":\"rec\",\"table\":\"items\"}"));
	assert_int_not_equal(id, id_of("{\"event\":\"UPDATE\",\"schema\":\"rec\",\"table\":\"items\"}"));
	assert_int_not_equal(id, id_of("{\"event\":\"INSERT\",\"schema\":\"items\",\"table\":\"rec\"}"));
	assert_int_not_equal(id, id_of("{\"event\":\"INSERT\",\"schema\":\"rec\",\"table\":\"items\",\"filter\":null}"));

	/* A stable number: other processes and releases must agree on it. */
	assert_int_equal(id_of("{}"), id_of("{\"id\":1}"));
	assert_int_equal(id, 1084114911);
}

static void
encode_response(Writer *w, const void *argument)
{
	join_write_response(w, *(const Slice *) argument);
}

/* Check a response in which each # stands for the id of the next entry. */
static void
check_response(const char *changes, const char *pattern, const char *const *entries)
{
	char		expected[1024];
	Writer		w = writer_fixed(expected, sizeof(expected));
	Slice		text = slice_cstring(changes);

	for (const char *p = pattern; *p != '\0'; p++)
	{
		if (*p == '#')
			writer_uint(&w, id_of(*entries++));
		else
			writer_char(&w, *p);
	}
	assert_false(w.failed);
	assert_true(text.len == 0 || wjson_validate(text));
	check_encoder(encode_response, &text, writer_written(&w));
	assert_true(wjson_validate(writer_written(&w)));
}

static void
test_response(void **state)
{
	static const char *const none[] = {NULL};
	static const char *const items[] = {"{\"event\":\"*\",\"schema\":\"rec\"}"};
	static const char *const two[] = {"{\"event\":\"*\"}", "{\"z\":[1,{\"id\":2}]}"};
	static const char *const empty[] = {"{}", "{}", "{}"};

	(void) state;
	check_response("", "{\"postgres_changes\":[]}", none);
	check_response("[]", "{\"postgres_changes\":[]}", none);
	check_response("[null, null]", "{\"postgres_changes\":[]}", none);
	check_response("[{\"event\":\"*\",\"schema\":\"rec\"}]",
				   "{\"postgres_changes\":[{\"id\":#,\"event\":\"*\",\"schema\":\"rec\"}]}", items);

	/* Byte for byte, also the spaces. */
	check_response("[{ \"event\" : \"\\u002a\",\n\"schema\":\"rec\" } ]",
				   "{\"postgres_changes\":[{\"id\":#, \"event\" : \"\\u002a\",\n\"schema\":\"rec\" }]}", items);

	/* Nulls go, the client's own ids go, ids deeper inside stay. */
	check_response("[null,{\"id\":5,\"event\":\"*\",\"\\u0069d\":null},null,{\"z\":[1,{\"id\":2}]}]",
				   "{\"postgres_changes\":[{\"id\":#,\"event\":\"*\"},{\"id\":#,\"z\":[1,{\"id\":2}]}]}", two);
	check_response("[{},{ },{\"id\":7}]",
				   "{\"postgres_changes\":[{\"id\":#},{\"id\":#},{\"id\":#}]}", empty);
}

static void
test_too_many_changes(void **state)
{
	char	   *payload = malloc(64 + 3 * (JOIN_MAX_CHANGES + 2));
	JoinConfig	c;

	(void) state;
	assert_non_null(payload);
	for (int count = JOIN_MAX_CHANGES; count <= JOIN_MAX_CHANGES + 1; count++)
	{
		const char *refusal;

		strcpy(payload, "{\"config\":{\"postgres_changes\":[null");
		for (int i = 0; i < count; i++)
			strcat(payload + 30, ",{}");
		strcat(payload, "]}}");
		refusal = parse(payload, &c);
		if (count == JOIN_MAX_CHANGES)
		{
			assert_null(refusal);
			assert_int_equal(c.changes_count, JOIN_MAX_CHANGES);
		}
		else
			assert_string_equal(refusal, "InvalidJoinPayload: config.postgres_changes: expected at most 1000 entries");
	}
	free(payload);
}

static void
encode_legacy(Writer *w, const void *argument)
{
	join_write_legacy_changes(w, *(const Slice *) argument);
}

/* The recording pg-legacy-join. */
static void
test_legacy(void **state)
{
	static const struct
	{
		Slice		sub;
		Slice		changes;
	}			cases[] = {
		{SLICE_INIT("rec"), SLICE_INIT("[{\"schema\":\"rec\"}]")},
		{SLICE_INIT("*"), SLICE_INIT("[{\"schema\":\"*\"}]")},
		{SLICE_INIT("rec:items"), SLICE_INIT("[{\"schema\":\"rec\",\"table\":\"items\"}]")},
		{SLICE_INIT("rec:items:id=eq.1"), SLICE_INIT("[{\"schema\":\"rec\",\"table\":\"items\",\"filter\":\"id=eq.1\"}]")},
		{SLICE_INIT("a:b:c:d"), SLICE_INIT("[{\"schema\":\"a\",\"table\":\"b\",\"filter\":\"c:d\"}]")},
		{SLICE_INIT(":"), SLICE_INIT("[{\"schema\":\"\",\"table\":\"\"}]")},
		{SLICE_INIT("\"q"), SLICE_INIT("[{\"schema\":\"\\\"q\"}]")},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		assert_true(wjson_validate(cases[i].changes));
		check_encoder(encode_legacy, &cases[i].sub, cases[i].changes);
	}
}

/* Whatever one byte of a payload becomes: accepted with sound slices, or refused. */
static void
test_mutations(void **state)
{
	Slice		seed = SLICE_LITERAL("{\"config\":{\"broadcast\":{\"ack\":true,\"replay\":{}},\"presence\":{\"key\":\"\\u0061\"},"
									 "\"postgres_changes\":[{\"event\":\"*\",\"id\":1},null],\"private\":\"true\"},\"access_token\":\"a\\u0062\"}");
	char		response[1024];

	(void) state;
	for (size_t at = 0; at < seed.len; at++)
	{
		for (int byte = 0; byte < 256; byte++)
		{
			Slice		copy = copy_exactly(seed);
			JoinConfig	c;
			Writer		w = writer_fixed(response, sizeof(response));

			((char *) copy.data)[at] = (char) byte;
			if (wjson_validate(copy) && join_parse(copy, scratch, copy.len, &c) == NULL)
			{
				assert_true(slice_is_utf8(c.presence_key) && slice_is_utf8(c.token));
				assert_true(c.replay.len == 0 || wjson_validate(c.replay));
				join_write_response(&w, c.postgres_changes);
				assert_false(w.failed);
				assert_true(wjson_validate(writer_written(&w)));
			}
			copy_free(copy);
		}
	}
}

/* The recordings replay-limit and replay-refused, and what lies beyond them. */
static void
test_replay_parameters(void **state)
{
	static const struct
	{
		const char *token;
		JoinReplay	answer;
		int64_t		since;
		int			limit;
	}			cases[] = {
		{"null", JOIN_REPLAY_NONE, 0, 0},
		{"\"x\"", JOIN_REPLAY_NONE, 0, 0},
		{"[]", JOIN_REPLAY_NONE, 0, 0},
		{"{}", JOIN_REPLAY_BAD, 0, 0},
		{"{\"since\":null}", JOIN_REPLAY_BAD, 0, 0},
		{"{\"since\":\"1700000000000\"}", JOIN_REPLAY_BAD, 0, 0},
		{"{\"since\":1.5}", JOIN_REPLAY_BAD, 0, 0},
		{"{\"since\":1000000000000000000}", JOIN_REPLAY_BAD, 0, 0},
		{"{\"since\":1,\"limit\":\"2\"}", JOIN_REPLAY_BAD, 0, 0},
		{"{\"since\":1,\"limit\":2.0}", JOIN_REPLAY_BAD, 0, 0},
		{"{\"since\":1700000000000}", JOIN_REPLAY_ASKED, INT64_C(1700000000000), 25},
		{"{\"since\":-5,\"limit\":null}", JOIN_REPLAY_ASKED, 0, 25},
		{"{\"since\":253402300799999,\"limit\":10}", JOIN_REPLAY_ASKED, INT64_C(253402300799999), 10},
		{"{\"since\":1,\"limit\":30}", JOIN_REPLAY_ASKED, 1, 25},
		{"{\"since\":1,\"limit\":0}", JOIN_REPLAY_ASKED, 1, 1},
		{"{\"since\":1,\"limit\":-1}", JOIN_REPLAY_ASKED, 1, 1},
		{"{\"since\":1,\"limit\":-99999999999999999999}", JOIN_REPLAY_ASKED, 1, 1},
		{"{\"since\":1,\"limit\":99999999999999999999}", JOIN_REPLAY_ASKED, 1, 25},
	};

	(void) state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		int64_t		since;
		int			limit;

		assert_int_equal(join_replay(slice_cstring(cases[i].token), 25, &since, &limit), cases[i].answer);
		if (cases[i].answer != JOIN_REPLAY_ASKED)
			continue;
		assert_true(since == cases[i].since);
		assert_int_equal(limit, cases[i].limit);
	}
}

static void
test_resume(void **state)
{
	JoinConfig	c;

	(void) state;
	assert_null(parse("{\"config\":{\"broadcast\":{\"self\":true}}}", &c));
	assert_false(c.resume.asked);
	assert_null(parse("{\"config\":{\"broadcast\":{\"resume\":{}}}}", &c));
	assert_true(c.resume.asked && !c.resume.has_mark);
	assert_null(parse("{\"config\":{\"broadcast\":{\"resume\":{\"epoch\":\"00000000000000ff\",\"seq\":3}}}}", &c));
	assert_true(c.resume.has_mark && c.resume.epoch == 0xff && c.resume.seq == 3);
	assert_int_equal(c.warnings, 0);
	assert_null(parse("{\"config\":{\"broadcast\":{\"resume\":true}}}", &c));
	assert_false(c.resume.asked);
	assert_int_equal(c.warnings, JOIN_BAD_RESUME);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_what_js_sends),
		cmocka_unit_test(test_shapes),
		cmocka_unit_test(test_booleans),
		cmocka_unit_test(test_presence_keys),
		cmocka_unit_test(test_presence_grace),
		cmocka_unit_test(test_replay),
		cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_token_push),
		cmocka_unit_test(test_warning_texts),
		cmocka_unit_test(test_scratch_too_small),
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_response),
		cmocka_unit_test(test_too_many_changes),
		cmocka_unit_test(test_legacy),
		cmocka_unit_test(test_mutations),
		cmocka_unit_test(test_replay_parameters),
		cmocka_unit_test(test_resume),
	};

	return cmocka_run_group_tests_name("join", tests, NULL, NULL);
}
