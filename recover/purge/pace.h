/*
 * A token bucket in entries per second, shared by all workers, that also takes
 * the time of what it lets through.
 */
#ifndef RECOVER_PURGE_PACE_H
#define RECOVER_PURGE_PACE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

struct pace {
	atomic_uint rate; /* entries per second; 0: no bound, nothing is timed */
	pthread_mutex_t lock;
	uint64_t full_nsec; /* when the bucket is full again */
	uint64_t timed_nsec, timed; /* since pace_latency() */
};

int pace_init(struct pace *pace, unsigned rate);
void pace_done(struct pace *pace);

/* How many entries to take at once, at most @max: few milliseconds' worth. */
unsigned pace_chunk(struct pace *pace, unsigned max);

/* Wait until @count entries may be unlinked; then pace_took() says how long they did. */
uint64_t pace_wait(struct pace *pace, unsigned count);
void pace_took(struct pace *pace, unsigned count, uint64_t since_nsec);

/* Mean microseconds per entry since the last call, 0: none. */
unsigned pace_latency(struct pace *pace);

uint64_t pace_now_nsec(void);

#endif
