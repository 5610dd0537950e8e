/*
 * Network interfaces of our own network namespace, in one rtnetlink dump, and
 * which network namespace the other end of a veth is in (IFLA_LINK_NETNSID with
 * RTM_GETNSID), without entering one.
 */
#ifndef SCANNERS_LINKS_H
#define SCANNERS_LINKS_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LINK_MAC_SIZE sizeof("00:00:00:00:00:00")

struct link_entry {
	int index;
	char name[IF_NAMESIZE];
	char mac[LINK_MAC_SIZE]; /* "" if it has no Ethernet address */
	char kind[16];		 /* "veth", "bridge", "" for hardware */
	bool up;
	uint32_t group;
	int master;	/* index of its bridge, 0 if none */
	int peer_index; /* IFLA_LINK, in the peer's namespace */
	int peer_netns; /* nsid, -1 if the peer is here or there is none */
};

struct links {
	struct link_entry *items; /* ascending by index */
	size_t count;
};

/* Returns 0 with @ret to end with links_done(), or a negative errno with it untouched. */
int links_scan(struct links *ret);

void links_done(struct links *links);
#define cleanup_links __attribute__((cleanup(links_done)))

const struct link_entry *links_by_index(const struct links *links, int index);
const struct link_entry *links_by_name(const struct links *links, const char *name);

/*
 * For questions about network namespaces: a socket that can be asked often.
 * Returns 0 with @ret to end with links_netns_close(), or a negative errno.
 */
struct mnl_socket;
int links_netns_open(struct mnl_socket **ret);
void links_netns_close(struct mnl_socket **socket);
#define cleanup_links_netns __attribute__((cleanup(links_netns_close)))

/*
 * The id by which our namespace knows the one at @path, a file that must be a
 * mounted network namespace.
 *
 * Returns 1 with @ret set; 0 if it is a network namespace in which no link of
 * ours ends; or a negative errno: -ENOENT if there is no such file, -EINVAL if
 * it is not (or no longer) a namespace.
 */
int links_netns_id(struct mnl_socket *socket, const char *path, int *ret);

#endif
