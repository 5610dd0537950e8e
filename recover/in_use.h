/*
 * Does somebody work on a tree that was set aside? A containerd started on a
 * quarantined root by hand, to look into it, has its databases locked as any
 * other has; containers that it left behind have their layers mounted.
 */
#ifndef RECOVER_IN_USE_H
#define RECOVER_IN_USE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "recover/ticket.h"
#include "scanners/lock_holder.h"

/* Who, and by what he shows. */
struct tree_user {
	pid_t pid;		 /* 0: not known, or a mount */
	char name[PROCESS_NAME]; /* of the process, raw */
	char *what;		 /* a database below the tree, or a mount point; raw */
	bool mounted;
};

void tree_user_done(struct tree_user *user);
#define cleanup_tree_user __attribute__((cleanup(tree_user_done)))

/* A sentence's end for the log, all names escaped: "process 7 (containerd) has ... open". */
char *tree_user_print(const struct tree_user *user);

/* The locks of a tree's databases: held by us, no containerd can open them. */
struct tree_locks {
	int *fds;
	size_t count;
};

void tree_locks_done(struct tree_locks *locks);
#define cleanup_tree_locks __attribute__((cleanup(tree_locks_done)))

/*
 * Take the lock of every database that a containerd would keep open in the trees
 * of @ticket, and add it to @locks. With @locks NULL it is a look that nobody
 * notices: no lock is taken, and a run of this program is no user.
 *
 * Returns 0; -EBUSY where one of them is in use, by whom in @ret_user, to end
 * with tree_user_done(); or another negative errno.
 */
int in_use(const struct data_root *place, const struct ticket *ticket, struct tree_locks *locks,
	   struct tree_user *ret_user);

#endif
