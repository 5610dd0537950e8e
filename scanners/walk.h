/*
 * A parallel walk that sees every entry below a directory once, for counting:
 * by directory fd, no link followed, no mount crossed (bind mounts of the same
 * file system included). It reads names and types alone and asks no inode
 * but where it is told to. On ext4 it opens a few directories alone: the rest is
 * read from the block device (scanners/walk_inodes.h).
 *
 * Flat in memory: directories wait in a short queue, a worker goes down by itself
 * (scanners/dirstack.h) where the queue is full. Workers are added while they wait for the disk instead of the
 * processor: a cold cache wants many, a warm one as many as there are cores; and
 * from the first read of the disk on, directories are read ahead (scanners/dirahead.h).
 */
#ifndef SCANNERS_WALK_H
#define SCANNERS_WALK_H

#include <stdbool.h>
#include <stdint.h>

/*
 * What the caller makes of a directory is a tag of 64 bits, inherited by those
 * below it. One bit has a meaning here: statx every entry in it for its bytes,
 * but for mount points.
 */
#define WALK_MEASURE (UINT64_C(1) << 63)

struct walk_sums {
	uint64_t entries;
	uint64_t bytes; /* allocated, as st_blocks says; 0 unless measured */
};

struct walk_options {
	uint64_t stop_at;     /* end once so many entries were seen; 0: no bound */
	unsigned budget_msec; /* end after this time; 0: no bound */

	uint64_t tag; /* of the directory itself */
	/*
	 * The tag of the directory @name, found @depth levels below the start
	 * (1: in it) in a directory tagged @parent. Called from several threads.
	 * NULL: @tag for all.
	 */
	uint64_t (*enter)(uint64_t parent, const char *name, unsigned depth, void *data);
	/*
	 * @sums more were seen in a directory tagged @tag. Called from
	 * several threads. May be NULL.
	 */
	void (*tally)(uint64_t tag, const struct walk_sums *sums, void *data);
	/* Called from the calling thread, some times a second; true: stop. May be NULL. */
	bool (*progress)(uint64_t entries, void *data);
	void *data;
};

struct walk_result {
	uint64_t entries;
	uint64_t bytes; /* of what was measured */
	bool complete; /* every directory was read to its end */
	bool reached;  /* stop_at was reached */
	unsigned msec;
	int error; /* first negative errno of what could not be read, or 0 */
};

/*
 * Walk what is below @dirfd, which stays the caller's. The directory itself is
 * not counted. A directory on another mount counts as one entry.
 *
 * The budget holds even where the disk does not answer: without callbacks,
 * workers that hang are left behind, and end by themselves if they ever wake.
 *
 * Returns 0 with @ret filled, also where parts could not be read; or a negative
 * errno with it untouched.
 */
int walk_tree(int dirfd, const struct walk_options *options, struct walk_result *ret);

#endif
