#include "scanners/blockdev.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

enum { UEVENT_MAX = 4096 };

/* "DEVNAME=" of /sys/dev/block/M:m/uevent: there is no /dev/block without udev. */
static char *device_path(dev_t dev)
{
	cleanup_free char *uevent = NULL, *content = NULL;
	const char *name;

	uevent = text_print("/sys/dev/block/%u:%u/uevent", major(dev), minor(dev));
	if (!uevent || dir_read_path(uevent, UEVENT_MAX, &content, NULL) < 0)
		return NULL;
	name = strstr(content, "DEVNAME=");
	if (!name || (name != content && name[-1] != '\n'))
		return NULL;
	name += strlen("DEVNAME=");
	return text_print("/dev/%.*s", (int)strcspn(name, "\n"), name);
}

int blockdev_open_ext4(int fd)
{
	cleanup_free char *path = NULL;
	cleanup_fd int device = -EBADF;
	struct stat of_fd, of_device;
	struct statfs fs;

	if (fstatfs(fd, &fs) < 0 || fstat(fd, &of_fd) < 0)
		return -errno;
	if (fs.f_type != EXT4_SUPER_MAGIC)
		return -EOPNOTSUPP;
	path = device_path(of_fd.st_dev);
	if (!path)
		return -ENODEV;
	device = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	if (device < 0 || fstat(device, &of_device) < 0)
		return -errno;
	if (!S_ISBLK(of_device.st_mode) || of_device.st_rdev != of_fd.st_dev)
		return -ENODEV;
	return take_fd(&device);
}
