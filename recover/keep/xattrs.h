/*
 * All extended attributes of a file, ACLs and labels among them.
 */
#ifndef RECOVER_KEEP_XATTRS_H
#define RECOVER_KEEP_XATTRS_H

#include <stddef.h>
#include <sys/types.h>

/* A file: what is open at @fd, or if that is negative @name below @dirfd, a link not followed. */
struct xattrs_of {
	int fd, dirfd;
	const char *name;
};

/*
 * Call @visit with each attribute; it returns 0 to go on, anything else ends it
 * and is returned. A file system without any has none. What cannot be read is
 * @visit's to judge, too: then @size is a negative errno, and @name NULL if not
 * even the names are known. Returns 0, what @visit returned, or -ENOMEM.
 */
typedef int xattrs_visit(const char *name, const void *value, ssize_t size, void *data);
int xattrs_each(const struct xattrs_of *of, xattrs_visit *visit, void *data);

/* Returns 0, or a negative errno. */
int xattrs_set(const struct xattrs_of *of, const char *name, const void *value, size_t size);

/* The value of the attribute @name in @value. Returns its size, or a negative errno. */
int xattrs_get(const struct xattrs_of *of, const char *name, void *value, size_t room);

#endif
