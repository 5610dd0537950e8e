#include <stdlib.h>
#include <string.h>

#include "recover/purge/governor.h"
#include "recover/purge/pace.h"
#include "recover/purge/pressure.h"
#include "recover/purge/tuner.h"
#include "tests/unit/tap.h"

static const struct governor_sample plenty = {
	.bytes_percent = 60, .inodes_percent = 60, .latency_usec = 100,
};

static struct governor new_governor(void)
{
	struct governor governor = { .bytes_percent = 17, .inodes_percent = 7 };

	governor_init(&governor);
	return governor;
}

static void test_gentle_by_default(void)
{
	struct governor g = new_governor();
	unsigned rate = governor_next(&g, &plenty);

	CHECK(!g.urgent);
	CHECK_STR(g.why, "free");
	CHECK(rate >= 2000 && rate <= GENTLE_RATE_MAX);
}

static void test_urgent_below_the_marks_with_hysteresis(void)
{
	struct governor g = new_governor();
	struct governor_sample s = plenty;

	s.bytes_percent = 16.9;
	CHECK_EQ(governor_next(&g, &s), 0);
	CHECK(g.urgent);
	CHECK_STR(g.why, "bytes");
	s.bytes_percent = 18;
	CHECK_EQ(governor_next(&g, &s), 0);
	CHECK(g.urgent);
	s.bytes_percent = 20.5;
	CHECK(governor_next(&g, &s) > 0);
	CHECK(!g.urgent);
	s.bytes_percent = 18;
	CHECK(governor_next(&g, &s) > 0);
	CHECK(!g.urgent);

	s.inodes_percent = 6;
	CHECK_EQ(governor_next(&g, &s), 0);
	CHECK_STR(g.why, "inodes");
	s.inodes_percent = -1; /* btrfs has none to be short of */
	CHECK(governor_next(&g, &s) > 0);
}

static void test_marks_can_be_switched_off(void)
{
	struct governor g = new_governor();
	struct governor_sample s = { .bytes_percent = 0.5, .inodes_percent = 0.5 };

	g.bytes_percent = g.inodes_percent = 0;
	CHECK(governor_next(&g, &s) > 0);
	g.asked = true;
	CHECK_EQ(governor_next(&g, &s), 0);
	CHECK_STR(g.why, "asked");
}

static void test_slows_down_when_its_own_unlinks_take_long(void)
{
	struct governor g = new_governor();
	struct governor_sample s = plenty;
	unsigned before = governor_next(&g, &s), slow;

	s.latency_usec = 5000;
	slow = governor_next(&g, &s);
	CHECK(slow < before);
	CHECK_STR(g.why, "latency");
	for (int i = 0; i < 20; i++)
		slow = governor_next(&g, &s);
	CHECK_EQ(slow, GENTLE_RATE_MIN);
	for (int i = 0; i < 40; i++)
		slow = governor_next(&g, &plenty);
	CHECK_EQ(slow, GENTLE_RATE_MAX);
}

static void test_cold_inodes_are_not_a_busy_node(void)
{
	struct governor g = new_governor();
	struct governor_sample s = plenty;

	s.latency_usec = 20;
	(void)governor_next(&g, &s);
	s.latency_usec = 600;
	CHECK(governor_next(&g, &s) >= 2000);
	CHECK_STR(g.why, "free");
}

static void test_brakes_when_the_node_stands_still(void)
{
	struct governor g = new_governor();
	struct governor_sample s = plenty;
	unsigned before = governor_next(&g, &s);

	s.stalled = 0.8;
	CHECK(governor_next(&g, &s) < before);
	CHECK_STR(g.why, "pressure");
}

static void test_max_rate_binds_both_modes(void)
{
	struct governor g = new_governor();
	struct governor_sample s = plenty;

	g.max_rate = 100;
	CHECK_EQ(governor_next(&g, &s), 100);
	s.bytes_percent = 1;
	CHECK_EQ(governor_next(&g, &s), 100);
	CHECK(g.urgent);
}

static double noise(void)
{
	return 0.97 + 0.06 * (double)(rand() % 1000) / 1000;
}

