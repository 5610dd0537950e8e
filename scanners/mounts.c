#include "scanners/mounts.h"

#include <errno.h>
#include <libmount.h>
#include <string.h>

#include "scanners/array.h"
#include "scanners/cleanup.h"
#include "scanners/dl.h"

static __typeof__(mnt_new_table_from_file) *sym_mnt_new_table_from_file;
static __typeof__(mnt_unref_table) *sym_mnt_unref_table;
static __typeof__(mnt_new_iter) *sym_mnt_new_iter;
static __typeof__(mnt_free_iter) *sym_mnt_free_iter;
static __typeof__(mnt_table_next_fs) *sym_mnt_table_next_fs;
static __typeof__(mnt_fs_get_target) *sym_mnt_fs_get_target;
static __typeof__(mnt_fs_get_fstype) *sym_mnt_fs_get_fstype;
static __typeof__(mnt_fs_get_fs_options) *sym_mnt_fs_get_fs_options;
static __typeof__(mnt_fs_get_devno) *sym_mnt_fs_get_devno;

static const struct dl_symbol symbols[] = {
	DL_SYMBOL(mnt_new_table_from_file), DL_SYMBOL(mnt_unref_table),
	DL_SYMBOL(mnt_new_iter),	    DL_SYMBOL(mnt_free_iter),
	DL_SYMBOL(mnt_table_next_fs),	    DL_SYMBOL(mnt_fs_get_target),
	DL_SYMBOL(mnt_fs_get_fstype),	    DL_SYMBOL(mnt_fs_get_fs_options),
	DL_SYMBOL(mnt_fs_get_devno),
};

static int add(struct mounts *mounts, struct libmnt_fs *fs)
{
	const char *path = sym_mnt_fs_get_target(fs), *type = sym_mnt_fs_get_fstype(fs);
	const char *options = sym_mnt_fs_get_fs_options(fs);
	struct mount_entry *entry;

	if (!path || !type)
		return 0;
	entry = ARRAY_ADD(mounts->items, mounts->count);
	if (!entry)
		return -ENOMEM;
	entry->path = strdup(path);
	entry->type = strdup(type);
	entry->options = strdup(options ? options : "");
	entry->dev = sym_mnt_fs_get_devno(fs);
	return entry->path && entry->type && entry->options ? 0 : -ENOMEM;
}

static int read_table(struct libmnt_table *table, struct libmnt_iter *iter, struct mounts *ret)
{
	cleanup_mounts struct mounts mounts = { 0 };
	struct libmnt_fs *fs;
	int r;

	while ((r = sym_mnt_table_next_fs(table, iter, &fs)) == 0) {
		r = add(&mounts, fs);
		if (r < 0)
			return r;
	}
	if (r < 0)
		return r;
	*ret = mounts;
	mounts = (struct mounts){ 0 };
	return 0;
}

int mounts_scan(struct mounts *ret)
{
	struct libmnt_table *table;
	struct libmnt_iter *iter;
	int r = dl_load("libmount.so.1", symbols, ARRAY_SIZE(symbols));

	if (r < 0)
		return -ELIBACC;
	table = sym_mnt_new_table_from_file("/proc/self/mountinfo");
	iter = sym_mnt_new_iter(MNT_ITER_FORWARD);
	r = table && iter ? read_table(table, iter, ret) : errno ? -errno : -ENOMEM;
	sym_mnt_free_iter(iter);
	sym_mnt_unref_table(table);
	return r;
}

void mounts_done(struct mounts *mounts)
{
	for (size_t i = 0; i < mounts->count; i++) {
		free(mounts->items[i].path);
		free(mounts->items[i].type);
		free(mounts->items[i].options);
	}
	free(mounts->items);
	*mounts = (struct mounts){ 0 };
}

bool mounts_is_below(const char *path, const char *dir)
{
	size_t length = strlen(dir);

	return strncmp(path, dir, length) == 0 && (path[length] == '/' || path[length] == '\0');
}
