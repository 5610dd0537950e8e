#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "recover/purge/held.h"
#include "recover/purge/place.h"
#include "recover/purge/purge.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

enum { MEMORY_MAX_KB = 8 << 10, HUGE = 20000 };

#if defined(__SANITIZE_ADDRESS__)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

static const char *base;
static int tmp = -EBADF;

struct named {
	unsigned calls;
	int error;
	char path[128];
};

static int make_file(int dirfd, const char *name)
{
	cleanup_fd int fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : 0;
}

static int make_dir(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void make_chain(int dirfd, unsigned depth, bool files)
{
	int at = dup(dirfd);

	for (unsigned i = 0; i < depth; i++) {
		int next = make_dir(at, "d");

		if (!CHECK(next >= 0))
			break;
		(void)close(at);
		at = next;
		if (files)
			CHECK_EQ(make_file(at, "f"), 0);
	}
	(void)close(at);
}

static void make_flat(int dirfd, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char name[32];

		(void)snprintf(name, sizeof(name), "file-%u", i);
		if (!CHECK_EQ(make_file(dirfd, name), 0))
			break;
	}
}

static void note(const char *path, int error, void *data)
{
	struct named *named = data;

	named->calls++;
	named->error = error;
	(void)snprintf(named->path, sizeof(named->path), "%s", path);
}

static int purge(int fd, struct purge_progress *ret, struct named *named)
{
	struct purge_options options = { .urgent = true };

	if (named) {
		*named = (struct named){ 0 };
		options.left = note;
		options.data = named;
	}
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
	CHECK_EQ(make_file(fd, ".hidden"), 0);
	CHECK_EQ(make_file(fd, "..."), 0);
	CHECK_EQ(purge(fd, &p, NULL), 0);
	CHECK_EQ(p.entries, 11);
	CHECK_EQ(p.left, 0);
	CHECK_EQ(dir_is_empty(fd), 1);
	CHECK_EQ(faccessat(outside, "kept", F_OK, 0), 0);
	CHECK_EQ(purge(fd, &p, NULL), 0);
	CHECK_EQ(p.entries, 0);
}

static void test_bind_mounts_stay_and_are_named(void)
{
	cleanup_fd int outside = make_dir(tmp, "outside");
	cleanup_fd int fd = make_dir(tmp, "mounts");
	cleanup_fd int sub = make_dir(fd, "sub");
	cleanup_free char *from = NULL, *on = NULL;
	struct purge_progress p;
	struct named named;

	(void)close(make_dir(sub, "bind"));
	CHECK_EQ(make_file(outside, "kept"), 0);
	CHECK_EQ(make_file(sub, "goes"), 0);
	if (asprintf(&from, "%s/outside", base) < 0 || asprintf(&on, "%s/mounts/sub/bind", base) < 0)
		return;
	if (!CHECK_EQ(mount(from, on, NULL, MS_BIND, NULL), 0))
		return;
	CHECK_EQ(purge(fd, &p, &named), -EXDEV);
	CHECK_EQ(p.entries, 1);
	CHECK_EQ(p.left, 1);
	CHECK_EQ(p.mounts, 1);
	CHECK_EQ(named.calls, 1);
	CHECK_STR(named.path, "sub/bind");
	CHECK_EQ(faccessat(outside, "kept", F_OK, 0), 0);
	CHECK_EQ(umount2(on, MNT_DETACH), 0);
	CHECK_EQ(purge(fd, &p, &named), 0);
	CHECK_EQ(named.calls, 0);
	CHECK_EQ(dir_is_empty(fd), 1);
	CHECK_EQ(faccessat(outside, "kept", F_OK, 0), 0);
}

/* What is mounted over "resolv.conf" is not asked for anything. */
static void check_fetch(int fd)
{
	struct place place;

	CHECK_EQ(place_init(fd, &place), 0);
	CHECK_EQ(place_fetch(&place, fd, "resolv.conf"), place.has_openat2 ? -EXDEV : -ENOSYS);
	CHECK_EQ(place_fetch(&place, fd, "absent"), place.has_openat2 ? -ENOENT : -ENOSYS);
}

