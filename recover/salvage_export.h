/*
 * One image of a content store as an archive in the OCI image layout, which is
 * what `ctr images import` reads.
 */
#ifndef RECOVER_SALVAGE_EXPORT_H
#define RECOVER_SALVAGE_EXPORT_H

#include <stddef.h>

#include "recover/archive.h"
#include "scanners/oci.h"

/*
 * Write @image of the store @store_fd, whose top is @digest, under each of
 * @names. Its blobs are the caller's to verify; the index, without which nobody
 * sees an image, is written last. Returns 0 or a negative errno.
 */
int salvage_export(int store_fd, const char *digest, const struct oci_image *image,
		   char *const *names, size_t name_count, archive_write_fn *write, void *data);

#endif
