#include "scanners/ipam.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <string.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { LEASE_MAX = 4096 };

bool ipam_is_address(const char *name)
{
	unsigned char address[sizeof(struct in6_addr)];

	return inet_pton(strchr(name, ':') ? AF_INET6 : AF_INET, name, address) == 1;
}

int ipam_read_lease(int network_fd, const char *name, char **ret_id, char **ret_ifname)
{
	cleanup_free char *text = NULL, *id = NULL, *ifname = NULL;
	const char *line;
	int r;

	r = dir_read_file(network_fd, name, LEASE_MAX, &text, NULL);
	if (r < 0)
		return r;
	id = strndup(text, strcspn(text, "\r\n"));
	if (!id)
		return -ENOMEM;
	line = text + strlen(id);
	line += strspn(line, "\r\n");
	if (*line && ret_ifname) {
		ifname = strndup(line, strcspn(line, "\r\n"));
		if (!ifname)
			return -ENOMEM;
	}
	*ret_id = take_ptr(id);
	if (ret_ifname)
		*ret_ifname = take_ptr(ifname);
	return 0;
}

static void lease_done(struct ipam_lease *lease)
{
	free(lease->network);
	free(lease->address);
	free(lease->container_id);
	free(lease->ifname);
}

static int add_lease(struct ipam_leases *leases, int network_fd, const char *network,
		     const char *name)
{
	struct ipam_lease lease = { 0 }, *added;
	int r = ipam_read_lease(network_fd, name, &lease.container_id, &lease.ifname);

	if (r == -ENOENT) /* released meanwhile */
		return 0;
	if (r < 0 && r != -ENOMEM) {
		leases->malformed++;
		return 0;
	}
	if (r < 0)
		return r;
	(void)dir_changed(network_fd, name, &lease.changed_sec); /* 0 says unknown */
	lease.network = strdup(network);
	lease.address = strdup(name);
	added = ARRAY_ADD(leases->items, leases->count);
	if (!added || !lease.network || !lease.address) {
		leases->count -= added != NULL;
		lease_done(&lease);
		return -ENOMEM;
	}
	*added = lease;
	return 0;
}

static int scan_network(int fd, const char *network, struct ipam_leases *leases)
{
	cleanup_fd int network_fd = dir_open_beneath(fd, network);
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r;

	if (network_fd < 0) {
		leases->malformed += network_fd != -ENOENT;
		return 0;
	}
	r = dir_stream(network_fd, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, NULL)) > 0) {
		if (!ipam_is_address(name))
			continue;
		r = add_lease(leases, network_fd, network, name);
		if (r < 0)
			return r;
	}
	return r;
}

int ipam_scan(int fd, struct ipam_leases *ret)
{
	cleanup_ipam_leases struct ipam_leases leases = { 0 };
	cleanup_dir DIR *stream = NULL;
	unsigned char type;
	const char *name;
	int r;

	r = dir_stream(fd, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, &type)) > 0) {
		if (type != DT_DIR && type != DT_UNKNOWN)
			continue;
		r = scan_network(fd, name, &leases);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = leases;
	leases = (struct ipam_leases){ 0 };
	return 0;
}

void ipam_done(struct ipam_leases *leases)
{
	for (size_t i = 0; i < leases->count; i++)
		lease_done(&leases->items[i]);
	free(leases->items);
	*leases = (struct ipam_leases){ 0 };
}
