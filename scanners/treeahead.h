/*
 * Reading ahead what a walk on btrfs will read. btrfs keeps names and inodes in
 * one tree, in the order of inode numbers, and reads its leaves one by one as
 * they are met: deleting a cold tree waits for each of them. Here a thread of
 * its own has the leaves that come next read, by looking inode numbers up.
 *
 * A hint and no more: what is found is not used, and all that can happen
 * is that it does not help. How much is read is bounded by what was needed.
 */
#ifndef SCANNERS_TREEAHEAD_H
#define SCANNERS_TREEAHEAD_H

#include <stddef.h>
#include <stdint.h>

struct treeahead;

/*
 * For the subvolume that the directory @dirfd is in. Returns 0, or a negative
 * errno with @ret as it was: -EOPNOTSUPP for what is not btrfs, -EPERM without
 * CAP_SYS_ADMIN, which looking inodes up by number needs.
 */
int treeahead_open(int dirfd, struct treeahead **ret);

/*
 * @count entries are needed next, the first of which has inode @inode and the
 * others probably numbers above. For several threads at a time; @ahead may be NULL.
 */
void treeahead_hint(struct treeahead *ahead, uint64_t inode, size_t count);

/* Ends the thread, which takes the time of one read. @ahead may be NULL. */
void treeahead_close(struct treeahead *ahead);

#endif
