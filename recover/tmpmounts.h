/*
 * Temporary mounts that hold containerd's start up. The directory tmpmounts is
 * renamed with all that is mounted in it, which touches none of these mounts
 * and takes them out of containerd's sight; containerd makes a new one. They are
 * unmounted afterwards, lazily, where nobody waits for it.
 *
 *	<jail>/<ticket>/root/tmpmounts
 */
#ifndef RECOVER_TMPMOUNTS_H
#define RECOVER_TMPMOUNTS_H

#include "recover/situation.h"
#include "recover/ticket.h"
#include "recover/triage.h"

/*
 * Move <root>/tmpmounts of @s aside by @decision, recorded in a ticket of its
 * own, under the lock on meta.db that @s holds. Returns 0 with @ret_id filled,
 * or a negative errno.
 */
int tmpmounts_set_aside(struct situation *s, const struct decision *decision,
			char ret_id[TICKET_ID]);

/*
 * Unmount what containerd had mounted in <ticket>/root/tmpmounts, lazily, each
 * in a process of its own: one that hangs in the kernel all the same (the last
 * unmount of a file system whose server is gone) is left to end by itself, a FUSE
 * file system's connection is cut then, which nobody else uses any more.
 *
 * Returns 0, or the first negative errno after trying all: -ETIMEDOUT for one
 * that is still there.
 */
int tmpmounts_detach(const struct ticket *ticket);

#endif
