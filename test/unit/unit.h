/*
 * unit.h
 *		What the unit tests of src/wire share.
 */
#ifndef REALTIME_TEST_UNIT_H
#define REALTIME_TEST_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wire/slice.h"

/*
 * A copy in a block of exactly its size, so that the address sanitizer sees a
 * read beyond the end.  Freed by copy_free().
 */
static inline Slice
copy_exactly(Slice text)
{
	char	   *data = malloc(text.len == 0 ? 1 : text.len);

	assert_non_null(data);
	if (text.len > 0)
		memcpy(data, text.data, text.len);
	return slice_make(data, text.len);
}

static inline void
copy_free(Slice copy)
{
	free((char *) copy.data);
}

static inline void
assert_slice_at(Slice actual, Slice expected, const char *file, int line)
{
	if (actual.len != expected.len)
	{
		print_error("got \"%.*s\"\nnot \"%.*s\"\n", (int) (actual.len > 2000 ? 2000 : actual.len),
					actual.data, (int) expected.len, expected.data);
		_assert_int_equal(actual.len, expected.len, file, line);
	}
	if (expected.len > 0)
		_assert_memory_equal(actual.data, expected.data, expected.len, file, line);
}

#define assert_slice(actual, expected)	assert_slice_at((actual), (expected), __FILE__, __LINE__)
#define assert_text(actual, literal)	assert_slice((actual), SLICE_LITERAL(literal))

/*
 * Run an encoder into a measuring writer and into buffers of every size up to
 * the right one: all but the last must fail, none may write beyond its end.
 */
typedef void (*Encoder) (Writer *w, const void *argument);

static inline void
check_encoder(Encoder encode, const void *argument, Slice expected)
{
	Writer		measuring = writer_measuring();

	encode(&measuring, argument);
	assert_false(measuring.failed);
	assert_int_equal(measuring.len, expected.len);
	for (size_t size = 0; size <= expected.len; size++)
	{
		char	   *buffer = malloc(size == 0 ? 1 : size);
		Writer		w = writer_fixed(buffer, size);

		assert_non_null(buffer);
		encode(&w, argument);
		assert_int_equal(w.failed, size < expected.len);
		assert_true(w.len <= size);
		if (!w.failed)
			assert_slice(writer_written(&w), expected);
		free(buffer);
	}
}

#endif							/* REALTIME_TEST_UNIT_H */
