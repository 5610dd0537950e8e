#include "recover/salvage_blobs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/digest.h"
#include "scanners/text.h"

/* In the old store: no digest, so no blob to anybody, and purged along with it. */
#define IN_TRANSIT ".containerd-recover-link"

enum { UNPACKED = 4 }; /* times a compressed layer, as a rule of thumb */

/* A hole of which there is no room for even one: the sums stay far below 2^64. */
#define SIZE_ABSURD (UINT64_C(1) << 48)

static char *describe(const struct oci_blob *blob, int error)
{
	return text_print("%s %s: %s", blob->is_layer ? "layer" : "blob", blob->digest,
			  error == -EBADMSG ? "not what its name says" : strerror(-error));
}

int salvage_blobs_verify(int store_fd, struct oci_image *oci, bool (*stop)(void *data), void *data,
			 char **ret_problem)
{
	for (size_t i = 0; i < oci->blob_count; i++) {
		int r = oci_verify_blob(store_fd, &oci->blobs[i], stop, data);

		if (r == -ECANCELED || r == -ENOMEM)
			return r;
		if (r < 0) {
			*ret_problem = describe(&oci->blobs[i], r);
			return -EBADMSG;
		}
	}
	return 0;
}

static bool can_link(int store_fd, int new_store_fd)
{
	struct stat from, to;

	return new_store_fd >= 0 && fstat(store_fd, &from) == 0 && fstat(new_store_fd, &to) == 0 &&
	       from.st_dev == to.st_dev;
}

uint64_t salvage_blobs_room(int store_fd, int new_store_fd, const struct oci_image *oci)
{
	uint64_t biggest = 0, unpacked = 0;

	for (size_t i = 0; i < oci->blob_count; i++) {
		const struct oci_blob *blob = &oci->blobs[i];

		if (blob->size > SIZE_ABSURD)
			return UINT64_MAX;
		biggest = MAX(biggest, blob->size);
		if (blob->is_layer)
			unpacked += blob->size * (blob->is_compressed ? UNPACKED : 1);
	}
	return biggest + unpacked + (can_link(store_fd, new_store_fd) ? 0 : oci->bytes);
}

/* Who can write to it through another name could change it in the store. */
static bool is_roots_alone(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_uid == 0 && (st.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

void salvage_blobs_link(int store_fd, int new_store_fd, struct oci_image *oci)
{
	for (size_t i = 0; i < oci->blob_count && new_store_fd >= 0; i++) {
		struct oci_blob *blob = &oci->blobs[i];
		cleanup_fd int fd = oci_open_verified(store_fd, blob);

		/* The open file, whatever its name is by now. There already, or without
		 * links: it is copied, then. */
		if (fd >= 0 && is_roots_alone(fd))
			blob->linked = linkat(fd, "", new_store_fd, digest_hex(blob->digest),
					      AT_EMPTY_PATH) == 0;
	}
}

/* Returns 1 if it is one file in both stores, 0 if it is two, or a negative errno. */
static int is_same_file(int store_fd, int new_store_fd, const char *name)
{
	struct stat from, to;

	if (fstatat(store_fd, name, &from, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fstatat(new_store_fd, name, &to, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	return from.st_dev == to.st_dev && from.st_ino == to.st_ino;
}

static bool is_copied(int store_fd, int new_store_fd, const char *name)
{
	return can_link(store_fd, new_store_fd) && is_same_file(store_fd, new_store_fd, name) == 0;
}

/* rename() replaces what link() cannot. */
static int put_in_place(int fd, int store_fd, int new_store_fd, const char *name)
{
	if (unlinkat(store_fd, IN_TRANSIT, 0) < 0 && errno != ENOENT) /* of a run that was killed */
		return -errno;
	if (linkat(fd, "", store_fd, IN_TRANSIT, AT_EMPTY_PATH) < 0)
		return -errno;
	if (renameat(store_fd, IN_TRANSIT, new_store_fd, name) < 0) {
		int r = -errno;

		(void)unlinkat(store_fd, IN_TRANSIT, 0); /* a mere second name */
		return r;
	}
	return 0;
}

size_t salvage_blobs_unite(int store_fd, int new_store_fd, struct oci_image *oci)
{
	size_t united = 0;

	for (size_t i = 0; i < oci->blob_count && new_store_fd >= 0; i++) {
		const char *name = digest_hex(oci->blobs[i].digest);
		cleanup_fd int fd = -EBADF;

		if (!is_copied(store_fd, new_store_fd, name) ||
		    oci_verify_blob(store_fd, &oci->blobs[i], NULL, NULL) < 0)
			continue;
		fd = oci_open_verified(store_fd, &oci->blobs[i]);
		if (fd >= 0 && is_roots_alone(fd) &&
		    put_in_place(fd, store_fd, new_store_fd, name) == 0)
			united++;
	}
	return united;
}

int salvage_blobs_recheck(int store_fd, int new_store_fd, struct oci_image *oci, char **ret_problem)
{
	char *problem = NULL;
	int first = 0;

	for (size_t i = 0; i < oci->blob_count; i++) {
		struct oci_blob *blob = &oci->blobs[i];
		const char *name = digest_hex(blob->digest);
		int r = oci_verify_blob(store_fd, blob, NULL, NULL);

		if (r == 0 || r == -ENOMEM)
			continue;
		/* The file stays in the quarantine. Links of others may have records that
		 * speak for them, and a read that failed once says nothing of the file. */
		if (r == -EBADMSG && blob->linked && is_same_file(store_fd, new_store_fd, name) > 0)
			(void)unlinkat(new_store_fd, name, 0);
		if (first == 0)
			problem = describe(blob, r);
		first = -EBADMSG;
	}
	if (first < 0)
		*ret_problem = problem;
	return first;
}
