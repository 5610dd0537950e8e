/*
 * The number of workers that a file system likes, found by trying: cold ext4
 * wants many to hide the latency of inode reads, xfs wants one or two because
 * of its log. The throughput alone judges. Whether the disk is read says how
 * soon another number is worth trying: what is in memory gains little, and a
 * wrong number costs a third while it is tried.
 */
#ifndef RECOVER_PURGE_TUNER_H
#define RECOVER_PURGE_TUNER_H

#include <stdbool.h>

enum { TUNER_MSEC = 100 }; /* what one measurement takes */

struct tuner {
	unsigned workers, max;
	unsigned from;	   /* what is compared with while trying, else 0 */
	double rate_from;
	unsigned samples;  /* of this number */
	unsigned waited;   /* samples since the last try */
	unsigned patience; /* samples between tries */
	double sum;
	int direction;
};

/* @eager: if the disk is read, more than @start are tried at once; else as if it were not. */
void tuner_init(struct tuner *tuner, unsigned start, unsigned max, bool eager);

/*
 * @rate was measured since the last call, @reading: and the disk was read for
 * it. Returns how many workers to use next.
 */
unsigned tuner_next(struct tuner *tuner, double rate, bool reading);

#endif
