#include "scanners/inventory.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "scanners/array.h"
#include "scanners/bundle.h"
#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/dir.h"
#include "scanners/inventory_scan.h"
#include "scanners/ipam.h"

#define CRI_NETNS "/io.containerd.grpc.v1.cri/netns" /* with netns_mounts_under_state_dir */
#define LOOPBACK_NETWORK "cni-loopback"
#define SHIM_PREFIX "containerd-shim"

static void scan_done(struct scan *scan)
{
	process_table_done(&scan->processes);
	cnicache_done(&scan->cache);
	links_done(&scan->links);
	conflists_done(&scan->networks);
	json_decref(scan->running);
	json_decref(scan->by_id);
}
#define cleanup_scan __attribute__((cleanup(scan_done)))

static bool out_of_time(const struct scan *scan)
{
	return scan->deadline && clock_msec() >= scan->deadline;
}

/* A source that fails makes the inventory incomplete; only no memory ends it. */
static int judge_source(struct scan *scan, int r)
{
	if (r == -ENOMEM)
		return r;
	if (r >= 0 || r == -ENOENT)
		return 0;
	if (scan->inventory->complete) {
		scan->inventory->missed = scan->source;
		scan->inventory->missed_error = r;
	}
	scan->inventory->complete = false;
	return 0;
}

struct sandbox *inventory_sandbox_of(struct scan *scan, const char *ns, const char *id, bool create)
{
	struct inventory *inventory = scan->inventory;
	cleanup_free char *key = NULL;
	struct sandbox *sandbox;
	const json_t *index;

	if (asprintf(&key, "%s/%s", ns, id) < 0) {
		key = NULL;
		return NULL;
	}
	index = json_object_get(scan->by_id, key);
	if (index)
		return &inventory->sandboxes[json_integer_value(index)];
	if (!create)
		return NULL;
	sandbox = ARRAY_ADD(inventory->sandboxes, inventory->sandbox_count);
	if (!sandbox || inventory_copy(&sandbox->ns, ns) < 0 || inventory_copy(&sandbox->id, id) < 0 ||
	    json_object_set_new_nocheck(scan->by_id, key,
					json_integer((json_int_t)inventory->sandbox_count - 1)) < 0)
		return NULL;
	return sandbox;
}

/*
 * A namespace that CRI made for a pod. Other paths are borrowed ones: the app
 * containers of a pod say /proc/PID/ns/net, and that pid may be anyone's.
 */
static bool is_cri_netns(const struct config *config, const char *path)
{
	const char *name = strrchr(path, '/');
	size_t length = name ? (size_t)(name - path) : 0, state = strlen(config->state);

	if (!name || strncmp(name, "/cni-", strlen("/cni-")) != 0)
		return false;
	if ((length == strlen("/run/netns") && strncmp(path, "/run/netns", length) == 0) ||
	    (length == strlen("/var/run/netns") && strncmp(path, "/var/run/netns", length) == 0))
		return true;
	return length == state + strlen(CRI_NETNS) && strncmp(path, config->state, state) == 0 &&
	       strncmp(path + state, CRI_NETNS, strlen(CRI_NETNS)) == 0;
}

static int take_netns(const struct scan *scan, struct sandbox *sandbox, const char *path)
{
	if (!path || !is_cri_netns(scan->config, path))
		return 0;
	return inventory_copy(&sandbox->netns, path);
}

static void take_age(struct sandbox *sandbox, int64_t changed_sec)
{
	if (changed_sec > sandbox->changed_sec)
		sandbox->changed_sec = changed_sec;
}

static int take_pod(struct sandbox *sandbox, const char *name, const char *ns, const char *uid)
{
	if (inventory_copy(&sandbox->pod_name, name) < 0 || inventory_copy(&sandbox->pod_namespace, ns) < 0 ||
	    inventory_copy(&sandbox->pod_uid, uid) < 0)
		return -ENOMEM;
	return 0;
}

