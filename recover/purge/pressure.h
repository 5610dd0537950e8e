/*
 * Pressure-stall information: how much of late nothing on the node got on
 * because of I/O or memory. A coarse brake: it hardly sees waits for a journal.
 */
#ifndef RECOVER_PURGE_PRESSURE_H
#define RECOVER_PURGE_PRESSURE_H

#include <stdbool.h>
#include <stdint.h>

struct pressure {
	int fds[2]; /* negative where the kernel has none */
	uint64_t total_usec[2];
	uint64_t since_nsec;
};

void pressure_init(struct pressure *pressure);
void pressure_done(struct pressure *pressure);

/* The worse share, 0 to 1, since the last call; 0 the first time and where there is none. */
double pressure_stalled(struct pressure *pressure, uint64_t now_nsec);

/* The total of the "full" line of @text. Returns 0, or -EINVAL. */
int pressure_parse(const char *text, uint64_t *ret_usec);

#endif
