#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

static int tmp = -EBADF;

static void test_open_beneath_refuses_links_and_mounts(void)
{
	cleanup_fd int fd = -EBADF;

	CHECK_EQ(mkdirat(tmp, "plain", 0700), 0);
	CHECK_EQ(symlinkat("plain", tmp, "link"), 0);
	fd = dir_open_beneath(tmp, "plain");
	CHECK(fd >= 0);
	CHECK_EQ(dir_is_mount_point(fd), 0);
	CHECK(dir_open_beneath(tmp, "link") < 0);
	CHECK_EQ(dir_open_beneath(tmp, "absent"), -ENOENT);
	CHECK(dir_open_beneath(tmp, "..") < 0);
}

static void test_read_file_bounds_and_kinds(void)
{
	cleanup_free char *text = NULL;
	char *untouched = text;
	size_t size = 0;

	CHECK_EQ(file_replace(tmp, "file", "hello", 5, 0600), 0);
	CHECK_EQ(dir_read_file(tmp, "file", 4, &text, &size), -EFBIG);
	CHECK(text == untouched);
	CHECK_EQ(dir_read_file(tmp, "file", 5, &text, &size), 0);
	CHECK_STR(text, "hello");
	CHECK_EQ(size, 5);
	CHECK_EQ(mkfifoat(tmp, "fifo", 0600), 0);
	CHECK_EQ(dir_read_file(tmp, "fifo", 5, &text, &size), -EINVAL);
	CHECK_EQ(symlinkat("file", tmp, "filelink"), 0);
	CHECK_EQ(dir_read_file(tmp, "filelink", 5, &text, &size), -ELOOP);
}

/* Whatever call fails, the reader sees the old content or the new. */
static void test_replace_survives_every_fault(void)
{
	CHECK_EQ(file_replace(tmp, "state", "old", 3, 0600), 0);
	for (int n = 1;; n++) {
		cleanup_free char *text = NULL;
		int r;

		fault_arm("any", n, EIO);
		r = file_replace(tmp, "state", "new", 3, 0600);
		if (!fault_fired())
			break;
		CHECK(r < 0);
		CHECK_EQ(dir_read_file(tmp, "state", 3, &text, NULL), 0);
		CHECK(strcmp(text, "old") == 0 || strcmp(text, "new") == 0);
		CHECK_EQ(faccessat(tmp, ".state.new", F_OK, 0), -1);
	}
}

int main(void)
{
	tmp = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_open_beneath_refuses_links_and_mounts);
	RUN(test_read_file_bounds_and_kinds);
	RUN(test_replace_survives_every_fault);
	return tap_done();
}
