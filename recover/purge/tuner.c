#include "recover/purge/tuner.h"

enum {
	SAMPLES = 3,	    /* per number of workers; the first one still has the old number in it */
	PATIENCE_MIN = 10,  /* samples between tries */
	PATIENCE_MAX = 80,
	PATIENCE_WARM = 50, /* at least, if the disk is not read, and at first if not eager */
};

/* More workers must pay, fewer need only not to cost. */
#define GAIN_UP 1.10
#define GAIN_DOWN 0.97

void tuner_init(struct tuner *tuner, unsigned start, unsigned max, bool eager)
{
	*tuner = (struct tuner){
		.workers = start < max ? start : max,
		.max = max,
		.waited = start < max && eager ? PATIENCE_MIN : 0,
		.patience = eager ? PATIENCE_MIN : PATIENCE_WARM,
		.direction = start < max ? 1 : -1,
	};
}

static unsigned step(const struct tuner *tuner)
{
	unsigned next = tuner->direction > 0 ? tuner->workers * 2 : tuner->workers / 2;

	if (next > tuner->max)
		next = tuner->max;
	return next ? next : 1;
}

static void try_next(struct tuner *tuner, double rate)
{
	unsigned next = step(tuner);

	if (next == tuner->workers) {
		tuner->direction = -tuner->direction;
		tuner->waited = 0;
		return;
	}
	tuner->from = tuner->workers;
	tuner->rate_from = rate;
	tuner->workers = next;
}

static void judge(struct tuner *tuner, double rate)
{
	double gain = tuner->direction > 0 ? GAIN_UP : GAIN_DOWN;
	bool better = rate >= tuner->rate_from * gain;

	if (better) {
		tuner->patience = PATIENCE_MIN; /* and on at once */
	} else {
		tuner->workers = tuner->from;
		tuner->direction = -tuner->direction;
		tuner->waited = 0;
		if (tuner->patience < PATIENCE_MAX)
			tuner->patience *= 2;
	}
	tuner->from = 0;
}

/* Trying takes time from the better number: the less may be gained, the rarer. */
static bool has_to_wait(struct tuner *tuner, bool reading)
{
	unsigned patience = tuner->patience;

	if (tuner->from)
		return false;
	if (!reading && patience < PATIENCE_WARM)
		patience = PATIENCE_WARM;
	return tuner->waited++ < patience;
}

unsigned tuner_next(struct tuner *tuner, double rate, bool reading)
{
	if (has_to_wait(tuner, reading))
		return tuner->workers;
	if (tuner->samples++ > 0)
		tuner->sum += rate;
	if (tuner->samples < SAMPLES)
		return tuner->workers;

	rate = tuner->sum / (tuner->samples - 1);
	tuner->samples = 0;
	tuner->sum = 0;
	if (tuner->from)
		judge(tuner, rate);
	else
		try_next(tuner, rate);
	return tuner->workers;
}
