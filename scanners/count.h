/*
 * How many entries are below a directory: a bounded answer, "at least N in T
 * ms", never a guess. One that owns its file system is better asked by
 * statfs(2), which is the caller's to do.
 */
#ifndef SCANNERS_COUNT_H
#define SCANNERS_COUNT_H

#include <stdbool.h>
#include <stdint.h>

struct count_result {
	uint64_t entries; /* seen: files, directories and all else, not the directory itself */
	bool complete;	  /* entries is all there is; false: there are at least so many */
	bool reached;	  /* @stop_at was reached */
	unsigned msec;
	int error; /* first negative errno of what could not be read, or 0 */
};

/*
 * Count what is below @dirfd, not following a link nor crossing a mount, until
 * @stop_at entries were seen (0: no bound) or @budget_msec have passed (0: no
 * bound), a huge flat directory and a disk that does not answer included.
 *
 * Returns 0 with @ret filled, also where parts could not be read; or a negative
 * errno with it untouched. @dirfd stays the caller's.
 */
int count_entries(int dirfd, uint64_t stop_at, unsigned budget_msec, struct count_result *ret);

#endif
