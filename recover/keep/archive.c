#include "recover/keep/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <sys/param.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/keep/acl.h"
#include "recover/keep/xattrs.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/dl.h"
#include "scanners/text.h"

#define OCI_WHITEOUT ".wh."
#define OCI_OPAQUE ".wh..wh..opq"

enum { BLOCK = 1 << 20 };

static __typeof__(archive_entry_new) *sym_archive_entry_new;
static __typeof__(archive_entry_free) *sym_archive_entry_free;
static __typeof__(archive_entry_set_pathname) *sym_archive_entry_set_pathname;
static __typeof__(archive_entry_copy_stat) *sym_archive_entry_copy_stat;
static __typeof__(archive_entry_set_size) *sym_archive_entry_set_size;
static __typeof__(archive_entry_set_symlink) *sym_archive_entry_set_symlink;
static __typeof__(archive_entry_hardlink) *sym_archive_entry_hardlink;
static __typeof__(archive_entry_xattr_add_entry) *sym_archive_entry_xattr_add_entry;
static __typeof__(archive_entry_sparse_add_entry) *sym_archive_entry_sparse_add_entry;
static __typeof__(archive_entry_linkresolver_new) *sym_archive_entry_linkresolver_new;
static __typeof__(archive_entry_linkresolver_free) *sym_archive_entry_linkresolver_free;
static __typeof__(archive_entry_linkresolver_set_strategy) *sym_archive_entry_linkresolver_set_strategy;
static __typeof__(archive_entry_linkify) *sym_archive_entry_linkify;

static int load(void)
{
	static const struct dl_symbol symbols[] = {
		DL_SYMBOL(archive_entry_new),
		DL_SYMBOL(archive_entry_free),
		DL_SYMBOL(archive_entry_set_pathname),
		DL_SYMBOL(archive_entry_copy_stat),
		DL_SYMBOL(archive_entry_set_size),
		DL_SYMBOL(archive_entry_set_symlink),
		DL_SYMBOL(archive_entry_hardlink),
		DL_SYMBOL(archive_entry_xattr_add_entry),
		DL_SYMBOL(archive_entry_sparse_add_entry),
		DL_SYMBOL(archive_entry_linkresolver_new),
		DL_SYMBOL(archive_entry_linkresolver_free),
		DL_SYMBOL(archive_entry_linkresolver_set_strategy),
		DL_SYMBOL(archive_entry_linkify),
	};

	return dl_load("libarchive.so.13", symbols, ARRAY_SIZE(symbols)) < 0 ? -ELIBACC : 0;
}

struct keep_archive {
	struct archive_out *out;
	struct archive_entry_linkresolver *links;
	struct keep_report *report;
	int fd;
	char *block, *zeros;
};

static void entry_freep(struct archive_entry **entry)
{
	if (*entry)
		sym_archive_entry_free(*entry);
}
#define cleanup_entry __attribute__((cleanup(entry_freep)))

static int write_out(void *data, const void *bytes, size_t size)
{
	const struct keep_archive *to = data;

	/* libarchive has no other way to be stopped. */
	return *to->report->stop ? -ECANCELED : file_write_all(to->fd, bytes, size);
}

int keep_archive_new(int fd, unsigned how, struct keep_report *report, struct keep_archive **ret)
{
	struct keep_archive *to;
	int r = load();

	if (r < 0)
		return r;
	to = calloc(1, sizeof(*to));
	if (!to)
		return -ENOMEM;
	to->fd = fd;
	to->report = report;
	to->block = malloc(BLOCK);
	to->zeros = calloc(1, BLOCK);
	to->links = sym_archive_entry_linkresolver_new();
	r = to->block && to->zeros && to->links ? 0 : -ENOMEM;
	if (r == 0) {
		sym_archive_entry_linkresolver_set_strategy(to->links,
							    ARCHIVE_FORMAT_TAR_PAX_INTERCHANGE);
		r = archive_out_open(write_out, to, how | ARCHIVE_EXACT, &to->out);
	}
	if (r == 0)
		*ret = to;
	else
		keep_archive_free(to);
	return r;
}

