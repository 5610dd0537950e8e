/*
 * Ending the processes of lost sandboxes, and of nobody else: each is held by a
 * pidfd, and its start time and cgroup are compared with what was judged before
 * it is signalled.
 */
#ifndef RECOVER_KILL_H
#define RECOVER_KILL_H

#include <stddef.h>

#include "scanners/inventory.h"

struct kill_result {
	size_t shims;	   /* ended */
	size_t containers; /* of which a process was ended */
	size_t failed;	   /* processes that would not end; each was logged */
};

/*
 * SIGKILL to the shims of @lost first, so that they neither hang nor publish;
 * then SIGTERM to the first process of each container, a wait of at most
 * @grace_msec that is over as soon as all are gone, and SIGKILL to whatever is
 * left in the containers' cgroups. A process on which SIGTERM has no effect is
 * not waited for.
 *
 * Returns 0, or the first negative errno after trying all.
 */
int kill_sandboxes(const struct inventory *lost, unsigned grace_msec, struct kill_result *ret);

/*
 * Does this very process live in one of @lost, as that of a shell in a pod on the
 * node does? It would end in the middle of its work, and containerd is stopped
 * then. Returns 1, 0, or a negative errno.
 */
int kill_ends_us(const struct inventory *lost);

#endif
