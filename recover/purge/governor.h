/*
 * How fast a purge may go. Gentle is the default: entries per second, fewer
 * while its own unlinks take long or the node waits for I/O or memory. Urgent,
 * without a bound, while the file system is short of bytes or inodes.
 */
#ifndef RECOVER_PURGE_GOVERNOR_H
#define RECOVER_PURGE_GOVERNOR_H

#include <stdbool.h>

enum {
	GENTLE_RATE_MIN = 500, /* entries per second */
	GENTLE_RATE_MAX = 2500,
	GOVERNOR_MSEC = 500, /* between two governor_next() */
};

struct governor {
	bool asked; /* urgent whatever is free */
	unsigned bytes_percent, inodes_percent; /* urgent below; 0: never */
	unsigned max_rate; /* of both modes; 0: none */

	bool urgent, short_of_bytes, short_of_inodes;
	const char *why;
	unsigned gentle_rate;
	unsigned usual_usec; /* an unlink when nothing is in its way */
};

struct governor_sample {
	double bytes_percent, inodes_percent; /* free; negative: unknown */
	unsigned latency_usec; /* mean of an unlink of late; 0: none was timed */
	double stalled; /* share of late that all who wanted I/O or memory waited, 0 to 1 */
};

void governor_init(struct governor *governor);

/* Returns entries per second, 0: no bound; sets urgent and why. */
unsigned governor_next(struct governor *governor, const struct governor_sample *sample);

#endif
