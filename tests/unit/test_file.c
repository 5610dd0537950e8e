#include "recover/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "tests/unit/tap.h"

static char path[4096];

static void mount_with(const char *options, unsigned long flags)
{
	CHECK_EQ(mount("none", path, "tmpfs", flags, options), 0);
}

static void unmount(void)
{
	CHECK_EQ(umount2(path, MNT_DETACH), 0);
}

static void fill(void)
{
	static const char block[4096];
	cleanup_free char *name = NULL;
	cleanup_fd int fd = -EBADF;

	if (!CHECK(asprintf(&name, "%s/filler", path) > 0))
		return;
	fd = open(name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	while (write(fd, block, sizeof(block)) > 0)
		;
	CHECK_EQ(errno, ENOSPC);
}

static void test_what_has_room_is_writable(void)
{
	CHECK_EQ(file_check_writable(path), 0);
	CHECK_EQ(file_check_writable("/absent/and/made/later"), 0);
	mount_with("size=1M", 0);
	CHECK_EQ(file_check_writable(path), 0);
	unmount();
}

static void test_what_has_no_limit_is_not_full(void)
{
	mount_with("size=0,nr_inodes=0", 0);
	CHECK_EQ(file_check_writable(path), 0);
	unmount();
}

static void test_what_is_full_or_read_only_is_not_writable(void)
{
	mount_with("size=64k", 0);
	fill();
	CHECK_EQ(file_check_writable(path), -ENOSPC);
	unmount();

	mount_with("nr_inodes=1", 0); /* which is its root */
	CHECK_EQ(file_check_writable(path), -ENOSPC);
	unmount();

	mount_with(NULL, MS_RDONLY);
	CHECK_EQ(file_check_writable(path), -EROFS);
	unmount();
}

int main(void)
{
	tap_private_mounts();
	(void)snprintf(path, sizeof(path), "%s", tap_tmpdir(NULL));
	RUN(test_what_has_room_is_writable);
	RUN(test_what_has_no_limit_is_not_full);
	RUN(test_what_is_full_or_read_only_is_not_writable);
	return tap_done();
}
