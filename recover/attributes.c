#include "recover/attributes.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "scanners/cleanup.h"

enum { XATTR_MAX = 64 * 1024 };

/* Labels and ACLs; trusted.* and the like belong to the content, not the place. */
static const char *const carried[] = {
	"security.selinux",
	"system.posix_acl_access",
	"system.posix_acl_default",
};

static int copy_xattr(int from_fd, int to_fd, const char *name)
{
	cleanup_free char *value = malloc(XATTR_MAX);
	ssize_t size;

	if (!value)
		return -ENOMEM;
	size = fgetxattr(from_fd, name, value, XATTR_MAX);
	if (size < 0)
		return errno == ENODATA || errno == EOPNOTSUPP ? 0 : -errno;
	if (fsetxattr(to_fd, name, value, (size_t)size, 0) < 0)
		return -errno;
	return 0;
}

/* A project quota on the tree: without the same id, rename(2) is refused. */
static int copy_project(int from_fd, int to_fd)
{
	struct fsxattr from, to;

	if (ioctl(from_fd, FS_IOC_FSGETXATTR, &from) < 0)
		return errno == ENOTTY || errno == EOPNOTSUPP ? 0 : -errno;
	if (from.fsx_projid == 0 && !(from.fsx_xflags & FS_XFLAG_PROJINHERIT))
		return 0;
	if (ioctl(to_fd, FS_IOC_FSGETXATTR, &to) < 0)
		return -errno;
	to.fsx_projid = from.fsx_projid;
	to.fsx_xflags |= from.fsx_xflags & FS_XFLAG_PROJINHERIT;
	if (ioctl(to_fd, FS_IOC_FSSETXATTR, &to) < 0)
		return -errno;
	return 0;
}

int attributes_copy(int from_fd, int to_fd)
{
	struct stat st;
	int r;

	if (fstat(from_fd, &st) < 0)
		return -errno;
	if (fchown(to_fd, st.st_uid, st.st_gid) < 0)
		return -errno;
	for (size_t i = 0; i < ARRAY_SIZE(carried); i++) {
		r = copy_xattr(from_fd, to_fd, carried[i]);
		if (r < 0)
			return r;
	}
	/* Behind chown and ACLs, which both may change the mode. */
	if (fchmod(to_fd, st.st_mode & 07777) < 0)
		return -errno;
	return copy_project(from_fd, to_fd);
}
