/*
 * Deleted files that processes still have open or mapped: their space returns
 * when those end.
 */
#ifndef RECOVER_PURGE_HELD_H
#define RECOVER_PURGE_HELD_H

#include <stdint.h>
#include <sys/types.h>

struct held {
	uint64_t files, bytes; /* each file once, as far as few enough to be remembered */
	pid_t pid;	       /* of the one that holds most bytes in one file; 0: none */
	uint64_t pid_bytes;
};

/*
 * What is held of the deleted files that had their names below the absolute
 * @path (links resolved, without a "/" at the end), as all processes of /proc
 * show it. Costs a readlink per open file of the node: for the end of a purge.
 *
 * Returns 0, or a negative errno with @ret untouched. A process that ends
 * meanwhile holds nothing.
 */
int held_scan(const char *path, struct held *ret);

#endif
