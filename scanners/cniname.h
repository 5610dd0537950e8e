/*
 * Names that CNI's plugins make from network and container by hash
 * (containernetworking/plugins, pkg/utils, MustFormatHashWithPrefix()). All
 * return 0 with @ret filled, -ENOMEM, or -ELIBACC where there is no libmd to
 * hash with.
 */
#ifndef SCANNERS_CNINAME_H
#define SCANNERS_CNINAME_H

#include <net/if.h>

enum {
	CNINAME_CHAIN_SIZE = sizeof("CNI-0123456789abcdef01234567"),
	CNINAME_COMMENT_SIZE = sizeof("0123456789abcdef-0123456789abcdef"),
};

/* The bandwidth plugin's ifb for a container: "bwp" and 12 hex digits. */
int cniname_ifb(const char *network, const char *container_id, char ret[IF_NAMESIZE]);

/*
 * A container's own chain of iptables: @kind is "" for ipMasq's, "DN-" for
 * portmap's, "SN-" for that of old versions of it.
 */
int cniname_chain(const char *kind, const char *network, const char *container_id,
		  char ret[CNINAME_CHAIN_SIZE]);

/*
 * How the comment of ipMasq's rule in nf_tables begins: two hashes. What follows
 * them, the id last, is cut where it is too long.
 */
int cniname_comment(const char *network, const char *ifname, const char *container_id,
		    char ret[CNINAME_COMMENT_SIZE]);

#endif
