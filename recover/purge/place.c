#include "recover/purge/place.h"

#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/sys.h"

/* The inode number of the root of every btrfs subvolume. */
#define BTRFS_SUBVOLUME_INODE 256

#define DIR_FLAGS (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
#define RESOLVE_INSIDE (RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH)

int place_init(int fd, struct place *ret)
{
	struct place place = { .dir_flags = DIR_FLAGS | O_NOATIME };
	cleanup_fd int again = -EBADF;
	struct statfs sfs;
	int probe, r;

	/* Reading a directory should not dirty its inode; only its owner may say so. */
	again = openat(fd, ".", place.dir_flags);
	if (again < 0)
		place.dir_flags = DIR_FLAGS;

	probe = sys_openat2(fd, ".", (uint64_t)place.dir_flags, 0, RESOLVE_INSIDE);
	if (probe >= 0)
		(void)close(probe);
	place.has_openat2 = probe >= 0;

	r = dir_mount_id(fd, &place.mount_id);
	if (r < 0)
		return r;
	if (fstatfs(fd, &sfs) < 0)
		return -errno;
	place.magic = (uint32_t)sfs.f_type;
	*ret = place;
	return 0;
}

static int open_inside(const struct place *place, int dirfd, const char *name, int flags)
{
	if (!place->has_openat2)
		return dir_open_on_mount(dirfd, name, flags, place->mount_id);
	return sys_openat2(dirfd, name, (uint64_t)flags, 0, RESOLVE_INSIDE);
}

int place_open(const struct place *place, int dirfd, const char *name)
{
	return open_inside(place, dirfd, name, place->dir_flags);
}

/* The stand-in for openat2 would have to ask what is mounted there. */
static int open_unasked(const struct place *place, int dirfd, const char *name)
{
	if (!place->has_openat2)
		return -ENOSYS;
	return open_inside(place, dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

int place_fetch(const struct place *place, int dirfd, const char *name)
{
	cleanup_fd int fd = open_unasked(place, dirfd, name);

	return fd < 0 ? fd : 0;
}

int64_t place_size(const struct place *place, int dirfd, const char *name)
{
	cleanup_fd int fd = open_unasked(place, dirfd, name);
	struct stat st;

	if (fd < 0)
		return fd;
	return fstat(fd, &st) < 0 ? -errno : st.st_size;
}

/* Returns 1 if @fd had flags that forbid deleting, now cleared; 0 if it had none. */
static int clear_flags(int fd, int *ret_was)
{
	const int forbidding = FS_IMMUTABLE_FL | FS_APPEND_FL;
	int flags, cleared;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return -errno;
	if (!(flags & forbidding))
		return 0;
	cleared = flags & ~forbidding;
	if (ioctl(fd, FS_IOC_SETFLAGS, &cleared) < 0)
		return -errno;
	if (ret_was)
		*ret_was = flags;
	return 1;
}

/* Opening a device or a fifo can have effects of its own: looked at before. */
static int open_regular(const struct place *place, int dirfd, const char *name)
{
	cleanup_fd int fd = -EBADF;
	struct stat st;

	fd = open_inside(place, dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EPERM;
	return dir_reopen(fd, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static int unlink_immutable(const struct place *place, int dirfd, const char *name)
{
	cleanup_fd int fd = open_regular(place, dirfd, name);
	struct stat st;
	int flags, r;

	if (fd < 0)
		return fd;
	r = clear_flags(fd, &flags);
	if (r <= 0)
		return r < 0 ? r : -EPERM;
	r = unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
	/* The inode may have another name, outside: that one stays as it was. */
	if (fstat(fd, &st) == 0 && st.st_nlink > 0)
		(void)ioctl(fd, FS_IOC_SETFLAGS, &flags);
	return r;
}

int place_unlink(const struct place *place, int dirfd, const char *name)
{
	int r = unlinkat(dirfd, name, 0) < 0 ? -errno : 0;

	if (r == -EPERM && clear_flags(dirfd, NULL) > 0)
		r = unlinkat(dirfd, name, 0) < 0 ? -errno : 0;
	if (r == -EPERM)
		r = unlink_immutable(place, dirfd, name);
	return r == -ENOENT ? 1 : r;
}

int place_rmdir(int dirfd, const char *name, int fd)
{
	int r = unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;

	if (r == -EPERM) {
		(void)clear_flags(fd, NULL); /* the next try tells */
		(void)clear_flags(dirfd, NULL);
		r = unlinkat(dirfd, name, AT_REMOVEDIR) < 0 ? -errno : 0;
	}
	if (r == -EEXIST) /* POSIX allows it for "not empty" */
		r = -ENOTEMPTY;
	return r == -ENOENT ? 0 : r;
}

static int move(int dirfd, const char *name, int to_fd, const char *to_name)
{
	return renameat2(dirfd, name, to_fd, to_name, RENAME_NOREPLACE) < 0 ? -errno : 0;
}

int place_move(const struct place *place, int dirfd, const char *name, int to_fd,
	       const char *to_name)
{
	int r = move(dirfd, name, to_fd, to_name);

	if (r == -EPERM) {
		cleanup_fd int fd = place_open(place, dirfd, name);

		if (fd < 0)
			return fd;
		(void)clear_flags(fd, NULL); /* the next try tells */
		(void)clear_flags(dirfd, NULL);
		r = move(dirfd, name, to_fd, to_name);
	}
	return r;
}

int place_destroy_subvolume(const struct place *place, int dirfd, const char *name, int fd)
{
	struct btrfs_ioctl_vol_args args = { 0 };
	struct stat st;
	uint64_t flags;

	if (place->magic != BTRFS_SUPER_MAGIC)
		return 0;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_ino != BTRFS_SUBVOLUME_INODE)
		return 0;

	(void)snprintf(args.name, sizeof(args.name), "%s", name);
	if (ioctl(dirfd, BTRFS_IOC_SNAP_DESTROY, &args) == 0)
		return 1;
	/* Holds subvolumes of its own, or may only be emptied by hand. */
	if (ioctl(fd, BTRFS_IOC_SUBVOL_GETFLAGS, &flags) == 0 && (flags & BTRFS_SUBVOL_RDONLY)) {
		flags &= ~BTRFS_SUBVOL_RDONLY;
		(void)ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags);
	}
	return 0;
}