/* @speed[i]: entries per second with 2^i workers. Returns the share of time spent at @best. */
static double settle(const double speed[4], unsigned start, unsigned best, unsigned max, bool reading)
{
	struct tuner tuner;
	unsigned workers, at_best = 0;
	enum { TICKS = 600, WARM_UP = 60 };

	srand(1);
	tuner_init(&tuner, start, max, true);
	workers = tuner.workers;
	for (int i = 0; i < TICKS; i++) {
		int level = workers >= 8 ? 3 : workers >= 4 ? 2 : workers >= 2 ? 1 : 0;

		CHECK(workers >= 1 && workers <= max);
		if (i >= WARM_UP)
			at_best += workers == best;
		workers = tuner_next(&tuner, speed[level] * noise(), reading);
	}
	return (double)at_best / (TICKS - WARM_UP);
}

static void test_tuner_finds_what_the_file_system_likes(void)
{
	const double cold_ext4[] = { 12000, 20000, 33000, 40000 };
	const double xfs[] = { 30000, 26000, 20000, 15000 };
	const double btrfs[] = { 20000, 28000, 26000, 22000 };

	for (unsigned start = 1; start <= 8; start *= 2) {
		CHECK(settle(cold_ext4, start, 8, 8, true) > 0.85);
		CHECK(settle(xfs, start, 1, 8, true) > 0.85);
		CHECK(settle(btrfs, start, 2, 8, true) > 0.85);
	}
	CHECK(settle(cold_ext4, 2, 4, 4, true) > 0.85);
	CHECK(settle(cold_ext4, 2, 1, 1, true) > 0.99);
}

/* Samples until another number is first tried, and how many of the first 600 try others. */
static unsigned first_try(unsigned start, unsigned max, bool eager, bool reading, unsigned *ret_others)
{
	struct tuner tuner;
	unsigned first = 0, others = 0;

	tuner_init(&tuner, start, max, eager);
	for (unsigned i = 1; i <= 600; i++) {
		if (tuner_next(&tuner, tuner.workers == start ? 1000 : 700, reading) == start)
			continue;
		others++;
		if (!first)
			first = i;
	}
	*ret_others = others;
	return first;
}

/* 200,000 entries in memory take two seconds: no time to try what is slower. */
static void test_tuner_tries_little_what_is_in_memory(void)
{
	unsigned others;

	CHECK_EQ(first_try(1, 8, true, true, &others), 3);
	CHECK(first_try(1, 8, false, true, &others) > 40);
	CHECK(first_try(8, 8, true, true, &others) > 10);
	CHECK(first_try(1, 8, true, false, &others) > 40);
	CHECK(first_try(8, 8, true, false, &others) > 40);
	CHECK(others > 0 && others < 30);
}

static void test_pressure_is_parsed(void)
{
	uint64_t usec = 7;

	CHECK_EQ(pressure_parse("some avg10=0.00 avg60=0.00 avg300=0.02 total=5\n"
				"full avg10=0.00 avg60=0.00 avg300=0.02 total=2077513\n", &usec), 0);
	CHECK_EQ(usec, 2077513);
	CHECK(pressure_parse("", &usec) < 0);
	CHECK(pressure_parse("full total=x", &usec) < 0);
	CHECK_EQ(usec, 2077513);
}

static void test_pace_keeps_its_rate(void)
{
	struct pace pace;
	uint64_t start, took;

	CHECK_EQ(pace_init(&pace, 1000), 0);
	CHECK_EQ(pace_chunk(&pace, 64), 5);
	start = pace_now_nsec();
	for (int i = 0; i < 81; i++) {
		uint64_t since = pace_wait(&pace, 5);

		CHECK(since >= start);
		pace_took(&pace, 5, since);
	}
	took = pace_now_nsec() - start;
	CHECK(took >= 190000000); /* 400 at 1,000 a second, 200 of them at once */
	pace.rate = 0;
	CHECK_EQ(pace_chunk(&pace, 64), 64);
	CHECK_EQ(pace_wait(&pace, 64), 0);
	pace_done(&pace);
}

int main(void)
{
	RUN(test_gentle_by_default);
	RUN(test_urgent_below_the_marks_with_hysteresis);
	RUN(test_marks_can_be_switched_off);
	RUN(test_slows_down_when_its_own_unlinks_take_long);
	RUN(test_cold_inodes_are_not_a_busy_node);
	RUN(test_brakes_when_the_node_stands_still);
	RUN(test_max_rate_binds_both_modes);
	RUN(test_tuner_finds_what_the_file_system_likes);
	RUN(test_tuner_tries_little_what_is_in_memory);
	RUN(test_pressure_is_parsed);
	RUN(test_pace_keeps_its_rate);
	return tap_done();
}
