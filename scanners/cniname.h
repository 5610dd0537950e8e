/*
 * Names that CNI's plugins make from network and container by hash
 * (containernetworking/plugins, pkg/utils, MustFormatHashWithPrefix()).
 */
#ifndef SCANNERS_CNINAME_H
#define SCANNERS_CNINAME_H

#include <net/if.h>

/*
 * The bandwidth plugin's ifb for a container: "bwp" and 12 hex digits. Returns 0
 * with @ret filled, or -ELIBACC where there is no libmd to hash with.
 */
int cniname_ifb(const char *network, const char *container_id, char ret[IF_NAMESIZE]);

#endif
