#include "scanners/lock_holder.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { LOCKS_MAX = 16 << 20, CGROUP_MAX = 1 << 16 };

/*
 * The device that the table names is the superblock's. On btrfs that is not what
 * stat() says of the file, but it is what stands in mountinfo.
 */
static int superblock_of(int fd, dev_t *ret)
{
	cleanup_free char *text = NULL;
	char *save = NULL;
	uint64_t wanted;
	int r = dir_mount_id(fd, &wanted);

	if (r == 0)
		r = dir_read_path("/proc/self/mountinfo", LOCKS_MAX, &text, NULL);
	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned dev_major, dev_minor;
		uint64_t id;

		if (sscanf(line, "%" SCNu64 " %*d %u:%u", &id, &dev_major, &dev_minor) == 3 &&
		    id == wanted) {
			*ret = makedev(dev_major, dev_minor);
			return 0;
		}
	}
	return -ENOENT;
}

static int find_holder(char *table, dev_t dev, ino_t ino, pid_t *ret)
{
	char *save = NULL;

	for (char *line = strtok_r(table, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		unsigned lock_major, lock_minor;
		unsigned long long lock_ino;
		char kind[16];
		int pid;

		/* "-> " marks those who wait; sscanf then fails to see FLOCK. */
		if (sscanf(line, "%*d: %15s %*s %*s %d %x:%x:%llu", kind, &pid, &lock_major,
			   &lock_minor, &lock_ino) != 5)
			continue;
		if (strcmp(kind, "FLOCK") != 0 || lock_ino != ino || pid <= 0)
			continue;
		if (lock_major != major(dev) || lock_minor != minor(dev))
			continue;
		*ret = pid;
		return 1;
	}
	return 0;
}

int lock_holder(int fd, pid_t *ret)
{
	cleanup_free char *table = NULL;
	struct stat st;
	dev_t dev = 0;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	r = superblock_of(fd, &dev);
	if (r == 0)
		r = dir_read_path("/proc/locks", LOCKS_MAX, &table, NULL);
	return r < 0 ? r : find_holder(table, dev, st.st_ino, ret);
}

int lock_holder_in_unit(pid_t pid, const char *unit)
{
	cleanup_free char *text = NULL;
	char name[64], *save = NULL;
	size_t len = strlen(unit);
	int r;

	(void)snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	r = dir_read_path(name, CGROUP_MAX, &text, NULL);
	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		const char *at = strchr(line, '/');

		/* Below the unit's own group too: systemd runs ExecStartPre in ".control". */
		for (; at; at = strchr(at + 1, '/'))
			if (strncmp(at + 1, unit, len) == 0 && (at[1 + len] == '/' || at[1 + len] == '\0'))
				return 1;
	}
	return 0;
}

void lock_holder_name(pid_t pid, char ret[PROCESS_NAME])
{
	cleanup_free char *comm = NULL;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	if (dir_read_path(path, PROCESS_NAME, &comm, NULL) < 0)
		comm = NULL;
	(void)snprintf(ret, PROCESS_NAME, "%s", comm ?: "");
	ret[strcspn(ret, "\n")] = '\0';
}
