#include "scanners/netns.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "scanners/cleanup.h"

uint64_t netns_inode(const char *path)
{
	cleanup_fd int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct statfs fs;
	struct stat st;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != NSFS_MAGIC || fstat(fd, &st) < 0)
		return 0;
	return st.st_ino;
}

bool netns_is_there(const struct sandbox *sandbox)
{
	uint64_t inode;

	if (!sandbox->netns || !sandbox->netns_mounted)
		return false;
	inode = netns_inode(sandbox->netns);
	/* A manifest of an older version of ours says only that one was there. */
	return inode && (!sandbox->netns_inode || inode == sandbox->netns_inode);
}
