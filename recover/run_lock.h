/*
 * One run of ours at a time: a flock on /run/containerd-recover/lock, held by
 * whoever decides and acts (preflight, now, restore).
 */
#ifndef RECOVER_RUN_LOCK_H
#define RECOVER_RUN_LOCK_H

/* Returns an fd that holds the lock until closed, -EBUSY, or another negative errno. */
int run_lock(void);

#endif
