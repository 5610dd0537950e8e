#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "recover/purge/purge.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/tap.h"

static int tmp = -EBADF;

static int make_file(int dirfd, const char *name)
{
	cleanup_fd int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : 0;
}

static int make_dir(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700) < 0)
		return -errno;
	return dir_open_beneath(dirfd, name);
}

static int purge(int fd, struct purge_progress *ret)
{
	struct purge_options options = PURGE_OPTIONS_DEFAULT;

	options.urgent = true;
	return purge_tree(fd, &options, ret);
}

static void test_every_kind_of_entry_goes_and_nothing_else(void)
{
	cleanup_fd int outside = make_dir(tmp, "outside");
	cleanup_fd int fd = make_dir(tmp, "kinds");
	cleanup_fd int sub = make_dir(fd, "sub");
	struct purge_progress p;

	CHECK_EQ(make_file(outside, "kept"), 0);
	CHECK_EQ(linkat(outside, "kept", sub, "hardlink", 0), 0);
	CHECK_EQ(symlinkat("../outside", fd, "link"), 0);
	CHECK_EQ(symlinkat("../../outside/kept", sub, "filelink"), 0);
	CHECK_EQ(mkfifoat(fd, "fifo", 0600), 0);
	CHECK_EQ(mknodat(fd, "whiteout", S_IFCHR, 0), 0);
	CHECK_EQ(mknodat(fd, "socket", S_IFSOCK, 0), 0);
	CHECK_EQ(make_file(fd, "new\nline\xff\x01"), 0);
	CHECK_EQ(make_file(fd, "*"), 0);
	CHECK_EQ(purge(fd, &p), 0);
	CHECK_EQ(p.entries, 9);
	CHECK_EQ(p.left, 0);
	CHECK_EQ(dir_is_empty(fd), 1);
	CHECK_EQ(faccessat(outside, "kept", F_OK, 0), 0);
}

static void test_chain_deeper_than_fds(void)
{
	cleanup_fd int fd = make_dir(tmp, "chain");
	cleanup_fd int at = dup(fd);
	struct purge_progress p;

	for (int i = 0; i < 300; i++) {
		int next = make_dir(at, "d");

		CHECK(next >= 0);
		(void)close(at);
		at = next;
		CHECK_EQ(make_file(at, "f"), 0);
	}
	CHECK_EQ(purge(fd, &p), 0);
	CHECK_EQ(p.entries, 600);
	CHECK_EQ(dir_is_empty(fd), 1);
}

int main(void)
{
	tmp = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_every_kind_of_entry_goes_and_nothing_else);
	RUN(test_chain_deeper_than_fds);
	return tap_done();
}
