/*
 * Temporary mounts of containerd's, those whose server does not answer included:
 * a single stat of one would hang this test, which the alarm then ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "recover/scan.h"
#include "recover/tmpmounts.h"
#include "scanners/cleanup.h"
#include "scanners/tmpmounts.h"
#include "tests/silentfs.h"
#include "tests/unit/tap.h"

enum { PATIENCE_SEC = 60 };

static const char *base;
static char dir[4096]; /* <base>/root/tmpmounts */

static void make_mount_point(const char *name, char path[4200])
{
	(void)snprintf(path, 4200, "%s/%s", dir, name);
	CHECK(mkdir(path, 0700) == 0 || errno == EEXIST);
}

static bool mount_tmpfs(const char *name)
{
	char path[4200];

	make_mount_point(name, path);
	return mount("none", path, "tmpfs", 0, NULL) == 0;
}

static unsigned mounts_left(unsigned *ret_others)
{
	struct tmpmounts found = { 0 };

	CHECK_EQ(tmpmounts_scan(dir, &found), 0);
	*ret_others = found.others;
	return found.own;
}

static void test_whose_it_is_by_its_name(void)
{
	CHECK(tmpmounts_is_own("/r/tmpmounts/containerd-mount1", "/r/tmpmounts"));
	CHECK(tmpmounts_is_own("/r/tmpmounts/containerd-mount4020301", "/r/tmpmounts"));
	CHECK(!tmpmounts_is_own("/r/tmpmounts/containerd-mount1/below", "/r/tmpmounts"));
	CHECK(!tmpmounts_is_own("/r/tmpmounts/containerd-mount", "/r/tmpmounts"));
	CHECK(!tmpmounts_is_own("/r/tmpmounts/containerd-mount1x", "/r/tmpmounts"));
	CHECK(!tmpmounts_is_own("/r/tmpmounts/theirs", "/r/tmpmounts"));
	CHECK(!tmpmounts_is_own("/r/tmpmounts", "/r/tmpmounts"));
	CHECK(!tmpmounts_is_own("/r/tmpmounts2/containerd-mount1", "/r/tmpmounts"));
	CHECK(!tmpmounts_is_own("/other/containerd-mount1", "/r/tmpmounts"));
}

static void test_mounts_are_counted(void)
{
	struct tmpmounts found = { 0 };
	char path[4200];

	CHECK_EQ(tmpmounts_scan(dir, &found), 0);
	CHECK_EQ(found.own + found.others, 0);
	CHECK_STR(found.type, "");
	CHECK(mount_tmpfs("containerd-mount12"));
	CHECK(mount_tmpfs("containerd-mount12/below"));
	CHECK(mount_tmpfs("theirs"));
	CHECK_EQ(tmpmounts_scan(dir, &found), 0);
	CHECK_EQ(found.own, 2);
	CHECK_EQ(found.others, 1);
	CHECK_STR(found.type, "tmpfs");
	make_mount_point("theirs", path);
	CHECK_EQ(umount(path), 0);
	make_mount_point("containerd-mount12", path);
	CHECK_EQ(umount2(path, MNT_DETACH), 0);
	CHECK_EQ(mount("none", dir, "tmpfs", 0, NULL), 0);
	CHECK_EQ(tmpmounts_scan(dir, &found), 0);
	CHECK_EQ(found.own, 0);
	CHECK_EQ(found.others, 1);
	CHECK_EQ(umount(dir), 0);
}

/*
 * In a process of its own: what we fork must not hold the server's end open, or
 * a mount that hangs would hang for ever. Returns its pid, or a negative errno.
 */
