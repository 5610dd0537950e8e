#include "recover/archive.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>

#include "scanners/cleanup.h"
#include "scanners/dl.h"

static __typeof__(archive_write_new) *sym_archive_write_new;
static __typeof__(archive_write_set_format_pax_restricted) *sym_archive_write_set_format_pax_restricted;
static __typeof__(archive_write_set_format_pax) *sym_archive_write_set_format_pax;
static __typeof__(archive_write_add_filter_zstd) *sym_archive_write_add_filter_zstd;
static __typeof__(archive_write_add_filter_gzip) *sym_archive_write_add_filter_gzip;
static __typeof__(archive_write_add_filter_none) *sym_archive_write_add_filter_none;
static __typeof__(archive_write_set_bytes_in_last_block) *sym_archive_write_set_bytes_in_last_block;
static __typeof__(archive_write_set_bytes_per_block) *sym_archive_write_set_bytes_per_block;
static __typeof__(archive_write_open) *sym_archive_write_open;
static __typeof__(archive_write_header) *sym_archive_write_header;
static __typeof__(archive_write_data) *sym_archive_write_data;
static __typeof__(archive_write_close) *sym_archive_write_close;
static __typeof__(archive_write_free) *sym_archive_write_free;
static __typeof__(archive_errno) *sym_archive_errno;
static __typeof__(archive_entry_new) *sym_archive_entry_new;
static __typeof__(archive_entry_free) *sym_archive_entry_free;
static __typeof__(archive_entry_set_pathname) *sym_archive_entry_set_pathname;
static __typeof__(archive_entry_set_size) *sym_archive_entry_set_size;
static __typeof__(archive_entry_set_filetype) *sym_archive_entry_set_filetype;
static __typeof__(archive_entry_set_perm) *sym_archive_entry_set_perm;

static int load(void)
{
	static const struct dl_symbol symbols[] = {
		DL_SYMBOL(archive_write_new),
		DL_SYMBOL(archive_write_set_format_pax_restricted),
		DL_SYMBOL(archive_write_set_format_pax),
		DL_SYMBOL(archive_write_add_filter_zstd),
		DL_SYMBOL(archive_write_add_filter_gzip),
		DL_SYMBOL(archive_write_add_filter_none),
		DL_SYMBOL(archive_write_set_bytes_in_last_block),
		DL_SYMBOL(archive_write_set_bytes_per_block),
		DL_SYMBOL(archive_write_open),
		DL_SYMBOL(archive_write_header),
		DL_SYMBOL(archive_write_data),
		DL_SYMBOL(archive_write_close),
		DL_SYMBOL(archive_write_free),
		DL_SYMBOL(archive_errno),
		DL_SYMBOL(archive_entry_new),
		DL_SYMBOL(archive_entry_free),
		DL_SYMBOL(archive_entry_set_pathname),
		DL_SYMBOL(archive_entry_set_size),
		DL_SYMBOL(archive_entry_set_filetype),
		DL_SYMBOL(archive_entry_set_perm),
	};

	return dl_load("libarchive.so.13", symbols, ARRAY_SIZE(symbols)) < 0 ? -ELIBACC : 0;
}

struct archive_out {
	struct archive *archive;
	struct archive_entry *entry;
	archive_write_fn *write;
	void *data;
	int error; /* of writing; or what keeps the rest from being written */
};

enum { BLOCK = 256 * 1024 };

static int last_error(const struct archive_out *out)
{
	int error = out->error ? -out->error : sym_archive_errno(out->archive);

	return error > 0 ? -error : -EIO;
}

/* Errors are ours to remember: libarchive, told of one, would not free its buffers. */
static la_ssize_t write_out(struct archive *archive, void *data, const void *bytes, size_t size)
{
	struct archive_out *out = data;

	(void)archive;
	if (!out->error)
		out->error = out->write(out->data, bytes, size);
	return (la_ssize_t)size;
}

