#include "recover/purge/governor.h"

#include <stddef.h>

enum {
	HYSTERESIS_PERCENT = 3, /* above the mark before it is gentle again */
	SLOW_FACTOR = 4,	/* times the usual latency */
	SLOW_USEC = 1000,	/* and at least this: cold inodes are read in less */
};

/* Our own reads count as stalls as well: only a node that stands still is braked for. */
#define STALLED_MUCH 0.5

void governor_init(struct governor *governor)
{
	governor->gentle_rate = GENTLE_RATE_MAX;
	governor->urgent = governor->short_of_bytes = governor->short_of_inodes = false;
	governor->usual_usec = 0;
	governor->why = "free";
}

static bool is_short(bool was, unsigned mark, double free_percent)
{
	if (!mark || free_percent < 0)
		return false;
	return free_percent < mark + (was ? HYSTERESIS_PERCENT : 0);
}

/* Why it must be urgent, or NULL. */
static const char *urgency(struct governor *governor, const struct governor_sample *sample)
{
	governor->short_of_bytes = is_short(governor->short_of_bytes, governor->bytes_percent,
					    sample->bytes_percent);
	governor->short_of_inodes = is_short(governor->short_of_inodes, governor->inodes_percent,
					     sample->inodes_percent);
	if (governor->asked)
		return "asked";
	if (governor->short_of_bytes)
		return "bytes";
	return governor->short_of_inodes ? "inodes" : NULL;
}

/* The lowest of late: it forgets slowly, since a tree gets colder and warmer. */
static bool is_slow(struct governor *governor, unsigned usec)
{
	unsigned usual = governor->usual_usec;

	if (!usec)
		return false;
	if (!usual || usec < usual)
		usual = usec;
	else
		usual += usual / 64 + 1;
	governor->usual_usec = usual;
	return usec > SLOW_USEC && usec > usual * SLOW_FACTOR;
}

static void slow_down(struct governor *governor, const char *why)
{
	governor->why = why;
	governor->gentle_rate = governor->gentle_rate * 2 / 3;
	if (governor->gentle_rate < GENTLE_RATE_MIN)
		governor->gentle_rate = GENTLE_RATE_MIN;
}

static void speed_up(struct governor *governor)
{
	governor->why = "free";
	governor->gentle_rate += governor->gentle_rate / 8;
	if (governor->gentle_rate > GENTLE_RATE_MAX)
		governor->gentle_rate = GENTLE_RATE_MAX;
}

unsigned governor_next(struct governor *governor, const struct governor_sample *sample)
{
	const char *reason = urgency(governor, sample);
	unsigned max = governor->max_rate;

	governor->urgent = reason;
	if (reason) {
		governor->why = reason;
		return max;
	}
	if (is_slow(governor, sample->latency_usec))
		slow_down(governor, "latency");
	else if (sample->stalled > STALLED_MUCH)
		slow_down(governor, "pressure");
	else
		speed_up(governor);
	return max && max < governor->gentle_rate ? max : governor->gentle_rate;
}
