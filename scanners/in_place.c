#include "scanners/in_place.h"

#include <errno.h>
#include <fcntl.h>

#include "scanners/bundle.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

int in_place_open(const struct config *config)
{
	cleanup_fd int state_fd = dir_open_path(config->state);

	return state_fd < 0 ? state_fd : dir_open_beneath(state_fd, BUNDLE_TASKS);
}

int in_place_has(int tasks_fd, const struct sandbox *sandbox)
{
	for (size_t i = 0; i < sandbox->container_count; i++) {
		const struct container *container = &sandbox->containers[i];
		cleanup_fd int ns_fd = dir_open_beneath(tasks_fd, container->ns);

		if (ns_fd < 0 && ns_fd != -ENOENT)
			return ns_fd;
		if (ns_fd >= 0 && faccessat(ns_fd, container->id, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			return 1;
		if (ns_fd >= 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}
