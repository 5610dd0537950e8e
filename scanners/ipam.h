/*
 * Reservations of CNI's host-local plugin: one file per address below
 * <data dir>/<network>/, named by the address, holding the container id and the
 * interface name (containernetworking/plugins, host-local, backend/disk).
 * Read-only: recover/reservation.c is what releases them.
 */
#ifndef SCANNERS_IPAM_H
#define SCANNERS_IPAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IPAM_DATA_DIR "/var/lib/cni/networks"

struct ipam_lease {
	char *network;	    /* directory name */
	char *address;	    /* file name, "10.88.0.7" or "fd00::7" */
	char *container_id; /* first line; "" for an empty file, which is a leak of its own */
	char *ifname;	    /* second line, NULL in files of old versions */
	int64_t changed_sec; /* of the file; 0 if unknown */
};

struct ipam_leases {
	struct ipam_lease *items;
	size_t count;
	size_t malformed; /* files skipped: unreadable or oversized */
};

/*
 * Every reservation below the data directory @fd, which stays the caller's.
 * Returns 0 with @ret to end with ipam_done(), or a negative errno with it
 * untouched.
 */
int ipam_scan(int fd, struct ipam_leases *ret);

/*
 * The reservation @name in the directory of one network, @network_fd. Returns 0
 * with the out-parameters the caller's, to free(), or a negative errno with
 * them untouched. @ret_ifname may be NULL.
 */
int ipam_read_lease(int network_fd, const char *name, char **ret_id, char **ret_ifname);

/* Is @name the name of a reservation: an address, not `lock` or last_reserved_ip.N? */
bool ipam_is_address(const char *name);

void ipam_done(struct ipam_leases *leases);
#define cleanup_ipam_leases __attribute__((cleanup(ipam_done)))

#endif
