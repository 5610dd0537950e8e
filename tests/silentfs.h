/*
 * A FUSE file system whose server says that it is there and then never answers
 * again: who stats it, waits. It ends with its process.
 */
#ifndef TESTS_SILENTFS_H
#define TESTS_SILENTFS_H

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SILENTFS_REQUEST = 256 * 1024 };

static inline int silentfs_answer_init(int fd)
{
	static char request[SILENTFS_REQUEST];
	struct {
		struct fuse_out_header header;
		struct fuse_init_out init;
	} answer = {
		.header.len = sizeof(answer),
		.init = { .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION, .max_write = 4096 },
	};

	if (read(fd, request, sizeof(request)) < (ssize_t)sizeof(struct fuse_in_header))
		return -EIO;
	answer.header.unique = ((struct fuse_in_header *)request)->unique;
	return write(fd, &answer, sizeof(answer)) == (ssize_t)sizeof(answer) ? 0 : -EIO;
}

/*
 * Mount one at @path, a directory or a file, of type "fuse", or "fuseblk" with @source a block device:
 * the last unmount of that one waits for the server. Returns the server's fd, to
 * be held open and never read, or a negative errno.
 */
static inline int silentfs_mount(const char *path, const char *type, const char *source)
{
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC), r;
	char options[128];
	struct stat st;

	if (fd < 0 || stat(path, &st) < 0)
		return -errno;
	(void)snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=0,group_id=0%s", fd,
		       st.st_mode & S_IFMT, strcmp(type, "fuseblk") == 0 ? ",blksize=512" : "");
	r = mount(source, path, type, MS_NODEV | MS_NOSUID, options) < 0 ? -errno :
									  silentfs_answer_init(fd);
	if (r == 0)
		return fd;
	(void)close(fd);
	return r;
}

#endif
