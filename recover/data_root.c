#include "recover/data_root.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

static int split(const char *path, char **ret_parent, char **ret_name)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *parent = NULL;

	if (!slash || !slash[1])
		return -EINVAL; /* "/" cannot be a data root */
	parent = slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
	if (!parent)
		return -ENOMEM;
	*ret_name = strdup(slash + 1);
	if (!*ret_name)
		return -ENOMEM;
	*ret_parent = take_ptr(parent);
	return 0;
}

int data_root_open(const char *root, struct data_root *ret)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_free char *parent = NULL;
	struct stat st;
	int r;

	if (root[0] != '/')
		return -EINVAL; /* containerd's working directory is not ours */
	if (lstat(root, &st) < 0)
		return -errno;
	place.is_link = S_ISLNK(st.st_mode);
	place.root = realpath(root, NULL);
	if (!place.root)
		return -errno;
	r = split(place.root, &parent, &place.name);
	if (r < 0)
		return r;
	place.parent_fd = dir_open_path(parent);
	if (place.parent_fd < 0)
		return place.parent_fd;
	place.root_fd = openat(place.parent_fd, place.name,
			       O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (place.root_fd < 0)
		return -errno;
	if (fstat(place.root_fd, &st) < 0)
		return -errno;
	place.dev = st.st_dev;
	place.ino = st.st_ino;
	r = dir_is_mount_point(place.root_fd);
	if (r < 0)
		return r;
	place.is_mount_point = r;
	*ret = place;
	place = (struct data_root){ .parent_fd = -EBADF, .root_fd = -EBADF };
	return 0;
}

int data_root_open_missing(const char *root, struct data_root *ret)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_free char *parent = NULL, *real_parent = NULL, *target = NULL;
	int r;

	if (access(root, F_OK) == 0)
		return -EEXIST;
	/* One level of link: that is how roots are moved to another disk. */
	if (dir_read_link(AT_FDCWD, root, &target) == 0 && target[0] == '/')
		place.is_link = true;
	r = split(place.is_link ? target : root, &parent, &place.name);
	if (r < 0)
		return r;
	real_parent = realpath(parent, NULL);
	if (!real_parent)
		return -errno;
	if (asprintf(&place.root, "%s/%s", strcmp(real_parent, "/") == 0 ? "" : real_parent,
		     place.name) < 0) {
		place.root = NULL;
		return -ENOMEM;
	}
	place.parent_fd = dir_open_path(real_parent);
	if (place.parent_fd < 0)
		return place.parent_fd;
	*ret = place;
	place = (struct data_root){ .parent_fd = -EBADF, .root_fd = -EBADF };
	return 0;
}

int data_root_open_any(const char *root, struct data_root *ret)
{
	int r = data_root_open(root, ret);

	return r == -ENOENT ? data_root_open_missing(root, ret) : r;
}

void data_root_done(struct data_root *place)
{
	free(place->root);
	free(place->name);
	cleanup_close(&place->parent_fd);
	cleanup_close(&place->root_fd);
	*place = (struct data_root){ .parent_fd = -EBADF, .root_fd = -EBADF };
}

static int jail_name(const struct data_root *place, bool inside, char **ret)
{
	if (asprintf(ret, "%s" JAIL_SUFFIX, inside ? "" : place->name) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

int data_root_open_jail(const struct data_root *place, bool inside, bool create)
{
	int base = inside ? place->root_fd : place->parent_fd;
	cleanup_free char *name = NULL;
	cleanup_fd int fd = -EBADF;
	struct stat st;
	int r;

	if (base < 0)
		return -ENOENT;
	r = jail_name(place, inside, &name);
	if (r < 0)
		return r;
	if (create) {
		if (mkdirat(base, name, 0700) < 0 && errno != EEXIST)
			return -errno;
		if (fsync(base) < 0)
			return -errno;
	}
	fd = openat(base, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() || (st.st_mode & 022))
		return -EPERM;
	return take_fd(&fd);
}

static bool is_read_only(int fd)
{
	struct statvfs fs;

	return fstatvfs(fd, &fs) == 0 && (fs.f_flag & ST_RDONLY);
}

/* @path has no links in it. Wherever it leads by then, only the same directory is taken. */
static int open_by_host(const char *path, int same_fd)
{
	cleanup_fd int host_fd = open("/proc/1/root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = -EBADF;
	struct stat st, same;

	if (host_fd < 0)
		return -errno;
	fd = openat(host_fd, path[1] ? path + 1 : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || fstat(same_fd, &same) < 0)
		return -errno;
	if (st.st_dev != same.st_dev || st.st_ino != same.st_ino)
		return -ESTALE;
	return is_read_only(fd) ? -EROFS : take_fd(&fd);
}

int data_root_use_host_mounts(struct data_root *place)
{
	for (int inside = 0; inside < 2; inside++) {
		cleanup_fd int jail_fd = data_root_open_jail(place, inside, false);
		int *base = inside ? &place->root_fd : &place->parent_fd;
		cleanup_free char *parent = NULL, *name = NULL;
		int fd, r;

		if (jail_fd < 0 || !is_read_only(jail_fd))
			continue;
		r = split(place->root, &parent, &name);
		if (r < 0)
			return r;
		fd = open_by_host(inside ? place->root : parent, *base);
		if (fd < 0)
			return fd;
		(void)close(*base); /* only read from */
		*base = fd;
	}
	return 0;
}

char *data_root_jail_path(const struct data_root *place, bool inside)
{
	char *path;

	if (asprintf(&path, "%s%s" JAIL_SUFFIX, place->root, inside ? "/" : "") < 0)
		return NULL;
	return path;
}

bool data_root_jails_hold(const struct data_root *place, const char *path)
{
	cleanup_free char *real = realpath(path, NULL);
	bool held = false;

	for (int inside = 0; real && inside < 2; inside++) {
		cleanup_free char *jail = data_root_jail_path(place, inside);
		size_t length = jail ? strlen(jail) : 0;

		held |= !jail || (strncmp(real, jail, length) == 0 && real[length] == '/');
	}
	return held;
}

int data_root_check_jails(const struct data_root *place, char **ret_path)
{
	for (int inside = 0; inside < 2; inside++) {
		cleanup_fd int fd = data_root_open_jail(place, inside, false);

		if (fd >= 0 || fd == -ENOENT)
			continue;
		*ret_path = data_root_jail_path(place, inside);
		return fd;
	}
	return 0;
}

bool data_root_is_known_name(const char *name)
{
	static const char *const patterns[] = {
		"io.containerd.*", "tmpmounts", "opt", "containerd*.log*", ".containerd-recover-*",
	};

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		if (fnmatch(patterns[i], name, 0) == 0)
			return true;
	return false;
}
