/*
 * test_elapsed.c
 *		Intervals by a clock that may be set.
 */
#include "unit.h"

#include "shared/elapsed.h"

#define SECOND	INT64_C(1000000)
#define NOW		(INT64_C(800000000) * SECOND)

static void
test_interval(void **state)
{
	(void) state;
	assert_false(elapsed(NOW, NOW, 1000));
	assert_false(elapsed(NOW - SECOND + 1, NOW, 1000));
	assert_true(elapsed(NOW - SECOND, NOW, 1000));
	assert_true(elapsed(NOW, NOW, 0));
}

/* Nothing has happened yet: that is long ago. */
static void
test_never(void **state)
{
	(void) state;
	assert_true(elapsed(0, NOW, INT32_MAX));
}

static void
test_clock_set_back(void **state)
{
	(void) state;
	assert_true(elapsed(NOW + 1, NOW, 1000));
	assert_true(elapsed(NOW + 3600 * SECOND, NOW, 1000));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_interval),
		cmocka_unit_test(test_never),
		cmocka_unit_test(test_clock_set_back),
	};

	return cmocka_run_group_tests_name("elapsed", tests, NULL, NULL);
}
