/*
 * The place of a data root: where it is, what it is, and where its quarantine
 * (the jail) goes. The jail is always on the root's own file system:
 *
 *	<root>.quarantine/<ticket>/	the usual case
 *	<root>/.quarantine/<ticket>/	a root that is a mount point itself
 */
#ifndef RECOVER_DATA_ROOT_H
#define RECOVER_DATA_ROOT_H

#include <stdbool.h>
#include <stdint.h>

#define JAIL_SUFFIX ".quarantine"

struct data_root {
	char *root; /* absolute, links resolved */
	char *name; /* its last component */
	int parent_fd;
	int root_fd; /* what was judged; held, so that its inode cannot be recycled */
	uint64_t dev, ino;
	bool is_link; /* as configured, before it was resolved */
	bool is_mount_point;
};

/*
 * Returns 0 with @ret to end with data_root_done(), or a negative errno with it
 * untouched: -ENOENT where there is no root, -ENOTDIR where it is none.
 */
int data_root_open(const char *root, struct data_root *ret);

/*
 * The same for a root that does not exist (a run was killed between the two
 * renames that stand for an exchange): root_fd stays negative, ino 0. -EEXIST
 * where there is something at that name.
 */
int data_root_open_missing(const char *root, struct data_root *ret);

/* The one or the other: what quarantines of a root are found by, it may be gone. */
int data_root_open_any(const char *root, struct data_root *ret);

/* Is @path, links resolved, below one of the jails of @place? */
bool data_root_jails_hold(const struct data_root *place, const char *path);

/*
 * In a unit's sandbox, which shows the disk read-only: open what holds a jail
 * of @place anew, by PID 1's mounts, for deleting in that jail. Only the same
 * directory is taken, and only for a jail that cannot be written to otherwise.
 *
 * Returns 0, also where there is nothing to do, or a negative errno, with the jail
 * that it is of as it was: -EROFS where the disk itself is read-only, -ESTALE where PID 1 has
 * something else at that path.
 */
int data_root_use_host_mounts(struct data_root *place);

void data_root_done(struct data_root *place);
#define cleanup_data_root __attribute__((cleanup(data_root_done)))

/*
 * Open the jail beside the root, or with @inside the one in it; with @create
 * make it (0700). A jail that is a link, or not root's alone, is refused.
 *
 * Returns an fd, or a negative errno: -ENOENT where there is none.
 */
int data_root_open_jail(const struct data_root *place, bool inside, bool create);

/*
 * Can both jails be used, if they are there? Returns 0, or the negative errno of
 * data_root_open_jail() with the path in *@ret_path, the caller's to free() (NULL
 * if there is no memory for it).
 */
int data_root_check_jails(const struct data_root *place, char **ret_path);

/* Its path, for people. The caller's, to free(); NULL for want of memory. */
char *data_root_jail_path(const struct data_root *place, bool inside);

/* Is @name one that containerd makes at the top of its root, or k3s for its log, or we? */
bool data_root_is_known_name(const char *name);

#endif
