/*
 * Where a copy goes to: a directory or a file that does not exist yet. It is
 * made beside under a name of its own and appears whole or not at all:
 *
 *	<parent>/.<name>.containerd-recover-keep	a file (of an archive), or
 *	<parent>/.<name>.containerd-recover-keep/	{mark, data/, links/}
 *
 * What a killed run left under that name is taken away by the next one, if it
 * is what such a run leaves; anything else there is refused.
 */
#ifndef RECOVER_KEEP_TARGET_H
#define RECOVER_KEEP_TARGET_H

#include <stdbool.h>
#include <stdint.h>

#include "recover/data_root.h"

struct keep_target {
	int parent_fd;
	char *name, *temporary;
	bool archive;
	unsigned how; /* to compress it: recover/archive.h */
	int fd;	      /* the file, or data/ */
	int links_fd; /* of a directory */
	int own_fd;   /* of a directory: the one under the temporary name, locked */
};

#define KEEP_TARGET_NONE { .parent_fd = -EBADF, .fd = -EBADF, .links_fd = -EBADF, .own_fd = -EBADF }

/*
 * What @path is: an archive if it ends in .tar, .tar.zst, .tar.gz or .tgz. Its
 * parent is opened, and nothing made yet.
 *
 * Returns 0 with @ret to end with keep_target_done(); -EEXIST if there is
 * something at @path; or another negative errno.
 */
int keep_target_open(const char *path, struct keep_target *ret);

/* Is it in @place's root, or in one of its quarantines? Returns 1, 0, or a negative errno. */
int keep_target_is_inside(const struct keep_target *target, const struct data_root *place);

/*
 * Is there room for @bytes in @entries files and directories, and @reserve bytes
 * besides? Returns 1, 0 with the room there is in *@ret_bytes (and
 * *@ret_entries), or a negative errno.
 */
int keep_target_has_room(const struct keep_target *target, uint64_t bytes, uint64_t entries,
			 uint64_t reserve, uint64_t *ret_bytes, uint64_t *ret_entries);

/*
 * Make it, under its temporary name. Returns 0; -EBUSY where another run is at
 * work on the same; -EPERM where there is something of somebody else's at that
 * name; or another negative errno.
 */
int keep_target_begin(struct keep_target *target);

/* All is in it: sync, and give it its name. Returns 0, -EEXIST, or another negative errno. */
int keep_target_commit(struct keep_target *target);

/* Take away what was made, unless it was committed. Returns 0, or a negative errno. */
int keep_target_abandon(struct keep_target *target);

void keep_target_done(struct keep_target *target);
#define cleanup_keep_target __attribute__((cleanup(keep_target_done)))

#endif
