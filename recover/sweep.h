/*
 * Sweeping what lost sandboxes left behind, once containerd may run again: CNI
 * DEL replayed from libcni's cache with the real plugins, netns mounts, rootfs
 * and shm mounts, bundles moved aside, shim sockets, runc state, cgroups, cache
 * files and whatever reservation or rule is provably theirs.
 */
#ifndef RECOVER_SWEEP_H
#define RECOVER_SWEEP_H

#include <stdbool.h>
#include <stddef.h>

#include "scanners/config.h"
#include "scanners/inventory.h"

struct sweep_options {
	bool dry_run;	      /* change nothing; report what would be released */
	const char *ticket;   /* quarantine whose bundles were moved aside, or NULL */
	unsigned plugin_msec; /* bound on one run of a CNI plugin */
	unsigned parallel;    /* CNI DELs at once */
	bool defer;	      /* leave networks that need an agent: see recover/cni.h */
	int *results;	      /* NULL, or room for one per sandbox: 0 if nothing is left of it,
				 -EINPROGRESS if its network was deferred, else another negative
				 errno */
};

struct sweep_result {
	size_t sandboxes; /* looked at */
	size_t released;  /* sandboxes of which nothing is left */
	size_t deferred;  /* of which the network is left for later */
	size_t failed;	  /* sandboxes of which something is left; each was logged */
};

/*
 * Release everything that the sandboxes of @lost left. @lost was proven lost
 * by the caller; each thing is still checked to be theirs before it is
 * touched. Repeatable: what is gone is success.
 *
 * Returns 0, or the first negative errno after trying all.
 */
int sweep_sandboxes(const struct config *config, const struct inventory *lost,
		    const struct sweep_options *options, struct sweep_result *ret);

#endif
