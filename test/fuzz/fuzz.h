/*
 * fuzz.h
 *		What the libFuzzer targets share.
 */
#ifndef REALTIME_TEST_FUZZ_H
#define REALTIME_TEST_FUZZ_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "wire/json.h"
#include "wire/slice.h"

/* Unlike assert(), never left out. */
#define REQUIRE(condition)	do { if (!(condition)) abort(); } while (0)

int			LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A writer into a fresh block of exactly this size, to be freed. */
static inline Writer
fuzz_writer(size_t size)
{
	char	   *data = malloc(size == 0 ? 1 : size);

	REQUIRE(data != NULL);
	return writer_fixed(data, size);
}

#endif							/* REALTIME_TEST_FUZZ_H */
