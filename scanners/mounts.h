/*
 * The mount table of our mount namespace (libmount, loaded when first needed).
 */
#ifndef SCANNERS_MOUNTS_H
#define SCANNERS_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct mount_entry {
	char *path; /* mount point */
	char *options; /* of the file system: an overlay's directories */
	char *type; /* file system, "overlay", "tmpfs", "nsfs" */
	dev_t dev;
};

struct mounts {
	struct mount_entry *items; /* in the order of mounting */
	size_t count;
};

/*
 * Returns 0 with @ret to end with mounts_done(), or a negative errno with it
 * untouched; -ELIBACC where libmount is not installed.
 */
int mounts_scan(struct mounts *ret);

void mounts_done(struct mounts *mounts);
#define cleanup_mounts __attribute__((cleanup(mounts_done)))

/* Is @path the directory @dir or below it? Both absolute, by their text. */
bool mounts_is_below(const char *path, const char *dir);

#endif
