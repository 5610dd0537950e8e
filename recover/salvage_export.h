/*
 * One image of a content store as an archive in the OCI image layout, which is
 * what `ctr images import` reads.
 */
#ifndef RECOVER_SALVAGE_EXPORT_H
#define RECOVER_SALVAGE_EXPORT_H

#include <stdbool.h>
#include <stddef.h>

#include "recover/archive.h"
#include "scanners/oci.h"

struct salvage_names {
	char *const *names;
	size_t count;
	/*
	 * Which of them are still wanted; @ret_wanted has as many elements, all false.
	 * NULL: all. Returns 0, or a negative errno to end it with.
	 */
	int (*choose)(void *data, char *const *names, size_t count, bool *ret_wanted);
	void *data;
};

/*
 * Write @image of the store @store_fd, whose top is @digest, under each of
 * @names. The index, without which nobody sees an image, is written last: if all
 * that was written is what it should be, and under the names chosen only then.
 *
 * Returns 0, -EEXIST if no name was wanted, -EBADMSG for a blob that is not what
 * its name says, or another negative errno.
 */
int salvage_export(int store_fd, const char *digest, const struct oci_image *image,
		   const struct salvage_names *names, archive_write_fn *write, void *data);

#endif