static void test_file_mounts_stay(void)
{
	cleanup_fd int outside = make_dir(tmp, "outside");
	cleanup_fd int fd = make_dir(tmp, "filemount");
	cleanup_free char *from = NULL, *on = NULL;
	struct purge_progress p;

	CHECK_EQ(make_file(outside, "kept"), 0);
	CHECK_EQ(make_file(fd, "resolv.conf"), 0);
	if (asprintf(&from, "%s/outside/kept", base) < 0 ||
	    asprintf(&on, "%s/filemount/resolv.conf", base) < 0)
		return;
	if (!CHECK_EQ(mount(from, on, NULL, MS_BIND, NULL), 0))
		return;
	check_fetch(fd);
	CHECK_EQ(purge(fd, &p, NULL), -EBUSY);
	CHECK_EQ(p.mounts, 1);
	CHECK_EQ(faccessat(outside, "kept", F_OK, 0), 0);
	CHECK_EQ(umount2(on, MNT_DETACH), 0);
	CHECK_EQ(purge(fd, &p, NULL), 0);
}

/* The tree itself may be reached by a mount: what counts is not to leave it. */
static void test_tree_that_is_a_mount_point(void)
{
	cleanup_fd int fd = make_dir(tmp, "self");
	cleanup_fd int mounted = -EBADF;
	cleanup_free char *path = NULL;
	struct purge_progress p;

	if (asprintf(&path, "%s/self", base) < 0)
		return;
	if (!CHECK_EQ(mount("none", path, "tmpfs", 0, NULL), 0))
		return;
	mounted = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	make_chain(mounted, 3, true);
	CHECK_EQ(purge(mounted, &p, NULL), 0);
	CHECK_EQ(p.entries, 6);
	CHECK_EQ(umount2(path, MNT_DETACH), 0);
}

/* Whatever unlinkat() fails, all else goes and the failure is told. */
static void test_goes_on_behind_every_failure(void)
{
	for (int n = 1;; n++) {
		cleanup_fd int fd = make_dir(tmp, "faults");
		struct purge_progress p;
		struct named named;
		int r;

		make_flat(fd, 5);
		make_chain(fd, 2, true);
		fault_arm("unlinkat", n, EIO);
		r = purge(fd, &p, &named);
		if (!fault_fired())
			break;
		/* A directory not removed at the first try is tried again, and is then gone. */
		CHECK(r == -EIO || (r == 0 && dir_is_empty(fd)));
		CHECK_EQ(named.calls, r ? 1 : 0);
		CHECK_EQ(p.left, r ? 1 : 0);
		CHECK_EQ(purge(fd, &p, NULL), 0);
		CHECK_EQ(dir_is_empty(fd), 1);
	}
}

static void check_without_memory(const char *function)
{
	for (int n = 1;; n++) {
		cleanup_fd int fd = make_dir(tmp, "nomem");
		struct purge_progress p;
		int r;

		make_chain(fd, 3, true);
		make_flat(fd, 1200); /* too many for a small window */
		fault_arm(function, n, ENOMEM);
		r = purge(fd, &p, NULL);
		if (!fault_fired()) {
			CHECK_EQ(r, 0);
			break;
		}
		CHECK(r == 0 || r == -ENOMEM);
		CHECK_EQ(purge(fd, &p, NULL), 0);
		CHECK_EQ(dir_is_empty(fd), 1);
	}
}

static void test_without_memory_nothing_breaks(void)
{
	check_without_memory("malloc");
	check_without_memory("mmap");
}

static bool stop_at_once(const struct purge_progress *p, void *data)
{
	*(uint64_t *)data = p->entries;
	return true;
}

static void test_stops_when_asked_and_resumes(void)
{
	cleanup_fd int fd = make_dir(tmp, "stop");
	uint64_t seen = 0;
	struct purge_options options = {
		.max_rate = 1000, .progress = stop_at_once, .data = &seen,
	};
	struct purge_progress p;

	make_flat(fd, 2000);
	CHECK_EQ(purge_tree(fd, &options, &p), 1);
	CHECK(p.entries >= seen && p.entries > 100 && p.entries < 1500);
	CHECK_EQ(dir_is_empty(fd), 0);
	seen = p.entries;
	CHECK_EQ(purge(fd, &p, NULL), 0);
	CHECK_EQ(p.entries, 2000 - seen);
	CHECK_EQ(dir_is_empty(fd), 1);
}

