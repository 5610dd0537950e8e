/* The export format of ncdu, version 1.2: https://dev.yorhel.nl/ncdu/jsonfmt */
#include "recover/scan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/dirstack.h"

/* Bytes above 0x7f go out as they are: names need not be UTF-8, and ncdu minds not. */
static void put_string(FILE *to, const char *string)
{
	(void)fputc('"', to);
	for (const unsigned char *c = (const unsigned char *)string; *c; c++) {
		if (*c < 0x20 || *c == 0x7f)
			(void)fprintf(to, "\\u%04x", *c);
		else if (*c == '"' || *c == '\\')
			(void)fprintf(to, "\\%c", *c);
		else
			(void)fputc(*c, to);
	}
	(void)fputc('"', to);
}

/* What is known of one; without its closing brace, for there may be more to say. */
static void put_stat(FILE *to, const struct statx *stx)
{
	(void)fprintf(to, ",\"asize\":%llu,\"dsize\":%llu", (unsigned long long)stx->stx_size,
		      (unsigned long long)stx->stx_blocks * 512);
	if (!S_ISDIR(stx->stx_mode) && stx->stx_nlink > 1)
		(void)fprintf(to, ",\"ino\":%llu,\"hlnkc\":true,\"nlink\":%u",
			      (unsigned long long)stx->stx_ino, stx->stx_nlink);
	if (!S_ISDIR(stx->stx_mode) && !S_ISREG(stx->stx_mode))
		(void)fputs(",\"notreg\":true", to);
}

/* A directory that can be read: its list stays open. */
static void put_directory(FILE *to, int fd, const char *name, struct statx *stx)
{
	(void)fputs("[{\"name\":", to);
	put_string(to, name);
	if (statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_BASIC_STATS, stx) == 0)
		put_stat(to, stx);
	else
		(void)fputs(",\"read_error\":true", to);
}

/* All else. A mount is not looked at: its server may be silent. */
static void put_leaf(FILE *to, int dirfd, const char *name)
{
	struct statx stx;
	int r = dir_stat_beneath(dirfd, name, STATX_BASIC_STATS, &stx);

	(void)fputs("{\"name\":", to);
	put_string(to, name);
	if (r == 0)
		put_stat(to, &stx);
	if (r == -EXDEV)
		(void)fputs(",\"excluded\":\"otherfs\"", to);
	else if (r < 0 || S_ISDIR(stx.stx_mode))
		(void)fputs(",\"read_error\":true", to);
	(void)fputc('}', to);
}

/* A directory becomes the deepest level, its list open; all else is done with. */
static int put_entry(FILE *to, struct dirstack *stack, const struct dirent64 *entry)
{
	struct open_dir *parent = dirstack_top(stack)->dir, *dir;
	bool may_be_dir = entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
	struct statx stx;
	int fd = may_be_dir ? dir_open_beneath(parent->fd, entry->d_name) : -ENOTDIR;

	(void)fputs(",\n", to);
	if (fd < 0) {
		put_leaf(to, parent->fd, entry->d_name);
		return 0;
	}
	dir = open_dir_new(fd);
	if (!dir)
		return -ENOMEM;
	put_directory(to, fd, entry->d_name, &stx);
	(void)fputc('}', to);
	return dirstack_push(stack, dir, 0);
}

static int put_tree(FILE *to, struct dirstack *stack)
{
	const struct dirent64 *entry;
	int r = 0;

	while (stack->count > 0 && !ferror(to)) {
		r = dirstack_next(stack, &entry);
		if (r > 0) {
			r = put_entry(to, stack, entry);
		} else {
			(void)fputc(']', to);
			r = dirstack_pop(stack);
		}
		if (r < 0 && r != -ESTALE)
			return r;
	}
	return 0;
}

static void dirstack_freep(struct dirstack **stack)
{
	dirstack_free(*stack);
}

int scan_export(int root_fd, const char *name, FILE *to)
{
	__attribute__((cleanup(dirstack_freep))) struct dirstack *stack = dirstack_new();
	struct open_dir *dir;
	struct statx stx = { 0 };
	int fd, r;

	fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = open_dir_new(fd);
	if (!dir || !stack) {
		open_dir_unref(dir);
		return -ENOMEM;
	}
	(void)fprintf(to, "[1,2,{\"progname\":\"containerd-recover\",\"progver\":\"%s\",\"timestamp\":%lld},\n",
		      VERSION, (long long)time(NULL));
	put_directory(to, fd, name, &stx);
	(void)fprintf(to, ",\"dev\":%llu}", (unsigned long long)makedev(stx.stx_dev_major, stx.stx_dev_minor));
	r = dirstack_push(stack, dir, 0);
	if (r == 0)
		r = put_tree(to, stack);
	(void)fputs("]\n", to);
	if (r == 0 && (fflush(to) != 0 || ferror(to)))
		r = errno ? -errno : -EIO;
	return r;
}
