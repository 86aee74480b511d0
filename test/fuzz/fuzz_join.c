/*
 * fuzz_join.c
 *		Any JSON as a join payload; the reply that it gets must be JSON too.
 */
#include "fuzz.h"

#include "wire/join.h"

/* Write the reply for some entries, and find each with its id in it. */
static void
check_response(Slice changes)
{
	Writer		w = writer_measuring();
	Slice		list;
	WjsonIter	sent;
	WjsonIter	written;
	Slice		entry;
	Slice		echo;

	join_write_response(&w, changes);
	w = fuzz_writer(w.len);
	join_write_response(&w, changes);
	REQUIRE(!w.failed && w.len == w.cap);
	REQUIRE(wjson_validate(writer_written(&w)));
	REQUIRE(wjson_member(writer_written(&w), SLICE_LITERAL("postgres_changes"), &list));
	join_changes_start(&sent, changes);
	join_changes_start(&written, list);
	while (join_changes_next(&sent, &entry))
	{
		Slice		id;
		int64_t		number;

		REQUIRE(join_changes_next(&written, &echo));
		REQUIRE(wjson_member(echo, SLICE_LITERAL("id"), &id));
		REQUIRE(wjson_number_int64(id, &number) && number == join_change_id(entry));
		REQUIRE(number >= 1 && number <= INT32_MAX);

		/* Without the ids both are the same. */
		REQUIRE(join_change_id(echo) == number);
	}
	REQUIRE(!join_changes_next(&written, &echo));
	free(w.data);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		payload;
	char	   *scratch = malloc(size + 1);
	char		text[JOIN_WARNING_BOUND];
	Writer		w = writer_fixed(text, sizeof(text));
	JoinConfig	config;
	Slice		token;
	int64_t		since;
	int			limit;

	REQUIRE(scratch != NULL);
	if (wjson_parse(slice_make(data, size), &payload))
	{
		const char *refusal = join_parse(payload, scratch, payload.len, &config);

		(void) join_token_push(payload, scratch, payload.len, &token);
		refusal = join_parse(payload, scratch, payload.len, &config);
		if (refusal != NULL)
			REQUIRE(strncmp(refusal, "InvalidJoinPayload: ", 20) == 0);
		else
		{
			REQUIRE(slice_is_utf8(config.presence_key) && slice_is_utf8(config.token));
			REQUIRE(config.has_presence_key == (config.presence_key.len > 0));
			REQUIRE(config.has_token || config.token.len == 0);
			REQUIRE(!config.has_replay || wjson_validate(config.replay));
			if (join_replay(config.replay, 25, &since, &limit) == JOIN_REPLAY_ASKED)
				REQUIRE(since >= 0 && limit >= 1 && limit <= 25);
			join_write_warning(&w, config.warnings);
			REQUIRE(!w.failed);
			check_response(config.postgres_changes);
		}
	}
	else if (slice_is_utf8(slice_make(data, size)))
	{
		w = fuzz_writer(64 + WRITER_JSON_STRING_BOUND(size));
		join_write_legacy_changes(&w, slice_make(data, size));
		REQUIRE(!w.failed && wjson_validate(writer_written(&w)));
		check_response(writer_written(&w));
		free(w.data);
	}
	free(scratch);
	return 0;
}
