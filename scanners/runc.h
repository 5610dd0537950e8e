/*
 * The program behind containerd's default runtime, which its shim looks for when a
 * container is made and nobody before: in the PATH that the shim has from containerd,
 * or at the path that the configuration gives (go-runc, BinaryName).
 */
#ifndef SCANNERS_RUNC_H
#define SCANNERS_RUNC_H

#include <sys/types.h>

#include "scanners/config.h"

/*
 * Is it there, for the containerd that runs as @containerd, 0 if none does? Returns 1;
 * or 0 with @ret_where, the caller's to free(), saying where it is not: its path, or the
 * PATH that was searched; or a negative errno where that cannot be known.
 */
int runc_look(const struct config *config, pid_t containerd, char **ret_where);

#endif
