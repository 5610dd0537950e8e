#include "recover/keep/xattrs.h"

#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "scanners/cleanup.h"

enum { PATH_ROOM = NAME_MAX + 64 };

/* The kernel takes attributes by fd of what can be opened, else by path alone. */
static int path_of(const struct xattrs_of *of, char path[PATH_ROOM])
{
	int n = snprintf(path, PATH_ROOM, "/proc/self/fd/%d/%s", of->dirfd, of->name);

	return n < PATH_ROOM ? 0 : -ENAMETOOLONG;
}

static ssize_t list(const struct xattrs_of *of, char *names, size_t room)
{
	char path[PATH_ROOM];
	ssize_t n;
	int r;

	if (of->fd >= 0) {
		n = flistxattr(of->fd, names, room);
		return n < 0 ? -errno : n;
	}
	r = path_of(of, path);
	if (r < 0)
		return r;
	n = llistxattr(path, names, room);
	return n < 0 ? -errno : n;
}

int xattrs_get(const struct xattrs_of *of, const char *name, void *value, size_t room)
{
	char path[PATH_ROOM];
	ssize_t n;
	int r;

	if (of->fd >= 0) {
		n = fgetxattr(of->fd, name, value, room);
		return n < 0 ? -errno : (int)n;
	}
	r = path_of(of, path);
	if (r < 0)
		return r;
	n = lgetxattr(path, name, value, room);
	return n < 0 ? -errno : (int)n;
}

int xattrs_set(const struct xattrs_of *of, const char *name, const void *value, size_t size)
{
	char path[PATH_ROOM];
	int r;

	if (of->fd >= 0)
		return fsetxattr(of->fd, name, value, size, 0) < 0 ? -errno : 0;
	r = path_of(of, path);
	if (r < 0)
		return r;
	return lsetxattr(path, name, value, size, 0) < 0 ? -errno : 0;
}

static int visit_all(const struct xattrs_of *of, const char *names, size_t length,
		     xattrs_visit *visit, void *data)
{
	cleanup_free char *value = malloc(XATTR_SIZE_MAX);
	int r = 0;

	if (!value)
		return -ENOMEM;
	for (const char *name = names; r == 0 && name < names + length; name += strlen(name) + 1) {
		int size = xattrs_get(of, name, value, XATTR_SIZE_MAX);

		if (size != -ENODATA) /* removed meanwhile */
			r = visit(name, value, size, data);
	}
	return r;
}

int xattrs_each(const struct xattrs_of *of, xattrs_visit *visit, void *data)
{
	cleanup_free char *names = NULL;
	ssize_t length = list(of, NULL, 0);

	/* Most files have none, or a label. */
	if (length == 0 || length == -EOPNOTSUPP)
		return 0;
	if (length > 0) {
		names = malloc(XATTR_LIST_MAX);
		if (!names)
			return -ENOMEM;
		length = list(of, names, XATTR_LIST_MAX);
	}
	return length < 0 ? visit(NULL, NULL, length, data) :
			    visit_all(of, names, (size_t)length, visit, data);
}