static void check_goes_first(enum purge_first first, const char *name, const char *other)
{
	cleanup_fd int fd = make_dir(tmp, "first");
	cleanup_fd int a = make_dir(fd, name), b = make_dir(fd, other);
	uint64_t seen = 0;
	struct purge_options options = {
		.max_rate = 1000, .progress = stop_at_once, .data = &seen, .first = first,
	};
	struct purge_progress p;

	make_flat(a, 100);
	make_flat(b, 2000);
	make_chain(fd, 3, true);
	CHECK_EQ(purge_tree(fd, &options, &p), 1);
	CHECK_EQ(dir_is_empty(b), 0);
	CHECK(dir_is_empty(a) == 1 || faccessat(fd, name, F_OK, 0) < 0);
	CHECK_EQ(purge(fd, &p, NULL), 0);
	CHECK_EQ(dir_is_empty(fd), 1);
}

static void test_what_frees_most_goes_first(void)
{
	const char *content = "io.containerd.content.v1.content";
	const char *snapshots = "io.containerd.snapshotter.v1.overlayfs";

	check_goes_first(PURGE_FIRST_BYTES, content, snapshots);
	check_goes_first(PURGE_FIRST_INODES, snapshots, content);
}

/* Whatever order the others come in. */
static void test_what_is_huge_is_begun_first(void)
{
	cleanup_fd int fd = make_dir(tmp, "huge");
	uint64_t seen = 0;
	struct purge_options options = {
		.max_rate = 1000, .progress = stop_at_once, .data = &seen,
	};
	struct purge_progress p;

	for (unsigned i = 0; i < 9; i++) {
		char name[] = { (char)('a' + i), '\0' };
		cleanup_fd int sub = make_dir(fd, name);

		make_flat(sub, i == 4 ? HUGE : 1);
	}
	CHECK_EQ(purge_tree(fd, &options, &p), 1);
	for (unsigned i = 0; i < 9; i++) {
		char name[] = { (char)('a' + i), '\0' };
		cleanup_fd int sub = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

		CHECK_EQ(dir_is_empty(sub), 0);
	}
	seen = p.entries;
	CHECK(seen > 0);
	CHECK_EQ(purge(fd, &p, NULL), 0);
	CHECK_EQ(p.entries, HUGE + 8 + 9 - seen);
}

static void test_rate_is_kept(void)
{
	cleanup_fd int fd = make_dir(tmp, "rate");
	struct purge_options options = { .urgent = true, .max_rate = 2000 };
	struct purge_progress p;

	make_flat(fd, 2000);
	CHECK_EQ(purge_tree(fd, &options, &p), 0);
	CHECK(p.elapsed_msec >= 750); /* the first 200 ms' worth goes at once */
	CHECK_EQ(p.entries, 2000);
}

/* In a process of its own, for its limits and its peak of memory. */
static long peak_kb(int fd, rlim_t fds, uint64_t *ret_entries)
{
	int pipe_fds[2], status;
	struct rusage usage;
	pid_t pid;

	if (pipe(pipe_fds) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		struct rlimit limit = { fds, fds };
		struct purge_progress p;
		int r;

		(void)setrlimit(RLIMIT_NOFILE, &limit);
		r = purge(fd, &p, NULL);
		_exit(write(pipe_fds[1], &p.entries, sizeof(p.entries)) < 0 || r != 0);
	}
	(void)close(pipe_fds[1]);
	if (read(pipe_fds[0], ret_entries, sizeof(*ret_entries)) < 0)
		*ret_entries = 0;
	(void)close(pipe_fds[0]);
	if (wait4(pid, &status, 0, &usage) != pid || status != 0)
		return -1;
	return usage.ru_maxrss;
}

