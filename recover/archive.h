/*
 * Writing a tar with libarchive, which is opened when
 * first needed.
 */
#ifndef RECOVER_ARCHIVE_H
#define RECOVER_ARCHIVE_H

#include <stddef.h>
#include <stdint.h>

struct archive_out;

/* Takes all of @bytes; returns 0 or a negative errno, which ends the archive. */
typedef int archive_write_fn(void *data, const void *bytes, size_t size);

enum archive_how {
	ARCHIVE_PLAIN = 0,
	ARCHIVE_COMPRESSED = 1, /* zstd, or gzip where libarchive has no zstd of its own */
	ARCHIVE_ZSTD = 2,	/* that, or -ENOTSUP */
	ARCHIVE_GZIP = 4,
	ARCHIVE_EXACT = 8, /* with what old formats have no room for: times below a second, … */
};

/*
 * Begin a tar that goes out by @write, with @data; @how is a set of the above.
 *
 * Returns 0 with @ret to end with archive_out_close(), -ELIBACC where
 * libarchive is not installed, or another negative errno.
 */
int archive_out_open(archive_write_fn *write, void *data, unsigned how, struct archive_out **ret);

/*
 * For entries of other kinds: @entry, of libarchive's, is the caller's; its
 * content follows with archive_out_data(). Returns 0, or a negative errno.
 */
struct archive_entry;
int archive_out_header(struct archive_out *out, struct archive_entry *entry);

/* A regular file of @size bytes, mode 0600, whose content follows with archive_out_data(). */
int archive_out_begin(struct archive_out *out, const char *name, uint64_t size);
int archive_out_data(struct archive_out *out, const void *data, size_t size);

/* Both for content that is in memory. */
int archive_out_add(struct archive_out *out, const char *name, const void *data, size_t size);

/*
 * Finish and free. Returns 0 once all of it is written, or a negative
 * errno. NULL is a no-op.
 */
int archive_out_close(struct archive_out *out);

/* Free without finishing: the file is not to be used. */
void archive_out_abandon(struct archive_out **out);
#define cleanup_archive_out __attribute__((cleanup(archive_out_abandon)))

#endif