/*
 * The pid in init.pid may be another's by now: it counts if its cgroup names
 * the container, or if runc recorded the same pid with the same start time.
 */
static int prove_init(const struct scan *scan, const struct bundle *bundle, struct process *ret)
{
	const struct process_entry *entry = process_find(&scan->processes, bundle->init);
	struct process recorded;
	int r;

	if (!entry || entry->zombie)
		return 0;
	if (process_cgroups_name(entry->cgroups, bundle->id, bundle->cgroup_path)) {
		*ret = entry->process;
		return 0;
	}
	r = bundle_runc_init(bundle->ns, bundle->id, &recorded);
	if (r == 0 && recorded.pid == entry->process.pid &&
	    recorded.start_ticks == entry->process.start_ticks)
		*ret = entry->process;
	return r == -ENOMEM ? r : 0;
}

static int take_bundle(struct scan *scan, struct bundle *bundle)
{
	const char *owner = bundle->sandbox_id ? bundle->sandbox_id : bundle->id;
	struct sandbox *sandbox = inventory_sandbox_of(scan, bundle->ns, owner, true);
	struct container *container;
	int r;

	if (!sandbox)
		return -ENOMEM;
	sandbox->from_bundle = true;
	sandbox->not_cri |= bundle->readable && !bundle->sandbox_id;
	take_age(sandbox, bundle->changed_sec);
	r = take_pod(sandbox, bundle->pod_name, bundle->pod_namespace, bundle->pod_uid);
	if (r == 0)
		r = take_netns(scan, sandbox, bundle->netns);
	if (sandbox->shim_address && bundle->shim_address &&
	    strcmp(sandbox->shim_address, bundle->shim_address) != 0)
		sandbox->many_shims = true;
	sandbox->shim_grpc |= bundle->shim_grpc;
	if (r == 0)
		r = inventory_copy(&sandbox->shim_address, bundle->shim_address);
	if (r < 0)
		return r;
	container = ARRAY_ADD(sandbox->containers, sandbox->container_count);
	if (!container)
		return -ENOMEM;
	container->ns = take_ptr(bundle->ns);
	container->id = take_ptr(bundle->id);
	container->sandbox_id = take_ptr(bundle->sandbox_id);
	container->cgroup_path = take_ptr(bundle->cgroup_path);
	container->runtime_binary = take_ptr(bundle->runtime_binary);
	return 0;
}

static int scan_bundle(struct scan *scan, int ns_fd, const char *ns, const char *id)
{
	cleanup_bundle struct bundle bundle = { 0 };
	struct process init = { 0 };
	struct sandbox *sandbox;
	const char *owner;
	int r;

	r = bundle_read(ns_fd, ns, id, &bundle);
	/* One that cannot be opened is a pod that nobody would end, and containerd takes up. */
	if (r < 0)
		return r == -ENOTDIR ? 0 : judge_source(scan, r);
	scan->inventory->unreadable += !bundle.readable;
	r = prove_init(scan, &bundle, &init);
	if (r < 0)
		return r;
	owner = bundle.sandbox_id ? bundle.sandbox_id : bundle.id;
	sandbox = inventory_sandbox_of(scan, ns, owner, true);
	if (!sandbox)
		return -ENOMEM;
	r = take_bundle(scan, &bundle);
	if (r == 0)
		sandbox->containers[sandbox->container_count - 1].init = init;
	return r;
}

static int scan_namespace(struct scan *scan, int tasks_fd, const char *ns)
{
	cleanup_fd int fd = dir_open_beneath(tasks_fd, ns);
	cleanup_dir DIR *stream = NULL;
	unsigned char type;
	const char *id;
	int r;

	if (fd < 0)
		return fd;
	r = dir_stream(fd, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &id, &type)) > 0) {
		/* containerd skips hidden names: bundles whose deletion it began. */
		if (*id == '.' || (type != DT_DIR && type != DT_UNKNOWN))
			continue;
		if (out_of_time(scan))
			return -ETIME;
		r = scan_bundle(scan, fd, ns, id);
		if (r < 0)
			return r;
	}
	return r;
}

