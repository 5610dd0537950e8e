/*
 * Copies that fail: whichever call it is, the copy is whole or not there, nothing
 * is left beside it, and the source is as it was. What a copy has, tests/cli/keep.t shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>

#include "recover/file.h"
#include "recover/keep/archive.h"
#include "recover/keep/directory.h"
#include "recover/keep/target.h"
#include "recover/pods.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define ATTRIBUTE "trusted.keep"

enum { BIG = 2200000, HOLE = 1300000, HOLE_END = 2100000 }; /* more than one block, and a rest */

static const char *base;
static int base_fd, source_fd;
static bool has_attributes;
static volatile sig_atomic_t never;

static void put(int dirfd, const char *name, const char *text)
{
	cleanup_fd int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	CHECK_EQ(file_write_all(fd, text, strlen(text)), 0);
}

static void put_big(void)
{
	cleanup_fd int fd = openat(source_fd, "big", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	static uint32_t numbers[BIG / 4];

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		numbers[i] = (uint32_t)i;
	CHECK_EQ(pwrite(fd, numbers, HOLE, 0), HOLE);
	CHECK_EQ(pwrite(fd, numbers + HOLE_END / 4, BIG - HOLE_END, HOLE_END), BIG - HOLE_END);
}

/* So old that whoever reads without care leaves a trace. */
static void set_times(int dirfd, const char *name)
{
	static const struct timespec times[] = { { .tv_sec = 981173106, .tv_nsec = 7 }, { .tv_sec = 1012709107 } };

	CHECK_EQ(utimensat(dirfd, name, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void age_source(void)
{
	static const char *const names[] = { "file", "pipe", "big", "deep", "deep/deep", "deep/file", "." };
	/* A link cannot be read without one, unless it is newer than all other times. */
	const struct timespec times[] = { { .tv_sec = time(NULL) + 3600 }, { .tv_nsec = UTIME_OMIT } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (faccessat(source_fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			set_times(source_fd, names[i]);
	CHECK_EQ(utimensat(source_fd, "link", times, AT_SYMLINK_NOFOLLOW), 0);
}

static void make_source(void)
{
	cleanup_fd int file = -EBADF;
	int at;

	CHECK_EQ(mkdirat(base_fd, "source", 0750), 0);
	source_fd = dir_open_beneath(base_fd, "source");
	put(source_fd, "file", "content");
	CHECK_EQ(linkat(source_fd, "file", source_fd, "same", 0), 0);
	CHECK_EQ(symlinkat("nowhere", source_fd, "link"), 0);
	CHECK_EQ(mknodat(source_fd, "pipe", S_IFIFO | 0600, 0), 0);
	file = openat(source_fd, "file", O_RDONLY | O_CLOEXEC);
	has_attributes = fsetxattr(file, ATTRIBUTE, "value", 5, 0) == 0;
	at = fcntl(source_fd, F_DUPFD_CLOEXEC, 0);
	for (int i = 0; i < 12; i++) { /* deeper than what is held open */
		int next;

		CHECK_EQ(mkdirat(at, "deep", 0700), 0);
		next = dir_open_beneath(at, "deep");
		(void)close(at);
		at = next;
		put(at, "file", "content");
	}
	(void)close(at);
	age_source();
}

/* ---- is the copy as the source is? ---- */

static bool same_time(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool same_stat(const struct stat *a, const struct stat *b)
{
	return a->st_mode == b->st_mode && a->st_uid == b->st_uid && a->st_gid == b->st_gid &&
	       a->st_rdev == b->st_rdev && (S_ISDIR(a->st_mode) || a->st_size == b->st_size) &&
	       same_time(&a->st_atim, &b->st_atim) && same_time(&a->st_mtim, &b->st_mtim);
}

static bool same_content(int a, int b, bool partial)
{
	static char blocks[2][1 << 20];
	char values[2][10] = { "", "" };
	ssize_t n;

	do {
		n = read(a, blocks[0], sizeof(blocks[0]));
		if (read(b, blocks[1], sizeof(blocks[1])) != n || n < 0 || memcmp(blocks[0], blocks[1], (size_t)n) != 0)
			return false;
	} while (n > 0);
	(void)fgetxattr(a, ATTRIBUTE, values[0], 9);
	(void)fgetxattr(b, ATTRIBUTE, values[1], 9);
	return strcmp(values[0], values[1]) == 0 || (partial && !*values[1]);
}

/* All that is in the copy; all of the source, but where something was left out. */
static void check_same(int source, int copy, bool partial)
{
	DIR *stream = fdopendir(fcntl(copy, F_DUPFD_CLOEXEC, 0));
	unsigned missing = 0;

	rewinddir(stream);
	for (struct dirent *entry; (entry = readdir(stream));) {
		const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC;
		cleanup_fd int a = -EBADF, b = -EBADF;
		struct stat st[2];

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		missing--;
		if (!CHECK_EQ(fstatat(source, entry->d_name, &st[0], AT_SYMLINK_NOFOLLOW), 0) ||
		    !CHECK_EQ(fstatat(copy, entry->d_name, &st[1], AT_SYMLINK_NOFOLLOW), 0) ||
		    !CHECK(same_stat(&st[0], &st[1]) || (partial && S_ISDIR(st[0].st_mode)))) {
			printf("#   %s\n", entry->d_name);
			continue;
		}
		if (!S_ISREG(st[0].st_mode) && !S_ISDIR(st[0].st_mode))
			continue;
		a = openat(source, entry->d_name, flags);
		b = openat(copy, entry->d_name, flags);
		if (S_ISDIR(st[0].st_mode))
			check_same(a, b, partial);
		else
			CHECK(same_content(a, b, partial));
	}
	(void)closedir(stream);
	stream = fdopendir(openat(source, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC));
	for (struct dirent *entry; (entry = readdir(stream));)
		missing += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
	(void)closedir(stream);
	CHECK(partial || missing == 0);
}

static void check_directory(const char *name, bool partial)
{
	cleanup_free char *path = NULL;
	cleanup_fd int copy = -EBADF;
	struct stat st[2];

	CHECK(asprintf(&path, "%s/a/b/copy", name) > 0);
	copy = openat(base_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	check_same(source_fd, copy, partial);
	CHECK_EQ(fstat(source_fd, &st[0]), 0);
	CHECK_EQ(fstatat(base_fd, path, &st[1], 0), 0);
	CHECK(partial || (st[0].st_mode == st[1].st_mode && same_time(&st[0].st_mtim, &st[1].st_mtim)));
}

/* The same as the first, byte for byte, but for the time that gzip notes. */
static void check_archive(const char *name, char **first, size_t *first_size)
{
	enum { HEADER = 10, MAX = 10 << 20 };
	cleanup_free char *bytes = NULL;
	size_t size = 0;

	CHECK_EQ(dir_read_file(base_fd, name, MAX, &bytes, &size), 0);
	if (!*first) {
		*first = take_ptr(bytes);
		*first_size = size;
		return;
	}
	CHECK(size == *first_size && memcmp(bytes + HEADER, *first + HEADER, size - HEADER) == 0);
}

static unsigned count_fds(void)
{
	cleanup_fd int fds = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *stream = NULL;
	unsigned count = 0;

	CHECK_EQ(dir_stream(fds, &stream), 0);
	while (dir_next(stream, NULL, NULL) > 0)
		count++;
	return count;
}

static int fill(struct keep_target *target, struct keep_report *report)
{
	struct keep_directory *directory;
	struct keep_archive *archive;
	int r;

	if (target->archive) {
		r = keep_archive_new(target->fd, target->how, report, &archive);
		if (r < 0)
			return r;
		r = keep_archive_sink.note(archive, "index", "text", 4);
		if (r == 0)
			r = keep_tree(source_fd, "a/b/copy", false, &keep_archive_sink, archive, report);
		if (r == 0)
			r = keep_archive_finish(archive);
		keep_archive_free(archive);
		return r;
	}
	directory = keep_directory_new(target->fd, target->links_fd, report);
	if (!directory)
		return -ENOMEM;
	r = keep_directory_sink.note(directory, "index", "text", 4);
	if (r == 0)
		r = keep_tree(source_fd, "a/b/copy", false, &keep_directory_sink, directory, report);
	if (r == 0)
		r = keep_directory_finish(directory);
	keep_directory_free(directory);
	return r;
}

static int copy(const char *name, struct keep_report *report)
{
	cleanup_keep_target struct keep_target target = KEEP_TARGET_NONE;
	cleanup_free char *path = NULL;
	int r;

	CHECK(asprintf(&path, "%s/%s", base, name) > 0);
	*report = (struct keep_report){ .stop = &never };
	r = keep_target_open(path, &target);
	if (r == 0)
		r = keep_target_begin(&target);
	if (r < 0)
		return r;
	r = fill(&target, report);
	if (r == 0)
		r = keep_target_commit(&target);
	(void)keep_target_abandon(&target);
	return r;
}

/* Names in the directory of it all, but for the source. */
static unsigned others(const char *name, bool *ret_there)
{
	cleanup_dir DIR *stream = NULL;
	unsigned count = 0;
	const char *found;

	*ret_there = false;
	CHECK_EQ(dir_stream(base_fd, &stream), 0);
	while (dir_next(stream, &found, NULL) > 0) {
		if (strcmp(found, name) == 0)
			*ret_there = true;
		else
			count += strcmp(found, "source") != 0;
	}
	return count;
}

static void remove_all(const char *name)
{
	cleanup_free char *command = NULL;

	CHECK(asprintf(&command, "rm -rf '%s/%s'", base, name) > 0);
	CHECK_EQ(system(command), 0);
}

static unsigned every_call_fails(const char *name, int error)
{
	bool archive = strchr(name, '.') != NULL, there;
	cleanup_free char *first = NULL;
	struct keep_report report;
	unsigned failed = 0, partial = 0, entries = 0, fds = count_fds();
	size_t size = 0;
	int n, r;

	for (n = 1; n < 5000; n++) {
		/* Whatever the fault left, the next run is at home with. */
		r = copy(name, &report);
		if (!CHECK_EQ(r, 0) || !CHECK_EQ(report.left, 0) || !CHECK_EQ(others(name, &there), 0))
			printf("# behind call %d\n", n - 1);
		CHECK(there);
		if (archive)
			check_archive(name, &first, &size);
		else
			check_directory(name, false);
		entries = report.entries;
		remove_all(name);

		fault_arm("any", n, error);
		r = copy(name, &report);
		if (!fault_fired())
			break;
		failed += r < 0;
		partial += report.left > 0;
		(void)others(name, &there);
		if (!CHECK_EQ(there, r == 0) || !CHECK_EQ(count_fds(), fds))
			printf("# call %d\n", n);
		if (there && !archive)
			check_directory(name, report.left > 0);
		if (there && archive && report.left == 0)
			check_archive(name, &first, &size);
		remove_all(name);
	}
	CHECK_EQ(r, 0);
	CHECK_EQ(report.left, 0);
	CHECK(failed > 20 && partial > 0);
	CHECK(n < 5000);
	printf("# %d calls, %u ended it, %u left something out\n", n - 1, failed, partial);
	remove_all(name);
	return entries;
}

static void test_directory_faults(void)
{
	put_big();
	age_source();
	CHECK_EQ(every_call_fails("copy", EIO), 30);
	CHECK_EQ(unlinkat(source_fd, "big", 0), 0);
	age_source();
}

static void test_archive_faults(void)
{
	CHECK_EQ(every_call_fails("copy.tar.gz", ENOSPC), 29);
}

static void test_stop(void)
{
	static volatile sig_atomic_t now = 1;
	cleanup_keep_target struct keep_target target = KEEP_TARGET_NONE;
	struct keep_report report = { .stop = &now };
	cleanup_free char *path = NULL;
	bool there;

	CHECK(asprintf(&path, "%s/stopped", base) > 0);
	CHECK_EQ(keep_target_open(path, &target), 0);
	CHECK_EQ(keep_target_begin(&target), 0);
	CHECK_EQ(fill(&target, &report), -ECANCELED);
	CHECK_EQ(keep_target_abandon(&target), 0);
	CHECK_EQ(others("stopped", &there), 0);
	CHECK(!there);
	put_big();
	{
		cleanup_fd int out = openat(base_fd, "x.tar", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		cleanup_fd int at = openat(source_fd, "big", O_RDONLY | O_CLOEXEC);
		struct keep_entry entry = { .path = "x", .name = "big", .dirfd = source_fd, .fd = at };
		struct keep_archive *archive;

		CHECK_EQ(fstat(at, &entry.st), 0);
		CHECK_EQ(keep_archive_new(out, 0, &report, &archive), 0);
		CHECK_EQ(keep_archive_sink.add(archive, &entry), -ECANCELED);
		keep_archive_free(archive);
	}
	remove_all("x.tar");
	CHECK_EQ(unlinkat(source_fd, "big", 0), 0);
	age_source();
}

/* Somebody else was faster with the same name. */
static void test_nothing_is_overwritten_at_the_end(void)
{
	static const char *const names[] = { "taken", "taken.tar" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_keep_target struct keep_target target = KEEP_TARGET_NONE;
		struct keep_report report = { .stop = &never };
		cleanup_free char *path = NULL, *text = NULL;
		bool there;

		CHECK(asprintf(&path, "%s/%s", base, names[i]) > 0);
		CHECK_EQ(keep_target_open(path, &target), 0);
		CHECK_EQ(keep_target_begin(&target), 0);
		CHECK_EQ(fill(&target, &report), 0);
		put(base_fd, names[i], "theirs");
		CHECK_EQ(keep_target_commit(&target), -EEXIST);
		CHECK_EQ(keep_target_abandon(&target), 0);
		CHECK_EQ(dir_read_file(base_fd, names[i], 100, &text, NULL), 0);
		CHECK_STR(text, "theirs");
		CHECK_EQ(others(names[i], &there), 0);
		remove_all(names[i]);
	}
}

/* ---- what one file may have, and another file system may not ---- */

/* Copy with the @n-th call of @function failing; what was left out, or a negative errno. */
static int copy_with(const char *name, const char *function, int n, int error)
{
	struct keep_report report;
	int r;

	fault_arm(function, n, error);
	r = copy(name, &report);
	CHECK(fault_fired());
	return r < 0 ? r : (int)report.left;
}

static void test_attributes_that_cannot_be_had(void)
{
	static const struct {
		const char *name, *call;
		int error, result;
	} cases[] = {
		{ "copy", "fsetxattr", EOPNOTSUPP, 1 },
		{ "copy", "fsetxattr", ENOSPC, 1 }, /* ext4 for one that is too big */
		{ "copy", "fsetxattr", EIO, -EIO },
		{ "copy", "fgetxattr", EIO, 1 },
		{ "copy", "flistxattr", EUCLEAN, 1 },
		{ "copy.tar", "fgetxattr", EIO, 1 },
		{ "copy.tar", "flistxattr", EUCLEAN, 1 },
	};

	if (!has_attributes) {
		tap_skip("no attributes on this file system");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		bool there;

		CHECK_EQ(copy_with(cases[i].name, cases[i].call, 1, cases[i].error), cases[i].result);
		CHECK_EQ(others(cases[i].name, &there), 0);
		CHECK_EQ(there, cases[i].result > 0);
		if (there && strcmp(cases[i].name, "copy") == 0)
			check_directory("copy", true);
		remove_all(cases[i].name);
	}
}

/* 65,000 on ext4, and ours is one more. */
static void test_more_names_than_the_target_allows(void)
{
	struct stat file, same;

	CHECK_EQ(copy_with("copy", "linkat", 3, EMLINK), 1);
	check_directory("copy", true);
	CHECK_EQ(fstatat(base_fd, "copy/a/b/copy/file", &file, 0), 0);
	CHECK_EQ(fstatat(base_fd, "copy/a/b/copy/same", &same, 0), 0);
	CHECK(file.st_ino != same.st_ino && file.st_size == same.st_size);
	remove_all("copy");
	CHECK_EQ(copy_with("copy", "linkat", 3, EACCES), -EACCES);
}

/* What follows it is at its place all the same. */
static void test_zeros_for_what_cannot_be_read(void)
{
	put_big();
	for (int n = 1; n <= 2; n++) {
		CHECK_EQ(copy_with("copy.tar", "pread", n, EIO), 1);
		CHECK_EQ(tap_shell("cd %s && tail -c 100000 source/big >copy && "
				   "tar -xOf copy.tar a/b/copy/big | tail -c 100000 | cmp - copy", base), 0);
		remove_all("copy.tar");
		remove_all("copy");
	}
	CHECK_EQ(unlinkat(source_fd, "big", 0), 0);
	age_source();
}

/* Written to while it is copied, by a container that nobody has ended. */
static void test_a_file_that_gets_shorter(void)
{
	cleanup_fd int at = openat(source_fd, "file", O_RDONLY | O_CLOEXEC), to = openat(base_fd, ".", O_RDONLY);
	struct keep_entry entry = { .path = "x", .name = "x", .dirfd = source_fd, .fd = at };
	struct keep_report report = { .stop = &never };
	struct keep_directory *directory = keep_directory_new(to, to, &report);
	cleanup_fd int out = openat(base_fd, "x.tar", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct keep_archive *archive;
	struct stat st;

	CHECK_EQ(fstat(at, &entry.st), 0);
	entry.st.st_nlink = 1;
	entry.st.st_size = 100;
	CHECK_EQ(keep_directory_sink.add(directory, &entry), 0);
	CHECK_EQ(report.left, 1);
	CHECK_EQ(fstatat(base_fd, "x", &st, 0), 0);
	CHECK_EQ(st.st_size, 100);
	keep_directory_free(directory);
	CHECK_EQ(keep_archive_new(out, 0, &report, &archive), 0);
	CHECK_EQ(keep_archive_sink.add(archive, &entry), 0);
	CHECK_EQ(report.left, 2);
	CHECK_EQ(keep_archive_finish(archive), 0);
	keep_archive_free(archive);
	remove_all("x");
	remove_all("x.tar");
}

/* Exit status of a copy in a process that stops at the @n-th time it opens something;
 * meanwhile the file becomes a pipe, which must not be waited for. -1: no n-th time. */
static int copy_while_swapped(int n)
{
	struct keep_report report;
	pid_t child = fork();
	int status = 0, waited = 0;

	if (child == 0) {
		fault_arm("sys_openat2", n, FAULT_STOP);
		(void)copy("copy", &report);
		_exit(fault_fired());
	}
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	if (WIFEXITED(status))
		return -1;
	CHECK_EQ(renameat(source_fd, "file", base_fd, "aside"), 0);
	CHECK_EQ(mkfifoat(source_fd, "file", 0600), 0);
	CHECK_EQ(kill(child, SIGCONT), 0);
	for (int i = 0; i < 1000 && (waited = waitpid(child, &status, WNOHANG)) == 0; i++)
		(void)usleep(5000);
	if (waited != child) {
		(void)kill(child, SIGKILL);
		(void)waitpid(child, &status, 0);
	}
	CHECK_EQ(unlinkat(source_fd, "file", 0), 0);
	CHECK_EQ(renameat(base_fd, "aside", source_fd, "file"), 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}

static void test_a_file_that_becomes_a_pipe(void)
{
	for (int n = 1, r; (r = copy_while_swapped(n)) != -1; n++) {
		cleanup_free char *text = NULL;
		int found;

		CHECK_EQ(r, 1);
		/* One or the other, or neither: never one under the guise of the other. */
		found = dir_read_file(base_fd, "copy/a/b/copy/file", 100, &text, NULL);
		CHECK(found == -ENOENT || found == -EINVAL || (found == 0 && strcmp(text, "content") == 0));
		remove_all("copy");
	}
	age_source();
	remove_all("copy");
}

/* Nothing has data in it: the walk itself ends. */
static void test_stop_among_empty_files(void)
{
	static volatile sig_atomic_t now = 1;
	struct keep_report report = { .stop = &now };
	cleanup_fd int from = -EBADF, to = -EBADF, links = -EBADF;
	struct keep_directory *directory;

	CHECK_EQ(tap_shell("cd %s && mkdir empty to links && touch empty/1 empty/2 empty/3", base), 0);
	from = dir_open_beneath(base_fd, "empty");
	to = dir_open_beneath(base_fd, "to");
	links = dir_open_beneath(base_fd, "links");
	directory = keep_directory_new(to, links, &report);
	CHECK_EQ(keep_tree(from, "x", false, &keep_directory_sink, directory, &report), -ECANCELED);
	CHECK(report.entries <= 2);
	keep_directory_free(directory);
	CHECK_EQ(tap_shell("cd %s && rm -r empty to links", base), 0);
}

/* ---- older kernels, and file systems that do not share blocks ---- */

static void test_without_newer_calls(void)
{
	static volatile sig_atomic_t now = 1;
	struct keep_report report;

	CHECK_EQ(tap_refuse(SYS_openat2), 0);
	CHECK_EQ(tap_refuse(SYS_copy_file_range), 0);
	put_big();
	age_source();
	CHECK_EQ(every_call_fails("copy", EIO), 30);
	/* One that knows nothing of holes. */
	CHECK_EQ(copy_with("copy", "lseek", 1, EINVAL), 0);
	check_directory("copy", false);
	remove_all("copy");
	/* One that is stopped in a big file stops there. */
	report = (struct keep_report){ .stop = &now };
	{
		cleanup_fd int to = openat(base_fd, ".", O_RDONLY), at = openat(source_fd, "big", O_RDONLY);
		struct keep_entry entry = { .path = "x", .name = "x", .dirfd = source_fd, .fd = at };
		struct keep_directory *directory = keep_directory_new(to, to, &report);

		CHECK_EQ(fstat(at, &entry.st), 0);
		CHECK_EQ(keep_directory_sink.add(directory, &entry), -ECANCELED);
		CHECK_EQ(report.bytes, 1 << 20);
		keep_directory_free(directory);
		remove_all("x");
	}
	/* A disk that gets full in the middle of the last write. */
	if (geteuid() == 0) {
		cleanup_fd int to = -EBADF, at = openat(source_fd, "big", O_RDONLY | O_CLOEXEC);
		struct keep_entry entry = { .path = "x", .name = "x", .dirfd = source_fd, .fd = at };
		struct keep_directory *directory;

		CHECK_EQ(tap_shell("mkdir %s/small && mount -t tmpfs -o size=1344k none %s/small", base, base), 0);
		to = openat(base_fd, "small", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		report = (struct keep_report){ .stop = &never };
		directory = keep_directory_new(to, to, &report);
		CHECK_EQ(fstat(at, &entry.st), 0);
		CHECK_EQ(keep_directory_sink.add(directory, &entry), -ENOSPC);
		keep_directory_free(directory);
		(void)close(take_fd(&to));
		CHECK_EQ(tap_shell("umount %s/small && rmdir %s/small", base, base), 0);
	}
	CHECK_EQ(unlinkat(source_fd, "big", 0), 0);
}

static void test_patterns(void)
{
	static const char *const patterns[] = { "kube-system/*", "default/web-?" };
	const char *split[PODS_MAX];
	char list[] = "a/b, c/d*\te/[f-h]", bad[] = "a/b c", deep[] = "a/b/c";

	CHECK(pods_match("kube-system", "dns", patterns, 2));
	CHECK(pods_match("default", "web-1", patterns, 2));
	CHECK(!pods_match("default", "web-10", patterns, 2));
	CHECK(!pods_match("kube", "system/dns", patterns, 2));
	CHECK(!pods_match(NULL, NULL, patterns, 2));
	CHECK_EQ(pods_split(list, split), 3);
	CHECK_STR(split[1], "c/d*");
	CHECK_EQ(pods_split(bad, split), -EINVAL);
	CHECK_EQ(pods_split(deep, split), -EINVAL);
}

int main(void)
{
	if (geteuid() == 0)
		tap_private_mounts();
	base = tap_tmpdir("/dev/shm"); /* syncfs() there costs nothing */
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_source();
	RUN(test_directory_faults);
	RUN(test_archive_faults);
	RUN(test_stop);
	RUN(test_nothing_is_overwritten_at_the_end);
	RUN(test_patterns);
	RUN(test_attributes_that_cannot_be_had);
	RUN(test_more_names_than_the_target_allows);
	RUN(test_zeros_for_what_cannot_be_read);
	RUN(test_a_file_that_gets_shorter);
	RUN(test_a_file_that_becomes_a_pipe);
	RUN(test_stop_among_empty_files);
	RUN(test_without_newer_calls);
	return tap_done();
}
