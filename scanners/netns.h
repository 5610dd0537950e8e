/*
 * Network namespaces that are kept by a mount (nsfs). What was judged is a
 * namespace, not a path: by the time something is done, another may be there.
 */
#ifndef SCANNERS_NETNS_H
#define SCANNERS_NETNS_H

#include <stdbool.h>
#include <stdint.h>

#include "scanners/inventory.h"

/* The inode of the namespace that is mounted at @path, 0 if none is. */
uint64_t netns_inode(const char *path);

/* Is the namespace that was judged still mounted at the sandbox's path? */
bool netns_is_there(const struct sandbox *sandbox);

#endif
