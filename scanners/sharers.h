/*
 * Other container runtimes that use CNI's directories of this node: beside one,
 * what CNI's files alone say of a container does not tell whose it is.
 */
#ifndef SCANNERS_SHARERS_H
#define SCANNERS_SHARERS_H

#include "scanners/config.h"

/*
 * Look for a containerd other than @config's, CRI-O or cri-dockerd that sees the
 * same /var/lib/cni as we do. dockerd's own containerd has nothing to do with CNI.
 *
 * Returns 1 with @ret ("crio, pid 17") the caller's, to free(); 0 if there is
 * none; or a negative errno.
 */
int sharers_find(const struct config *config, char **ret);

#endif
