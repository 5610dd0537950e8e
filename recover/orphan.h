/*
 * What no runtime ever cleans up: bundles that containerd began to delete and
 * was killed over (".<id>"), and directories of the overlay snapshotter that its
 * own database does not know. Both are only moved aside or removed where nothing
 * can be using them.
 */
#ifndef RECOVER_ORPHAN_H
#define RECOVER_ORPHAN_H

#include <stddef.h>

#include "recover/fate.h"
#include "scanners/config.h"

struct orphans_result {
	size_t bundles;	  /* found; removed unless dry */
	size_t snapshots; /* found; moved aside unless dry */
	size_t waiting;	  /* moved aside by this or a former run, not yet deleted */
	size_t failed;
};

/*
 * Find them and, unless @dry, act: half-deleted bundles of the k8s.io namespace
 * that are older than @min_age_sec (with containerd down, of any age) are
 * unmounted and removed; unknown snapshot directories are moved to
 * <root>/.containerd-recover-orphans, only with containerd down, all of both
 * databases read, and no mount made of them.
 *
 * Returns 0, or the first negative errno after trying all.
 */
int orphans_sweep(const struct config *config, const struct known *known, int64_t min_age_sec,
		  bool dry, struct orphans_result *ret);

/* Delete what was moved aside, paced. Returns 0 or a negative errno. */
int orphans_purge(const struct config *config);

#endif
