/*
 * One run of ours at a time: a flock on /run/containerd-recover/lock, held by
 * whoever decides and acts (preflight, now, restore).
 */
#ifndef RECOVER_RUN_LOCK_H
#define RECOVER_RUN_LOCK_H

#include "scanners/inventory.h"

/* Returns an fd that holds the lock until closed, -EBUSY, or another negative errno. */
int run_lock(void);

/*
 * The same for a person's command, which waits for as long as a preflight may
 * take. An error was logged; -EBUSY only after that.
 */
int run_lock_patiently(void);

/*
 * Could a run write down what it does? For a person's command, before it changes
 * anything. Returns 0, or a negative errno, which was logged.
 */
int run_check_records(void);

/*
 * Would a run outlive the pods of @inventory? Not if it was started from a shell in
 * one. Likewise; -EDEADLK if it would not.
 */
int run_check_apart(const struct inventory *inventory);

/*
 * Is the state directory of @config, read with @paths, the one that the pods of
 * @inventory are in? Likewise; -ENOTDIR if all that live are in another. One that is
 * not there may be right: it does not outlive a reboot.
 */
int run_check_state(const struct config_overrides *paths, const struct config *config,
		    const struct inventory *inventory);

#endif
