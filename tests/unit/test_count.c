#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/count.h"
#include "scanners/walk.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

static int tmp = -EBADF;
static const char *tmp_path;

static int make_dir(int at, const char *name)
{
	CHECK_EQ(mkdirat(at, name, 0700), 0);
	return openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void make_file(int at, const char *name)
{
	cleanup_fd int fd = openat(at, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
}

static void make_files(int at, unsigned count)
{
	char name[32];

	for (unsigned i = 0; i < count; i++) {
		(void)snprintf(name, sizeof(name), "f%u", i);
		make_file(at, name);
	}
}

/* @width subdirectories in each of @depth levels, three files in each. */
static unsigned make_tree(int at, unsigned width, unsigned depth)
{
	unsigned made = 3;
	char name[32];

	make_files(at, 3);
	for (unsigned i = 0; depth > 0 && i < width; i++) {
		cleanup_fd int fd = -EBADF;

		(void)snprintf(name, sizeof(name), "d%u", i);
		fd = make_dir(at, name);
		made += 1 + make_tree(fd, width, depth - 1);
	}
	return made;
}

static struct count_result count(int fd, uint64_t stop_at, unsigned msec)
{
	struct count_result result = { .error = 1 };

	CHECK_EQ(count_entries(fd, stop_at, msec, &result), 0);
	return result;
}

static void test_counts_all_and_only_what_is_below(void)
{
	cleanup_fd int fd = make_dir(tmp, "tree");
	unsigned made = make_tree(fd, 5, 4);
	struct count_result result;

	CHECK_EQ(symlinkat("/usr", fd, "link"), 0);
	CHECK_EQ(mkfifoat(fd, "fifo", 0600), 0);
	result = count(fd, 0, 0);
	CHECK_EQ(result.entries, made + 2);
	CHECK(result.complete);
	CHECK(!result.reached);
	CHECK_EQ(result.error, 0);
}

static void test_empty(void)
{
	cleanup_fd int fd = make_dir(tmp, "empty");
	struct count_result result = count(fd, 1, 0);

	CHECK_EQ(result.entries, 0);
	CHECK(result.complete);
	CHECK(!result.reached);
}

/* Deeper and wider at each level than buffers and fds are kept for: every level
 * is left and found again. */
static void test_deep_and_wide(void)
{
	cleanup_fd int top = make_dir(tmp, "deep");
	int fd = dup(top);
	unsigned made = 0;
	struct count_result result;

	for (unsigned i = 0; i < 300; i++) {
		int next = make_dir(fd, "a-chain");

		for (unsigned j = 0; j < 5; j++) {
			char name[32];

			(void)snprintf(name, sizeof(name), "b%u", j);
			(void)close(make_dir(fd, name));
		}
		make_files(fd, 5);
		made += 11;
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
	result = count(top, 0, 0);
	CHECK_EQ(result.entries, made);
	CHECK(result.complete);
}

static void test_stops_at_the_threshold(void)
{
	cleanup_fd int fd = make_dir(tmp, "flat");
	struct count_result result;

	make_files(fd, 30000);
	result = count(fd, 1000, 0);
	CHECK(result.reached);
	CHECK(!result.complete);
	CHECK(result.entries >= 1000);
	CHECK(result.entries < 30000);
	result = count(fd, 30001, 0);
	CHECK(!result.reached);
	CHECK(result.complete);
	CHECK_EQ(result.entries, 30000);
}

/* One flat directory that cannot be read in the time: the clock stands still
 * for nobody, so the reading itself is made slow. */
static void test_deadline_inside_a_directory_that_hangs(void)
{
	cleanup_fd int fd = openat(tmp, "flat", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct count_result result;

	fault_arm("getdents64", 2, FAULT_HANG);
	result = count(fd, 0, 10);
	CHECK(fault_fired());
	CHECK(!result.complete);
	CHECK_EQ(result.error, -ETIMEDOUT);
	CHECK(result.entries > 0);
	CHECK(result.entries < 30000);
	CHECK(result.msec >= 10);
	CHECK(result.msec < FAULT_HANG_MSEC);
	/* Let the worker that was left behind wake and end. */
	(void)usleep(FAULT_HANG_MSEC * 2000);
}

static void test_mounts_are_not_entered(void)
{
	cleanup_fd int fd = make_dir(tmp, "mounts"), under = -EBADF;
	char target[4200];
	struct count_result result;

	under = make_dir(fd, "bind");
	make_files(fd, 2);
	(void)snprintf(target, sizeof(target), "%s/mounts/bind", tmp_path);
	if (mount("/usr/share", target, NULL, MS_BIND, NULL) < 0) {
		tap_skip("cannot mount");
		return;
	}
	result = count(fd, 0, 0);
	CHECK_EQ(umount2(target, MNT_DETACH), 0);
	CHECK_EQ(result.entries, 3);
	CHECK(result.complete);
}

static void test_unreadable_is_not_complete(void)
{
	cleanup_fd int fd = openat(tmp, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct count_result result;

	fault_arm("getdents64", 3, EIO);
	result = count(fd, 0, 0);
	CHECK(fault_fired());
	CHECK(!result.complete);
	CHECK_EQ(result.error, -EIO);
	CHECK(result.entries > 0);
}

static void test_every_allocation_may_fail(void)
{
	static const char *const functions[] = { "malloc", "calloc", "realloc" };
	cleanup_fd int fd = openat(tmp, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (size_t f = 0; f < ARRAY_SIZE(functions); f++) {
		for (int n = 1; n < 200; n++) {
			struct count_result result = { .entries = 77 };
			int r;

			fault_arm(functions[f], n, ENOMEM);
			r = count_entries(fd, 0, 0, &result);
			if (!fault_fired())
				break;
			if (r < 0)
				CHECK_EQ(result.entries, 77);
			/* A worker less is no harm; a directory less must show. */
			else if (!result.complete)
				CHECK_EQ(result.error, -ENOMEM);
			else
				CHECK_EQ(result.error, 0);
		}
	}
}

static uint64_t owner_sums[3], owner_bytes[3];

static uint64_t enter_first_level(uint64_t parent, const char *name, unsigned depth, void *data)
{
	(void)data;
	if (depth != 1)
		return parent;
	return name[1] == '0' ? 1 : 2 | WALK_MEASURE;
}

static void add_up(uint64_t tag, const struct walk_sums *sums, void *data)
{
	(void)data;
	__atomic_fetch_add(&owner_sums[tag & 3], sums->entries, __ATOMIC_RELAXED);
	__atomic_fetch_add(&owner_bytes[tag & 3], sums->bytes, __ATOMIC_RELAXED);
}

static void test_tags_are_inherited(void)
{
	cleanup_fd int fd = openat(tmp, "tree", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct walk_options options = { .enter = enter_first_level, .tally = add_up };
	struct walk_result result;

	CHECK_EQ(walk_tree(fd, &options, &result), 0);
	CHECK_EQ(owner_sums[0], 5 + 3 + 2);
	CHECK_EQ(owner_sums[2], owner_sums[1] * 4);
	CHECK_EQ(owner_sums[0] + owner_sums[1] + owner_sums[2], result.entries);
	CHECK_EQ(owner_bytes[0] + owner_bytes[1], 0);
	CHECK(owner_bytes[2] > 0);
}

int main(void)
{
	tmp_path = tap_tmpdir(NULL);
	tmp = open(tmp_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_counts_all_and_only_what_is_below);
	RUN(test_empty);
	RUN(test_deep_and_wide);
	RUN(test_stops_at_the_threshold);
	RUN(test_deadline_inside_a_directory_that_hangs);
	RUN(test_mounts_are_not_entered);
	RUN(test_unreadable_is_not_complete);
	RUN(test_every_allocation_may_fail);
	RUN(test_tags_are_inherited);
	return tap_done();
}
