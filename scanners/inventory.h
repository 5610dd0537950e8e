/*
 * The sandboxes and containers of one containerd, from what survives without
 * it: the bundles in the state directory, /proc, libcni's cache, host-local's
 * reservations and netlink. Read-only; recover/clear.c and recover/sweep.c act.
 *
 * One struct sandbox is one pod sandbox with its containers, its shim and its
 * network attachment, or one container outside CRI. Every string is the
 * inventory's. Only what is this containerd's is listed, for one of the
 * reasons at the end of struct sandbox; podman's, docker's and CRI-O's are not.
 */
#ifndef SCANNERS_INVENTORY_H
#define SCANNERS_INVENTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/config.h"
#include "scanners/links.h"
#include "scanners/process.h"

/* One bundle below <state>/io.containerd.runtime.v2.task/<namespace>/. */
struct container {
	char *ns;	   /* containerd's namespace, "k8s.io" */
	char *id;
	char *sandbox_id;  /* == id for the sandbox itself; NULL outside CRI */
	char *cgroup_path; /* cgroupsPath of config.json, NULL if none */
	char *runtime_binary; /* content of shim-binary-path, NULL if none */
	struct process init;  /* from init.pid, proven by its cgroup or by runc's own record */
};

/*
 * The host's end of a veth made by a reference plugin ("veth" and 8 hex digits)
 * whose other end is in the sandbox, or the bandwidth plugin's ifb. Links of calico, cilium and the clouds are
 * not listed: they are their plugin's to take away.
 */
struct host_link {
	char *name;
	int index;
	char mac[LINK_MAC_SIZE];
};

struct reservation {
	char *data_dir; /* host-local's, "/var/lib/cni/networks" */
	char *network;	/* directory below it */
	char *address;	/* file name */
};

struct sandbox {
	char *ns;
	char *id;
	char *pod_name, *pod_namespace, *pod_uid; /* NULL where unknown */
	char *netns; /* path of the namespace that CRI made for it; NULL for host network */
	char *shim_address; /* "unix:///run/containerd/s/…", NULL if unknown */
	struct process shim;
	struct container *containers;
	size_t container_count;
	struct host_link *links;
	size_t link_count;
	struct reservation *reservations;
	size_t reservation_count;
	char **cache_files; /* names below <cni cache>/results */
	size_t cache_file_count;
	bool shim_grpc;	  /* speaks gRPC, not ttrpc; as of the scan, not kept in JSON */
	bool many_shims;  /* its bundles name more than one; the same */
	bool not_cri;	  /* its bundle bears no annotation of CRI's: ctr's or nerdctl's; the same */
	bool from_bundle; /* has a bundle: it is this containerd's beyond doubt */
	bool from_shim;	  /* a shim says it works for this containerd's socket */
	bool from_cache;  /* libcni's cache has it as a pod on CRI's own network */
	bool from_reservation; /* an address of CRI's own network is reserved for it */
	bool netns_mounted;
	uint64_t netns_inode; /* of what is mounted there; 0: unknown */
	pid_t visitor; /* a process in its namespace that is not known to be its own, 0: none; not kept */
	bool other_links; /* into its namespace, and not in links: a plugin's own business */
	int64_t changed_sec;   /* when the youngest trace of it was made; 0: unknown */
};

struct inventory {
	struct sandbox *sandboxes;
	size_t sandbox_count;
	/*
	 * Files without an id in CRI's own networks: host-local died while it
	 * wrote. Their address is nobody's and never given away.
	 */
	struct reservation *empty_reservations;
	size_t empty_reservation_count;
	size_t unreadable; /* bundles without a spec, cache files, reservations skipped; each counted */
	bool complete;	   /* false: a source or a bundle could not be read, or the budget ran out */
	const char *missed; /* the first such source, in words; NULL: none. Static, not in the JSON */
	int missed_error;   /* negative errno of it, -ETIME: the budget ran out */
};

/*
 * Take the inventory of the containerd that @config describes. @budget_msec
 * bounds the whole (0: no bound).
 *
 * Returns 0 with @ret the caller's, to end with inventory_done(), or a negative
 * errno with it untouched. A source that is missing (no state directory, no
 * cache) is empty, not an error; one that cannot be read makes it incomplete.
 */
int inventory_scan(const struct config *config, unsigned budget_msec, struct inventory *ret);

void inventory_done(struct inventory *inventory);
#define cleanup_inventory __attribute__((cleanup(inventory_done)))

/* Has it a shim or a container's first process, as of the scan? */
bool sandbox_is_running(const struct sandbox *sandbox);

/* How many sandboxes and lone containers of @ns have a living shim or init. */
size_t inventory_live_count(const struct inventory *inventory, const char *ns);

/* As JSON, and back. inventory_from_json() returns 0, -EINVAL or -ENOMEM. */
json_t *inventory_to_json(const struct inventory *inventory);
int inventory_from_json(const json_t *json, struct inventory *ret);

#endif
