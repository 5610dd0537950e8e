#include "scanners/inventory_scan.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/cniname.h"
#include "scanners/netns.h"

#define VETH_PREFIX "veth"
enum { VETH_DIGITS = 8 }; /* containernetworking/plugins, pkg/ip, RandomVethName() */

static bool is_reference_veth(const struct link_entry *link)
{
	const char *digits = link->name + strlen(VETH_PREFIX);

	return strcmp(link->kind, "veth") == 0 &&
	       strncmp(link->name, VETH_PREFIX, strlen(VETH_PREFIX)) == 0 &&
	       strlen(digits) == VETH_DIGITS &&
	       strspn(digits, "0123456789abcdef") == VETH_DIGITS;
}

static int take_link(struct sandbox *sandbox, const struct link_entry *link)
{
	struct host_link *added;

	for (size_t i = 0; i < sandbox->link_count; i++)
		if (sandbox->links[i].index == link->index)
			return 0;
	added = ARRAY_ADD(sandbox->links, sandbox->link_count);
	if (!added || inventory_copy(&added->name, link->name) < 0)
		return -ENOMEM;
	added->index = link->index;
	memcpy(added->mac, link->mac, sizeof(added->mac));
	return 0;
}

/* For a namespace whose mount is gone: name and address as the plugin reported them. */
static int take_cached_links(struct scan *scan)
{
	for (size_t i = 0; i < scan->cache.count; i++) {
		const struct cnicache_entry *entry = &scan->cache.items[i];
		struct sandbox *sandbox =
			inventory_sandbox_of(scan, CRI_NAMESPACE, entry->container_id, false);

		for (size_t j = 0; sandbox && j < entry->link_count; j++) {
			const struct cnicache_link *cached = &entry->links[j];
			const struct link_entry *link =
				links_by_name(&scan->links, cached->name);

			if (!link || !is_reference_veth(link) || !cached->mac ||
			    strcasecmp(link->mac, cached->mac) != 0)
				continue;
			if (take_link(sandbox, link) < 0)
				return -ENOMEM;
		}
	}
	return 0;
}

/* The bandwidth plugin names its ifb after network and container alone. */
static int take_ifbs(struct scan *scan)
{
	bool any = false;

	for (size_t i = 0; i < scan->links.count && !any; i++)
		any = strcmp(scan->links.items[i].kind, "ifb") == 0;
	for (size_t i = 0; any && i < scan->cache.count; i++) {
		const struct cnicache_entry *entry = &scan->cache.items[i];
		struct sandbox *sandbox =
			inventory_sandbox_of(scan, CRI_NAMESPACE, entry->container_id, false);
		const struct link_entry *link;
		char name[IF_NAMESIZE];
		int r;

		if (!sandbox)
			continue;
		r = cniname_ifb(entry->network, entry->container_id, name);
		if (r < 0)
			return r;
		link = links_by_name(&scan->links, name);
		if (link && strcmp(link->kind, "ifb") == 0 && take_link(sandbox, link) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int take_netns_links(struct scan *scan, struct mnl_socket *socket, struct sandbox *sandbox)
{
	int id, r;

	if (!sandbox->netns)
		return 0;
	sandbox->netns_inode = netns_inode(sandbox->netns);
	r = links_netns_id(socket, sandbox->netns, &id);
	sandbox->netns_mounted = r >= 0 && sandbox->netns_inode;
	if (r <= 0)
		return r == -ENOENT || r == -EINVAL ? 0 : r;
	for (size_t i = 0; i < scan->links.count; i++) {
		const struct link_entry *link = &scan->links.items[i];

		if (link->peer_netns != id)
			continue;
		if (!is_reference_veth(link))
			sandbox->other_links = true;
		else if (take_link(sandbox, link) < 0)
			return -ENOMEM;
	}
	return 0;
}

static bool is_own(const struct scan *scan, const struct sandbox *sandbox,
		   const struct process_entry *entry)
{
	const struct process_entry *parent = process_find(&scan->processes, entry->parent);

	if (sandbox->shim.start_ticks && (entry->process.pid == sandbox->shim.pid ||
					  (parent && parent->process.pid == sandbox->shim.pid)))
		return true;
	if (!entry->cgroups || strstr(entry->cgroups, sandbox->id))
		return true;
	for (size_t i = 0; i < sandbox->container_count; i++) {
		const struct container *container = &sandbox->containers[i];

		if (container->init.pid == entry->process.pid ||
		    process_cgroups_name(entry->cgroups, container->id, container->cgroup_path))
			return true;
	}
	return false;
}

/* Who is in a pod's namespace and not of the pod: a debugger, or a container we know nothing of. */
static void take_visitors(struct scan *scan)
{
	for (size_t i = 0; i < scan->inventory->sandbox_count; i++) {
		struct sandbox *sandbox = &scan->inventory->sandboxes[i];

		for (size_t j = 0; sandbox->netns_inode && j < scan->processes.count; j++) {
			const struct process_entry *entry = &scan->processes.items[j];

			if (entry->netns == sandbox->netns_inode && !entry->zombie &&
			    !is_own(scan, sandbox, entry))
				sandbox->visitor = entry->process.pid;
		}
	}
}

int inventory_scan_links(struct scan *scan)
{
	cleanup_links_netns struct mnl_socket *socket = NULL;
	int r = links_scan(&scan->links);

	if (r == 0)
		r = links_netns_open(&socket);
	for (size_t i = 0; r == 0 && i < scan->inventory->sandbox_count; i++)
		r = take_netns_links(scan, socket, &scan->inventory->sandboxes[i]);
	take_visitors(scan);
	if (r == 0)
		r = take_cached_links(scan);
	return r == 0 ? take_ifbs(scan) : r;
}
