#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "recover/file.h"
#include "recover/log.h"
#include "recover/salvage.h"
#include "recover/salvage_export.h"
#include "scanners/cleanup.h"
#include "scanners/digest.h"
#include "scanners/dir.h"
#include "scanners/text.h"

#define SUFFIX ".tar"

static int write_to_file(void *data, const void *bytes, size_t size)
{
	return file_write_all(*(int *)data, bytes, size);
}

static int write_archive(int dirfd, const char *name, int store_fd,
			 const struct salvage_image *image)
{
	cleanup_oci_image struct oci_image oci = { 0 };
	cleanup_free char *problem = NULL, *temporary = text_print(".%s", name);
	cleanup_fd int fd = -EBADF;
	int r;

	if (!temporary)
		return -ENOMEM;
	r = oci_image_read(store_fd, image->digest, &oci, &problem);
	if (r < 0)
		return r;
	fd = openat(dirfd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	r = salvage_export(store_fd, image->digest, &oci,
			   &(struct salvage_names){ .names = image->names, .count = image->name_count },
			   write_to_file, &fd);
	if (r == 0 && fsync(fd) < 0)
		r = -errno;
	r = file_commit(dirfd, temporary, name, r);
	if (r < 0)
		return r;
	return fsync(dirfd) < 0 ? -errno : 0;
}

/* One that was made here: @name is as long as @wanted is, and has no other form. */
static bool is_ours(const char *name, const char *wanted)
{
	size_t length = strlen(name);

	return length == strlen(wanted) &&
	       strncmp(name, SALVAGE_ARCHIVE_PREFIX, strlen(SALVAGE_ARCHIVE_PREFIX)) == 0 &&
	       strcmp(name + length - strlen(SUFFIX), SUFFIX) == 0;
}

/* Archives of images that are no longer the pause image, and what killed runs left of some. */
static int remove_others(int dirfd, const char *wanted)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r = dir_stream(dirfd, &stream);

	while (r >= 0 && (r = dir_next(stream, &name, NULL)) > 0)
		if ((is_ours(name, wanted) || (*name == '.' && is_ours(name + 1, wanted))) &&
		    strcmp(name, wanted) != 0 && unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
			return -errno;
	return r;
}

int salvage_keep_archive(const struct config *config, int root_fd, const char *directory)
{
	cleanup_salvage struct salvage salvage = { 0 };
	cleanup_fd int store_fd = -EBADF, dirfd = -EBADF;
	cleanup_free char *name = NULL;
	int r;

	r = salvage_list(root_fd, config, &salvage);
	if (r < 0)
		return r;
	if (salvage.count == 0 || !salvage.images[0].pause || !salvage.images[0].digest ||
	    !digest_hex(salvage.images[0].digest))
		return 0;
	name = text_print(SALVAGE_ARCHIVE_PREFIX "%s" SUFFIX, digest_hex(salvage.images[0].digest));
	if (!name)
		return -ENOMEM;
	dirfd = file_make_dirs(directory, 0700);
	if (dirfd < 0)
		return dirfd;
	if (faccessat(dirfd, name, F_OK, 0) == 0)
		return 0;
	store_fd = oci_open_store(root_fd);
	if (store_fd < 0)
		return store_fd;
	r = write_archive(dirfd, name, store_fd, &salvage.images[0]);
	/* Nothing that we, or the next start, could do about it. */
	if (r == -ENODATA) {
		log_warning("no archive of the pause image is kept: its layers were discarded after they were "
			    "unpacked; an export of it may be put there as %s/" SALVAGE_ARCHIVE_PREFIX "1" SUFFIX,
			    directory);
		return 0;
	}
	if (r == 0)
		r = remove_others(dirfd, name);
	return r < 0 ? r : 1;
}
