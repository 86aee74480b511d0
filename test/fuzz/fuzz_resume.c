/*
 * fuzz_resume.c
 *		Any JSON as what a client says about the place where it was, and as a payload that gets a mark.
 */
#include "fuzz.h"

#include "wire/resume.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	Slice		token;
	ResumeRequest request;
	Slice		meta;
	Slice		value;
	int64_t		seq;
	Writer		w;

	if (!wjson_parse(slice_make(data, size), &token))
		return 0;
	if (!resume_parse(token, &request))
		REQUIRE(!request.asked || (request.has_mark && request.seq == UINT64_MAX));
	REQUIRE(request.asked || !request.has_mark);
	if (wjson_type(token) != WJSON_OBJECT)
		return 0;

	/* What is written is JSON, and names this message and no other. */
	w = fuzz_writer(token.len + RESUME_META_BOUND);
	resume_write_payload(&w, token, 1, 4711);
	REQUIRE(!w.failed && wjson_validate(writer_written(&w)));
	REQUIRE(wjson_member(writer_written(&w), SLICE_LITERAL("meta"), &meta));
	REQUIRE(wjson_member(meta, SLICE_LITERAL("seq"), &value) && wjson_number_int64(value, &seq) && seq == 4711);
	REQUIRE(resume_parse(meta, &request) && request.epoch == 1 && request.seq == 4711);
	free(w.data);
	return 0;
}
