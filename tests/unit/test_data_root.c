#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/data_root.h"
#include "scanners/cleanup.h"
#include "tests/unit/tap.h"

static const char *tmp;

static char *path_of(const char *name)
{
	static char path[512];

	(void)snprintf(path, sizeof(path), "%s/%s", tmp, name);
	return path;
}

/* <tmp>/root, with a jail beside it and one in it. */
static bool make_place(struct data_root *ret)
{
	static const char *const dirs[] = { "root", "root.quarantine", "root/.quarantine" };

	for (size_t i = 0; i < ARRAY_SIZE(dirs); i++)
		if (mkdir(path_of(dirs[i]), 0700) < 0 && errno != EEXIST)
			return CHECK_EQ(errno, 0);
	return CHECK_EQ(data_root_open(path_of("root"), ret), 0);
}

static bool may_write(const struct data_root *place, bool inside)
{
	cleanup_fd int jail_fd = data_root_open_jail(place, inside, false);

	if (!CHECK(jail_fd >= 0) || mkdirat(jail_fd, "x", 0700) < 0)
		return false;
	return CHECK_EQ(unlinkat(jail_fd, "x", AT_REMOVEDIR), 0);
}

/* As ProtectSystem=strict has it: in this mount namespace alone. */
static bool show_read_only(void)
{
	return CHECK_EQ(mount(tmp, tmp, NULL, MS_BIND, NULL), 0) &&
	       CHECK_EQ(mount(NULL, tmp, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
}

static void test_jails_that_can_be_written_to_stay(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	int parent_fd, root_fd;

	if (!make_place(&place))
		return;
	parent_fd = place.parent_fd;
	root_fd = place.root_fd;
	CHECK_EQ(data_root_use_host_mounts(&place), 0);
	CHECK_EQ(place.parent_fd, parent_fd);
	CHECK_EQ(place.root_fd, root_fd);
}

static void test_jails_of_a_sandbox_by_the_mounts_of_pid_1(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	struct data_root before;

	if (!show_read_only())
		return;
	if (make_place(&place)) {
		before = place;
		CHECK(!may_write(&place, false));
		CHECK(!may_write(&place, true));
		CHECK_EQ(data_root_use_host_mounts(&place), 0);
		CHECK(may_write(&place, false));
		CHECK(may_write(&place, true));
		CHECK_EQ(place.ino, before.ino);
		CHECK_EQ(mkdir(path_of("elsewhere"), 0700), -1);
		CHECK_EQ(errno, EROFS);
	}
	CHECK_EQ(umount2(tmp, MNT_DETACH), 0);
}

/* Only what holds such a jail is opened anew. */
static void test_one_jail_alone(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	int root_fd;

	if (!make_place(&place) || !CHECK_EQ(unlinkat(place.root_fd, ".quarantine", AT_REMOVEDIR), 0))
		return;
	data_root_done(&place);
	if (!show_read_only())
		return;
	if (CHECK_EQ(data_root_open(path_of("root"), &place), 0)) {
		root_fd = place.root_fd;
		CHECK_EQ(data_root_use_host_mounts(&place), 0);
		CHECK(may_write(&place, false));
		CHECK_EQ(place.root_fd, root_fd);
		CHECK_EQ(mkdirat(place.root_fd, "x", 0700), -1);
	}
	CHECK_EQ(umount2(tmp, MNT_DETACH), 0);
}

/* PID 1 has the directory below at that path. */
static void test_another_directory_there_is_not_taken(void)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };

	if (!CHECK_EQ(mount("tmpfs", tmp, "tmpfs", 0, "mode=0700"), 0))
		return;
	if (make_place(&place) &&
	    CHECK_EQ(mount(NULL, tmp, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0)) {
		CHECK_EQ(data_root_use_host_mounts(&place), -ESTALE);
		CHECK(!may_write(&place, false));
	}
	data_root_done(&place);
	CHECK_EQ(umount2(tmp, MNT_DETACH), 0);
}

/* Whoever is PID 1 here, it is not ours to look into: a process with the mounts from before. */
static pid_t stand_in_for_pid_1(void)
{
	char proc[32];
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	(void)snprintf(proc, sizeof(proc), "/proc/%d", pid);
	if (pid < 0 || mount(proc, "/proc/1", NULL, MS_BIND, NULL) < 0)
		exit(1);
	tap_private_mounts();
	return pid;
}

int main(void)
{
	pid_t pid;
	int r;

	tmp = tap_tmpdir(NULL);
	tap_private_mounts();
	pid = stand_in_for_pid_1();
	RUN(test_jails_that_can_be_written_to_stay);
	RUN(test_jails_of_a_sandbox_by_the_mounts_of_pid_1);
	RUN(test_one_jail_alone);
	RUN(test_another_directory_there_is_not_taken);
	r = tap_done();
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0); /* it is ours to wait for */
	return r;
}
