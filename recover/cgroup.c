#include "recover/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/process.h"
#include "scanners/text.h"

#define MOUNT "/sys/fs/cgroup"
enum {
	DEPTH_MOST = 16,
	TRIES = 20, /* the last process leaves its group a moment after it died */
	PAUSE_MSEC = 5,
};

/* Where version 2 is mounted: alone, or beside version 1 (systemd's hybrid). */
static int open_unified(void)
{
	static const char *const places[] = { MOUNT, MOUNT "/unified" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		cleanup_fd int fd = dir_open_path(places[i]);
		struct statfs fs;

		if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
			return take_fd(&fd);
	}
	return -ENOENT;
}

/*
 * Cut @line, "N:controllers:/path", behind the component with @id, and return
 * the path below the mount. Not behind the first id of any kind: a node may
 * itself be a container.
 */
static const char *container_group(char *line, const char *id)
{
	char found[CRI_ID_LENGTH + 1];
	const char *behind = line;

	line[strcspn(line, "\n")] = '\0';
	do {
		behind = process_next_cri_id(behind, found);
		if (!behind)
			return NULL;
	} while (strcmp(found, id) != 0);
	line[behind - line + (ptrdiff_t)strcspn(behind, "/")] = '\0';
	line = strstr(line, ":/");
	return line ? line + strlen(":/") : NULL;
}

/* The line of version 2, or of version 1's @controller. */
static char *find_line(char *cgroups, const char *controller)
{
	for (char *line = cgroups; line && *line; line = strchr(line, '\n')) {
		char *names, *end;

		line += *line == '\n';
		names = strchr(line, ':');
		end = names ? strchr(names + 1, ':') : NULL;
		if (!end)
			return NULL;
		if (!controller && end == names + 1)
			return line;
		if (controller && (size_t)(end - names - 1) == strlen(controller) &&
		    strncmp(names + 1, controller, strlen(controller)) == 0)
			return line;
	}
	return NULL;
}

/* Write @text to @file of the group of container @id in the hierarchy at @root. */
static int write_group(int root, const char *path, const char *file, const char *text)
{
	cleanup_fd int group = openat(root, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_fd int fd = -EBADF;

	if (group < 0)
		return -errno;
	fd = openat(group, file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	return file_write_all(fd, text, strlen(text));
}

static int write_of(pid_t pid, const char *id, const char *controller, int root, const char *file,
		    const char *text)
{
	cleanup_free char *cgroups = NULL;
	const char *path;
	char *line;
	int r = process_read_cgroups(pid, &cgroups);

	if (r < 0)
		return r;
	if (root < 0)
		return root;
	line = find_line(cgroups, controller);
	path = line ? container_group(line, id) : NULL;
	return path ? write_group(root, path, file, text) : -ENOENT;
}

int cgroup_kill(pid_t pid, const char *id)
{
	cleanup_fd int root = open_unified();

	return write_of(pid, id, NULL, root, "cgroup.kill", "1");
}

int cgroup_freeze(pid_t pid, const char *id, bool freeze)
{
	cleanup_fd int root = dir_open_path(MOUNT "/freezer");

	return write_of(pid, id, "freezer", root, "freezer.state", freeze ? "FROZEN" : "THAWED");
}

/* A slice's name holds its parents': a-b.slice is in a.slice. */
static int add_slices(struct text *path, const char *slice, size_t length)
{
	int r = 0;

	for (size_t i = 1; r == 0 && i <= length; i++) {
		if (i < length && slice[i] != '-')
			continue;
		r = text_add(path, "/", 1);
		if (r == 0)
			r = text_add(path, slice, i);
		if (r == 0)
			r = text_add_string(path, ".slice");
	}
	return r;
}

int cgroup_systemd_path(const char *text, char **ret)
{
	static const char suffix[] = ".slice";
	const char *prefix = strchr(text, ':'), *name = prefix ? strchr(prefix + 1, ':') : NULL;
	cleanup_text struct text path = { 0 };
	size_t length = prefix ? (size_t)(prefix - text) : 0;
	int r = 0;

	if (!name || strchr(name + 1, ':') || strchr(text, '/'))
		return -EINVAL;
	if (length > strlen(suffix) && strncmp(prefix - strlen(suffix), suffix, strlen(suffix)) == 0)
		length -= strlen(suffix);
	/* "-.slice" is the root. */
	if (length > 0 && !(length == 1 && *text == '-'))
		r = add_slices(&path, text, length);
	if (r == 0)
		r = text_add_string(&path, "/");
	if (r == 0)
		r = text_add(&path, prefix + 1, (size_t)(name - prefix - 1));
	if (r == 0)
		r = text_add_string(&path, "-");
	if (r == 0)
		r = text_add_string(&path, name + 1);
	if (r == 0)
		r = text_add_string(&path, ".scope");
	if (r < 0)
		return r;
	*ret = text_take(&path);
	return *ret ? 0 : -ENOMEM;
}

static int remove_children(int fd, unsigned depth);

static int remove_group(int parent, const char *name, unsigned depth)
{
	cleanup_fd int fd = dir_open_beneath(parent, name);
	const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000L };
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	r = remove_children(fd, depth);
	if (r < 0)
		return r;
	for (int i = 0; i < TRIES; i++) {
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		if (errno != EBUSY)
			return -errno;
		(void)nanosleep(&pause, NULL); /* a short pause is as good */
	}
	return -EBUSY;
}

static int remove_children(int fd, unsigned depth)
{
	cleanup_dir DIR *stream = NULL;
	unsigned char type;
	const char *name;
	int r;

	if (depth == DEPTH_MOST)
		return -ELOOP;
	r = dir_stream(fd, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, &type)) > 0) {
		if (type != DT_DIR)
			continue;
		r = remove_group(fd, name, depth + 1);
		if (r < 0)
			return r;
	}
	return r;
}

static int remove_path(const char *path)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *parent = strndup(path, slash ? (size_t)(slash - path) : 0);
	cleanup_fd int fd = -EBADF;

	if (!parent || !slash)
		return parent ? -EINVAL : -ENOMEM;
	fd = dir_open_path(parent);
	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	return remove_group(fd, slash + 1, 0);
}

/* Below the mount and below each directory in it: version 1 has one per controller. */
static int remove_everywhere(const char *path)
{
	cleanup_fd int fd = dir_open_path(MOUNT);
	cleanup_free char *top = text_print(MOUNT "%s", path);
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int first, r;

	if (fd < 0 || !top)
		return fd < 0 ? fd : -ENOMEM;
	first = remove_path(top);
	r = dir_stream(fd, &stream);
	if (r < 0)
		return r;
	while ((r = dir_next(stream, &name, NULL)) > 0) {
		cleanup_free char *below = text_print(MOUNT "/%s%s", name, path);

		r = below ? remove_path(below) : -ENOMEM;
		if (r < 0 && r != -ENOTDIR && first == 0)
			first = r;
	}
	return first < 0 ? first : r;
}

int cgroup_remove(const char *path, const char *id)
{
	cleanup_free char *scope = NULL;
	const char *last;
	int r = 0;

	/* "slice:prefix:name" is the systemd driver's way to say it; a path is a path. */
	if (*path != '/' && strchr(path, ':'))
		r = cgroup_systemd_path(path, &scope);
	if (r < 0)
		return r;
	if (scope)
		path = scope;
	last = strrchr(path, '/');
	if (!last || *path != '/' || strstr(path, "/../") || !process_cgroups_name(last, id, last))
		return 0;
	return strncmp(path, MOUNT "/", strlen(MOUNT "/")) == 0 ? remove_path(path) :
								  remove_everywhere(path);
}
