/*
 * The part of a walk (scanners/walk.h) that opens no directories: on ext4, once
 * there are many of them and where no mount lies below the start, they are read
 * by their inode numbers from the block device (scanners/ext4dir.h). What cannot
 * be read so is opened by its number, and walked as everywhere else.
 */
#ifndef SCANNERS_WALK_INODES_H
#define SCANNERS_WALK_INODES_H

#include "scanners/walk_worker.h"

/*
 * Take the directory @inode, found in the one at @parent_fd, over for later, if
 * it can be read so; else false. @depth: levels below the start.
 */
bool walk_inodes_keep(struct walk_worker *w, int parent_fd, uint64_t inode, uint64_t tag, unsigned depth);

void walk_inodes_run(struct walk_worker *w, const struct inode_job *job);

/* Walk below what was kept until nothing is, or it is enough. */
void walk_inodes_run_kept(struct walk_worker *w);

void walk_inodes_free(struct walk_inodes *inodes);

#endif
