/*
 * Images in a content store (<root>/io.containerd.content.v1.content/blobs):
 * which blobs one is made of, and whether they are what their names say.
 * Formats: OCI image-spec manifests and indexes, and Docker's of version 2.
 */
#ifndef SCANNERS_OCI_H
#define SCANNERS_OCI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct oci_blob {
	char *digest;
	uint64_t size;
	bool is_layer;
	bool is_compressed; /* of a layer */
	/* Once verified: the file that it was, and when that was last changed. */
	ino_t inode;
	struct timespec changed;
	bool linked; /* by who brings it over */
};

struct oci_image {
	char *media_type; /* of its manifest or index */
	uint64_t size;	  /* of that */
	struct oci_blob *blobs; /* each once: manifests, configurations, layers */
	size_t blob_count;
	uint64_t bytes; /* of all of them */
	bool is_index;
	bool whole; /* no platform was left out */
};

/* <root>/io.containerd.content.v1.content/blobs/sha256: an fd, or a negative errno. */
int oci_open_store(int root_fd);

/*
 * Read what @digest, a manifest or an index, is made of. These are verified, of
 * configurations and layers only the sizes are looked at. Of an index, a platform
 * whose blobs are not all there is left out; one must be whole.
 *
 * Returns 0 with @ret to end with oci_image_done(); or a negative errno with
 * it untouched and what is wrong in *@ret_problem, the caller's to free() (NULL
 * for -ENOMEM): -ENOENT for a blob that is missing, -ENODATA if only layers
 * are, -EBADMSG for one that is not what its name says, -ENOTSUP for a format
 * that is not understood, or that has more manifests or blobs than any has.
 */
int oci_image_read(int store_fd, const char *digest, struct oci_image *ret, char **ret_problem);

void oci_image_done(struct oci_image *image);
#define cleanup_oci_image __attribute__((cleanup(oci_image_done)))

/* Open a blob of @size. Returns an fd, -ENOENT, or -EBADMSG for another size or kind. */
int oci_open_blob(int store_fd, const char *digest, uint64_t size);

/*
 * Read all of @blob, compare, and note which file that was. Returns 0, -EBADMSG,
 * or another negative errno. @stop, if it is not NULL, is asked now and then:
 * true ends it with -ECANCELED.
 */
int oci_verify_blob(int store_fd, struct oci_blob *blob, bool (*stop)(void *data), void *data);

/* Open what oci_verify_blob() has read. Returns an fd, or -ESTALE if it was changed since. */
int oci_open_verified(int store_fd, const struct oci_blob *blob);

#endif
