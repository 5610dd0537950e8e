/*
 * The one mount that a purge stays on, and the single steps of deleting on it:
 * each by directory fd and one name, none following a link or a mount.
 */
#ifndef RECOVER_PURGE_PLACE_H
#define RECOVER_PURGE_PLACE_H

#include <stdbool.h>
#include <stdint.h>

struct place {
	uint64_t mount_id;
	int dir_flags;	  /* for opening directories, O_NOATIME where allowed */
	bool has_openat2; /* else the mount id of every directory is compared */
	uint32_t magic;	  /* the type of the file system, as in linux/magic.h */
};

/* Learn about the mount that @fd lives on. Returns 0, or a negative errno. */
int place_init(int fd, struct place *ret);

/*
 * Open the directory @name below @dirfd. Returns an fd, or a negative errno:
 * -ELOOP or -ENOTDIR for what is no directory, -EXDEV for a mount point.
 */
int place_open(const struct place *place, int dirfd, const char *name);

/*
 * Have the inode of @name read, whatever it is, without asking anything of what
 * is mounted there or of where a link leads. Returns 0, or a negative errno:
 * -EXDEV for a mount, -ENOSYS without openat2, whose stand-in would have to ask.
 */
int place_fetch(const struct place *place, int dirfd, const char *name);

/* Its size in bytes, asked in the same way, with the same errors. */
int64_t place_size(const struct place *place, int dirfd, const char *name);

/*
 * Unlink @name below @dirfd, immutable and append-only flags on either cleared
 * if they are what prevents it.
 *
 * Returns 0, 1 if it was gone already, or a negative errno: -EISDIR for a directory, -EBUSY for a mount.
 */
int place_unlink(const struct place *place, int dirfd, const char *name);

/* The same for the directory @name, with @fd open on it; -ENOTEMPTY if it is not empty. */
int place_rmdir(int dirfd, const char *name, int fd);

/*
 * Move the directory @name to @to_name below @to_fd. Returns 0, or a negative
 * errno: -EEXIST where there is something, -EXDEV where it may not go.
 */
int place_move(const struct place *place, int dirfd, const char *name, int to_fd,
	       const char *to_name);

/*
 * Destroy @name below @dirfd, open as @fd, in one step if it is a btrfs
 * subvolume. Returns 1 if done, 0 if it must be emptied first (then a
 * read-only subvolume was made writable), or a negative errno.
 */
int place_destroy_subvolume(const struct place *place, int dirfd, const char *name, int fd);

#endif
