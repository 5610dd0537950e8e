/*
 * What a sandbox leaves on the node besides its network: mounts (netns, rootfs,
 * shm), bundles, the shim's socket, the runtime's state, control groups.
 */
#ifndef RECOVER_REMNANT_H
#define RECOVER_REMNANT_H

#include <stdbool.h>

#include "scanners/config.h"
#include "scanners/inventory.h"
#include "scanners/mounts.h"

struct remnants {
	const struct config *config;
	const char *ticket;	  /* quarantine whose bundles were moved aside, or NULL */
	const struct mounts *mounts; /* as of now */
	unsigned delete_msec;	  /* bound on a runtime's own `delete` */
	bool tasks_only; /* CRI still has its records: what is its own, the namespace and bundles in
			    place stay; only what is @ticket's, runc's and the shim's goes */
};

/*
 * Remove what @sandbox left. Its processes have ended. Whatever is still found
 * is named in the log.
 *
 * Returns 0 if nothing is left, or the first negative errno after trying all.
 */
int remnants_remove(const struct remnants *remnants, const struct sandbox *sandbox);

/* Remove the directories of @ticket's bundles once they are empty. Returns 0 or a negative errno. */
int remnants_end(const struct config *config, const char *ticket);

#endif