static pid_t serve(const char *path, const char *type, const char *source)
{
	int ready[2];
	char byte;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (silentfs_mount(path, type, source) < 0 || write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	if (pid > 0 && read(ready[0], &byte, 1) != 1) {
		(void)waitpid(pid, NULL, 0);
		pid = -ENODEV;
	}
	(void)close(ready[0]);
	return pid;
}

static void end(pid_t server)
{
	CHECK_EQ(kill(server, SIGKILL), 0);
	CHECK_EQ(waitpid(server, NULL, 0), server);
}

/* In tmpmounts; negative: it cannot be had here. */
static pid_t serve_silent(const char *name)
{
	char path[4200];
	pid_t server;

	make_mount_point(name, path);
	server = serve(path, "fuse", "silent");
	if (server < 0)
		tap_skip("no FUSE here");
	return server;
}

static void test_a_silent_one_is_unmounted_and_theirs_stays(void)
{
	struct ticket ticket = { .fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	unsigned others;
	char path[4200];
	pid_t server;

	server = serve_silent("containerd-mount77");
	if (server < 0)
		return;
	CHECK(mount_tmpfs("theirs"));
	CHECK_EQ(mounts_left(&others), 1);
	CHECK_EQ(tmpmounts_detach(&ticket), 0);
	CHECK_EQ(mounts_left(&others), 0);
	CHECK_EQ(others, 1);
	make_mount_point("theirs", path);
	CHECK_EQ(umount(path), 0);
	end(server);
	(void)close(ticket.fd);
}

static bool attach_loop(char device[64])
{
	cleanup_free char *command = NULL;
	FILE *pipe;
	bool got;

	if (asprintf(&command, "cd %s && truncate -s 1M disk && losetup --find --show disk", base) < 0)
		return false;
	pipe = popen(command, "re"); // NOLINT: the test's own words
	got = pipe && fgets(device, 64, pipe);
	if (!pipe || pclose(pipe) != 0 || !got)
		return false;
	device[strcspn(device, "\n")] = '\0';
	return true;
}

/* The kernel asks the server of a fuseblk to say good-bye, and waits for ever. */
static void test_the_last_unmount_that_hangs_is_cut(void)
{
	struct ticket ticket = { .fd = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC) };
	char path[4200], device[64], command[128];
	unsigned others;
	pid_t server;

	make_mount_point("containerd-mount78", path);
	if (!attach_loop(device)) {
		tap_skip("no loop device");
		return;
	}
	server = serve(path, "fuseblk", device);
	if (server < 0) {
		tap_skip("no fuseblk here");
	} else {
		CHECK_EQ(mounts_left(&others), 1);
		CHECK_EQ(tmpmounts_detach(&ticket), 0);
		CHECK_EQ(mounts_left(&others), 0);
		end(server);
	}
	(void)snprintf(command, sizeof(command), "losetup --detach %s", device);
	CHECK_EQ(system(command), 0); // NOLINT
	(void)close(ticket.fd);
}

static void test_a_scan_passes_it_by(void)
{
	const struct root_size_options options = { .measure = true };
	cleanup_root_size struct root_size size = { 0 };
	char path[4200], *text = NULL;
	size_t length = 0;
	FILE *to = open_memstream(&text, &length);
	cleanup_fd int root = -EBADF;
	pid_t server;

	server = serve_silent("containerd-mount79");
	if (server < 0)
		return;
	(void)snprintf(path, sizeof(path), "%s/root", base);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(root_size_scan(root, &options, &size), 0);
	CHECK(size.walk.complete);
	CHECK(size.walk.entries > 1);
	CHECK_EQ(scan_export(root, "/r", to), 0);
	CHECK_EQ(fclose(to), 0);
	CHECK(strstr(text, "{\"name\":\"containerd-mount79\",\"excluded\":\"otherfs\"}") != NULL);
	free(text);
	end(server);
	make_mount_point("containerd-mount79", path);
	CHECK_EQ(umount2(path, MNT_DETACH), 0);
}

static void test_a_ticket_without(void)
{
	struct ticket ticket = { .fd = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC) };

	CHECK_EQ(tmpmounts_detach(&ticket), 0);
	(void)close(ticket.fd);
}

int main(void)
{
	char root[4080];

	tap_private_mounts();
	(void)mount("none", "/sys/fs/fuse/connections", "fusectl", 0, NULL); /* may be there */
	base = tap_tmpdir(NULL);
	(void)snprintf(root, sizeof(root), "%s/root", base);
	(void)snprintf(dir, sizeof(dir), "%s/tmpmounts", root);
	CHECK(mkdir(root, 0700) == 0 && mkdir(dir, 0700) == 0);
	(void)alarm(PATIENCE_SEC);
	RUN(test_whose_it_is_by_its_name);
	RUN(test_mounts_are_counted);
	RUN(test_a_silent_one_is_unmounted_and_theirs_stays);
	RUN(test_the_last_unmount_that_hangs_is_cut);
	RUN(test_a_scan_passes_it_by);
	RUN(test_a_ticket_without);
	return tap_done();
}
