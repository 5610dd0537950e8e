#include "recover/purge/held.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { FILES_KNOWN = 1024, BLOCK = 512 /* the unit of st_blocks */ };

struct scan {
	const char *path;
	struct held held;
	ino_t known[FILES_KNOWN]; /* all on one file system: below one path */
};

static bool is_known(struct scan *scan, ino_t inode)
{
	size_t used = scan->held.files < FILES_KNOWN ? scan->held.files : FILES_KNOWN;

	for (size_t i = 0; i < used; i++)
		if (scan->known[i] == inode)
			return true;
	if (used < FILES_KNOWN)
		scan->known[used] = inode;
	return false;
}

static bool is_deleted_below(const char *target, const char *path)
{
	static const char suffix[] = " (deleted)";
	size_t length = strlen(target), path_length = strlen(path);

	return length > path_length + sizeof(suffix) && target[path_length] == '/' &&
	       strncmp(target, path, path_length) == 0 &&
	       strcmp(target + length - strlen(suffix), suffix) == 0;
}

static void look_at(struct scan *scan, pid_t pid, int dirfd, const char *name)
{
	char target[PATH_MAX];
	ssize_t n = readlinkat(dirfd, name, target, sizeof(target) - 1);
	struct stat st;
	uint64_t bytes;

	if (n < 0)
		return;
	target[n] = '\0';
	/* A file may be named so: only one without a name left is deleted. */
	if (!is_deleted_below(target, scan->path) || fstatat(dirfd, name, &st, 0) < 0 ||
	    st.st_nlink > 0 || is_known(scan, st.st_ino))
		return;
	bytes = (uint64_t)st.st_blocks * BLOCK;
	scan->held.files++;
	scan->held.bytes += bytes;
	if (!scan->held.pid || bytes > scan->held.pid_bytes) {
		scan->held.pid = pid;
		scan->held.pid_bytes = bytes;
	}
}

static void scan_links(struct scan *scan, int proc, pid_t pid, const char *what)
{
	char path[sizeof("/map_files") + 3 * sizeof(pid_t)];
	cleanup_fd int fd = -EBADF;
	cleanup_dir DIR *stream = NULL;
	const char *name;

	(void)snprintf(path, sizeof(path), "%d/%s", pid, what);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || dir_stream(fd, &stream) < 0)
		return;
	while (dir_next(stream, &name, NULL) > 0)
		look_at(scan, pid, fd, name);
}

int held_scan(const char *path, struct held *ret)
{
	cleanup_fd int proc = dir_open_path("/proc");
	struct scan scan = { .path = path };
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r;

	if (proc < 0)
		return proc;
	r = dir_stream(proc, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, NULL)) > 0) {
		pid_t pid;

		if (!isdigit((unsigned char)*name))
			continue;
		pid = (pid_t)strtol(name, NULL, 10);
		scan_links(&scan, proc, pid, "fd");
		scan_links(&scan, proc, pid, "map_files");
	}
	if (r < 0)
		return r;
	*ret = scan.held;
	return 0;
}
