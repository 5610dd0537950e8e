/*
 * System calls that the C library does not wrap. The one place below scanners/
 * where syscall(2) may stand (`make layers` checks which numbers it names).
 */
#ifndef SCANNERS_SYS_H
#define SCANNERS_SYS_H

#include <stdint.h>

/*
 * openat2(2). @resolve is a set of RESOLVE_* from linux/openat2.h.
 *
 * Returns a new fd (always O_CLOEXEC), or a negative errno; -ENOSYS where the
 * kernel or a seccomp filter has no openat2.
 */
int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);

/*
 * ioctl(2) FS_IOC_FIEMAP: where the content of @fd lies, into @map, whose
 * fm_start, fm_length, fm_flags and fm_extent_count are set. Returns 0, or a
 * negative errno: -EOPNOTSUPP where the file system cannot tell.
 */
struct fiemap;
int sys_fiemap(int fd, struct fiemap *map);

/*
 * ioctl(2) BTRFS_IOC_INO_LOOKUP: is there an inode @inode in the subvolume of
 * @fd? Returns 0, or a negative errno: -ENOENT if not, -EPERM without
 * CAP_SYS_ADMIN, -ENAMETOOLONG for one that lies very deep.
 */
int sys_btrfs_ino_lookup(int fd, uint64_t inode);

#endif
