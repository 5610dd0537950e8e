#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/purge/queue.h"
#include "recover/purge/window.h"
#include "scanners/cleanup.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

enum { FILES = 3000, DIRS = 50 };

static int tmp = -EBADF;

static int make_entry(int dirfd, const char *name, bool dir)
{
	if (dir)
		return mkdirat(dirfd, name, 0700);
	return mknodat(dirfd, name, S_IFREG | 0600, 0);
}

/* In no order of names. Made once: no test changes it. */
static int open_mixed(void)
{
	bool made = mkdirat(tmp, "mixed", 0700) == 0;
	int fd = openat(tmp, "mixed", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	for (unsigned i = 0; made && i < FILES + DIRS; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "%x-%u", i * 2654435761U, i);
		if (!CHECK_EQ(make_entry(fd, name, i < DIRS), 0))
			break;
	}
	return fd;
}

static void check_entry(int fd, const struct window *window, size_t i)
{
	struct stat st;

	if (!CHECK_EQ(fstatat(fd, window_name(window, i), &st, AT_SYMLINK_NOFOLLOW), 0))
		return;
	CHECK_EQ(st.st_ino, window_inode(window, i));
	CHECK_EQ(S_ISDIR(st.st_mode), i >= window->files);
	CHECK(i == 0 || i >= window->files ||
	      window_inode(window, i - 1) < window_inode(window, i));
}

static void test_files_by_inode_then_directories(void)
{
	cleanup_fd int fd = open_mixed();
	struct window window;

	if (!CHECK_EQ(window_init(&window, WINDOW_MAX), 0))
		return;
	CHECK_EQ(window_read(&window, fd), 1);
	CHECK(!window.full);
	CHECK_EQ(window.files, FILES);
	CHECK_EQ(window.count, FILES + DIRS);
	for (size_t i = 0; i < window.count; i++)
		check_entry(fd, &window, i);
	CHECK_EQ(window_read(&window, fd), 0);
	window_done(&window);
}

/* What is cut off behind an entry comes again from there, each entry once. */
static void test_small_windows_go_on_where_one_ended(void)
{
	cleanup_fd int fd = open_mixed();
	size_t files = 0, dirs = 0;
	struct window window;
	int r;

	if (!CHECK_EQ(window_init(&window, WINDOW_SMALL), 0))
		return;
	while ((r = window_read(&window, fd)) > 0) {
		files += window.files;
		dirs += window.count - window.files;
	}
	CHECK_EQ(r, 0);
	CHECK_EQ(files, FILES);
	CHECK_EQ(dirs, DIRS);
	window_done(&window);
}

/* How many a plain reading finds behind @name. */
static size_t behind(int fd, const char *name)
{
	DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *entry;
	size_t count = 0;
	bool met = false;

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		count += met;
		met = met || strcmp(entry->d_name, name) == 0;
	}
	if (dir)
		(void)closedir(dir);
	return count;
}

static void test_reading_goes_on_behind_an_entry(void)
{
	cleanup_fd int fd = open_mixed();
	struct window window;
	size_t expected;

	if (!CHECK_EQ(window_init(&window, WINDOW_MAX), 0))
		return;
	CHECK_EQ(window_read(&window, fd), 1);
	expected = behind(fd, window_name(&window, window.files));
	CHECK(expected > 0);
	CHECK(lseek(fd, window_next(&window, window.files), SEEK_SET) >= 0);
	CHECK_EQ(window_read(&window, fd), 1);
	CHECK_EQ(window.count, expected);
	window_done(&window);
}

static size_t count_up_to(int fd, uint64_t inode, bool dirs)
{
	DIR *dir = fdopendir(openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	const struct dirent *entry;
	size_t count = 0;

	while (dir && (entry = readdir(dir)))
		count += entry->d_ino <= inode && entry->d_name[0] != '.' &&
			 (entry->d_type == DT_DIR) == dirs;
	if (dir)
		(void)closedir(dir);
	return count;
}

static void check_lowest(int fd, const struct window *window)
{
	CHECK(window->full && window->lowest);
	CHECK_EQ(window->count, window->files);
	for (size_t i = 0; i < window->files; i++)
		check_entry(fd, window, i);
	CHECK_EQ(count_up_to(fd, window_inode(window, window->files - 1), false), window->files);
}

/* In several windows, each the lowest of what is there; the directories are all left. */
static void test_lowest_first_and_directories_never(void)
{
	cleanup_fd int fd = open_mixed();
	struct window window, staging;
	unsigned windows = 0;
	off_t start;
	int r;

	if (!CHECK_EQ(window_init(&window, 2 * WINDOW_SMALL), 0) ||
	    !CHECK_EQ(window_init(&staging, WINDOW_SMALL), 0))
		return;
	CHECK_EQ(window_read(&staging, fd), 1);
	start = lseek(fd, 0, SEEK_CUR);
	for (size_t i = 0; i < staging.files; i++)
		CHECK_EQ(unlinkat(fd, window_name(&staging, i), 0), 0);
	while ((r = window_read_lowest(&window, &staging, fd)) > 0) {
		check_lowest(fd, &window);
		CHECK_EQ(lseek(fd, 0, SEEK_CUR), start);
		for (size_t i = 0; i < window.files; i++)
			CHECK_EQ(unlinkat(fd, window_name(&window, i), 0), 0);
		windows++;
	}
	CHECK_EQ(r, 0);
	CHECK(windows > 1);
	CHECK_EQ(count_up_to(fd, UINT64_MAX, false), 0);
	CHECK_EQ(count_up_to(fd, UINT64_MAX, true), DIRS);
	window_done(&staging);
	window_done(&window);
}

/* Nothing is left behind: no need to read it again. */
static void test_lowest_of_few_is_all(void)
{
	cleanup_fd int fd = -EBADF;
	struct window window, staging;

	CHECK_EQ(mkdirat(tmp, "few", 0700), 0);
	fd = openat(tmp, "few", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(make_entry(fd, "a", false), 0);
	CHECK_EQ(make_entry(fd, "b", false), 0);
	if (!CHECK_EQ(window_init(&window, 2 * WINDOW_SMALL), 0) ||
	    !CHECK_EQ(window_init(&staging, WINDOW_SMALL), 0))
		return;
	CHECK_EQ(window_read_lowest(&window, &staging, fd), 1);
	CHECK_EQ(window.files, 2);
	CHECK(!window.full && !window.lowest);
	CHECK_EQ(window_read(&window, fd), 0);
	fault_arm("getdents64", 1, EIO);
	CHECK_EQ(window_read_lowest(&window, &staging, fd), -EIO);
	CHECK(fault_fired());
	window_done(&staging);
	window_done(&window);
}

static void test_the_two_large_ones_differ(void)
{
	struct queue queue;
	size_t first, second;

	if (!CHECK_EQ(queue_init(&queue, 1, 64), 0))
		return;
	first = queue_take_window(&queue);
	second = queue_take_window(&queue);
	CHECK(first > second && second > WINDOW_SMALL && first <= WINDOW_MAX);
	CHECK_EQ(queue_take_window(&queue), 0);
	queue_give_window(&queue, first);
	CHECK_EQ(queue_take_window(&queue), first);
	queue_done(&queue);
}

int main(void)
{
	tmp = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_files_by_inode_then_directories);
	RUN(test_small_windows_go_on_where_one_ended);
	RUN(test_reading_goes_on_behind_an_entry);
	RUN(test_lowest_first_and_directories_never);
	RUN(test_lowest_of_few_is_all);
	RUN(test_the_two_large_ones_differ);
	return tap_done();
}
