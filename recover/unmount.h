/*
 * Taking away what is mounted below a directory that is to be removed.
 */
#ifndef RECOVER_UNMOUNT_H
#define RECOVER_UNMOUNT_H

#include "scanners/mounts.h"

/* Detach the mount at @path. Returns 0, also where it is none any more, or a negative errno. */
int unmount(const char *path);

/*
 * Detach all of @mounts at and below the directory @dir, the innermost first.
 * The table has real paths: links on the way to @dir are resolved, as of a state
 * directory that is configured as /var/run/containerd; one at its end is not
 * followed. Returns 0, also where there is no @dir, or the first negative errno
 * after trying all.
 */
int unmount_below(const struct mounts *mounts, const char *dir);

#endif
