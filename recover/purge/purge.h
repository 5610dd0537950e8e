/*
 * Deleting a quarantined tree: by directory fd, without following a link or
 * crossing a mount (bind mounts of the same file system included), resumable
 * because the tree is the only state.
 *
 * Low priority is made by pacing at normal priority, never by starving: a
 * thread at SCHED_IDLE, idle I/O class or nice 19 that holds a journal handle
 * is not scheduled, and every fsync of the node waits for it.
 */
#ifndef RECOVER_PURGE_PURGE_H
#define RECOVER_PURGE_PURGE_H

#include <stdbool.h>
#include <stdint.h>

struct purge_progress;

enum { WORKERS_MAX = 16 };

/* What of a data root goes first. */
enum purge_first {
	PURGE_FIRST_AUTO,   /* what the file system is short of; any order if of none */
	PURGE_FIRST_BYTES,  /* the content store: few files, large ones */
	PURGE_FIRST_INODES, /* the snapshots: many small files */
};

struct purge_options {
	unsigned max_rate;    /* entries per second, 0: no bound but the governor's */
	unsigned max_workers; /* ceiling, 0: WORKERS_MAX; the number used is found by throughput */
	bool urgent;	      /* full speed, whatever is free */
	enum purge_first first;

	/* Full speed while less than this is free (percent); 0: never for that reason. */
	unsigned urgent_bytes_percent;
	unsigned urgent_inodes_percent;

	uint64_t expected; /* entries in the tree if a scan counted them, else 0 */

	/* Called about twice a second from the calling thread; true: stop cleanly. */
	bool (*progress)(const struct purge_progress *progress, void *data);
	/*
	 * Called for what could not be deleted, @path below the tree, for the
	 * first PURGE_NAMED_MAX of them: -EXDEV or -EBUSY is a mount. From any
	 * thread, one call at a time. @path is raw: names of the node's.
	 */
	void (*left)(const char *path, int error, void *data);
	void *data;
};

/* Marks just above kubelet's hard eviction thresholds (15 % of imagefs, 5 % of inodes). */
#define PURGE_OPTIONS_DEFAULT \
	{ \
		.urgent_bytes_percent = 17, .urgent_inodes_percent = 7, \
	}

enum { PURGE_NAMED_MAX = 32 };

struct purge_progress {
	uint64_t entries; /* unlinked so far, directories included */
	uint64_t bytes;	  /* that the file system has more free than at the start */
	uint64_t left;	  /* could not be deleted */
	uint64_t mounts;  /* of these, mount points */
	unsigned rate;	  /* entries per second of late */
	unsigned workers; /* in use */
	bool urgent;
	const char *why; /* one word why it is in this mode: "asked", "bytes", "inodes", "free" */
	uint64_t elapsed_msec;
	uint64_t expected; /* as in the options; 0: unknown */
	uint64_t at_most;  /* inodes in use on the file system at the start; 0: unknown */
};

/*
 * Delete everything below the directory @fd (a data root, or any other), which
 * itself stays and stays the caller's. What cannot be deleted is left, counted, and named once. Two at
 * once in the same tree share the work.
 *
 * Returns 0 if nothing is left, 1 if stopped by progress(), or a negative
 * errno: the first one of what was left. @ret is filled in every case.
 */
int purge_tree(int fd, const struct purge_options *options, struct purge_progress *ret);

/*
 * How long the rest will take: between @ret_low and @ret_high seconds. Exact
 * (but for the rate) if the number of entries is known, else bounded by what
 * the file system can hold. Returns false if nothing can be said.
 */
bool purge_eta(const struct purge_progress *progress, uint64_t *ret_low, uint64_t *ret_high);

#endif
