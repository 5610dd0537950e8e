/*
 * Reading directories and small files by directory fd, without following a
 * link. Nothing here changes the node: recover/file.h is what writes.
 */
#ifndef SCANNERS_DIR_H
#define SCANNERS_DIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/*
 * Open the directory at the single name @name below @dirfd: O_NOFOLLOW, and
 * without crossing a mount (openat2 RESOLVE_NO_XDEV|NO_SYMLINKS|BENEATH; where
 * there is no openat2, dir_open_on_mount()). The server of what is mounted there
 * is not asked for anything.
 *
 * Returns an fd, or a negative errno: -ELOOP or -ENOTDIR for a link, -EXDEV
 * for a mount point.
 */
int dir_open_beneath(int dirfd, const char *name);

/*
 * statx(2) of the single name @name below @dirfd, whatever it is: a link is not
 * followed, a mount not crossed (no server of another file system is asked), and
 * nothing is waited for that is not known already.
 *
 * Returns 0, or a negative errno with @ret undefined: -EXDEV for a mount point.
 */
int dir_stat_beneath(int dirfd, const char *name, unsigned mask, struct statx *ret);

/*
 * For kernels without openat2: open the single name @name below @dirfd with @flags
 * if it is on the mount @mount_id. It is looked up without being opened first
 * (O_PATH), and the mount ids are compared by what the kernel knows, so that a
 * server that is gone cannot hold this up; NFS alone may be asked whether its
 * root still stands. Returns an fd, or a negative errno: -EXDEV for a mount point.
 */
int dir_open_on_mount(int dirfd, const char *name, int flags, uint64_t mount_id);

/*
 * Open for good, with @flags, what the O_PATH fd @path_fd stands for and was looked
 * at by. Returns an fd, or a negative errno. @path_fd stays the caller's.
 */
int dir_reopen(int path_fd, int flags);

/*
 * Open the directory at @path, links in it followed: for paths of the
 * administrator's, which are trusted. Returns an fd, or a negative errno.
 */
int dir_open_path(const char *path);

/*
 * A directory stream over a copy of @dirfd, which stays the caller's and whose
 * position is not moved. Returns 0, or a negative errno with @ret untouched.
 */
struct __dirstream;
int dir_stream(int dirfd, struct __dirstream **ret);

/*
 * The next entry that is not "." or "..". Returns 1 with @ret_name valid until
 * the next call and @ret_type a DT_* (may be DT_UNKNOWN), 0 at the end, or a
 * negative errno. Either out-parameter may be NULL.
 */
int dir_next(struct __dirstream *stream, const char **ret_name, unsigned char *ret_type);

/* Returns 1 if @dirfd has no entries, 0 if it has, or a negative errno. */
int dir_is_empty(int dirfd);

/*
 * The whole of the regular file @name below @dirfd (AT_FDCWD and a path are
 * allowed), the last component not followed if it is a link. A NUL is put
 * behind the content. Files in /proc and /sys, whose size is 0, are read too.
 *
 * Returns 0, or a negative errno with the out-parameters untouched: -EFBIG for
 * more than @max bytes, -EINVAL for something that is not a regular file.
 * @ret is the caller's, to free(); @ret_size may be NULL.
 */
int dir_read_file(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size);

/* As dir_read_file() for an absolute path of the administrator's, links followed. */
int dir_read_path(const char *path, size_t max, char **ret, size_t *ret_size);

/*
 * The target of the link @name below @dirfd. Returns 0 with @ret the caller's,
 * to free(), or a negative errno with it untouched.
 */
int dir_read_link(int dirfd, const char *name, char **ret);

/*
 * When the content of @name below @dirfd was last changed, in seconds since
 * 1970. Returns 0, or a negative errno with @ret untouched.
 */
int dir_changed(int dirfd, const char *name, int64_t *ret);

/* The id of the mount that @fd lives on. Returns 0, or a negative errno. */
int dir_mount_id(int fd, uint64_t *ret);

/*
 * Is the directory at @fd the root of a mount? Sees bind mounts of the same
 * file system too. Returns 1, 0, or a negative errno.
 */
int dir_is_mount_point(int fd);

#endif
