#include "recover/keep/acl.h"

#include <archive_entry.h>
#include <endian.h>
#include <errno.h>
#include <linux/posix_acl.h>
#include <linux/posix_acl_xattr.h>
#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dl.h"

#define ACL_ACCESS "system.posix_acl_access"
#define ACL_DEFAULT "system.posix_acl_default"

static __typeof__(archive_entry_acl_add_entry) *sym_archive_entry_acl_add_entry;

static const struct {
	unsigned kernel;
	int archive;
} tags[] = {
	{ ACL_USER_OBJ, ARCHIVE_ENTRY_ACL_USER_OBJ }, { ACL_USER, ARCHIVE_ENTRY_ACL_USER },
	{ ACL_GROUP_OBJ, ARCHIVE_ENTRY_ACL_GROUP_OBJ }, { ACL_GROUP, ARCHIVE_ENTRY_ACL_GROUP },
	{ ACL_MASK, ARCHIVE_ENTRY_ACL_MASK }, { ACL_OTHER, ARCHIVE_ENTRY_ACL_OTHER },
};

bool keep_acl_is(const char *name)
{
	return strcmp(name, ACL_ACCESS) == 0 || strcmp(name, ACL_DEFAULT) == 0;
}

static int carry_one(const struct posix_acl_xattr_entry *from, int type, struct archive_entry *to)
{
	unsigned tag = le16toh(from->e_tag);
	int id = tag == ACL_USER || tag == ACL_GROUP ? (int)le32toh(from->e_id) : -1;

	/* The permissions have the kernel's bits. */
	for (size_t i = 0; i < ARRAY_SIZE(tags); i++)
		if (tags[i].kernel == tag)
			return sym_archive_entry_acl_add_entry(to, type, le16toh(from->e_perm) & 7,
							       tags[i].archive, id, NULL) == 0 ? 0 : -EBADMSG;
	return -EBADMSG;
}

int keep_acl_carry(const char *name, const void *value, size_t size, struct archive_entry *to)
{
	static const struct dl_symbol symbols[] = { DL_SYMBOL(archive_entry_acl_add_entry) };
	int type = strcmp(name, ACL_DEFAULT) == 0 ? ARCHIVE_ENTRY_ACL_TYPE_DEFAULT :
						    ARCHIVE_ENTRY_ACL_TYPE_ACCESS;
	struct posix_acl_xattr_header header;
	struct posix_acl_xattr_entry entry;
	const char *at = value;
	int r = 0;

	if (dl_load("libarchive.so.13", symbols, ARRAY_SIZE(symbols)) < 0)
		return -ELIBACC;
	if (size < sizeof(header) || (size - sizeof(header)) % sizeof(entry) != 0)
		return -EBADMSG;
	memcpy(&header, at, sizeof(header));
	if (le32toh(header.a_version) != POSIX_ACL_XATTR_VERSION)
		return -EBADMSG;
	for (size_t i = sizeof(header); r == 0 && i < size; i += sizeof(entry)) {
		memcpy(&entry, at + i, sizeof(entry));
		r = carry_one(&entry, type, to);
	}
	return r;
}
