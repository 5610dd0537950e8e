#include "scanners/runc.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/sys.h"
#include "scanners/text.h"

enum { ENVIRON_MAX = 4 << 20 };

/* As containerd sees the file system, which may not be as we do. Returns 1, 0, or a negative errno. */
static int is_program(int root_fd, const char *path)
{
	cleanup_fd int fd = sys_openat2(root_fd, path, O_PATH, 0, RESOLVE_IN_ROOT);
	struct stat st;

	if (fd < 0)
		return fd == -ENOENT || fd == -ENOTDIR ? 0 : fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	return S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0;
}

static int open_root(pid_t containerd)
{
	cleanup_free char *path = containerd ? text_print("/proc/%d/root", (int)containerd) : strdup("/");

	return path ? dir_open_path(path) : -ENOMEM;
}

/* Returns 0 with @ret the caller's, -ENODATA without a PATH, or another negative errno. */
static int read_path(pid_t containerd, char **ret)
{
	cleanup_free char *file = text_print("/proc/%d/environ", (int)containerd), *text = NULL;
	size_t size = 0;
	int r = file ? dir_read_path(file, ENVIRON_MAX, &text, &size) : -ENOMEM;

	if (r < 0)
		return r;
	for (const char *i = text; i < text + size; i += strlen(i) + 1) {
		if (strncmp(i, "PATH=", 5) != 0 || !i[5])
			continue;
		*ret = strdup(i + 5);
		return *ret ? 0 : -ENOMEM;
	}
	return -ENODATA;
}

/* A directory that is not absolute is none to Go. */
static int search(int root_fd, const char *path, const char *name)
{
	int found = 0;

	for (size_t len; found == 0 && *path; path += len + (path[len] == ':')) {
		cleanup_free char *file = NULL;

		len = strcspn(path, ":");
		if (*path != '/')
			continue;
		file = text_print("%.*s/%s", (int)len, path, name);
		found = file ? is_program(root_fd, file) : -ENOMEM;
	}
	return found;
}

int runc_look(const struct config *config, pid_t containerd, char **ret_where)
{
	bool absolute = config->runc && config->runc[0] == '/';
	cleanup_free char *where = NULL;
	cleanup_fd int root_fd = -EBADF;
	int r;

	if (!config->runc || (!absolute && (strchr(config->runc, '/') || containerd == 0)))
		return -EOPNOTSUPP;
	root_fd = open_root(containerd);
	if (root_fd < 0)
		return root_fd;
	if (absolute) {
		where = strdup(config->runc);
		r = where ? is_program(root_fd, where) : -ENOMEM;
	} else {
		r = read_path(containerd, &where);
		if (r == 0)
			r = search(root_fd, where, config->runc);
	}
	if (r == 0)
		*ret_where = take_ptr(where);
	return r;
}
