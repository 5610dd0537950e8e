#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "recover/scan.h"
#include "scanners/cleanup.h"
#include "scanners/text.h"

static bool is_alive(const struct sandbox *sandbox)
{
	if (sandbox->shim.start_ticks)
		return true;
	for (size_t i = 0; i < sandbox->container_count; i++)
		if (sandbox->containers[i].init.start_ticks)
			return true;
	return false;
}

/* Is @id, of @length, a sandbox or a container of a sandbox that lives? */
static bool id_is_alive(const struct inventory *inventory, const char *id, size_t length)
{
	for (size_t s = 0; s < inventory->sandbox_count; s++) {
		const struct sandbox *sandbox = &inventory->sandboxes[s];
		bool named = strlen(sandbox->id) == length && memcmp(sandbox->id, id, length) == 0;

		for (size_t c = 0; c < sandbox->container_count && !named; c++)
			named = strlen(sandbox->containers[c].id) == length &&
				memcmp(sandbox->containers[c].id, id, length) == 0;
		if (named)
			return is_alive(sandbox);
	}
	return false;
}

/* <state>/io.containerd.runtime.v2.task/<ns>/<id>/rootfs, …/sandboxes/<id>/shm */
static bool mount_is_lost(const char *below, const struct inventory *inventory)
{
	static const char tasks[] = "io.containerd.runtime.v2.task/";
	static const char sandboxes[] = "io.containerd.grpc.v1.cri/sandboxes/";
	const char *id, *end;

	if (strncmp(below, tasks, strlen(tasks)) == 0) {
		id = strchr(below + strlen(tasks), '/');
		id = id ? id + 1 : NULL;
	} else {
		id = strncmp(below, sandboxes, strlen(sandboxes)) == 0 ? below + strlen(sandboxes)
								       : NULL;
	}
	end = id ? strchr(id, '/') : NULL;
	return end && !id_is_alive(inventory, id, (size_t)(end - id));
}

static int count_mounts(const struct config *config, const struct inventory *inventory,
			struct scan_left *left)
{
	cleanup_file FILE *file = fopen("/proc/self/mountinfo", "re");
	cleanup_free char *line = NULL, *prefix = text_print(" %s/", config->state);
	size_t room = 0;

	if (!prefix)
		return -ENOMEM;
	if (!file)
		return 0;
	while (getline(&line, &room, file) > 0) {
		const char *at = strstr(line, prefix);
		const char *dash = strstr(line, " - ");

		if (at && dash && at < dash && mount_is_lost(at + strlen(prefix), inventory))
			left->mounts++;
	}
	return 0;
}

int scan_left_in_state(const struct config *config, const struct inventory *inventory,
		       struct scan_left *left)
{
	for (size_t i = 0; i < inventory->sandbox_count; i++)
		if (inventory->sandboxes[i].from_bundle && !is_alive(&inventory->sandboxes[i]))
			left->bundles += inventory->sandboxes[i].container_count;
	return count_mounts(config, inventory, left);
}
