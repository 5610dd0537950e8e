/*
 * Reading ahead what a walk will read. ext4 keeps each directory in blocks of
 * its own, but those of many directories close together, and reads them one
 * by one: a cold walk waits for hundreds of thousands of small reads. Here the
 * page cache of the block device, from where ext4 takes them, is told to read
 * the neighbourhood at once.
 *
 * A hint and no more: nothing is looked at, and all that can happen is that
 * it does not help. Where it does not it pauses, and tries again further on.
 */
#ifndef SCANNERS_DIRAHEAD_H
#define SCANNERS_DIRAHEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum {
	DIRAHEAD_WINDOW = 256 * 1024, /* read at once */
	DIRAHEAD_RECENT = 1024,	      /* windows that are remembered as asked for */
};

/* For several threads at a time; to begin with, all zero but for the device. */
struct dirahead {
	int device; /* -EBADF: there is nothing to do */
	atomic_bool useless;		   /* for good: it cannot be done */
	atomic_ulong directories, windows; /* hinted at, asked for; … */
	atomic_ulong judged_directories, judged_windows; /* … until it was last judged */
	atomic_ulong resume; /* directories before that are left alone */
	atomic_uint_fast64_t recent[DIRAHEAD_RECENT];
};

/*
 * For directories of the file system of @dirfd. Returns 0, or a negative errno
 * with @ret as it was: -EOPNOTSUPP for one that is not ext4's like, -ENODEV if
 * its device cannot be found.
 */
int dirahead_open(int dirfd, struct dirahead *ret);

/* The directory at @fd is about to be read. */
void dirahead_hint(struct dirahead *ahead, int fd);

/* As dirahead_hint(), for one that lies at @offset of the device, @length bytes of it. */
void dirahead_hint_at(struct dirahead *ahead, uint64_t offset, uint64_t length);

void dirahead_close(struct dirahead *ahead);

#endif
