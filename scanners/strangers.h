/*
 * What looks like a pod's network but is nobody's in the inventory: of podman,
 * docker, CRI-O, calico, an administrator. For the report; it is not touched.
 */
#ifndef SCANNERS_STRANGERS_H
#define SCANNERS_STRANGERS_H

#include <stddef.h>

#include "scanners/config.h"
#include "scanners/inventory.h"

struct stranger {
	const char *kind; /* "reservation", "cache file", "namespace", "link", "configuration" */
	char *name;
	const char *why; /* it is not ours */
};

struct strangers {
	struct stranger *items;
	size_t count;
};

/* Returns 0 with @ret to end with strangers_done(), or a negative errno. */
int strangers_scan(const struct config *config, const struct inventory *inventory,
		   struct strangers *ret);

void strangers_done(struct strangers *strangers);
#define cleanup_strangers __attribute__((cleanup(strangers_done)))

#endif
