/*
 * bbolt's own flock(2) on a database file: held by us, no containerd can open it.
 */
#ifndef RECOVER_META_LOCK_H
#define RECOVER_META_LOCK_H

#include <stdbool.h>
#include <sys/types.h>

#include "recover/facts.h"

struct meta_lock {
	int fd; /* holds the lock if @state is LOCK_FREE, else negative */
	enum facts_lock state;
	pid_t pid; /* who holds it, if that is known, else 0 */
};

/*
 * Try for the lock of the file @name below @dirfd. Waits a moment for a holder
 * that is about to let go: a containerd that crashes, or another run of this
 * program, which looks and ends. What is no regular file has no lock, and is not
 * opened: LOCK_NO_FILE. A process of @unit counts as LOCK_BY_UNIT; with
 * @unit NULL, when its containerd is known to be down, as LOCK_BY_OTHER.
 */
void meta_lock_take(int dirfd, const char *name, const char *unit, struct meta_lock *ret);

/* Is @pid, which holds such a lock, a run of this program? */
bool meta_lock_is_ours(pid_t pid);

#endif