void keep_archive_free(struct keep_archive *to)
{
	if (!to)
		return;
	archive_out_abandon(&to->out);
	if (to->links)
		sym_archive_entry_linkresolver_free(to->links);
	free(to->block);
	free(to->zeros);
	free(to);
}

int keep_archive_finish(struct keep_archive *to)
{
	return archive_out_close(take_ptr(to->out));
}

static bool is_mark(const struct keep_entry *entry, const char *name)
{
	return entry->overlay && (strcmp(name, "trusted.overlay.opaque") == 0 ||
				  strcmp(name, "user.overlay.opaque") == 0);
}

struct carrying {
	struct archive_entry *to;
	const struct keep_entry *entry;
	struct keep_report *report;
};

static int carry_xattr(const char *name, const void *value, ssize_t size, void *data)
{
	const struct carrying *c = data;
	int r = 0;

	if (name && is_mark(c->entry, name))
		return 0;
	if (size >= 0 && keep_acl_is(name))
		r = keep_acl_carry(name, value, (size_t)size, c->to);
	else if (size >= 0)
		sym_archive_entry_xattr_add_entry(c->to, name, value, (size_t)size);
	if (size >= 0 && r != -EBADMSG)
		return r;
	keep_left(c->report, c->entry->path, KEEP_UNREAD_ATTRIBUTE);
	return 0;
}

static bool is_opaque(const struct keep_entry *entry)
{
	static const char *const marks[] = { "trusted.overlay.opaque", "user.overlay.opaque" };
	const struct xattrs_of of = { entry->fd, entry->dirfd, entry->name };
	char value[2];

	for (size_t i = 0; entry->overlay && i < ARRAY_SIZE(marks); i++)
		if (xattrs_get(&of, marks[i], value, sizeof(value)) == 1 && value[0] == 'y')
			return true;
	return false;
}

static bool is_whiteout(const struct keep_entry *entry)
{
	return entry->overlay && S_ISCHR(entry->st.st_mode) && entry->st.st_rdev == 0;
}

/* An empty file, with the owner and times of what it stands for. */
static int add_mark(struct keep_archive *to, const struct keep_entry *entry, char *path)
{
	cleanup_free char *own = path;
	cleanup_entry struct archive_entry *header = sym_archive_entry_new();
	struct stat st = entry->st;

	if (!own || !header)
		return -ENOMEM;
	st.st_mode = S_IFREG | 0600;
	st.st_nlink = 1;
	st.st_size = 0;
	st.st_rdev = 0;
	sym_archive_entry_set_pathname(header, own);
	sym_archive_entry_copy_stat(header, &st);
	return archive_out_header(to->out, header);
}

static int add_whiteout(struct keep_archive *to, const struct keep_entry *entry)
{
	return add_mark(to, entry,
			text_print("%.*s" OCI_WHITEOUT "%s", (int)(entry->name - entry->path),
				   entry->path, entry->name));
}

/* The data of it, as a set of ranges; there is none of these for a file without holes. */
static void find_holes(const struct keep_entry *entry, struct archive_entry *header)
{
	off_t size = entry->st.st_size, at = 0;

	if ((uintmax_t)entry->st.st_blocks * 512 >= (uintmax_t)size)
		return;
	while (at < size) {
		off_t begin = lseek(entry->fd, at, SEEK_DATA), end;

		if (begin < 0) {
			if (errno == ENXIO && at == 0) /* nothing but a hole */
				sym_archive_entry_sparse_add_entry(header, 0, 0);
			return;
		}
		end = lseek(entry->fd, begin, SEEK_HOLE);
		if (end < 0 || end > size)
			end = size;
		if (begin > 0 || end < size)
			sym_archive_entry_sparse_add_entry(header, begin, end - begin);
		at = end;
	}
}

/* libarchive wants holes too, and skips them. */
static int write_zeros(struct keep_archive *to, off_t size)
{
	int r = 0;

	for (off_t done = 0; r == 0 && done < size; done += BLOCK) {
		r = archive_out_data(to->out, to->zeros, (size_t)MIN(size - done, (off_t)BLOCK));
		if (*to->report->stop)
			r = -ECANCELED;
	}
	return r;
}

