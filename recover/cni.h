/*
 * CNI DEL replayed from libcni's cache with the real plugins, as libcni does it
 * (containernetworking/cni, libcni/api.go, DelNetworkList): in reverse order,
 * with the cached result as prevResult since version 0.4.0, with the capability
 * arguments that each plugin asks for.
 */
#ifndef RECOVER_CNI_H
#define RECOVER_CNI_H

#include <stdbool.h>
#include <stddef.h>

#include "scanners/config.h"
#include "scanners/inventory.h"

enum cni_outcome {
	CNI_NOTHING,  /* no cache file, nothing to replay */
	CNI_DELETED,  /* every plugin said yes */
	CNI_REPLACED, /* a plugin failed or is missing, but what it made can be released by hand */
	CNI_DEFERRED, /* not run: only its maker's agent can do it, and nothing runs yet */
	CNI_FAILED,   /* a plugin failed of which only its maker knows what it left */
};

struct cni_options {
	unsigned plugin_msec; /* bound on one run of a plugin */
	unsigned parallel;    /* sandboxes at once */
	/*
	 * Leave networks with a plugin of calico's, cilium's or the like for later:
	 * with containerd down their agents are too, and each DEL would take its time
	 * to fail while a start waits.
	 */
	bool defer;
};

/*
 * Replay DEL for every cache file of @lost. Failures are logged. @outcomes has
 * room for one per sandbox. The cache files stay: they are the caller's to remove once
 * nothing else is left that they lead to.
 *
 * Returns 0 (whatever the outcomes), or a negative errno if none could be tried.
 */
int cni_delete(const struct config *config, const struct inventory *lost,
	       const struct cni_options *options, enum cni_outcome *outcomes);

/*
 * The standard input for plugin number @index of @config, a configuration list
 * in JSON, with @entry, the cache entry. Returns 0 with @ret the caller's, or a
 * negative errno.
 */
struct cnicache_entry;
int cni_plugin_input(const struct cnicache_entry *entry, size_t index, char **ret);

#endif
