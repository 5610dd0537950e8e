#include "scanners/expected_mount.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <mntent.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"

static const char *const unit_dirs[] = {
	"/etc/systemd/system", "/run/systemd/system", "/run/systemd/generator",
	"/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
};

static void endmntentp(FILE **f)
{
	if (*f)
		(void)endmntent(*f);
}

/* Does @entry, less the slashes at its end, name @path, or with @below a place below it? */
static bool is_at(const char *entry, const char *path, bool below)
{
	size_t length = strlen(entry), size = strlen(path);

	while (length > 1 && entry[length - 1] == '/')
		length--;
	if (length < size || strncmp(entry, path, size) != 0)
		return false;
	return below ? length > size && entry[size] == '/' : length == size;
}

static int in_fstab(const char *prefix, const char *path, bool below)
{
	__attribute__((cleanup(endmntentp))) FILE *file = NULL;
	cleanup_free char *name = NULL;
	char buffer[4096];
	struct mntent entry;

	if (asprintf(&name, "%s/etc/fstab", prefix) < 0) {
		name = NULL;
		return -ENOMEM;
	}
	file = setmntent(name, "re");
	if (!file)
		return errno == ENOENT ? 0 : -errno;
	while (getmntent_r(file, &entry, buffer, sizeof(buffer)))
		if (is_at(entry.mnt_dir, path, below))
			return 1;
	return 0;
}

/* systemd.unit(5), "string escaping for inclusion in unit names", of a path. */
static char *mount_unit_name(const char *path)
{
	char *name = malloc(4 * strlen(path) + sizeof(".mount"));
	char *to = name;

	if (!name)
		return NULL;
	for (const char *from = path + 1; *from; from++) {
		bool plain = (*from >= 'a' && *from <= 'z') || (*from >= 'A' && *from <= 'Z') ||
			     (*from >= '0' && *from <= '9') || *from == ':' || *from == '_' ||
			     (*from == '.' && from > path + 1);

		if (*from == '/')
			*to++ = '-';
		else if (plain)
			*to++ = *from;
		else
			to += snprintf(to, sizeof("\\x00"), "\\x%02x", (unsigned char)*from);
	}
	memcpy(to, ".mount", sizeof(".mount"));
	return name;
}

static int has_mount_unit(const char *prefix, const char *path)
{
	cleanup_free char *unit = mount_unit_name(path);

	if (!unit)
		return -ENOMEM;
	for (size_t i = 0; i < ARRAY_SIZE(unit_dirs); i++) {
		cleanup_free char *file = NULL;

		if (asprintf(&file, "%s%s/%s", prefix, unit_dirs[i], unit) < 0) {
			file = NULL;
			return -ENOMEM;
		}
		if (access(file, F_OK) == 0)
			return 1;
	}
	return 0;
}

static int is_mounted(const char *path)
{
	cleanup_fd int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return dir_is_mount_point(fd);
}

static int missing_at(const char *prefix, const char *path)
{
	int r = in_fstab(prefix, path, false);

	if (r == 0)
		r = has_mount_unit(prefix, path);
	if (r <= 0)
		return r;
	r = is_mounted(path);
	return r < 0 ? r : !r;
}

int expected_mount_missing(const char *prefix, const char *path, char **ret_where)
{
	cleanup_free char *at = strdup(path);
	char *slash;

	if (!at)
		return -ENOMEM;
	while ((slash = strrchr(at, '/'))) {
		int r;

		if (slash == at && at[1] == '\0')
			break;
		r = missing_at(prefix, at);
		if (r != 0) {
			if (r > 0 && ret_where)
				*ret_where = take_ptr(at);
			return r;
		}
		if (slash == at)
			break;
		*slash = '\0';
	}
	return 0;
}

/* The unit of a place below has the name of the unit of @path and more, behind a "-". */
static int has_mount_unit_below(const char *prefix, const char *path)
{
	cleanup_free char *unit = mount_unit_name(path);
	size_t size;

	if (!unit)
		return -ENOMEM;
	size = strlen(unit) - strlen(".mount");
	for (size_t i = 0; i < ARRAY_SIZE(unit_dirs); i++) {
		cleanup_free char *dir = NULL;
		cleanup_dir DIR *stream = NULL;
		cleanup_fd int fd = -EBADF;
		const char *name;
		int r;

		if (asprintf(&dir, "%s%s", prefix, unit_dirs[i]) < 0) {
			dir = NULL;
			return -ENOMEM;
		}
		fd = dir_open_path(dir);
		r = fd < 0 ? fd : dir_stream(fd, &stream);
		while (r == 0 && (r = dir_next(stream, &name, NULL)) > 0) {
			const char *end = strrchr(name, '.');

			if (strncmp(name, unit, size) == 0 && name[size] == '-' && end &&
			    strcmp(end, ".mount") == 0)
				return 1;
			r = 0;
		}
		if (r < 0 && r != -ENOENT)
			return r;
	}
	return 0;
}

int expected_mount_below(const char *prefix, const char *path)
{
	int r = in_fstab(prefix, path, true);

	return r != 0 ? r : has_mount_unit_below(prefix, path);
}
