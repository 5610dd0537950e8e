#include "recover/unmount.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "recover/log.h"
#include "scanners/cleanup.h"
#include "scanners/text.h"

int unmount(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0) {
		log_debug("unmounted %s", log_name(path));
		return 0;
	}
	/* No longer a mount point, or gone with the one above it. */
	return errno == EINVAL || errno == ENOENT ? 0 : -errno;
}

/* Of the way to @dir alone: a link at its end may lead to where nobody meant to go. */
static int resolve(const char *dir, char **ret)
{
	const char *name = strrchr(dir, '/');
	cleanup_free char *parent = NULL, *real = NULL;

	if (!name || !name[1])
		return -EINVAL;
	parent = strndup(dir, (size_t)(name + 1 - dir));
	if (!parent)
		return -ENOMEM;
	real = realpath(parent, NULL);
	if (!real)
		return -errno;
	*ret = text_print("%s%s", strcmp(real, "/") == 0 ? "" : real, name);
	return *ret ? 0 : -ENOMEM;
}

int unmount_below(const struct mounts *mounts, const char *dir)
{
	cleanup_free char *real = NULL;
	int first = resolve(dir, &real);

	if (first < 0)
		return first == -ENOENT ? 0 : first;
	for (size_t i = mounts->count; i > 0; i--) {
		const char *path = mounts->items[i - 1].path;
		int r = mounts_is_below(path, real) ? unmount(path) : 0;

		if (r < 0 && first == 0)
			first = r;
	}
	return first;
}
