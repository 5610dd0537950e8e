/*
 * The sandboxes and containers of one containerd, from what survives without
 * it: the bundles in the state directory, /proc, libcni's cache, host-local's
 * reservations and netlink. Read-only; recover/clear.c and recover/sweep.c act.
 *
 * One struct sandbox is one pod sandbox with its containers, its shim and its
 * network attachment. Every string is the inventory's.
 */
#ifndef SCANNERS_INVENTORY_H
#define SCANNERS_INVENTORY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "scanners/config.h"

/* A process as judged: the pid alone may be another's by now. */
struct process {
	pid_t pid;
	uint64_t start_ticks; /* field 22 of /proc/PID/stat; 0: not running */
};

/* One bundle below <state>/io.containerd.runtime.v2.task/<namespace>/. */
struct container {
	char *ns;	   /* containerd's namespace, "k8s.io" */
	char *id;
	char *sandbox_id;  /* == id for the sandbox itself; NULL outside CRI */
	char *cgroup_path; /* cgroupsPath of config.json, NULL if none */
	char *runtime_binary; /* content of shim-binary-path, NULL if none */
	struct process init;  /* from init.pid, checked against the container */
};

struct host_link {
	char *name;
	int index;
	char mac[18];
};

struct reservation {
	char *network; /* directory below the networks directory */
	char *address; /* file name */
};

struct sandbox {
	char *ns;
	char *id;
	char *pod_name, *pod_namespace, *pod_uid; /* NULL where unknown */
	char *netns; /* path, NULL for host network */
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
	bool from_bundle; /* has a bundle: it is this containerd's beyond doubt */
};

struct inventory {
	struct sandbox *sandboxes;
	size_t sandbox_count;
	size_t unreadable; /* bundles, cache files, reservations skipped; each counted */
	bool complete;	   /* false: a whole source could not be read, or the budget ran out */
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

/* How many sandboxes and lone containers of @ns have a living shim or init. */
size_t inventory_live_count(const struct inventory *inventory, const char *ns);

/* As JSON, and back. inventory_from_json() returns 0, -EINVAL or -ENOMEM. */
json_t *inventory_to_json(const struct inventory *inventory);
int inventory_from_json(const json_t *json, struct inventory *ret);

#endif
