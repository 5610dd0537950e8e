#include "recover/purge/pace.h"

#include <time.h>

#define NSEC_PER_SEC 1000000000ULL

/*
 * Bursts with long pauses, measured: an fsync of the node's in a pause commits
 * nothing of ours, and blocks that several unlinks touch go to the journal once.
 * Evenly spread, the same rate makes every single fsync slower.
 */
#define BURST_NSEC (200 * 1000000ULL)

enum { CHUNK_MSEC = 5 };

int pace_init(struct pace *pace, unsigned rate)
{
	*pace = (struct pace){ .rate = rate };
	return -pthread_mutex_init(&pace->lock, NULL);
}

void pace_done(struct pace *pace)
{
	(void)pthread_mutex_destroy(&pace->lock); /* nobody holds it */
}

uint64_t pace_now_nsec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)now.tv_sec * NSEC_PER_SEC + (uint64_t)now.tv_nsec;
}

unsigned pace_chunk(struct pace *pace, unsigned max)
{
	unsigned rate = pace->rate, chunk = rate / (1000 / CHUNK_MSEC);

	if (!rate || chunk > max)
		return max;
	return chunk ? chunk : 1;
}

static void sleep_until(uint64_t nsec)
{
	struct timespec until = {
		.tv_sec = (time_t)(nsec / NSEC_PER_SEC),
		.tv_nsec = (long)(nsec % NSEC_PER_SEC),
	};

	/* Woken early by a signal: the next chunk waits for the rest. */
	(void)clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

uint64_t pace_wait(struct pace *pace, unsigned count)
{
	unsigned rate = pace->rate;
	uint64_t now, full;

	if (!rate)
		return 0;
	now = pace_now_nsec();
	pthread_mutex_lock(&pace->lock);
	full = pace->full_nsec > now ? pace->full_nsec : now;
	pace->full_nsec = full + count * NSEC_PER_SEC / rate;
	pthread_mutex_unlock(&pace->lock);
	if (full < now + BURST_NSEC)
		return now;
	sleep_until(full);
	return pace_now_nsec();
}

void pace_took(struct pace *pace, unsigned count, uint64_t since_nsec)
{
	if (!since_nsec)
		return;
	pthread_mutex_lock(&pace->lock);
	pace->timed_nsec += pace_now_nsec() - since_nsec;
	pace->timed += count;
	pthread_mutex_unlock(&pace->lock);
}

unsigned pace_latency(struct pace *pace)
{
	uint64_t mean;

	pthread_mutex_lock(&pace->lock);
	mean = pace->timed ? pace->timed_nsec / pace->timed / 1000 : 0;
	pace->timed_nsec = pace->timed = 0;
	pthread_mutex_unlock(&pace->lock);
	return (unsigned)mean;
}
