/* The export format of ncdu, version 1.2: https://dev.yorhel.nl/ncdu/jsonfmt */
#include "recover/scan.h"

#include <errno.h>
#include <fcntl.h>
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

/* Without its closing brace: the caller may have more to say. */
static int put_info(FILE *to, int dirfd, const char *name, const char *shown, struct statx *stx)
{
	int r = 0;

	(void)fputs("{\"name\":", to);
	put_string(to, shown);
	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH,
		  STATX_BASIC_STATS, stx) < 0) {
		r = -errno;
		(void)fputs(",\"read_error\":true", to);
		stx->stx_mode = 0;
		return r;
	}
	(void)fprintf(to, ",\"asize\":%llu,\"dsize\":%llu", (unsigned long long)stx->stx_size,
		      (unsigned long long)stx->stx_blocks * 512);
	if (!S_ISDIR(stx->stx_mode) && stx->stx_nlink > 1)
		(void)fprintf(to, ",\"ino\":%llu,\"hlnkc\":true,\"nlink\":%u",
			      (unsigned long long)stx->stx_ino, stx->stx_nlink);
	if (!S_ISDIR(stx->stx_mode) && !S_ISREG(stx->stx_mode))
		(void)fputs(",\"notreg\":true", to);
	return 0;
}

/* A directory becomes the deepest level, its list open; all else is done with. */
static int put_entry(FILE *to, struct dirstack *stack, const char *name)
{
	struct open_dir *parent = dirstack_top(stack)->dir, *dir;
	struct statx stx;
	int fd;

	(void)fputs(",\n", to);
	fd = dir_open_beneath(parent->fd, name);
	if (fd == -EXDEV) { /* not to be looked at: its server may be silent */
		(void)fputs("{\"name\":", to);
		put_string(to, name);
		(void)fputs(",\"excluded\":\"otherfs\"}", to);
		return 0;
	}
	if (fd < 0) {
		(void)put_info(to, parent->fd, name, name, &stx);
		if (S_ISDIR(stx.stx_mode))
			(void)fputs(",\"read_error\":true", to);
		(void)fputc('}', to);
		return 0;
	}
	dir = open_dir_new(fd);
	if (!dir)
		return -ENOMEM;
	(void)fputc('[', to);
	(void)put_info(to, fd, "", name, &stx);
	(void)fputc('}', to);
	return dirstack_push(stack, dir, 0);
}

static int put_tree(FILE *to, struct dirstack *stack)
{
	const struct dirent64 *entry;
	struct statx stx;
	int r = 0;

	while (stack->count > 0 && !ferror(to)) {
		r = dirstack_next(stack, &entry);
		if (r > 0 && (entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN)) {
			r = put_entry(to, stack, entry->d_name);
		} else if (r > 0) {
			(void)fputs(",\n", to);
			(void)put_info(to, dirstack_top(stack)->dir->fd, entry->d_name, entry->d_name,
				       &stx);
			(void)fputc('}', to);
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
	struct statx stx;
	int fd, r;

	fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	dir = open_dir_new(fd);
	if (!dir || !stack) {
		open_dir_unref(dir);
		return -ENOMEM;
	}
	(void)fprintf(to, "[1,2,{\"progname\":\"containerd-recover\",\"progver\":\"%s\",\"timestamp\":%lld},\n[",
		      VERSION, (long long)time(NULL));
	r = put_info(to, fd, "", name, &stx);
	if (r == 0)
		(void)fprintf(to, ",\"dev\":%llu", (unsigned long long)makedev(stx.stx_dev_major,
									     stx.stx_dev_minor));
	(void)fputc('}', to);
	r = dirstack_push(stack, dir, 0);
	if (r == 0)
		r = put_tree(to, stack);
	(void)fputs("]\n", to);
	if (r == 0 && (fflush(to) != 0 || ferror(to)))
		r = errno ? -errno : -EIO;
	return r;
}
