/*
 * Has containerd made (or kept) a bundle of a sandbox that was taken for lost?
 * What has a bundle in place is containerd's.
 */
#ifndef SCANNERS_IN_PLACE_H
#define SCANNERS_IN_PLACE_H

#include "scanners/config.h"
#include "scanners/inventory.h"

/*
 * The directory of the task bundles below the state directory. Returns an fd,
 * or a negative errno: -ENOENT where there is none.
 */
int in_place_open(const struct config *config);

/* Is a bundle of @sandbox below @tasks_fd? Returns 1, 0, or a negative errno. */
int in_place_has(int tasks_fd, const struct sandbox *sandbox);

#endif
