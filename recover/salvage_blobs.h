/*
 * The blobs of an image on their way from the quarantined content store into
 * the new one: verified, then linked, so that their content is on the disk once
 * and stays in the quarantine for a restore.
 */
#ifndef RECOVER_SALVAGE_BLOBS_H
#define RECOVER_SALVAGE_BLOBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scanners/oci.h"

/*
 * Verify all blobs of @oci. @stop may end it, as oci_verify_blob() has it.
 *
 * Returns 0; -ECANCELED; -ENOMEM; or -EBADMSG with what is wrong in *@ret_problem,
 * the caller's to free() (NULL if there is no memory for it).
 */
int salvage_blobs_verify(int store_fd, struct oci_image *oci, bool (*stop)(void *data), void *data,
			 char **ret_problem);

/*
 * How many bytes bringing @oci over takes on the way: its biggest blob while it
 * is received, its layers unpacked, and all of it where nothing can be linked.
 * UINT64_MAX where a blob has a size that no disk has.
 */
uint64_t salvage_blobs_room(int store_fd, int new_store_fd, const struct oci_image *oci);

/*
 * Link what was verified into @new_store_fd. Not what was changed since, nor
 * what others than root may change; that is left to be copied, and so is what
 * the file system cannot link.
 */
void salvage_blobs_link(int store_fd, int new_store_fd, struct oci_image *oci);

/*
 * After containerd took the image: one copy of each blob on the disk. Its garbage
 * collector may have taken a link away, since no record spoke for it yet, and the
 * import wrote the blob anew then. The old file, verified again, takes that place.
 *
 * Returns how many were replaced; where that fails the copy stays, as good.
 */
size_t salvage_blobs_unite(int store_fd, int new_store_fd, struct oci_image *oci);

/*
 * After the image was refused: look at all blobs again, and remove the links that
 * salvage_blobs_link() made for @oci to what is no longer what its name says.
 * Returns 0, or the first problem as salvage_blobs_verify() does.
 */
int salvage_blobs_recheck(int store_fd, int new_store_fd, struct oci_image *oci, char **ret_problem);

#endif
