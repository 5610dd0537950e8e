/*
 * ACLs as the kernel keeps them (linux/posix_acl_xattr.h), into an archive: tars
 * have a form of their own for them.
 */
#ifndef RECOVER_KEEP_ACL_H
#define RECOVER_KEEP_ACL_H

#include <stdbool.h>
#include <stddef.h>

/* Is the extended attribute @name an ACL? */
bool keep_acl_is(const char *name);

/*
 * Add the ACL that is the @size bytes @value of the attribute @name to @to, an
 * entry of libarchive's, which is loaded if need be. Returns 0, -EBADMSG for no
 * ACL, or another negative errno.
 */
struct archive_entry;
int keep_acl_carry(const char *name, const void *value, size_t size, struct archive_entry *to);

#endif
