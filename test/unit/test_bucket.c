/*
 * test_bucket.c
 *		Token buckets: bursts, refills, waiting times, and what a reload of the rule does.
 */
#include "unit.h"

#include "shared/bucket.h"

#define MS		UINT64_C(1000000)
#define START	(UINT64_C(5000) * BUCKET_SECOND)

/* How many single tokens can be had at this time. */
static uint32_t
drain(uint64_t *full_at, const BucketRule *rule, uint64_t now)
{
	uint32_t	n = 0;

	while (n < 1000000 && bucket_take(full_at, rule, now, 1) == 0)
		n++;
	return n;
}

static void
test_burst_and_refill(void **state)
{
	BucketRule	rule = {.rate = 10, .burst = BUCKET_SECOND};
	uint64_t	full_at = 0;

	(void) state;
	assert_int_equal(bucket_left(full_at, &rule, START), 10);
	assert_int_equal(drain(&full_at, &rule, START), 10);
	assert_int_equal(bucket_left(full_at, &rule, START), 0);
	assert_int_equal(drain(&full_at, &rule, START + 99 * MS), 0);
	assert_int_equal(drain(&full_at, &rule, START + 100 * MS), 1);
	assert_int_equal(drain(&full_at, &rule, START + 450 * MS), 3);
	assert_int_equal(drain(&full_at, &rule, START + 100 * BUCKET_SECOND), 10);
}

/* Whatever the pace, no second and a half gives more than a burst and what comes in that time. */
static void
test_never_more(void **state)
{
	BucketRule	rule = {.rate = 7, .burst = BUCKET_SECOND / 2};
	uint64_t	full_at = 0;
	uint32_t	got = 0;

	(void) state;
	for (uint64_t at = 0; at <= 10000; at += 13)
		got += bucket_take(&full_at, &rule, START + at * MS, 1) == 0;
	assert_true(got >= 70 && got <= 74);
}

static void
test_waiting_time(void **state)
{
	BucketRule	rule = {.rate = 4, .burst = BUCKET_SECOND};
	uint64_t	full_at = 0;
	uint64_t	wait;

	(void) state;
	assert_int_equal(drain(&full_at, &rule, START), 4);
	wait = bucket_take(&full_at, &rule, START, 1);
	assert_int_equal(wait, 250 * MS);
	assert_int_not_equal(bucket_take(&full_at, &rule, START + wait - 1, 1), 0);
	assert_int_equal(bucket_take(&full_at, &rule, START + wait, 1), 0);
	assert_int_equal(bucket_take(&full_at, &rule, START + wait, 3), 750 * MS);
}

/* A refusal takes nothing. */
static void
test_refusals_are_free(void **state)
{
	BucketRule	rule = {.rate = 1, .burst = BUCKET_SECOND};
	uint64_t	full_at = 0;

	(void) state;
	assert_int_equal(drain(&full_at, &rule, START), 1);
	for (int i = 0; i < 1000; i++)
		assert_int_not_equal(bucket_take(&full_at, &rule, START + 999 * MS, 1), 0);
	assert_int_equal(bucket_take(&full_at, &rule, START + 1000 * MS, 1), 0);
}

/* A batch larger than the bucket passes when that is full, and is paid for afterwards. */
static void
test_large_batch(void **state)
{
	BucketRule	rule = {.rate = 10, .burst = BUCKET_SECOND};
	uint64_t	full_at = 0;

	(void) state;
	assert_int_equal(bucket_take(&full_at, &rule, START, 50), 0);
	assert_int_equal(bucket_left(full_at, &rule, START), 0);
	assert_int_equal(bucket_take(&full_at, &rule, START, 1), 4100 * MS);
	assert_int_equal(bucket_take(&full_at, &rule, START, 50), 5000 * MS);
	assert_int_equal(bucket_take(&full_at, &rule, START + 5000 * MS, 50), 0);
}

/* A burst shorter than a token's interval still lets one pass. */
static void
test_shortest_burst(void **state)
{
	BucketRule	rule = {.rate = 1, .burst = MS};
	uint64_t	full_at = 0;

	(void) state;
	assert_int_equal(drain(&full_at, &rule, START), 1);
	assert_int_equal(bucket_take(&full_at, &rule, START, 1), BUCKET_SECOND);
	assert_int_equal(drain(&full_at, &rule, START + BUCKET_SECOND), 1);
}

/* The largest numbers that the settings allow. */
static void
test_extremes(void **state)
{
	BucketRule	fast = {.rate = INT32_MAX, .burst = 3600 * BUCKET_SECOND};
	BucketRule	slow = {.rate = 1, .burst = 3600 * BUCKET_SECOND};
	uint64_t	full_at = 0;

	(void) state;
	assert_int_equal(bucket_take(&full_at, &fast, START, UINT32_MAX), 0);
	assert_int_equal(bucket_left(full_at, &fast, START), INT32_MAX);
	full_at = 0;
	assert_int_equal(drain(&full_at, &slow, START), 3600);
	assert_int_equal(bucket_take(&full_at, &slow, START, 1), BUCKET_SECOND);
	full_at = 0;
	assert_int_equal(bucket_take(&full_at, &slow, UINT64_C(1) << 62, 1000000), 0);
}

/* One bucket, rules of two roles: each token costs what it costs under its own rule. */
static void
test_changed_rule(void **state)
{
	BucketRule	low = {.rate = 10, .burst = BUCKET_SECOND};
	BucketRule	high = {.rate = 1000, .burst = BUCKET_SECOND};
	uint64_t	full_at = 0;

	(void) state;
	assert_int_equal(drain(&full_at, &low, START), 10);
	assert_int_equal(drain(&full_at, &high, START), 0);
	assert_int_equal(drain(&full_at, &high, START + 100 * MS), 100);
	assert_int_equal(drain(&full_at, &low, START + 200 * MS), 1);
}

/* A shorter burst: nobody waits for the longer one to pass, and what is owed beyond that stays as it is. */
static void
test_shorter_burst(void **state)
{
	BucketRule	longer = {.rate = 10, .burst = 3600 * BUCKET_SECOND};
	BucketRule	shorter = {.rate = 10, .burst = 2 * BUCKET_SECOND};
	uint64_t	full_at = 0;

	(void) state;
	assert_int_equal(drain(&full_at, &longer, START), 36000);
	assert_int_equal(drain(&full_at, &shorter, START + 3000 * BUCKET_SECOND), 0);
	full_at = bucket_shrink(full_at, shorter.burst, START + BUCKET_SECOND);
	assert_int_equal(bucket_left(full_at, &shorter, START + BUCKET_SECOND), 0);
	assert_int_equal(drain(&full_at, &shorter, START + 2 * BUCKET_SECOND), 10);

	/* What fits stays; a rate of one token a second needs a second of room, whatever the burst. */
	assert_int_equal(bucket_shrink(START + 5, shorter.burst, START), START + 5);
	assert_int_equal(bucket_shrink(0, shorter.burst, START), 0);
	assert_int_equal(bucket_shrink(START + BUCKET_SECOND, MS, START), START + BUCKET_SECOND);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_and_refill),
		cmocka_unit_test(test_never_more),
		cmocka_unit_test(test_waiting_time),
		cmocka_unit_test(test_refusals_are_free),
		cmocka_unit_test(test_large_batch),
		cmocka_unit_test(test_shortest_burst),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_changed_rule),
		cmocka_unit_test(test_shorter_burst),
	};

	return cmocka_run_group_tests_name("bucket", tests, NULL, NULL);
}
