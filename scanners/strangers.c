#include "scanners/strangers.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/cnicache.h"
#include "scanners/conflist.h"
#include "scanners/dir.h"
#include "scanners/ipam.h"
#include "scanners/links.h"
#include "scanners/text.h"

#define NETNS_DIR "/run/netns"

struct scan {
	const struct config *config;
	struct conflists networks;
	json_t *ours; /* "reservation/…", "cache/…", "netns/…", "link/…" of the inventory */
	struct strangers *found;
};

static int own(struct scan *scan, const char *kind, const char *name)
{
	cleanup_free char *key = text_print("%s/%s", kind, name);

	return key && json_object_set_new_nocheck(scan->ours, key, json_true()) == 0 ? 0 : -ENOMEM;
}

static bool is_ours(const struct scan *scan, const char *kind, const char *name)
{
	cleanup_free char *key = text_print("%s/%s", kind, name);

	return key && json_object_get(scan->ours, key);
}

static int add(struct scan *scan, const char *kind, char *name, const char *why)
{
	struct stranger *stranger;

	if (!name)
		return -ENOMEM;
	stranger = ARRAY_ADD(scan->found->items, scan->found->count);
	if (!stranger) {
		free(name);
		return -ENOMEM;
	}
	*stranger = (struct stranger){ kind, name, why };
	return 0;
}

static int own_reservation(struct scan *scan, const struct reservation *reservation)
{
	cleanup_free char *name = text_print("%s/%s", reservation->network, reservation->address);

	return name ? own(scan, "reservation", name) : -ENOMEM;
}

static int own_sandbox(struct scan *scan, const struct sandbox *sandbox)
{
	const char *netns = sandbox->netns ? strrchr(sandbox->netns, '/') : NULL;
	int r = netns ? own(scan, "netns", netns + 1) : 0;

	for (size_t i = 0; r == 0 && i < sandbox->reservation_count; i++)
		r = own_reservation(scan, &sandbox->reservations[i]);
	for (size_t i = 0; r == 0 && i < sandbox->cache_file_count; i++)
		r = own(scan, "cache", sandbox->cache_files[i]);
	for (size_t i = 0; r == 0 && i < sandbox->link_count; i++)
		r = own(scan, "link", sandbox->links[i].name);
	return r;
}

static int scan_reservations(struct scan *scan)
{
	cleanup_ipam_leases struct ipam_leases leases = { 0 };
	cleanup_fd int fd = dir_open_path(IPAM_DATA_DIR);
	int r = fd < 0 ? fd : ipam_scan(fd, &leases);

	for (size_t i = 0; r == 0 && i < leases.count; i++) {
		const struct ipam_lease *lease = &leases.items[i];
		cleanup_free char *name = text_print("%s/%s", lease->network, lease->address);

		if (!name)
			return -ENOMEM;
		if (!is_ours(scan, "reservation", name))
			r = add(scan, "reservation", take_ptr(name),
				conflists_have(&scan->networks, lease->network) ?
					"in CRI's network, but its container is another runtime's" :
					"of a network that is not CRI's");
	}
	return r;
}

static int scan_cache(struct scan *scan)
{
	cleanup_cnicache struct cnicache cache = { 0 };
	cleanup_fd int fd = dir_open_path(CNI_CACHE_DIR);
	int r = fd < 0 ? fd : cnicache_scan(fd, &cache);

	for (size_t i = 0; r == 0 && i < cache.count; i++)
		if (!is_ours(scan, "cache", cache.items[i].file))
			r = add(scan, "cache file", strdup(cache.items[i].file),
				"not of a pod that this containerd made");
	for (size_t i = 0; r == 0 && i < cache.malformed_count; i++)
		if (!is_ours(scan, "cache", cache.malformed[i]))
			r = add(scan, "cache file", strdup(cache.malformed[i]), "cannot be read");
	return r;
}

static int scan_namespaces(struct scan *scan)
{
	cleanup_fd int fd = dir_open_path(NETNS_DIR);
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r = fd < 0 ? fd : dir_stream(fd, &stream);

	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, NULL)) > 0) {
		if (is_ours(scan, "netns", name))
			continue;
		r = add(scan, "namespace", strdup(name), "no bundle and no cache file names it");
		if (r < 0)
			return r;
	}
	return r;
}

static int scan_links(struct scan *scan)
{
	cleanup_links struct links links = { 0 };
	int r = links_scan(&links);

	for (size_t i = 0; r == 0 && i < links.count; i++)
		if (strcmp(links.items[i].kind, "veth") == 0 &&
		    !is_ours(scan, "link", links.items[i].name))
			r = add(scan, "link", strdup(links.items[i].name),
				"not of a pod of this containerd, or its own plugin's to remove");
	return r;
}

int strangers_scan(const struct config *config, const struct inventory *inventory,
		   struct strangers *ret)
{
	static int (*const sources[])(struct scan *) = {
		scan_reservations, scan_cache, scan_namespaces, scan_links,
	};
	cleanup_strangers struct strangers found = { 0 };
	struct scan scan = { .config = config, .ours = json_object(), .found = &found };
	int r = scan.ours ? conflists_read(config->cni_conf_dir, config->cni_max_conf_num,
					   &scan.networks) :
			    -ENOMEM;

	if (r == 0 && scan.networks.refused)
		r = add(&scan, "configuration", strdup(scan.networks.refused),
			"no network can be read from it or what is behind it");
	for (size_t i = 0; r == 0 && i < inventory->sandbox_count; i++)
		r = own_sandbox(&scan, &inventory->sandboxes[i]);
	for (size_t i = 0; r == 0 && i < inventory->empty_reservation_count; i++)
		r = own_reservation(&scan, &inventory->empty_reservations[i]);
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(sources); i++) {
		r = sources[i](&scan);
		r = r == -ENOENT ? 0 : r; /* a directory that is not there holds no stranger */
	}
	json_decref(scan.ours);
	conflists_done(&scan.networks);
	if (r < 0)
		return r;
	*ret = found;
	found = (struct strangers){ 0 };
	return 0;
}

void strangers_done(struct strangers *strangers)
{
	for (size_t i = 0; i < strangers->count; i++)
		free(strangers->items[i].name);
	free(strangers->items);
	*strangers = (struct strangers){ 0 };
}
