#include "scanners/tmpmounts.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "containerd-mount" /* mount.WithTempMount: os.MkdirTemp adds digits */
#define DIGITS "0123456789"

/* What follows containerd-mount<N> in @path, NULL if that is not what lies in @dir. */
static const char *behind_own(const char *path, const char *dir)
{
	size_t len = strlen(dir), digits;

	if (strncmp(path, dir, len) != 0 || strncmp(path + len, "/" PREFIX, strlen("/" PREFIX)) != 0)
		return NULL;
	path += len + strlen("/" PREFIX);
	digits = strspn(path, DIGITS);
	return digits > 0 && (!path[digits] || path[digits] == '/') ? path + digits : NULL;
}

bool tmpmounts_is_own(const char *path, const char *dir)
{
	const char *behind = behind_own(path, dir);

	return behind && !*behind;
}

int tmpmounts_scan(const char *dir, struct tmpmounts *ret)
{
	cleanup_mounts struct mounts mounts = { 0 };
	struct tmpmounts found = { 0 };
	int r = mounts_scan(&mounts);

	if (r < 0)
		return r;
	for (size_t i = 0; i < mounts.count; i++) {
		const struct mount_entry *mount = &mounts.items[i];

		if (!mounts_is_below(mount->path, dir))
			continue;
		if (!behind_own(mount->path, dir))
			found.others++;
		else if (found.own++ == 0)
			(void)snprintf(found.type, sizeof(found.type), "%s", mount->type); /* cut: for show */
	}
	*ret = found;
	return 0;
}
