/*
 * Copies that fail: whichever call it is, the copy is whole or not there, nothing
 * is left beside it, and the source is as it was. What a copy has, tests/cli/keep.t shows.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "recover/file.h"
#include "recover/keep/archive.h"
#include "recover/keep/directory.h"
#include "recover/keep/target.h"
#include "recover/pods.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

static const char *base;
static int base_fd, source_fd;
static volatile sig_atomic_t never;

static void put(int dirfd, const char *name, const char *text)
{
	cleanup_fd int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);

	CHECK_EQ(file_write_all(fd, text, strlen(text)), 0);
}

static void make_source(void)
{
	int at;

	CHECK_EQ(mkdirat(base_fd, "source", 0750), 0);
	source_fd = dir_open_beneath(base_fd, "source");
	put(source_fd, "file", "content");
	CHECK_EQ(linkat(source_fd, "file", source_fd, "same", 0), 0);
	CHECK_EQ(symlinkat("nowhere", source_fd, "link"), 0);
	CHECK_EQ(mknodat(source_fd, "pipe", S_IFIFO | 0600, 0), 0);
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

static void every_call_fails(const char *name, int error)
{
	struct keep_report report;
	unsigned failed = 0, partial = 0;
	bool there;
	int n, r;

	for (n = 1; n < 5000; n++) {
		fault_arm("any", n, error);
		r = copy(name, &report);
		if (!fault_fired())
			break;
		failed += r < 0;
		partial += report.left > 0;
		(void)others(name, &there);
		if (!CHECK_EQ(there, r == 0))
			printf("# call %d\n", n);
		remove_all(name);
		/* Whatever the fault left, the next run is at home with. */
		r = copy(name, &report);
		if (!CHECK_EQ(r, 0) || !CHECK_EQ(report.left, 0) || !CHECK_EQ(others(name, &there), 0))
			printf("# behind call %d\n", n);
		CHECK(there);
		remove_all(name);
	}
	CHECK_EQ(r, 0);
	CHECK_EQ(report.left, 0);
	CHECK_EQ(report.entries, 29);
	CHECK(failed > 20);
	CHECK(n < 5000);
	printf("# %d calls, %u ended it, %u left something out\n", n - 1, failed, partial);
	remove_all(name);
}

static void test_directory_faults(void)
{
	every_call_fails("copy", EIO);
}

static void test_archive_faults(void)
{
	every_call_fails("copy.tar.gz", ENOSPC);
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
	base = tap_tmpdir("/dev/shm"); /* syncfs() there costs nothing */
	base_fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_source();
	RUN(test_directory_faults);
	RUN(test_archive_faults);
	RUN(test_stop);
	RUN(test_nothing_is_overwritten_at_the_end);
	RUN(test_patterns);
	return tap_done();
}
