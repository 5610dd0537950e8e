/* On btrfs of its own: what the device has to read, in counts, not in time. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/treeahead.h"
#include "tests/unit/tap.h"

enum {
	FILES = 50000,
	WINDOW = 1024,	  /* inode numbers read for a hint, … */
	AHEAD = 16,	  /* … and windows behind it */
	FREE_WINDOWS = 33, /* that are read although nothing is needed of them */
	QUIET_TICKS = 20, /* of 10 ms without a read: it is through */
};

static const char *base;
static uint64_t first_inode; /* of the files; the others follow */

static int open_mnt(void)
{
	cleanup_free char *path = NULL;

	if (asprintf(&path, "%s/mnt", base) < 0)
		return -ENOMEM;
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void file_name(unsigned i, char name[32])
{
	(void)snprintf(name, 32, "file-%u", i);
}

/* Returns false if it cannot be made here. */
static bool make_files(void)
{
	cleanup_fd int fd = -EBADF;
	struct stat st;

	if (tap_shell("cd %s && mkdir -p mnt && truncate -s 512M image && mkfs.btrfs -q image >/dev/null 2>&1 && "
		      "mount -o loop,noatime image mnt 2>/dev/null", base) != 0)
		return false;
	fd = open_mnt();
	for (unsigned i = 0; i < FILES; i++) {
		char name[32];

		file_name(i, name);
		if (mknodat(fd, name, S_IFREG | 0600, 0) < 0)
			return false;
	}
	CHECK_EQ(fstatat(fd, "file-0", &st, AT_SYMLINK_NOFOLLOW), 0);
	first_inode = st.st_ino;
	return true;
}

/* Nothing of it is in the caches any more: its loop device ends with it. */
static void remount(void)
{
	CHECK_EQ(tap_shell("cd %s && umount mnt && mount -o loop,noatime image mnt", base), 0);
}

/* Reads that the device below has finished. */
static unsigned long device_reads(void)
{
	cleanup_free char *command = NULL;
	unsigned long reads = 0;
	FILE *file;

	if (asprintf(&command, "cat /sys/block/$(basename $(losetup -nO NAME -j %s/image))/stat", base) < 0)
		return 0;
	file = popen(command, "re"); // NOLINT: the test's own words
	CHECK(file && fscanf(file, "%lu", &reads) == 1);
	if (file)
		(void)pclose(file);
	return reads;
}

/* What was read until no more is. */
static unsigned long reads_when_quiet(unsigned long before)
{
	const struct timespec tick = { .tv_nsec = 10000000 };
	unsigned long last = before, now = before;

	for (unsigned quiet = 0; quiet < QUIET_TICKS; last = now) {
		(void)nanosleep(&tick, NULL);
		now = device_reads();
		quiet = now == last ? quiet + 1 : 0;
	}
	return now - before;
}

/* What looking at files @first to @end reads. */
static unsigned long stat_files(int fd, unsigned first, unsigned end)
{
	unsigned long before = device_reads();

	for (unsigned i = first; i < end; i++) {
		struct stat st;
		char name[32];

		file_name(i, name);
		CHECK_EQ(fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
	}
	return device_reads() - before;
}

static void what_follows_a_hint_is_in_memory(void)
{
	enum { SEEN = AHEAD * WINDOW };
	struct treeahead *ahead = NULL;
	cleanup_fd int fd = -EBADF;
	unsigned long cold, before, warm;

	remount();
	fd = open_mnt();
	cold = stat_files(fd, 0, SEEN);
	(void)close(take_fd(&fd));
	remount();
	fd = open_mnt();
	CHECK_EQ(treeahead_open(fd, &ahead), 0);
	before = device_reads();
	treeahead_hint(ahead, first_inode, SEEN);
	CHECK(reads_when_quiet(before) > 0);
	warm = stat_files(fd, 0, SEEN);
	/* The names are elsewhere in the tree, the inodes are what was asked for. */
	printf("# looking at %d files reads %lu times, after a hint %lu\n", SEEN, cold, warm);
	CHECK(cold > 100);
	CHECK(warm < cold * 2 / 3);
	treeahead_hint(ahead, first_inode, SEEN); /* once is enough */
	CHECK_EQ(reads_when_quiet(device_reads()), 0);
	treeahead_close(ahead);
}

static void what_nobody_needs_is_not_read_for_ever(void)
{
	struct treeahead *ahead = NULL;
	cleanup_fd int fd = -EBADF;
	unsigned long before, without = 0, needed = 0;

	for (unsigned pass = 0; pass < 2; pass++) {
		unsigned long reads;

		remount();
		fd = open_mnt();
		CHECK_EQ(treeahead_open(fd, &ahead), 0);
		before = reads = device_reads();
		for (uint64_t inode = first_inode; inode < first_inode + FILES; inode += (uint64_t)AHEAD * WINDOW) {
			treeahead_hint(ahead, inode, pass ? FILES : 0);
			(void)reads_when_quiet(device_reads());
		}
		reads = device_reads() - before;
		if (pass)
			needed = reads;
		else
			without = reads;
		treeahead_close(ahead);
		(void)close(take_fd(&fd));
	}
	printf("# reads: %lu of what is needed, %lu of what is not\n", needed, without);
	CHECK(without > 0);
	CHECK(without < needed * (FREE_WINDOWS + 8) * WINDOW / FILES);
}

/* Closed while it reads, or with much to read: it ends at once, and what is below can be unmounted. */
static void it_ends_when_asked(void)
{
	for (unsigned i = 0; i < 20; i++) {
		struct treeahead *ahead = NULL;
		cleanup_fd int fd = open_mnt();

		CHECK_EQ(treeahead_open(fd, &ahead), 0);
		for (unsigned k = 0; k < 100; k++)
			treeahead_hint(ahead, first_inode + (uint64_t)k * 40 * WINDOW, FILES);
		treeahead_close(ahead);
	}
	remount();
}

/* In a child: without the capability, -EPERM and nothing to clean up. */
static void without_the_capability(void)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
		struct __user_cap_data_struct none[2] = { { 0 } };
		struct treeahead *ahead = NULL;
		int fd = open_mnt();

		if (syscall(SYS_capset, &header, none) < 0)
			_exit(2);
		_exit(treeahead_open(fd, &ahead) == -EPERM && !ahead ? 0 : 1);
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	CHECK_EQ(status, 0);
}

static void test_what_is_not_for_it(void)
{
	struct treeahead *ahead = NULL;
	cleanup_fd int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK_EQ(treeahead_open(proc, &ahead), -EOPNOTSUPP);
	CHECK_EQ(treeahead_open(-EBADF, &ahead), -EBADF);
	CHECK(!ahead);
	treeahead_hint(ahead, 256, 1); /* nothing to do */
	treeahead_close(ahead);
}

static void test_on_btrfs(void)
{
	if (!make_files()) {
		tap_skip("btrfs cannot be made or mounted here");
		return;
	}
	what_follows_a_hint_is_in_memory();
	what_nobody_needs_is_not_read_for_ever();
	it_ends_when_asked();
	without_the_capability();
	CHECK_EQ(tap_shell("umount %s/mnt", base), 0);
}

int main(void)
{
	tap_private_mounts();
	base = tap_tmpdir(NULL);
	RUN(test_what_is_not_for_it);
	RUN(test_on_btrfs);
	return tap_done();
}
