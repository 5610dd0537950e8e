/*
 * CNI DEL replayed from libcni's cache with the real plugins, as libcni does it
 * (containernetworking/cni, libcni/api.go, DelNetworkList): in reverse order,
 * with the cached result as prevResult since version 0.4.0, with the capability
 * arguments that each plugin asks for.
 */
#ifndef RECOVER_CNI_H
#define RECOVER_CNI_H

#include <stddef.h>

#include "scanners/config.h"
#include "scanners/inventory.h"

enum cni_outcome {
	CNI_NOTHING,  /* no cache file, nothing to replay */
	CNI_DELETED,  /* every plugin said yes */
	CNI_REPLACED, /* a plugin failed or is missing, but what it made can be released by hand */
	CNI_FAILED,   /* a plugin failed of which only its maker knows what it left */
};

/*
 * Replay DEL for every cache file of @lost, @parallel sandboxes at once, each
 * plugin for at most @plugin_msec. Failures are logged. @outcomes has room for
 * one per sandbox. The cache files stay: they are the caller's to remove once
 * nothing else is left that they lead to.
 *
 * Returns 0 (whatever the outcomes), or a negative errno if none could be tried.
 */
int cni_delete(const struct config *config, const struct inventory *lost, unsigned plugin_msec,
	       unsigned parallel, enum cni_outcome *outcomes);

/*
 * The standard input for plugin number @index of @config, a configuration list
 * in JSON, with @entry, the cache entry. Returns 0 with @ret the caller's, or a
 * negative errno.
 */
struct cnicache_entry;
int cni_plugin_input(const struct cnicache_entry *entry, size_t index, char **ret);

#endif
