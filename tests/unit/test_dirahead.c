/* On ext4 of its own: how many reads the device sees, in counts, not in time. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "scanners/cleanup.h"
#include "scanners/count.h"
#include "scanners/dirahead.h"
#include "tests/unit/tap.h"

enum { DIRECTORIES = 6000 };

static const char *base;

/* A new file system, mounted at <base>/mnt; false: it cannot be made here. */
static bool make_fs(const char *options)
{
	return tap_shell("cd %s && rm -f image && mkdir -p mnt && truncate -s 256M image && "
			 "mkfs.ext4 -q -F -N 20000 %s image >/dev/null 2>&1 && "
			 "mount -o loop image mnt 2>/dev/null",
			 base, options) == 0;
}

static int open_mnt(void)
{
	cleanup_free char *path = NULL;

	if (asprintf(&path, "%s/mnt", base) < 0)
		return -ENOMEM;
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Each a block of its own, and all below @fd. */
static void make_dirs(int fd)
{
	for (unsigned i = 0; i < DIRECTORIES; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "d%u", i);
		CHECK_EQ(mkdirat(fd, name, 0700), 0);
	}
}

/* Nothing of it is in the caches any more: its loop device ends with it. */
static void remount(void)
{
	CHECK_EQ(tap_shell("cd %s && umount mnt && mount -o loop image mnt", base), 0);
}

/* Reads that the device of @fd has finished. */
static unsigned long device_reads(int fd)
{
	cleanup_free char *path = NULL;
	cleanup_file FILE *file = NULL;
	unsigned long reads = 0;
	struct stat st;

	if (fstat(fd, &st) < 0 ||
	    asprintf(&path, "/sys/dev/block/%u:%u/stat", major(st.st_dev), minor(st.st_dev)) < 0)
		return 0;
	file = fopen(path, "re");
	CHECK(file && fscanf(file, "%lu", &reads) == 1);
	return reads;
}

static void test_a_cold_walk_reads_in_large_pieces(void)
{
	struct count_result result;
	unsigned long before;
	int fd;

	if (!make_fs("")) {
		tap_skip("ext4 cannot be made or mounted here");
		return;
	}
	fd = open_mnt();
	make_dirs(fd);
	(void)close(fd);
	remount();
	fd = open_mnt();
	before = device_reads(fd);
	CHECK_EQ(count_entries(fd, 0, 0, &result), 0);
	CHECK(result.complete);
	CHECK_EQ(result.entries, DIRECTORIES + 1); /* lost+found */
	CHECK(device_reads(fd) - before < DIRECTORIES / 2);
	(void)close(fd);
	CHECK_EQ(tap_shell("umount %s/mnt", base), 0);
}

static void hint_all(struct dirahead *ahead, int fd)
{
	for (unsigned i = 0; i < DIRECTORIES; i++) {
		cleanup_fd int dir = -EBADF;
		char name[32];

		(void)snprintf(name, sizeof(name), "d%u", i);
		dir = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		dirahead_hint(ahead, dir);
	}
}

/* Every directory of a new file system, one hint each; false: it cannot be had here. */
static bool hint_on(const char *mkfs_options, struct dirahead *ahead)
{
	cleanup_fd int fd = -EBADF;

	if (!make_fs(mkfs_options)) {
		tap_skip("ext4 cannot be made or mounted here");
		return false;
	}
	fd = open_mnt();
	make_dirs(fd);
	CHECK_EQ(dirahead_open(fd, ahead), 0);
	hint_all(ahead, fd);
	return true;
}

static void end_hints(struct dirahead *ahead)
{
	dirahead_close(ahead);
	CHECK_EQ(ahead->device, -EBADF);
	CHECK_EQ(tap_shell("umount %s/mnt", base), 0);
}

/* Groups of 1 MiB, over which ext4 spreads the directories below the top. */
static void test_it_pauses_where_directories_are_far_apart(void)
{
	struct dirahead ahead = { .device = -EBADF };

	if (!hint_on("-O ^flex_bg,^resize_inode -g 256", &ahead))
		return;
	CHECK(!ahead.useless);
	CHECK(ahead.resume > 0);
	CHECK_EQ(ahead.directories, DIRECTORIES);
	CHECK(ahead.windows < DIRECTORIES / 10);
	end_hints(&ahead);
}

static void test_it_goes_on_where_they_are_close(void)
{
	struct dirahead ahead = { .device = -EBADF };

	if (!hint_on("", &ahead))
		return;
	CHECK(!ahead.useless);
	CHECK_EQ(ahead.resume, 0);
	CHECK_EQ(ahead.directories, DIRECTORIES);
	CHECK(ahead.windows <= 2 * (DIRECTORIES * 4096UL / DIRAHEAD_WINDOW));
	end_hints(&ahead);
}

static void test_it_goes_on_after_a_pause(void)
{
	struct dirahead ahead = { .device = -EBADF, .resume = DIRECTORIES / 2 };

	if (!hint_on("", &ahead))
		return;
	CHECK_EQ(ahead.directories, DIRECTORIES);
	CHECK(ahead.windows > 0);
	CHECK(ahead.windows <= DIRECTORIES * 4096UL / DIRAHEAD_WINDOW);
	end_hints(&ahead);
}

static void test_what_is_not_for_it(void)
{
	struct dirahead ahead = { .device = -EBADF };
	cleanup_fd int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	CHECK_EQ(dirahead_open(proc, &ahead), -EOPNOTSUPP);
	CHECK_EQ(ahead.device, -EBADF);
	CHECK_EQ(dirahead_open(-EBADF, &ahead), -EBADF);
	dirahead_hint(&ahead, proc); /* nothing to do */
	CHECK(!ahead.useless);
	/* A file system that cannot say where a directory lies. */
	ahead.device = take_fd(&null);
	dirahead_hint(&ahead, proc);
	CHECK(ahead.useless);
	dirahead_close(&ahead);
}

int main(void)
{
	tap_private_mounts();
	base = tap_tmpdir(NULL);
	RUN(test_a_cold_walk_reads_in_large_pieces);
	RUN(test_it_pauses_where_directories_are_far_apart);
	RUN(test_it_goes_on_where_they_are_close);
	RUN(test_it_goes_on_after_a_pause);
	RUN(test_what_is_not_for_it);
	return tap_done();
}
