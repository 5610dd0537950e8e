#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "recover/file.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/silentfs.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

static int tmp = -EBADF;
static const char *base;
static int servers[2] = { -EBADF, -EBADF };
static uint64_t here; /* the mount of @tmp */

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

enum { SERVER_SEC = 20 };

/* One that is asked does not answer: SIGALRM would end the test. */
static void check_silent(void)
{
	struct statx stx;

	(void)alarm(SERVER_SEC);
	CHECK_EQ(dir_open_beneath(tmp, "silent"), -EXDEV);
	CHECK_EQ(dir_stat_beneath(tmp, "silent", STATX_BASIC_STATS, &stx), -EXDEV);
	CHECK_EQ(dir_stat_beneath(tmp, "silentfile", STATX_BASIC_STATS, &stx), -EXDEV);
	CHECK_EQ(dir_open_on_mount(tmp, "silentfile", O_RDONLY | O_CLOEXEC, here), -EXDEV);
	(void)alarm(0);
}

static void test_silent_servers_are_not_asked(void)
{
	cleanup_free char *dir = NULL, *file = NULL;

	CHECK_EQ(dir_mount_id(tmp, &here), 0);
	CHECK_EQ(mkdirat(tmp, "silent", 0700), 0);
	CHECK_EQ(mknodat(tmp, "silentfile", S_IFREG | 0600, 0), 0);
	if (asprintf(&dir, "%s/silent", base) < 0 || asprintf(&file, "%s/silentfile", base) < 0)
		return;
	for (int i = 0; i < 2; i++) {
		servers[i] = silentfs_mount(i ? file : dir, "fuse", "silent");
		if (servers[i] == -ENOENT || servers[i] == -ENODEV) {
			tap_skip("no FUSE here");
			return;
		}
		CHECK(servers[i] >= 0);
	}
	check_silent();
}

/* Nor by an older kernel, on which the rest works as well. */
static void test_without_openat2(void)
{
	struct statx stx;
	cleanup_fd int fd = -EBADF, file = -EBADF;

	CHECK_EQ(tap_refuse(SYS_openat2), 0);
	if (servers[1] >= 0)
		check_silent();
	fd = dir_open_beneath(tmp, "plain");
	CHECK(fd >= 0 && (fcntl(fd, F_GETFL) & O_PATH) == 0);
	CHECK_EQ(dir_is_empty(fd), 1);
	CHECK(dir_open_beneath(tmp, "link") == -ENOTDIR);
	CHECK_EQ(dir_open_beneath(tmp, "absent"), -ENOENT);
	CHECK_EQ(dir_open_beneath(tmp, ".."), -EXDEV);
	CHECK_EQ(dir_stat_beneath(tmp, "link", STATX_TYPE, &stx), 0);
	CHECK(S_ISLNK(stx.stx_mode));
	file = dir_open_on_mount(tmp, "file", O_RDONLY | O_CLOEXEC, here);
	CHECK(file >= 0);
	CHECK_EQ(dir_open_on_mount(tmp, "filelink", O_RDONLY | O_NOFOLLOW | O_CLOEXEC, here), -ELOOP);
	CHECK_EQ(dir_open_on_mount(tmp, "file", O_RDONLY | O_CLOEXEC, here + 1), -EXDEV);
}

/* Before the directory is removed. */
static void end_servers(void)
{
	static const char *const names[] = { "silent", "silentfile" };

	for (int i = 0; i < 2; i++) {
		cleanup_free char *path = NULL;

		if (servers[i] < 0 || asprintf(&path, "%s/%s", base, names[i]) < 0)
			continue;
		(void)close(servers[i]); /* and with it whatever would wait */
		CHECK_EQ(umount2(path, MNT_DETACH), 0);
	}
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
	tap_private_mounts();
	base = tap_tmpdir(NULL);
	tmp = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_open_beneath_refuses_links_and_mounts);
	RUN(test_read_file_bounds_and_kinds);
	RUN(test_replace_survives_every_fault);
	RUN(test_silent_servers_are_not_asked);
	RUN(test_without_openat2);
	end_servers();
	return tap_done();
}