/* A zstd that libarchive would have to start as a program is none. */
static int compress(struct archive *archive, unsigned how)
{
	if ((how & (ARCHIVE_COMPRESSED | ARCHIVE_ZSTD)) &&
	    sym_archive_write_add_filter_zstd(archive) == ARCHIVE_OK)
		return 0;
	if ((how & (ARCHIVE_COMPRESSED | ARCHIVE_GZIP)) &&
	    sym_archive_write_add_filter_gzip(archive) == ARCHIVE_OK)
		return 0;
	return -ENOTSUP;
}

static int set_format(struct archive *archive, unsigned how)
{
	return how & ARCHIVE_EXACT ? sym_archive_write_set_format_pax(archive) :
				     sym_archive_write_set_format_pax_restricted(archive);
}

int archive_out_open(archive_write_fn *write, void *data, unsigned how, struct archive_out **ret)
{
	cleanup_archive_out struct archive_out *out = NULL;
	int r;

	r = load();
	if (r < 0)
		return r;
	out = calloc(1, sizeof(*out));
	if (!out)
		return -ENOMEM;
	out->write = write;
	out->data = data;
	out->archive = sym_archive_write_new();
	out->entry = sym_archive_entry_new();
	if (!out->archive || !out->entry)
		return -ENOMEM;
	if (how & (ARCHIVE_COMPRESSED | ARCHIVE_ZSTD | ARCHIVE_GZIP)) {
		r = compress(out->archive, how);
		if (r < 0)
			return r;
	} else {
		(void)sym_archive_write_add_filter_none(out->archive); /* the default: cannot fail */
	}
	if (set_format(out->archive, how) != ARCHIVE_OK ||
	    sym_archive_write_set_bytes_per_block(out->archive, BLOCK) != ARCHIVE_OK ||
	    sym_archive_write_set_bytes_in_last_block(out->archive, 1) != ARCHIVE_OK ||
	    sym_archive_write_open(out->archive, out, NULL, write_out, NULL) != ARCHIVE_OK)
		return last_error(out);
	*ret = take_ptr(out);
	return 0;
}

int archive_out_header(struct archive_out *out, struct archive_entry *entry)
{
	/* A warning is about a name in another character set: it is written as it is. */
	return sym_archive_write_header(out->archive, entry) < ARCHIVE_WARN || out->error ?
		       last_error(out) : 0;
}

int archive_out_begin(struct archive_out *out, const char *name, uint64_t size)
{
	sym_archive_entry_set_pathname(out->entry, name);
	sym_archive_entry_set_size(out->entry, (int64_t)size);
	sym_archive_entry_set_filetype(out->entry, AE_IFREG);
	sym_archive_entry_set_perm(out->entry, 0600);
	if (sym_archive_write_header(out->archive, out->entry) != ARCHIVE_OK || out->error)
		return last_error(out);
	return 0;
}

int archive_out_data(struct archive_out *out, const void *data, size_t size)
{
	const char *at = data;

	while (size > 0) {
		la_ssize_t n = sym_archive_write_data(out->archive, at, size);

		if (n < 0 || out->error)
			return last_error(out);
		if (n == 0)
			return -EFBIG; /* more than was announced */
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

int archive_out_add(struct archive_out *out, const char *name, const void *data, size_t size)
{
	int r = archive_out_begin(out, name, size);

	return r < 0 ? r : archive_out_data(out, data, size);
}

int archive_out_close(struct archive_out *out)
{
	int r = 0;

	if (!out)
		return 0;
	if (sym_archive_write_close(out->archive) != ARCHIVE_OK || out->error)
		r = last_error(out);
	(void)sym_archive_write_free(out->archive); /* closed: nothing is left to fail */
	sym_archive_entry_free(out->entry);
	free(out);
	return r;
}

void archive_out_abandon(struct archive_out **out)
{
	if (!*out)
		return;
	(*out)->error = (*out)->error ?: -ECANCELED; /* no end mark, then */
	if ((*out)->archive)
		(void)sym_archive_write_free((*out)->archive);
	sym_archive_entry_free((*out)->entry);
	free(*out);
	*out = NULL;
}
