#include "scanners/lock_holder.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum { LOCKS_MAX = 16 << 20, CGROUP_MAX = 1 << 16 };

int lock_holder(dev_t dev, ino_t ino, pid_t *ret)
{
	cleanup_free char *text = NULL;
	char *save = NULL;
	int r = dir_read_path("/proc/locks", LOCKS_MAX, &text, NULL);

	if (r < 0)
		return r;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
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
