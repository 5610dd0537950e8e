#include "scanners/links.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/magic.h>
#include <linux/net_namespace.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/netlink.h"

enum {
	RECEIVE_SIZE = 1024 * 1024, /* the kernel fills what it is offered, up to 32 KiB at once */
	DUMP_ATTEMPTS = 40, /* while pods come and go most dumps are interrupted */
	ETHERNET_SIZE = 6,
};

static int take_link_info(const struct nlattr *attr, void *data)
{
	struct link_entry *link = data;

	if (mnl_attr_get_type(attr) == IFLA_INFO_KIND)
		(void)snprintf(link->kind, sizeof(link->kind), "%.*s",
			       (int)mnl_attr_get_payload_len(attr), mnl_attr_get_str(attr));
	return MNL_CB_OK;
}

static void take_mac(const struct nlattr *attr, struct link_entry *link)
{
	const unsigned char *mac = mnl_attr_get_payload(attr);

	if (mnl_attr_get_payload_len(attr) == ETHERNET_SIZE)
		(void)snprintf(link->mac, sizeof(link->mac), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
			       mac[1], mac[2], mac[3], mac[4], mac[5]);
}

static int take_attribute(const struct nlattr *attr, void *data)
{
	struct link_entry *link = data;
	uint16_t type = mnl_attr_get_type(attr), size = mnl_attr_get_payload_len(attr);

	if (type == IFLA_IFNAME)
		(void)snprintf(link->name, sizeof(link->name), "%.*s", (int)size,
			       mnl_attr_get_str(attr));
	else if (type == IFLA_ADDRESS)
		take_mac(attr, link);
	else if (type == IFLA_LINKINFO)
		return mnl_attr_parse_nested(attr, take_link_info, link);
	else if (size != sizeof(uint32_t))
		return MNL_CB_OK;
	else if (type == IFLA_GROUP)
		link->group = mnl_attr_get_u32(attr);
	else if (type == IFLA_MASTER)
		link->master = (int)mnl_attr_get_u32(attr);
	else if (type == IFLA_LINK)
		link->peer_index = (int)mnl_attr_get_u32(attr);
	else if (type == IFLA_LINK_NETNSID)
		link->peer_netns = (int)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int take_link(const struct nlmsghdr *message, void *data)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	struct links *links = data;
	struct link_entry *link;

	if (message->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	link = ARRAY_ADD(links->items, links->count);
	if (!link) {
		errno = ENOMEM;
		return MNL_CB_ERROR;
	}
	link->index = info->ifi_index;
	link->up = (info->ifi_flags & IFF_UP) != 0;
	link->peer_netns = -1;
	return mnl_attr_parse(message, sizeof(*info), take_attribute, link);
}

static int send_dump(struct mnl_socket *socket)
{
	char request[MNL_NLMSG_HDRLEN + 256] __attribute__((aligned(MNL_ALIGNTO))) = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(request);
	struct ifinfomsg *info;

	message->nlmsg_type = RTM_GETLINK;
	message->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	message->nlmsg_seq = 1;
	info = mnl_nlmsg_put_extra_header(message, sizeof(*info));
	info->ifi_family = AF_UNSPEC;
	/* Traffic counters are most of a dump; nobody here reads them. */
	mnl_attr_put_u32(message, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return mnl_socket_sendto(socket, message, message->nlmsg_len) < 0 ? -errno : 0;
}

static int dump(char *buffer, struct links *links)
{
	cleanup_netlink struct mnl_socket *socket = NULL;
	int r = netlink_open(NETLINK_ROUTE, 0, &socket);

	if (r == 0)
		r = send_dump(socket);
	return r < 0 ? r : netlink_take_dump(socket, buffer, RECEIVE_SIZE, take_link, links);
}

static int by_index(const void *a, const void *b)
{
	const struct link_entry *x = a, *y = b;

	return (x->index > y->index) - (x->index < y->index);
}

int links_scan(struct links *ret)
{
	cleanup_free char *buffer = malloc(RECEIVE_SIZE);
	cleanup_links struct links links = { 0 };
	int r = -EAGAIN;

	if (!buffer)
		return -ENOMEM;
	/* EINTR is NLM_F_DUMP_INTR: the list changed while it was read. */
	for (int i = 0; i < DUMP_ATTEMPTS && r < 0; i++) {
		links_done(&links);
		r = dump(buffer, &links);
		if (r < 0 && r != -EINTR && r != -ENOBUFS)
			return r;
	}
	if (r < 0)
		return r;
	if (links.count)
		qsort(links.items, links.count, sizeof(*links.items), by_index);
	*ret = links;
	links = (struct links){ 0 };
	return 0;
}

void links_done(struct links *links)
{
	free(links->items);
	*links = (struct links){ 0 };
}

const struct link_entry *links_by_index(const struct links *links, int index)
{
	const struct link_entry key = { .index = index };

	if (links->count == 0)
		return NULL;
	return bsearch(&key, links->items, links->count, sizeof(*links->items), by_index);
}

const struct link_entry *links_by_name(const struct links *links, const char *name)
{
	for (size_t i = 0; i < links->count; i++)
		if (strcmp(links->items[i].name, name) == 0)
			return &links->items[i];
	return NULL;
}

int links_netns_open(struct mnl_socket **ret)
{
	return netlink_open(NETLINK_ROUTE, 0, ret);
}

void links_netns_close(struct mnl_socket **socket)
{
	netlink_close(socket);
}

static int take_nsid_attribute(const struct nlattr *attr, void *data)
{
	if (mnl_attr_get_type(attr) == NETNSA_NSID && mnl_attr_get_payload_len(attr) == sizeof(int))
		*(int *)data = (int)mnl_attr_get_u32(attr);
	return MNL_CB_OK;
}

static int take_nsid(const struct nlmsghdr *message, void *data)
{
	if (message->nlmsg_type != RTM_NEWNSID)
		return MNL_CB_OK;
	return mnl_attr_parse(message, sizeof(struct rtgenmsg), take_nsid_attribute, data);
}

/* As links_netns_id() for an open file of a namespace. */
static int netns_id_of(struct mnl_socket *socket, int netns_fd, int *ret)
{
	char buffer[1024] __attribute__((aligned(MNL_ALIGNTO))) = { 0 };
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);
	struct rtgenmsg *generic;
	int id = NETNSA_NSID_NOT_ASSIGNED;
	ssize_t n;

	message->nlmsg_type = RTM_GETNSID;
	message->nlmsg_flags = NLM_F_REQUEST;
	message->nlmsg_seq = 1;
	generic = mnl_nlmsg_put_extra_header(message, sizeof(*generic));
	generic->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(message, NETNSA_FD, (uint32_t)netns_fd);
	if (mnl_socket_sendto(socket, message, message->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(socket, buffer, sizeof(buffer));
	if (n < 0)
		return -errno;
	if (mnl_cb_run(buffer, (size_t)n, 1, mnl_socket_get_portid(socket), take_nsid, &id) < 0)
		return -errno;
	if (id < 0)
		return 0;
	*ret = id;
	return 1;
}

int links_netns_id(struct mnl_socket *socket, const char *path, int *ret)
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct statfs fs;

	if (fd < 0)
		return -errno;
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if (fs.f_type != NSFS_MAGIC)
		return -EINVAL;
	return netns_id_of(socket, fd, ret);
}