static int scan_bundles(struct scan *scan)
{
	cleanup_fd int state = dir_open_path(scan->config->state), tasks = -EBADF;
	cleanup_dir DIR *stream = NULL;
	const char *ns;
	int r;

	if (state < 0)
		return state;
	tasks = dir_open_beneath(state, BUNDLE_TASKS);
	if (tasks < 0)
		return tasks;
	r = dir_stream(tasks, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &ns, NULL)) > 0) {
		r = judge_source(scan, scan_namespace(scan, tasks, ns));
		if (r < 0)
			return r;
	}
	return r;
}

/* Is @name what the kernel keeps (15 characters) of a shim's program name? */
static bool is_shim_name(const struct inventory *inventory, const char *name)
{
	if (strncmp(name, SHIM_PREFIX, strlen(SHIM_PREFIX)) == 0)
		return true;
	for (size_t i = 0; i < inventory->sandbox_count; i++) {
		const struct sandbox *sandbox = &inventory->sandboxes[i];

		for (size_t j = 0; j < sandbox->container_count; j++) {
			const char *path = sandbox->containers[j].runtime_binary;
			const char *base = path ? strrchr(path, '/') : NULL;

			if (base && strncmp(name, base + 1, sizeof(((struct process_entry *)0)->name) - 1) == 0)
				return true;
		}
	}
	return false;
}

static struct sandbox *sandbox_with(struct inventory *inventory, const char *ns, const char *id)
{
	for (size_t i = 0; i < inventory->sandbox_count; i++) {
		struct sandbox *sandbox = &inventory->sandboxes[i];

		for (size_t j = 0; j < sandbox->container_count; j++)
			if (strcmp(sandbox->containers[j].id, id) == 0 &&
			    strcmp(sandbox->ns, ns) == 0)
				return sandbox;
	}
	return NULL;
}

static bool same_address(const char *a, const char *b)
{
	static const char scheme[] = "unix://";

	if (strncmp(a, scheme, strlen(scheme)) == 0)
		a += strlen(scheme);
	return b && strcmp(a, b) == 0;
}

static int take_shim(struct scan *scan, const struct process_entry *entry,
		     const struct shim_args *args)
{
	struct sandbox *sandbox = inventory_sandbox_of(scan, args->ns, args->id, false);

	if (!sandbox)
		sandbox = sandbox_with(scan->inventory, args->ns, args->id);
	if (!sandbox)
		sandbox = inventory_sandbox_of(scan, args->ns, args->id, true);
	if (!sandbox)
		return -ENOMEM;
	/* The oldest one is the shim; a container may imitate a command line. */
	if (!sandbox->shim.start_ticks || entry->process.start_ticks < sandbox->shim.start_ticks)
		sandbox->shim = entry->process;
	/* containerd makes the bundle first, and may delete it under a shim that hangs. */
	take_age(sandbox, process_started_sec(&sandbox->shim));
	sandbox->from_shim = true;
	return 0;
}

