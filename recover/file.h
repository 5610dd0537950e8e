/*
 * Writing small files so that a crash leaves the old content or the new, never
 * half of one.
 */
#ifndef RECOVER_FILE_H
#define RECOVER_FILE_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Write @size bytes of @data as @name below @dirfd with @mode: to a temporary
 * name, fsync, rename, fsync of the directory.
 *
 * Returns 0, or a negative errno with the old file as it was.
 */
int file_replace(int dirfd, const char *name, const void *data, size_t size, mode_t mode);

/*
 * The last step of writing a file under another name: @temporary becomes @name, or
 * goes if @r, which came of writing it, is an error. Returns @r, or a negative errno.
 */
int file_commit(int dirfd, const char *temporary, const char *name, int r);

/*
 * The whole of a record of lines, of at most @max bytes, as dir_read_file() would
 * give it: bytes of 0, which a power cut leaves where a line should be, are ends
 * of lines. Returns 0 with @ret the caller's, to free(), or a negative errno.
 */
int file_read_lines(int dirfd, const char *name, size_t max, char **ret);

/* Write all of @data to @fd. Returns 0, or a negative errno after a part. */
int file_write_all(int fd, const void *data, size_t size);

/*
 * Can root make files in @path, or make @path? Only the file system may be against it,
 * which is read-only or full.
 * Returns 0, or a negative errno.
 */
int file_check_writable(const char *path);

/*
 * mkdir -p of the absolute @path, new directories with @mode.
 *
 * Returns an fd of it (links of the administrator's are followed), or a
 * negative errno.
 */
int file_make_dirs(const char *path, mode_t mode);

#endif