static int on_tmpfs(const char *name, char **ret_path)
{
	if (asprintf(ret_path, "%s/%s", base, name) < 0)
		return -ENOMEM;
	(void)mkdir(*ret_path, 0700);
	if (mount("none", *ret_path, "tmpfs", 0, "nr_inodes=0") < 0)
		return -errno;
	return open(*ret_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void test_chain_of_100000_with_64_fds_in_8_mib(void)
{
	cleanup_free char *path = NULL;
	cleanup_fd int fd = on_tmpfs("deep", &path);
	uint64_t entries;
	long peak;

	make_chain(fd, 100000, false);
	peak = peak_kb(fd, 64, &entries);
	CHECK_EQ(entries, 100000);
	CHECK(peak > 0 && (sanitized || peak <= MEMORY_MAX_KB));
	CHECK_EQ(dir_is_empty(fd), 1);
	CHECK_EQ(umount2(path, MNT_DETACH), 0);
}

/* Each is more than any window holds, and both are read at once. */
static void test_two_flat_directories_in_8_mib(void)
{
	cleanup_free char *path = NULL;
	cleanup_fd int fd = on_tmpfs("flat", &path);
	cleanup_fd int a = make_dir(fd, "a"), b = make_dir(fd, "b");
	uint64_t entries;
	long peak;

	make_flat(a, 120000);
	make_flat(b, 120000);
	peak = peak_kb(fd, 64, &entries);
	CHECK_EQ(entries, 240002);
	CHECK(peak > 0 && (sanitized || peak <= MEMORY_MAX_KB));
	CHECK_EQ(dir_is_empty(fd), 1);
	CHECK_EQ(umount2(path, MNT_DETACH), 0);
}

/* Wider than the queue is long, and deeper than there are fds. */
static void test_wide_and_deep_in_8_mib(void)
{
	cleanup_free char *path = NULL;
	cleanup_fd int fd = on_tmpfs("wide", &path);
	uint64_t entries;
	long peak;

	for (unsigned i = 0; i < 30000; i++) {
		char name[32];
		int sub;

		(void)snprintf(name, sizeof(name), "directory-%u", i);
		sub = make_dir(fd, name);
		if (i % 1000 == 0)
			make_chain(sub, 60, true);
		(void)close(sub);
	}
	peak = peak_kb(fd, 64, &entries);
	CHECK_EQ(entries, 30000 + 30 * 120);
	CHECK(peak > 0 && (sanitized || peak <= MEMORY_MAX_KB));
	CHECK_EQ(dir_is_empty(fd), 1);
	CHECK_EQ(umount2(path, MNT_DETACH), 0);
}

static void test_files_still_open_or_mapped_are_found(void)
{
	enum { SIZE = 64 << 10 };
	cleanup_fd int fd = make_dir(tmp, "held"), kept = make_dir(tmp, "kept (deleted)");
	cleanup_fd int open_file = openat(fd, "open", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int mapped_file = openat(fd, "mapped", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cleanup_fd int not_ours = openat(kept, "x (deleted)", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	cleanup_free char *path = NULL;
	struct purge_progress p;
	struct held held;
	void *map;

	CHECK_EQ(fallocate(open_file, 0, 0, SIZE), 0);
	CHECK_EQ(ftruncate(mapped_file, SIZE), 0);
	map = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, mapped_file, 0);
	CHECK(map != MAP_FAILED);
	(void)close(mapped_file);
	if (asprintf(&path, "%s/held", base) < 0)
		return;
	CHECK_EQ(held_scan(path, &held), 0);
	CHECK_EQ(held.files, 0);
	CHECK_EQ(purge(fd, &p, NULL), 0);
	CHECK_EQ(held_scan(path, &held), 0);
	CHECK_EQ(held.files, 2);
	CHECK(held.bytes >= SIZE);
	CHECK_EQ(held.pid, getpid());
	(void)munmap(map, SIZE);
	CHECK_EQ(held_scan(path, &held), 0);
	CHECK_EQ(held.files, 1);
	path[strlen(path) - 1] = '\0';
	CHECK_EQ(held_scan(path, &held), 0);
	CHECK_EQ(held.files, 0);
	/* A file may be named so. */
	free(path);
	path = NULL;
	if (asprintf(&path, "%s/kept (deleted)", base) < 0)
		return;
	CHECK_EQ(held_scan(path, &held), 0);
	CHECK_EQ(held.files, 0);
}

/* A pipe has a reader behind it, a device a driver: neither is opened, whatever keeps it from going. */
static void test_what_is_no_file_is_not_opened(void)
{
	cleanup_fd int fd = make_dir(tmp, "pipes"), watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	cleanup_free char *path = NULL;
	char events[sizeof(struct inotify_event) + NAME_MAX + 1];
	struct place place;

	CHECK_EQ(mkfifoat(fd, "pipe", 0600), 0);
	CHECK_EQ(mknodat(fd, "file", S_IFREG | 0600, 0), 0);
	CHECK(asprintf(&path, "%s/pipes", base) > 0);
	CHECK(inotify_add_watch(watch, path, IN_OPEN) >= 0);
	CHECK_EQ(place_init(fd, &place), 0);
	while (read(watch, events, sizeof(events)) > 0)
		;
	fault_arm("unlinkat", 1, EPERM);
	CHECK_EQ(place_unlink(&place, fd, "pipe"), -EPERM);
	CHECK(fault_fired());
	CHECK(read(watch, events, sizeof(events)) < 0 && errno == EAGAIN);
	/* As a file is. */
	fault_arm("unlinkat", 1, EPERM);
	CHECK_EQ(place_unlink(&place, fd, "file"), -EPERM);
	CHECK(fault_fired());
	CHECK(read(watch, events, sizeof(events)) > 0);
	CHECK(unlinkat(fd, "pipe", 0) == 0 && unlinkat(fd, "file", 0) == 0);
}

static void test_eta_says_what_it_knows(void)
{
	struct purge_progress p = { .entries = 1000, .rate = 100, .expected = 2000, .at_most = 9000 };
	uint64_t low = 7, high = 7;

	CHECK(purge_eta(&p, &low, &high));
	CHECK_EQ(low, 10);
	CHECK_EQ(high, 10);
	p.expected = 0;
	CHECK(purge_eta(&p, &low, &high));
	CHECK_EQ(low, 0);
	CHECK_EQ(high, 80);
	p.at_most = 0; /* btrfs counts no inodes */
	CHECK(!purge_eta(&p, &low, &high));
	p.expected = 2000;
	p.rate = 0;
	CHECK(!purge_eta(&p, &low, &high));
}

static void run_all(const char *suffix, bool long_ones)
{
#define CASE(test) { test, #test, false }
#define LONG_CASE(test) { test, #test, true }
	static const struct {
		void (*test)(void);
		const char *name;
		bool is_long;
	} cases[] = {
		CASE(test_every_kind_of_entry_goes_and_nothing_else),
		CASE(test_bind_mounts_stay_and_are_named),
		CASE(test_file_mounts_stay),
		CASE(test_tree_that_is_a_mount_point),
		CASE(test_goes_on_behind_every_failure),
		CASE(test_without_memory_nothing_breaks),
		CASE(test_stops_when_asked_and_resumes),
		CASE(test_what_frees_most_goes_first),
		CASE(test_rate_is_kept),
		LONG_CASE(test_chain_of_100000_with_64_fds_in_8_mib),
		LONG_CASE(test_two_flat_directories_in_8_mib),
		LONG_CASE(test_wide_and_deep_in_8_mib),
		CASE(test_files_still_open_or_mapped_are_found),
		CASE(test_what_is_no_file_is_not_opened),
		CASE(test_eta_says_what_it_knows),
	};
#undef CASE
#undef LONG_CASE

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		char name[128];

		if (cases[i].is_long && !long_ones)
			continue;
		(void)snprintf(name, sizeof(name), "%s%s", cases[i].name, suffix);
		tap_run(cases[i].test, name);
	}
}

static void test_kernel_without_openat2(void)
{
	CHECK_EQ(tap_refuse(SYS_openat2), 0);
	CHECK_EQ(dir_open_beneath(tmp, "absent"), -ENOENT);
}

/* Such a kernel has no mount ids in statx(2) either. */
static void test_kernel_without_statx(void)
{
	uint64_t id = 0;

	CHECK_EQ(tap_refuse(SYS_statx), 0);
	CHECK_EQ(dir_mount_id(tmp, &id), 0);
	CHECK(id != 0);
}

int main(void)
{
	tap_private_mounts();
	base = tap_tmpdir(NULL);
	tmp = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	run_all("", true);
	RUN(test_what_is_huge_is_begun_first);
	RUN(test_kernel_without_openat2);
	run_all(", without openat2", true);
	RUN(test_kernel_without_statx);
	run_all(", without openat2 and statx", false);
	return tap_done();
}
