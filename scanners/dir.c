#include "scanners/dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "scanners/cleanup.h"
#include "scanners/sys.h"

#define OPEN_DIR (O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)

int dir_reopen(int path_fd, int flags)
{
	char link[sizeof("/proc/self/fd/") + 3 * sizeof(int)];
	int fd;

	if (flags & O_DIRECTORY) {
		fd = openat(path_fd, ".", flags);
		return fd < 0 ? -errno : fd;
	}
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", path_fd);
	fd = open(link, flags & ~O_NOFOLLOW); /* of a symbolic link: ELOOP all the same */
	return fd < 0 ? -errno : fd;
}

int dir_open_on_mount(int dirfd, const char *name, int flags, uint64_t mount_id)
{
	cleanup_fd int path_fd = -EBADF;
	uint64_t id = 0;
	int r;

	if (strchr(name, '/') || strcmp(name, "..") == 0)
		return -EXDEV;
	path_fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (path_fd < 0)
		return -errno;
	r = dir_mount_id(path_fd, &id);
	if (r < 0)
		return r;
	if (id != mount_id)
		return -EXDEV;
	if (flags & O_PATH)
		return take_fd(&path_fd);
	return dir_reopen(path_fd, flags);
}

/* For kernels without openat2, with the same refusals. */
static int open_beneath_checked(int dirfd, const char *name, int flags)
{
	uint64_t id = 0;
	int r = dir_mount_id(dirfd, &id);

	return r < 0 ? r : dir_open_on_mount(dirfd, name, flags, id);
}

static int open_beneath(int dirfd, const char *name, int flags, uint64_t resolve)
{
	int fd = sys_openat2(dirfd, name, (uint64_t)flags, 0, resolve | RESOLVE_NO_XDEV | RESOLVE_BENEATH);

	if (fd == -ENOSYS || fd == -EPERM)
		return open_beneath_checked(dirfd, name, flags);
	return fd;
}

int dir_open_beneath(int dirfd, const char *name)
{
	return open_beneath(dirfd, name, OPEN_DIR, RESOLVE_NO_SYMLINKS);
}

int dir_stat_beneath(int dirfd, const char *name, unsigned mask, struct statx *ret)
{
	cleanup_fd int fd = open_beneath(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);

	if (fd < 0)
		return fd;
	return statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, mask, ret) < 0 ? -errno : 0;
}

int dir_open_path(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

int dir_stream(int dirfd, struct __dirstream **ret)
{
	cleanup_fd int fd = openat(dirfd, ".", OPEN_DIR);
	DIR *stream;

	if (fd < 0)
		return -errno;
	stream = fdopendir(fd);
	if (!stream)
		return -errno;
	(void)take_fd(&fd); /* the stream's now */
	*ret = stream;
	return 0;
}

int dir_next(struct __dirstream *stream, const char **ret_name, unsigned char *ret_type)
{
	const struct dirent *entry;

	do {
		errno = 0;
		entry = readdir(stream); /* NOLINT(clang-analyzer-core.NonNullParamChecker) */
		if (!entry)
			return -errno;
	} while (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);

	if (ret_name)
		*ret_name = entry->d_name;
	if (ret_type)
		*ret_type = entry->d_type;
	return 1;
}

int dir_is_empty(int dirfd)
{
	cleanup_dir DIR *stream = NULL;
	int r;

	r = dir_stream(dirfd, &stream);
	if (r < 0)
		return r;
	r = dir_next(stream, NULL, NULL);
	if (r < 0)
		return r;
	return r == 0;
}

static int read_all(int fd, size_t max, char **ret, size_t *ret_size)
{
	cleanup_free char *buffer = NULL;
	size_t used = 0, room = 0;

	for (;;) {
		ssize_t n;

		if (used + 1 >= room) {
			size_t grown = room ? room * 2 : 4096;
			char *bigger = realloc(buffer, grown);

			if (!bigger)
				return -ENOMEM;
			buffer = bigger;
			room = grown;
		}
		n = read(fd, buffer + used, room - used - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		used += (size_t)n;
		if (used > max)
			return -EFBIG;
	}
	buffer[used] = '\0';
	*ret = take_ptr(buffer);
	if (ret_size)
		*ret_size = used;
	return 0;
}

static int read_at(int dirfd, const char *name, int flags, size_t max, char **ret,
		   size_t *ret_size)
{
	/* O_NONBLOCK: a fifo in the place of the file must not hang us. */
	cleanup_fd int fd = openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
	struct stat st;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	return read_all(fd, max, ret, ret_size);
}

int dir_read_file(int dirfd, const char *name, size_t max, char **ret, size_t *ret_size)
{
	return read_at(dirfd, name, O_NOFOLLOW, max, ret, ret_size);
}

int dir_read_path(const char *path, size_t max, char **ret, size_t *ret_size)
{
	return read_at(AT_FDCWD, path, 0, max, ret, ret_size);
}

int dir_read_link(int dirfd, const char *name, char **ret)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target));
	char *copy;

	if (n < 0)
		return -errno;
	if ((size_t)n == sizeof(target))
		return -ENAMETOOLONG;
	copy = strndup(target, (size_t)n);
	if (!copy)
		return -ENOMEM;
	*ret = copy;
	return 0;
}

/* Before Linux 5.8 statx() has no mount ids, but every fd's fdinfo does. */
static int mount_id_from_fdinfo(int fd, uint64_t *ret)
{
	enum { FDINFO_MAX = 64 << 10 };
	static const char key[] = "mnt_id:";
	cleanup_free char *text = NULL;
	char path[sizeof("/proc/self/fdinfo/") + 3 * sizeof(int)];
	const char *line;
	char *end;
	uint64_t id;
	int r;

	(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	r = dir_read_path(path, FDINFO_MAX, &text, NULL);
	if (r < 0)
		return r;
	line = strstr(text, key); /* NOLINT(clang-analyzer-core.NonNullParamChecker) */
	if (!line)
		return -EOPNOTSUPP;
	id = strtoull(line + strlen(key), &end, 10);
	if (*end != '\n')
		return -EOPNOTSUPP;
	*ret = id;
	return 0;
}

int dir_changed(int dirfd, const char *name, int64_t *ret)
{
	struct stat st;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	*ret = st.st_mtim.tv_sec;
	return 0;
}

int dir_mount_id(int fd, uint64_t *ret)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_MNT_ID, &stx) < 0) {
		/* Emulated by the C library, statx() refuses the flags. */
		if (errno != ENOSYS && errno != EINVAL)
			return -errno;
		return mount_id_from_fdinfo(fd, ret);
	}
	if (!(stx.stx_mask & STATX_MNT_ID))
		return mount_id_from_fdinfo(fd, ret);
	*ret = stx.stx_mnt_id;
	return 0;
}

int dir_is_mount_point(int fd)
{
	struct statx stx;

	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, &stx) < 0)
		return -errno;
	if (!(stx.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT))
		return -EOPNOTSUPP;
	return !!(stx.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}