static int scan_shims(struct scan *scan)
{
	for (size_t i = 0; i < scan->processes.count; i++) {
		const struct process_entry *entry = &scan->processes.items[i];
		cleanup_free char *cmdline = NULL;
		struct shim_args args;
		size_t size;
		int r;

		if (entry->zombie || !is_shim_name(scan->inventory, entry->name))
			continue;
		r = process_read_cmdline(entry->process.pid, &cmdline, &size);
		if (r == -ENOMEM)
			return r;
		if (r < 0 || size == 0 || process_parse_shim(cmdline, size, &args) < 0 ||
		    !same_address(args.address, scan->config->address))
			continue;
		r = take_shim(scan, entry, &args);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * A pod of kubelet's on a network of CRI's. Podman sets K8S_POD_* too, but no
 * uid. The loopback's network is built into go-cni.
 */
static bool is_cri_entry(const struct scan *scan, const struct cnicache_entry *entry)
{
	return entry->infra_id && strcmp(entry->infra_id, entry->container_id) == 0 &&
	       entry->pod_uid && (conflists_have(&scan->networks, entry->network) ||
				  strcmp(entry->network, LOOPBACK_NETWORK) == 0);
}

/*
 * The sandbox of which files of CNI alone speak, made unless something runs in
 * its name: with neither bundle nor shim of ours that is another runtime's.
 */
static int sandbox_of_files(struct scan *scan, const char *id, bool proven, struct sandbox **ret)
{
	struct sandbox *sandbox = inventory_sandbox_of(scan, CRI_NAMESPACE, id, false);

	*ret = sandbox;
	if (sandbox || !proven || !process_is_cri_id(id) || json_object_get(scan->running, id))
		return 0;
	*ret = inventory_sandbox_of(scan, CRI_NAMESPACE, id, true);
	return *ret ? 0 : -ENOMEM;
}

static int take_cache_entry(struct scan *scan, const struct cnicache_entry *entry)
{
	bool proven = is_cri_entry(scan, entry);
	struct sandbox *sandbox;
	char **file;
	int r = sandbox_of_files(scan, entry->container_id, proven, &sandbox);

	if (r < 0 || !sandbox)
		return r;
	sandbox->from_cache |= proven;
	take_age(sandbox, entry->changed_sec);
	file = ARRAY_ADD(sandbox->cache_files, sandbox->cache_file_count);
	if (!file || inventory_copy(file, entry->file) < 0)
		return -ENOMEM;
	if (take_pod(sandbox, entry->pod_name, entry->pod_namespace, entry->pod_uid) < 0)
		return -ENOMEM;
	return take_netns(scan, sandbox, entry->netns);
}

/* "<network>-<id>-<interface>": of a torn file the name alone says whose it is. */
static int take_torn_files(struct scan *scan)
{
	for (size_t i = 0; i < scan->cache.malformed_count; i++) {
		const char *name = scan->cache.malformed[i];
		struct sandbox *sandbox;
		char id[CRI_ID_LENGTH + 1];
		char **file;

		if (!process_next_cri_id(name, id))
			continue;
		sandbox = inventory_sandbox_of(scan, CRI_NAMESPACE, id, false);
		if (!sandbox)
			continue;
		file = ARRAY_ADD(sandbox->cache_files, sandbox->cache_file_count);
		if (!file || inventory_copy(file, name) < 0)
			return -ENOMEM;
	}
	return 0;
}

static int scan_cache(struct scan *scan)
{
	cleanup_fd int fd = dir_open_path(CNI_CACHE_DIR);
	int r;

	if (fd < 0)
		return fd;
	r = cnicache_scan(fd, &scan->cache);
	if (r < 0)
		return r;
	scan->inventory->unreadable += scan->cache.malformed_count;
	/* Twice: an entry that says less may come before the one that proves. */
	for (int proven = 1; proven >= 0; proven--)
		for (size_t i = 0; i < scan->cache.count; i++) {
			const struct cnicache_entry *entry = &scan->cache.items[i];

			if (is_cri_entry(scan, entry) != !!proven)
				continue;
			r = take_cache_entry(scan, entry);
			if (r < 0)
				return r;
		}
	return take_torn_files(scan);
}

static int take_reservation(struct reservation *reservation, const char *data_dir,
			    const struct ipam_lease *lease)
{
	if (!reservation || inventory_copy(&reservation->data_dir, data_dir) < 0 ||
	    inventory_copy(&reservation->network, lease->network) < 0 ||
	    inventory_copy(&reservation->address, lease->address) < 0)
		return -ENOMEM;
	return 0;
}

static int take_lease(struct scan *scan, const char *data_dir, const struct ipam_lease *lease)
{
	bool proven = conflists_have(&scan->networks, lease->network);
	struct inventory *inventory = scan->inventory;
	struct reservation *reservation;
	struct sandbox *sandbox;
	int r;

	if (proven && !*lease->container_id) {
		reservation = ARRAY_ADD(inventory->empty_reservations,
					inventory->empty_reservation_count);
		return take_reservation(reservation, data_dir, lease);
	}
	r = sandbox_of_files(scan, lease->container_id, proven, &sandbox);
	if (r < 0 || !sandbox)
		return r;
	sandbox->from_reservation |= proven;
	take_age(sandbox, lease->changed_sec);
	reservation = ARRAY_ADD(sandbox->reservations, sandbox->reservation_count);
	return take_reservation(reservation, data_dir, lease);
}

static int scan_data_dir(struct scan *scan, const char *data_dir)
{
	cleanup_ipam_leases struct ipam_leases leases = { 0 };
	cleanup_fd int fd = dir_open_path(data_dir);
	int r;

	if (fd < 0)
		return fd;
	r = ipam_scan(fd, &leases);
	if (r < 0)
		return r;
	scan->inventory->unreadable += leases.malformed;
	for (size_t i = 0; i < leases.count; i++) {
		r = take_lease(scan, data_dir, &leases.items[i]);
		if (r < 0)
			return r;
	}
	return 0;
}

static bool seen_data_dir(const struct scan *scan, size_t before, const char *data_dir)
{
	if (strcmp(data_dir, IPAM_DATA_DIR) == 0)
		return true;
	for (size_t i = 0; i < before; i++) {
		const char *other = scan->cache.items[i].data_dir;

		if (other && strcmp(other, data_dir) == 0)
			return true;
	}
	return false;
}

static int scan_reservations(struct scan *scan)
{
	int r = judge_source(scan, scan_data_dir(scan, IPAM_DATA_DIR));

	for (size_t i = 0; r == 0 && i < scan->cache.count; i++) {
		const char *data_dir = scan->cache.items[i].data_dir;

		if (data_dir && *data_dir == '/' && !seen_data_dir(scan, i, data_dir))
			r = judge_source(scan, scan_data_dir(scan, data_dir));
	}
	return r;
}

static int scan_processes(struct scan *scan)
{
	char id[CRI_ID_LENGTH + 1];
	int r = process_table_read(&scan->processes);

	for (size_t i = 0; i < scan->processes.count; i++) {
		const char *at = scan->processes.items[i].cgroups;

		while (at && (at = process_next_cri_id(at, id)))
			if (json_object_set_new_nocheck(scan->running, id, json_true()) < 0)
				return -ENOMEM;
	}
	return r;
}

static int scan_networks(struct scan *scan)
{
	int r = conflists_read(scan->config->cni_conf_dir, scan->config->cni_max_conf_num,
			       &scan->networks);

	scan->inventory->unreadable += scan->networks.refused != NULL;
	return r;
}

int inventory_copy(char **ret, const char *text)
{
	if (!text || *ret)
		return 0;
	*ret = strdup(text);
	return *ret ? 0 : -ENOMEM;
}

int inventory_scan(const struct config *config, unsigned budget_msec, struct inventory *ret)
{
	/* Each uses what those above it have found. */
	static const struct {
		const char *what;
		int (*scan)(struct scan *scan);
	} sources[] = {
		{ "processes", scan_processes },
		{ "bundles in the state directory", scan_bundles },
		{ "shims", scan_shims },
		{ "CNI's configuration", scan_networks },
		{ "CNI's cache", scan_cache },
		{ "reservations of addresses", scan_reservations },
		{ "links and network namespaces", inventory_scan_links },
	};
	cleanup_inventory struct inventory inventory = { .complete = true };
	cleanup_scan struct scan scan = {
		.config = config,
		.inventory = &inventory,
		.running = json_object(),
		.by_id = json_object(),
		.deadline = budget_msec ? clock_msec() + budget_msec : 0,
	};

	if (!scan.by_id || !scan.running)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		int r;

		scan.source = sources[i].what;
		r = judge_source(&scan, out_of_time(&scan) ? -ETIME : sources[i].scan(&scan));
		if (r < 0)
			return r;
	}
	*ret = inventory;
	inventory = (struct inventory){ 0 };
	return 0;
}
