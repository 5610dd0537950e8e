/*
 * A shim's own `delete`: the only one who knows what kata or gVisor left of a
 * container. runc's remains are known (recover/remnant.c).
 */
#ifndef RECOVER_SHIM_H
#define RECOVER_SHIM_H

#include "scanners/config.h"
#include "scanners/inventory.h"

/*
 * Run `<shim> -namespace … -id … -bundle … delete` in @bundle, the bundle's
 * directory, as containerd does for a dead shim (runtime/v2, binary.go); not for
 * runc's shims.
 *
 * Returns 0, also if there is nothing to run, -ETIMEDOUT after @msec, or another
 * negative errno.
 */
int shim_delete(const struct config *config, const struct container *container,
		const char *bundle, unsigned msec);

#endif
