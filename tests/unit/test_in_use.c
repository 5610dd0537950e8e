/* A set aside tree that somebody works on: who it is, and that nothing is locked or touched. */
#include "recover/in_use.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define META "root/io.containerd.metadata.v1.bolt/meta.db"
#define SNAPSHOTS "root/io.containerd.snapshotter.v1.overlayfs"
#define INTERIM "interim/io.containerd.metadata.v1.bolt.1"

static const char *base;
static struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
static struct ticket ticket = TICKET_NONE;

static void make(const char *name)
{
	CHECK_EQ(mkdirat(ticket.fd, name, 0700), 0);
}

static void put(const char *name)
{
	cleanup_fd int fd = openat(ticket.fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
}

static void prepare(void)
{
	cleanup_free char *root = NULL;
	json_t *manifest = json_object();

	CHECK(asprintf(&root, "%s/containerd", base) > 0);
	CHECK_EQ(mkdir(root, 0700), 0);
	CHECK_EQ(data_root_open(root, &place), 0);
	CHECK_EQ(ticket_create(&place, manifest, &ticket), 0);
	json_decref(manifest);
	make("root/io.containerd.metadata.v1.bolt");
	make("root/io.containerd.content.v1.content");
	make(SNAPSHOTS);
	make(SNAPSHOTS "/snapshots");
	make("interim");
	make(INTERIM);
	put(META);
	put(SNAPSHOTS "/metadata.db");
	put(SNAPSHOTS "/mounts.db");
	put(INTERIM "/meta.db");
	put("root/io.containerd.file");
	put("root/meta.db"); /* none of a plugin's */
}

/* A process called @comm that has @name locked until it is ended. */
static pid_t hold_as(const char *comm, const char *name, int how)
{
	int ends[2];
	pid_t pid;
	char byte;

	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		exit(1);
	if (pid == 0) {
		int fd = openat(ticket.fd, name, O_RDONLY | O_CLOEXEC);

		(void)prctl(PR_SET_NAME, comm);
		if (fd < 0 || flock(fd, how) < 0)
			_exit(1);
		(void)!write(ends[1], "", 1);
		for (;;)
			(void)pause();
	}
	(void)close(ends[1]);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	(void)close(ends[0]);
	return pid;
}

static pid_t hold(const char *name, int how)
{
	return hold_as("containerd", name, how);
}

static void end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static bool is_locked(const char *name)
{
	cleanup_fd int fd = openat(ticket.fd, name, O_RDONLY | O_CLOEXEC);

	return flock(fd, LOCK_SH | LOCK_NB) < 0;
}

static void test_nobody(void)
{
	cleanup_tree_locks struct tree_locks locks = { 0 };
	struct tree_user user;

	CHECK_EQ(in_use(&place, &ticket, NULL, &user), 0);
	CHECK(!is_locked(META));
	CHECK_EQ(in_use(&place, &ticket, &locks, &user), 0);
	CHECK_EQ(locks.count, 4);
	CHECK(is_locked(META));
	CHECK(is_locked(SNAPSHOTS "/metadata.db"));
	CHECK(is_locked(INTERIM "/meta.db"));
	CHECK(!is_locked("root/meta.db"));
	tree_locks_done(&locks);
	CHECK(!is_locked(META));
	CHECK(!is_locked(INTERIM "/meta.db"));
}

static void test_held(void)
{
	static const struct {
		const char *name;
		int how;
		const char *said;
	} cases[] = {
		{ META, LOCK_EX, "io.containerd.metadata.v1.bolt/meta.db" },
		{ META, LOCK_SH, "io.containerd.metadata.v1.bolt/meta.db" }, /* bbolt's tools look */
		{ SNAPSHOTS "/metadata.db", LOCK_EX, "io.containerd.snapshotter.v1.overlayfs/metadata.db" },
		{ SNAPSHOTS "/mounts.db", LOCK_EX, "io.containerd.snapshotter.v1.overlayfs/mounts.db" },
		{ INTERIM "/meta.db", LOCK_EX, "io.containerd.metadata.v1.bolt.1/meta.db" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		pid_t holder = hold(cases[i].name, cases[i].how);

		for (int look = 0; look < 2; look++) {
			cleanup_tree_locks struct tree_locks locks = { 0 };
			cleanup_tree_user struct tree_user user = { 0 };
			cleanup_free char *said = NULL, *expected = NULL;

			CHECK_EQ(in_use(&place, &ticket, look ? NULL : &locks, &user), -EBUSY);
			CHECK_EQ(user.pid, holder);
			said = tree_user_print(&user);
			CHECK(asprintf(&expected, "process %d (containerd) has its %s open", holder,
				       cases[i].said) > 0);
			CHECK_STR(said, expected);
		}
		end(holder);
		CHECK(!is_locked(META)); /* what was locked on the way to it */
	}
}

/* A purge at work is no user of what it deletes, to a look. */
static void test_our_own(void)
{
	cleanup_tree_locks struct tree_locks locks = { 0 };
	cleanup_tree_user struct tree_user user = { 0 };
	pid_t holder = hold_as("containerd-recover", META, LOCK_EX);

	CHECK_EQ(in_use(&place, &ticket, NULL, &user), 0);
	CHECK_EQ(in_use(&place, &ticket, &locks, &user), -EBUSY);
	end(holder);
}

/* Whatever fails on the way: a tree that is in use never passes for one that is not. */
static void test_no_fault_makes_it_free(void)
{
	pid_t holder = hold(SNAPSHOTS "/metadata.db", LOCK_EX);

	for (int n = 1;; n++) {
		cleanup_tree_locks struct tree_locks locks = { 0 };
		cleanup_tree_user struct tree_user user = { 0 };
		bool fired;
		int r;

		fault_arm("any", n, EIO);
		r = in_use(&place, &ticket, &locks, &user);
		fired = fault_fired();
		CHECK(r < 0);
		if (!fired) {
			CHECK_EQ(r, -EBUSY);
			break;
		}
	}
	end(holder);
}

/* Neither links nor pipes, nor what is mounted there. */
static void test_only_what_is_in_the_tree(void)
{
	cleanup_tree_locks struct tree_locks locks = { 0 };
	cleanup_tree_user struct tree_user user = { 0 };
	cleanup_free char *outside = NULL, *mounted = NULL;
	pid_t holder;

	CHECK(asprintf(&outside, "%s/outside", base) > 0);
	CHECK_EQ(mkdir(outside, 0700), 0);
	put("../../outside/meta.db");
	CHECK_EQ(symlinkat(outside, ticket.fd, "root/io.containerd.link"), 0);
	CHECK_EQ(symlinkat("../../../../outside/meta.db", ticket.fd,
			   "root/io.containerd.content.v1.content/meta.db"), 0);
	CHECK_EQ(mkfifoat(ticket.fd, "root/io.containerd.content.v1.content/metadata.db", 0600), 0);
	make("root/io.containerd.mounted");
	CHECK(asprintf(&mounted, "/proc/self/fd/%d/root/io.containerd.mounted", ticket.fd) > 0);
	CHECK_EQ(mount(outside, mounted, NULL, MS_BIND, NULL), 0);
	holder = hold("../../outside/meta.db", LOCK_EX);
	CHECK_EQ(in_use(&place, &ticket, &locks, &user), 0);
	CHECK_EQ(locks.count, 4);
	end(holder);
	CHECK_EQ(umount2(mounted, MNT_DETACH), 0);
}

static int mount_overlay(const char *lower, const char *at)
{
	cleanup_free char *options = NULL;

	CHECK(asprintf(&options, "lowerdir=%s:/usr", lower) > 0);
	return mount("overlay", at, "overlay", MS_RDONLY, options);
}

/* Containers whose containerd is gone: their layers say where they lie. */
static void test_layers_are_mounted(void)
{
	cleanup_free char *at = NULL, *old = NULL, *layer = NULL, *neighbour = NULL, *said = NULL;
	cleanup_tree_locks struct tree_locks locks = { 0 };
	cleanup_tree_user struct tree_user user = { 0 };

	CHECK(asprintf(&at, "%s/rootfs", base) > 0);
	CHECK(asprintf(&old, "%s/containerd/old", base) > 0);
	CHECK(asprintf(&layer, "%s/containerd.quarantine/%s/" SNAPSHOTS "/snapshots", base, ticket.id) > 0);
	CHECK(asprintf(&neighbour, "%s/containerd.quarantine/%s/root2", base, ticket.id) > 0);
	CHECK(mkdir(at, 0700) == 0 && mkdir(old, 0700) == 0 && mkdir(neighbour, 0700) == 0);
	/* As the quarantine's own pods were: by the path that the root had. */
	if (mount_overlay(old, at) < 0) {
		CHECK(errno == ENODEV || errno == EPERM);
		printf("# no overlay file system here\n");
		return;
	}
	CHECK_EQ(mount_overlay(neighbour, at), 0);
	CHECK_EQ(in_use(&place, &ticket, &locks, &user), 0);
	tree_locks_done(&locks);
	CHECK_EQ(mount_overlay(layer, at), 0);
	CHECK_EQ(in_use(&place, &ticket, &locks, &user), -EBUSY);
	CHECK_EQ(user.pid, 0);
	said = tree_user_print(&user);
	CHECK(strstr(said, "mounted at") && strstr(said, "/rootfs"));
	CHECK_EQ(umount2(at, MNT_DETACH), 0);
	tree_locks_done(&locks);
	tree_user_done(&user);
	CHECK_EQ(in_use(&place, &ticket, &locks, &user), 0);
}

int main(void)
{
	tap_private_mounts();
	base = tap_tmpdir(NULL);
	if (mount("tmpfs", base, "tmpfs", 0, "size=1M") < 0)
		return 1;
	prepare();
	RUN(test_nobody);
	RUN(test_held);
	RUN(test_our_own);
	RUN(test_no_fault_makes_it_free);
	RUN(test_only_what_is_in_the_tree);
	RUN(test_layers_are_mounted);
	ticket_done(&ticket);
	data_root_done(&place);
	return tap_done();
}
