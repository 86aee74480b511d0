/*
 * test_wheel.c
 *		Coarse timers: none early, none forgotten.
 */
#include "unit.h"

#include "listener/wheel.c"

#define START	UINT64_C(1000000)
#define MANY	100

typedef struct Alarm
{
	Timer		timer;
	int			number;
	uint64_t	again;			/* sets itself to this time; 0: does not */
	struct Alarm *victim;		/* takes this one out */
} Alarm;

static Wheel wheel;
static int	fired[10 * MANY];
static int	fired_count;

static void
alarm_fired(Timer *timer)
{
	Alarm	   *alarm = (Alarm *) timer;

	fired[fired_count++] = alarm->number;
	if (alarm->again != 0)
		wheel_set(&wheel, timer, alarm->again);
	if (alarm->victim != NULL)
		wheel_cancel(&alarm->victim->timer);
}

static int
begin(void **state)
{
	(void) state;
	wheel_init(&wheel, START);
	fired_count = 0;
	return 0;
}

static void
set(Alarm *alarm, int number, uint64_t due)
{
	*alarm = (Alarm) {.timer.fire = alarm_fired, .number = number};
	wheel_set(&wheel, &alarm->timer, due);
}

static void
test_in_time(void **state)
{
	Alarm		alarm;

	(void) state;
	assert_int_equal(wheel_wait(&wheel, START), -1);
	set(&alarm, 1, START + 1000);
	for (uint64_t now = START; now < START + 1000; now++)
	{
		wheel_turn(&wheel, now);
		assert_true(wheel_wait(&wheel, now) > 0);
	}
	assert_int_equal(fired_count, 0);
	wheel_turn(&wheel, START + 1000 + WHEEL_TICK);
	assert_int_equal(fired_count, 1);
	assert_int_equal(wheel_wait(&wheel, START + 1000 + WHEEL_TICK), -1);
}

/* Beyond the ring, and after a sleep longer than the ring. */
static void
test_far(void **state)
{
	const uint64_t ring = (uint64_t) WHEEL_TICK * WHEEL_SLOTS;
	Alarm		far;
	Alarm		near;

	(void) state;
	set(&far, 1, START + 3 * ring);
	set(&near, 2, START + 10);
	wheel_turn(&wheel, START + 2 * ring);
	assert_int_equal(fired_count, 1);
	assert_int_equal(fired[0], 2);
	for (uint64_t now = START + 2 * ring; now <= START + 3 * ring + WHEEL_TICK; now += WHEEL_TICK)
		wheel_turn(&wheel, now);
	assert_int_equal(fired_count, 2);
	assert_int_equal(fired[1], 1);
}

/* Many at once fire once each, in their order. */
static void
test_many(void **state)
{
	static Alarm alarms[MANY];
	uint64_t	now = START + 10 + WHEEL_TICK;

	(void) state;
	for (int i = 0; i < MANY; i++)
		set(&alarms[i], i, START + 10);
	wheel_turn(&wheel, now);
	wheel_turn(&wheel, now);
	assert_int_equal(fired_count, MANY);
	for (int i = 0; i < MANY; i++)
		assert_int_equal(fired[i], i);
	assert_int_equal(wheel_wait(&wheel, now), -1);
}

/* One that is about to fire in this turn may still be taken out by another. */
static void
test_cancelled_when_due(void **state)
{
	Alarm		alarms[3];

	(void) state;
	for (int i = 0; i < 3; i++)
		set(&alarms[i], i, START + 10);
	alarms[0].victim = &alarms[1];
	wheel_turn(&wheel, START + 10 + WHEEL_TICK);
	assert_int_equal(fired_count, 2);
	assert_int_equal(fired[1], 2);
}

/* One that sets itself to a time that has passed does not keep a turn busy. */
static void
test_sets_itself(void **state)
{
	Alarm		alarm;

	(void) state;
	set(&alarm, 1, START + 10);
	alarm.again = START + 10;
	for (int i = 1; i <= 5; i++)
	{
		wheel_turn(&wheel, START + 10 + i * WHEEL_TICK);
		assert_int_equal(fired_count, i);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_in_time, begin),
		cmocka_unit_test_setup(test_far, begin),
		cmocka_unit_test_setup(test_many, begin),
		cmocka_unit_test_setup(test_cancelled_when_due, begin),
		cmocka_unit_test_setup(test_sets_itself, begin),
	};

	return cmocka_run_group_tests_name("wheel", tests, NULL, NULL);
}
