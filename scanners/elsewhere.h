/*
 * Shims of this containerd, by its socket, whose bundles are in another state
 * directory than the one that is looked at: a shim works in its bundle, so that
 * /proc has the way there. Who clears the one directory leaves them running.
 */
#ifndef SCANNERS_ELSEWHERE_H
#define SCANNERS_ELSEWHERE_H

#include "scanners/inventory.h"

struct elsewhere {
	size_t count; /* living shims */
	size_t here;  /* those whose bundles are where one looks */
	pid_t pid;    /* of the first */
	char *state;  /* its state directory, links resolved, raw; NULL if there is none */
};

/*
 * Look at every living shim of @inventory that has no bundle in state directory
 * @state. Returns 0 with @ret, whose state is the caller's to free(), or a negative
 * errno.
 */
int elsewhere_scan(const char *state, const struct inventory *inventory, struct elsewhere *ret);

#endif
