#include "scanners/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

int sys_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = flags | O_CLOEXEC,
		.mode = mode,
		.resolve = resolve,
	};
	long fd = syscall(SYS_openat2, dirfd, path, &how, sizeof(how));

	if (fd < 0)
		return -errno;
	return (int)fd;
}

int sys_fiemap(int fd, struct fiemap *map)
{
	long r = syscall(SYS_ioctl, fd, FS_IOC_FIEMAP, map);

	return r < 0 ? -errno : 0;
}

int sys_btrfs_ino_lookup(int fd, uint64_t inode)
{
	struct btrfs_ioctl_ino_lookup_args args = { .objectid = inode };
	long r = syscall(SYS_ioctl, fd, BTRFS_IOC_INO_LOOKUP, &args);

	return r < 0 ? -errno : 0;
}
