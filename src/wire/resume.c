/*
 * resume.c
 *		The place of a message in its topic, as clients see it.
 */
#include "resume.h"

#ifdef POSTGRES_H
#error "src/wire must not see PostgreSQL"
#endif

#define EPOCH_DIGITS	16

static bool
read_epoch(Slice token, uint64_t *epoch)
{
	char		buffer[EPOCH_DIGITS * 6 + 2];
	Slice		text;

	if (!wjson_string_text(token, buffer, sizeof(buffer), &text, NULL) || text.len != EPOCH_DIGITS)
		return false;
	*epoch = 0;
	for (size_t i = 0; i < text.len; i++)
	{
		int			value = slice_hex_value(text.data[i]);

		if (value < 0)
			return false;
		*epoch = *epoch << 4 | (uint64_t) value;
	}
	return true;
}

/* What a client asks for. */
bool
resume_parse(Slice token, ResumeRequest *out)
{
	static const Slice names[] = {SLICE_INIT("epoch"), SLICE_INIT("seq")};
	Slice		values[2];
	int64_t		seq;

	memset(out, 0, sizeof(*out));
	if (wjson_type(token) == WJSON_NONE || wjson_type(token) == WJSON_NULL)
		return true;
	if (!wjson_members(token, names, values, 2))
		return false;
	out->asked = true;
	if (wjson_type(values[0]) <= WJSON_NULL && wjson_type(values[1]) <= WJSON_NULL)
		return true;
	out->has_mark = true;
	if (read_epoch(values[0], &out->epoch) && wjson_number_int64(values[1], &seq) && seq >= 0)
	{
		out->seq = (uint64_t) seq;
		return true;
	}
	out->epoch = 0;
	out->seq = UINT64_MAX;
	return false;
}

/* The mark of a message. */
void
resume_write_mark(Writer *w, uint64_t epoch, uint64_t seq)
{
	writer_literal(w, "\"epoch\":\"");
	for (int shift = 60; shift >= 0; shift -= 4)
		writer_char(w, "0123456789abcdef"[epoch >> shift & 0xF]);
	writer_literal(w, "\",\"seq\":");
	writer_uint(w, seq);
}

static void
write_member(Writer *w, Slice key, Slice value)
{
	writer_slice(w, key);
	writer_char(w, ':');
	writer_slice(w, value);
	writer_char(w, ',');
}

static bool
is_mark(Slice key)
{
	return wjson_string_equals(key, SLICE_LITERAL("epoch")) || wjson_string_equals(key, SLICE_LITERAL("seq"));
}

/* A payload with a mark. */
void
resume_write_payload(Writer *w, Slice payload, uint64_t epoch, uint64_t seq)
{
	Slice		name = SLICE_LITERAL("meta");
	Slice		meta;
	WjsonIter	it;
	Slice		key;
	Slice		value;

	writer_char(w, '{');
	if (wjson_iter_start(&it, payload))
		while (wjson_iter_next(&it, &key, &value))
			if (!wjson_string_equals(key, name))
				write_member(w, key, value);
	writer_literal(w, "\"meta\":{");
	(void) wjson_member(payload, name, &meta);
	if (wjson_type(meta) == WJSON_OBJECT && wjson_iter_start(&it, meta))
		while (wjson_iter_next(&it, &key, &value))
			if (!is_mark(key))
				write_member(w, key, value);
	resume_write_mark(w, epoch, seq);
	writer_literal(w, "}}");
}
