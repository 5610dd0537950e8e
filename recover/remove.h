/*
 * Removing the small directories that a container leaves (bundle, runc's state,
 * CRI's state), of a depth that is known to be small. Large trees are for
 * recover/purge.
 */
#ifndef RECOVER_REMOVE_H
#define RECOVER_REMOVE_H

/*
 * Remove @name below @dirfd with all that is in it. Links are not followed; a
 * mount point is not entered, and it and what it is in are left.
 *
 * Returns 0, also if there is none, or the first negative errno after trying
 * all: -EXDEV for a mount, -ELOOP for a tree too deep to be a container's.
 */
int remove_small_tree(int dirfd, const char *name);

#endif
