/*
 * Clearing the way: what must be gone before a containerd with a fresh root may
 * start. In this order: the lost shims are killed, so that they neither hang
 * nor publish; their containers get SIGTERM, a grace, SIGKILL; their bundles
 * are moved aside inside the state directory's file system; their host links
 * go down; only then their reservations are released.
 *
 * All of it may be repeated: what is already gone is success.
 */
#ifndef RECOVER_CLEAR_H
#define RECOVER_CLEAR_H

#include <stddef.h>

#include "scanners/config.h"
#include "scanners/inventory.h"

struct clear_result {
	size_t shims_killed, containers_killed, bundles_moved, links_down, released;
	size_t kept;   /* reservations that were somebody else's by now */
	size_t failed; /* things that could not be cleared; each was logged */
};

/*
 * Kill the shims and containers of every sandbox in @lost (never one that is
 * not listed; never a pid whose start time or cgroup is not the judged one).
 * @grace_msec is the longest wait between SIGTERM and SIGKILL; it ends as soon
 * as all are gone.
 *
 * Returns 0, or the first negative errno after trying all.
 */
int clear_kill(const struct inventory *lost, unsigned grace_msec, struct clear_result *result);

/*
 * Move the bundles of @lost to <state>/.containerd-recover-<ticket>/<ns>/<id>.
 * Bundles that are not listed stay. Returns 0, or the first negative errno.
 */
int clear_bundles(const struct config *config, const struct inventory *lost, const char *ticket,
		  struct clear_result *result);

/*
 * The name below the state directory of what clear_bundles() moves aside.
 * Returns 0 with @ret the caller's, to free(), -EINVAL or -ENOMEM.
 */
int clear_aside_name(const char *ticket, char **ret);

/* The way back of clear_bundles(): what was moved aside for @ticket returns. */
int clear_bundles_undo(const struct config *config, const char *ticket);

/*
 * Take the host links of @lost down as one group (RTM_SETLINK by IFLA_GROUP);
 * links already in somebody else's group one by one.
 */
int clear_links_down(const struct inventory *lost, struct clear_result *result);

/*
 * Release the reservations of @lost under host-local's own lock, each file
 * re-read first. A reservation whose sandbox still has a link that is up, or
 * whose file names another container by now, is kept.
 */
int clear_reservations(const struct config *config, const struct inventory *lost,
		       struct clear_result *result);

#endif
