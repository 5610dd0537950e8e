/*
 * Deleting a quarantined tree: by directory fd, without following a link or
 * crossing a mount (bind mounts of the same file system included), resumable
 * because the tree is the only state.
 */
#ifndef RECOVER_PURGE_PURGE_H
#define RECOVER_PURGE_PURGE_H

#include <stdbool.h>
#include <stdint.h>

struct purge_progress;

struct purge_options {
	unsigned max_rate;    /* entries per second, 0: no bound; pacing, not starving */
	unsigned max_workers; /* ceiling; the number used is found by throughput */
	bool urgent;	      /* full speed from the start */
	/* Called about twice a second from the calling thread; true: stop cleanly. */
	bool (*progress)(const struct purge_progress *progress, void *data);
	void *data;
};

struct purge_progress {
	uint64_t entries; /* unlinked so far */
	uint64_t bytes;	  /* of file content freed, as far as known without a stat per file */
	uint64_t left;	  /* could not be deleted */
	unsigned rate;	  /* entries per second of late */
	bool urgent;
	const char *why; /* one word why it is in this mode */
};

/*
 * Delete everything below the directory @fd, which itself stays and stays the
 * caller's. What cannot be deleted is left, counted, and named once.
 *
 * Returns 0 if nothing is left, 1 if stopped by progress(), or a negative
 * errno: the first one of what was left.
 */
int purge_tree(int fd, const struct purge_options *options, struct purge_progress *ret);

#endif
