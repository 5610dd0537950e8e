#include "recover/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

int file_write_all(int fd, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		ssize_t n = write(fd, at, size);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int file_read_lines(int dirfd, const char *name, size_t max, char **ret)
{
	size_t size;
	int r = dir_read_file(dirfd, name, max, ret, &size);

	for (size_t i = 0; r == 0 && i < size; i++)
		if ((*ret)[i] == '\0')
			(*ret)[i] = '\n';
	return r;
}

static int write_new(int dirfd, const char *name, const void *data, size_t size, mode_t mode)
{
	cleanup_fd int fd = -EBADF;
	int r;

	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
	if (fd < 0)
		return -errno;
	r = file_write_all(fd, data, size);
	if (r < 0)
		return r;
	if (fsync(fd) < 0)
		return -errno;
	if (close(take_fd(&fd)) < 0)
		return -errno;
	return 0;
}

int file_commit(int dirfd, const char *temporary, const char *name, int r)
{
	if (r == 0 && renameat(dirfd, temporary, dirfd, name) < 0)
		r = -errno;
	if (r < 0)
		(void)unlinkat(dirfd, temporary, 0); /* ours alone; the old file stands */
	return r;
}

int file_replace(int dirfd, const char *name, const void *data, size_t size, mode_t mode)
{
	cleanup_free char *temporary = NULL;
	int r;

	if (asprintf(&temporary, ".%s.new", name) < 0) {
		temporary = NULL;
		return -ENOMEM;
	}
	r = file_commit(dirfd, temporary, name, write_new(dirfd, temporary, data, size, mode));
	if (r < 0)
		return r;
	return fsync(dirfd) < 0 ? -errno : 0;
}

int file_make_dirs(const char *path, mode_t mode)
{
	cleanup_free char *copy = strdup(path);
	int fd;

	if (!copy)
		return -ENOMEM;
	for (char *slash = copy + 1; (slash = strchr(slash, '/')); slash++) {
		*slash = '\0';
		if (mkdir(copy, mode) < 0 && errno != EEXIST)
			return -errno;
		*slash = '/';
	}
	if (mkdir(copy, mode) < 0 && errno != EEXIST)
		return -errno;
	fd = open(copy, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int file_check_writable(const char *path)
{
	struct statvfs fs;

	if (access(path, W_OK | X_OK) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (statvfs(path, &fs) < 0)
		return -errno;
	/* What has no fixed number of blocks or inodes says 0 of 0. */
	return (fs.f_blocks > 0 && fs.f_bfree == 0) || (fs.f_files > 0 && fs.f_ffree == 0) ? -ENOSPC : 0;
}
