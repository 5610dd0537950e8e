/*
 * The number of workers that a file system likes, found by trying: cold ext4
 * wants many to hide the latency of inode reads, xfs wants one or two because
 * of its log. No input but the throughput.
 */
#ifndef RECOVER_PURGE_TUNER_H
#define RECOVER_PURGE_TUNER_H

enum { TUNER_MSEC = 100 }; /* what one measurement takes */

struct tuner {
	unsigned workers, max;
	unsigned from;	   /* what is compared with while trying, else 0 */
	double rate_from;
	unsigned samples, wait; /* of this number; before the next try */
	unsigned patience;
	double sum;
	int direction;
};

void tuner_init(struct tuner *tuner, unsigned start, unsigned max);

/* @rate was measured since the last call. Returns how many workers to use next. */
unsigned tuner_next(struct tuner *tuner, double rate);

#endif
