#include "recover/remove.h"

#include <dirent.h>
#include <fcntl.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { DEPTH_MOST = 16 };

static int remove_directory(int dirfd, const char *name, unsigned depth);

static int remove_entry(int dirfd, const char *name, unsigned depth)
{
	if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR)
		return -errno;
	return remove_directory(dirfd, name, depth);
}

static int remove_directory(int dirfd, const char *name, unsigned depth)
{
	cleanup_fd int fd = dir_open_beneath(dirfd, name);
	cleanup_dir DIR *stream = NULL;
	const char *entry;
	int first, r;

	if (fd < 0 || depth == DEPTH_MOST)
		return fd == -ENOENT ? 0 : fd < 0 ? fd : -ELOOP;
	first = dir_stream(fd, &stream);
	if (first < 0)
		return first;
	while ((r = dir_next(stream, &entry, NULL)) > 0) {
		r = remove_entry(fd, entry, depth + 1);
		if (r < 0 && first == 0)
			first = r;
	}
	if (first < 0 || r < 0)
		return first < 0 ? first : r;
	return unlinkat(dirfd, name, AT_REMOVEDIR) < 0 && errno != ENOENT ? -errno : 0;
}

int remove_small_tree(int dirfd, const char *name)
{
	return remove_entry(dirfd, name, 0);
}