static int write_range(struct keep_archive *to, const struct keep_entry *entry, off_t at, off_t end)
{
	int r = 0;

	while (r == 0 && at < end) {
		ssize_t n = pread(entry->fd, to->block, (size_t)MIN(end - at, (off_t)BLOCK), at);

		if (n < 0)
			keep_left(to->report, entry->path, "cannot be read in full, zeros stand for the rest");
		if (n <= 0)
			return write_zeros(to, end - at);
		r = archive_out_data(to->out, to->block, (size_t)n);
		to->report->bytes += (uint64_t)n;
		at += n;
	}
	return r;
}

static int write_content(struct keep_archive *to, const struct keep_entry *entry)
{
	off_t size = entry->st.st_size, at = 0;
	int r = 0;

	while (r == 0 && at < size) {
		off_t begin = lseek(entry->fd, at, SEEK_DATA), end;

		if (begin < 0)
			begin = errno == ENXIO ? size : at;
		end = begin < size ? lseek(entry->fd, begin, SEEK_HOLE) : size;
		if (end < 0 || end > size)
			end = size;
		r = write_zeros(to, begin - at);
		if (r == 0)
			r = write_range(to, entry, begin, end);
		at = end;
	}
	keep_check_size(to->report, entry);
	return r;
}

static int carry(struct keep_archive *to, const struct keep_entry *entry, struct archive_entry *header)
{
	const struct xattrs_of from = { entry->fd, entry->dirfd, entry->name };
	struct carrying carrying = { header, entry, to->report };

	if (S_ISREG(entry->st.st_mode))
		find_holes(entry, header);
	return xattrs_each(&from, carry_xattr, &carrying);
}

static int write_entry(struct keep_archive *to, const struct keep_entry *entry, const char *target)
{
	cleanup_entry struct archive_entry *header = sym_archive_entry_new(), *spare = NULL;
	bool is_link;
	int r;

	if (!header)
		return -ENOMEM;
	sym_archive_entry_set_pathname(header, entry->path);
	sym_archive_entry_copy_stat(header, &entry->st);
	if (!S_ISREG(entry->st.st_mode))
		sym_archive_entry_set_size(header, 0);
	if (target)
		sym_archive_entry_set_symlink(header, target);
	/* With tar's strategy nothing is held back: the first name has the content. */
	sym_archive_entry_linkify(to->links, &header, &spare);
	is_link = sym_archive_entry_hardlink(header);
	r = is_link ? 0 : carry(to, entry, header);
	if (r == 0)
		r = archive_out_header(to->out, header);
	if (r == 0 && !is_link && S_ISREG(entry->st.st_mode))
		r = write_content(to, entry);
	return r;
}

static int enter_directory(void *data, const struct keep_entry *entry)
{
	struct keep_archive *to = data;
	int r = write_entry(to, entry, NULL);

	if (r < 0 || !is_opaque(entry))
		return r;
	return add_mark(to, entry, text_print("%s/" OCI_OPAQUE, entry->path));
}

static int make_directory(void *data, const char *path, const char *name)
{
	(void)data;
	(void)path;
	(void)name;
	return 0; /* tar makes them */
}

static int leave_directory(void *data, const struct keep_entry *entry)
{
	(void)data;
	(void)entry;
	return 0; /* all was said when it began */
}

static int add(void *data, const struct keep_entry *entry)
{
	struct keep_archive *to = data;
	cleanup_free char *target = NULL;
	int r;

	if (is_whiteout(entry))
		return add_whiteout(to, entry);
	if (S_ISSOCK(entry->st.st_mode))
		return keep_left(to->report, entry->path, "a socket, which a tar cannot hold, left out"), 0;
	if (S_ISLNK(entry->st.st_mode)) {
		r = dir_read_link(entry->dirfd, entry->name, &target);
		if (r < 0)
			return keep_left(to->report, entry->path, strerror(-r)), 0;
	}
	return write_entry(to, entry, target);
}

static int note(void *data, const char *name, const char *text, size_t size)
{
	struct keep_archive *to = data;

	return archive_out_add(to->out, name, text, size);
}

const struct keep_sink keep_archive_sink = {
	.enter = enter_directory,
	.leave = leave_directory,
	.add = add,
	.make = make_directory,
	.note = note,
};
