/*
 * What containerd will delete inside its next start, synchronously, and how
 * many files that is. Where it comes from (containerd's sources):
 *
 *	state/io.containerd.runtime.v2.task/<ns>/<id>	bundles of dead shims, before READY
 *	root/io.containerd.runtime.v2.task/<ns>/<id>	work directories that no shim uses, of
 *							namespaces that the state directory has
 *	{root,state}/io.containerd.grpc.v1.cri/{sandboxes,containers}/<id>
 *							without a record in meta.db, before CRI answers
 */
#ifndef SCANNERS_DELETIONS_H
#define SCANNERS_DELETIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/inventory.h"
#include "scanners/metadata.h"

/* <base>/<plugin>/<group>/<id>, base being the root or the state directory. */
struct deletion {
	bool in_state;
	const char *plugin; /* static */
	char *group;	    /* a namespace, or "sandboxes" or "containers" */
	char *id;
	uint64_t ino, entries;
	bool has_volumes; /* image VOLUME data, which is user data */
};

struct deletions {
	struct deletion *items; /* those of more than a few entries */
	size_t count;
	uint64_t entries; /* in all of them, "at least" if not complete */
	bool complete;
};

/* What tells the dead from the living; NULL members are not known. */
struct deletions_known {
	const struct inventory *inventory;
	const struct metadata *metadata; /* its finding must be SOUND, EMPTY or ABSENT to count */
};

/*
 * Look for leftovers below @root_fd and the state directory @state_fd (either
 * may be negative: none), until @stop_at entries were seen or @budget_msec
 * have passed. With @known NULL an id that has a bundle counts as living and
 * every other as dead: a first look that costs little and may see too many.
 *
 * Returns 0 with @ret to end with deletions_done(), or a negative errno.
 */
int deletions_scan(int root_fd, int state_fd, const struct deletions_known *known,
		   uint64_t stop_at, unsigned budget_msec, struct deletions *ret);

void deletions_done(struct deletions *leftovers);
#define cleanup_deletions __attribute__((cleanup(deletions_done)))

#endif
