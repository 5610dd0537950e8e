#include "recover/cgroup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stddef.h>
#include <string.h>
#include <sys/vfs.h>

#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/process.h"

/* Where version 2 is mounted: alone, or beside version 1 (systemd's hybrid). */
static int open_unified(void)
{
	static const char *const places[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" };

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		cleanup_fd int fd = dir_open_path(places[i]);
		struct statfs fs;

		if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
			return take_fd(&fd);
	}
	return -ENOENT;
}

/*
 * The path behind "0::/" up to the component with @id, which @cgroups is cut
 * to. Not up to the first id of any kind: a node may itself be a container.
 */
static const char *container_group(char *cgroups, const char *id)
{
	char *line = strncmp(cgroups, "0::/", 4) == 0 ? cgroups : strstr(cgroups, "\n0::/");
	char found[CRI_ID_LENGTH + 1];
	const char *behind;

	if (!line)
		return NULL;
	line += *line == '\n';
	line[strcspn(line, "\n")] = '\0';
	behind = line;
	do {
		behind = process_next_cri_id(behind, found);
		if (!behind)
			return NULL;
	} while (strcmp(found, id) != 0);
	line[behind - line + (ptrdiff_t)strcspn(behind, "/")] = '\0';
	return line + strlen("0::/");
}

int cgroup_kill(pid_t pid, const char *id)
{
	cleanup_fd int root = -EBADF, group = -EBADF, file = -EBADF;
	cleanup_free char *cgroups = NULL;
	const char *path;
	int r = process_read_cgroups(pid, &cgroups);

	if (r < 0)
		return r;
	path = container_group(cgroups, id);
	if (!path)
		return -ENOENT;
	root = open_unified();
	if (root < 0)
		return root;
	group = openat(root, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (group < 0)
		return -errno;
	file = openat(group, "cgroup.kill", O_WRONLY | O_CLOEXEC);
	if (file < 0)
		return -errno;
	return file_write_all(file, "1", 1);
}
