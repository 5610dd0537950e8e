/* What tmpfs cannot show: flags, subvolumes and a whole tree on real file systems. */
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "recover/purge/purge.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/tap.h"

static const char *base;
static const char *type;
static int root = -EBADF; /* of the mounted file system */

static int make_dir(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int make_file(int dirfd, const char *name)
{
	return openat(dirfd, name, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
}

static int add_flags(int fd, int add)
{
	int flags;

	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return -errno;
	flags |= add;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? -errno : 0;
}

static int get_flags(int fd)
{
	int flags = 0;

	return ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0 ? -errno : flags;
}

static int purge(int fd, struct purge_progress *ret)
{
	struct purge_options options = { .urgent = true };

	return purge_tree(fd, &options, ret);
}

static void test_immutable_and_append_only(void)
{
	cleanup_fd int fd = make_dir(root, "flags");
	cleanup_fd int dir = make_dir(fd, "dir"), append = make_dir(fd, "append");
	cleanup_fd int empty = make_dir(fd, "empty");
	cleanup_fd int a = make_file(dir, "immutable"), b = make_file(append, "b");
	cleanup_fd int c = make_file(fd, "log");
	struct purge_progress p;

	CHECK_EQ(add_flags(a, FS_IMMUTABLE_FL), 0);
	CHECK_EQ(add_flags(b, FS_APPEND_FL), 0);
	CHECK_EQ(add_flags(c, FS_APPEND_FL | FS_IMMUTABLE_FL), 0);
	CHECK_EQ(add_flags(dir, FS_IMMUTABLE_FL), 0);
	CHECK_EQ(add_flags(append, FS_APPEND_FL), 0);
	CHECK_EQ(add_flags(empty, FS_IMMUTABLE_FL), 0);
	CHECK_EQ(unlinkat(dir, "immutable", 0), -1);
	CHECK_EQ(purge(fd, &p), 0);
	CHECK_EQ(p.entries, 6);
	CHECK_EQ(dir_is_empty(fd), 1);
}

static void test_immutable_file_with_a_name_outside_stays_immutable(void)
{
	cleanup_fd int outside = make_dir(root, "outside"), fd = make_dir(root, "linked");
	cleanup_fd int file = make_file(outside, "kept");
	struct purge_progress p;
	int flags;

	CHECK_EQ(linkat(outside, "kept", fd, "also", 0), 0);
	CHECK_EQ(add_flags(file, FS_IMMUTABLE_FL), 0);
	CHECK_EQ(purge(fd, &p), 0);
	CHECK_EQ(p.entries, 1);
	CHECK_EQ(faccessat(outside, "kept", F_OK, 0), 0);
	flags = get_flags(file);
	CHECK(flags > 0 && (flags & FS_IMMUTABLE_FL));
	flags &= ~FS_IMMUTABLE_FL;
	CHECK_EQ(ioctl(file, FS_IOC_SETFLAGS, &flags), 0);
}

static void fill(int fd, unsigned dirs, unsigned files)
{
	for (unsigned i = 0; i < dirs; i++) {
		char name[32];
		int sub;

		(void)snprintf(name, sizeof(name), "dir-%u", i);
		sub = make_dir(fd, name);
		for (unsigned k = 0; k < files; k++) {
			cleanup_fd int file = -EBADF;

			(void)snprintf(name, sizeof(name), "file-%u", k);
			file = make_file(sub, name);
			if (!CHECK_EQ(write(file, name, sizeof(name)), sizeof(name)))
				break;
		}
		(void)close(sub);
	}
}

static void test_a_whole_tree_flat_and_wide(void)
{
	cleanup_fd int fd = make_dir(root, "tree");
	struct purge_progress p;

	fill(fd, 300, 10);
	fill(fd, 1, 20000);
	CHECK_EQ(purge(fd, &p), 0);
	CHECK_EQ(p.entries, 300 * 11 + 20000 - 10);
	CHECK_EQ(dir_is_empty(fd), 1);
}

static void fill_long_names(int fd, unsigned first, unsigned end, bool dirs)
{
	for (unsigned i = first; i < end; i++) {
		char name[201];

		(void)snprintf(name, sizeof(name), "%0200u", i);
		if (!CHECK_EQ(dirs ? mkdirat(fd, name, 0700) :
				     mknodat(fd, name, S_IFREG | 0600, 0), 0))
			break;
	}
}

static void put_mount_on(int fd, const char *name)
{
	cleanup_free char *path = NULL, *file = NULL;

	if (!CHECK(asprintf(&path, "/proc/self/fd/%d/%s", fd, name) > 0) ||
	    !CHECK(asprintf(&file, "%s/other", base) > 0))
		return;
	CHECK(mknod(file, S_IFREG | 0600, 0) == 0 || errno == EEXIST);
	CHECK_EQ(mount(file, path, NULL, MS_BIND, NULL), 0);
}

/*
 * Files of many windows, read by inodes where directories are in the order of
 * hashes; directories between them, and one file that cannot go: that one is
 * told once, and does not keep the others.
 */
static void test_a_directory_of_many_windows(void)
{
	enum { FILES = 24000, DIRS = 300 };
	cleanup_fd int fd = make_dir(root, "windows"), flat = make_dir(fd, "flat");
	char busy[201];
	struct purge_progress p;

	(void)snprintf(busy, sizeof(busy), "%0200u", FILES / 3);
	fill_long_names(flat, 0, FILES / 2, false);
	fill_long_names(flat, FILES / 2, FILES / 2 + DIRS, true);
	fill_long_names(flat, FILES / 2 + DIRS, FILES + DIRS, false);
	put_mount_on(flat, busy);
	CHECK_EQ(purge(fd, &p), -EBUSY);
	CHECK_EQ(p.left, 1);
	CHECK_EQ(p.entries, FILES + DIRS - 1);

	CHECK_EQ(unlinkat(flat, busy, 0), -1);
	CHECK_EQ(errno, EBUSY);
	CHECK_EQ(dir_is_empty(flat), 0);
	CHECK_EQ(fchdir(flat), 0);
	CHECK_EQ(umount2(busy, MNT_DETACH), 0);
	CHECK_EQ(chdir("/"), 0);
	CHECK_EQ(purge(fd, &p), 0);
	CHECK_EQ(p.entries, 2);
	CHECK_EQ(dir_is_empty(fd), 1);
}

static int open_below(const char *name)
{
	cleanup_free char *path = NULL;

	return asprintf(&path, "%s/%s", base, name) < 0 ? -ENOMEM : open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static bool stop_late(const struct purge_progress *p, void *data)
{
	(void)data;
	return p->elapsed_msec > 30000;
}

/*
 * Entries of a damaged directory whose names lead elsewhere: listed, and never
 * found. They stay, with what they are in, and the purge comes to an end.
 */
static void test_an_entry_that_cannot_be_found_ends_nothing(void)
{
	enum { FILES = 24000 };
	struct purge_options options = { .urgent = true, .progress = stop_late };
	cleanup_fd int fd = -EBADF, flat = -EBADF;
	struct purge_progress p;

	if (tap_shell("cd %s && mkdir -p ghost && truncate -s 256M ghost.img && "
		      "mkfs.ext4 -q -F -N 40000 -O ^metadata_csum ghost.img && mount -o loop ghost.img ghost", base) != 0) {
		tap_skip("ext4 cannot be made or mounted here");
		return;
	}
	fd = open_below("ghost");
	flat = make_dir(fd, "flat");
	fill_long_names(flat, 0, FILES, false);
	fill_long_names(flat, FILES, FILES + 3, true);
	if (tap_shell("cd %s && sync -f ghost && device=$(losetup -nO NAME -j ghost.img) && "
		      "places=$(grep -abo $(printf %%0198u 0) $device | cut -d: -f1) && : ${places:?} && "
		      "for at in $places; do " /* the journal has copies */
		      "printf x | dd of=$device bs=1 seek=$at conv=notrunc status=none || exit; done", base) != 0) {
		tap_skip("a mounted device cannot be written here");
	} else {
		CHECK_EQ(purge_tree(fd, &options, &p), -ENOTEMPTY);
		CHECK_EQ(p.left, 1);
		CHECK(p.entries >= FILES + 2);
	}
	(void)close(take_fd(&flat));
	(void)close(take_fd(&fd));
	CHECK_EQ(tap_shell("umount -l %s/ghost && rm %s/ghost.img", base, base), 0);
}

static void test_open_files_are_no_hindrance(void)
{
	cleanup_fd int fd = make_dir(root, "open");
	cleanup_fd int file = make_file(fd, "held");
	struct purge_progress p;
	char c = 0;

	CHECK_EQ(pwrite(file, "x", 1, 0), 1);
	CHECK_EQ(purge(fd, &p), 0);
	CHECK_EQ(pread(file, &c, 1, 0), 1);
	CHECK_EQ(c, 'x');
}

static void test_read_only_file_system_is_reported(void)
{
	cleanup_free char *path = NULL;
	cleanup_fd int fd = make_dir(root, "readonly");
	struct purge_progress p;

	fill(fd, 2, 2);
	if (asprintf(&path, "%s/%s", base, type) < 0)
		return;
	CHECK_EQ(mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL), 0);
	CHECK_EQ(purge(fd, &p), -EROFS);
	CHECK_EQ(p.entries, 0);
	CHECK(p.left > 0);
	CHECK_EQ(mount(NULL, path, NULL, MS_REMOUNT, NULL), 0);
	CHECK_EQ(purge(fd, &p), 0);
}

static int make_subvolume(int dirfd, const char *name)
{
	struct btrfs_ioctl_vol_args args = { 0 };

	(void)snprintf(args.name, sizeof(args.name), "%s", name);
	if (ioctl(dirfd, BTRFS_IOC_SUBVOL_CREATE, &args) < 0)
		return -errno;
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static int make_read_only(int fd)
{
	uint64_t flags = BTRFS_SUBVOL_RDONLY;

	return ioctl(fd, BTRFS_IOC_SUBVOL_SETFLAGS, &flags) < 0 ? -errno : 0;
}

static void test_subvolumes_go_in_one_step(void)
{
	cleanup_fd int fd = make_dir(root, "subvolumes");
	cleanup_fd int plain = make_subvolume(fd, "plain"), snapshot = make_subvolume(fd, "ro");
	struct purge_progress p;

	CHECK(plain >= 0 && snapshot >= 0);
	fill(plain, 20, 10);
	fill(snapshot, 20, 10);
	CHECK_EQ(make_read_only(snapshot), 0);
	CHECK_EQ(purge(fd, &p), 0);
	CHECK_EQ(p.entries, 2);
	CHECK_EQ(dir_is_empty(fd), 1);
}

static void test_nested_subvolumes_in_read_only_ones(void)
{
	cleanup_fd int fd = make_dir(root, "nested");
	cleanup_fd int outer = make_subvolume(fd, "outer");
	cleanup_fd int dir = make_dir(outer, "dir");
	cleanup_fd int inner = make_subvolume(dir, "inner");
	struct purge_progress p;

	CHECK(outer >= 0 && inner >= 0);
	fill(inner, 5, 5);
	fill(outer, 2, 2);
	CHECK_EQ(make_read_only(inner), 0);
	CHECK_EQ(make_read_only(outer), 0);
	CHECK_EQ(purge(fd, &p), 0);
	CHECK_EQ(dir_is_empty(fd), 1);
}

static void run(void (*test)(void), const char *name)
{
	char full[128];

	(void)snprintf(full, sizeof(full), "%s: %s", type, name);
	tap_run(test, full);
}

static void unmakeable(void)
{
	tap_skip("no mkfs, or the kernel has no such file system or loop device");
}

static int make_fs(const char *image_size)
{
	cleanup_free char *command = NULL, *path = NULL;

	if (asprintf(&path, "%s/%s", base, type) < 0 ||
	    asprintf(&command,
		     "cd %s && mkdir -p %s && truncate -s %s %s.img && mkfs.%s -q %s.img >/dev/null 2>&1 "
		     "&& mount -o loop %s.img %s 2>/dev/null",
		     base, type, image_size, type, type, type, type, type) < 0)
		return -ENOMEM;
	if (system(command) != 0) // NOLINT: the test's own words
		return -ENOTSUP;
	return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void run_on(const char *name, const char *image_size)
{
	cleanup_free char *command = NULL;

	type = name;
	root = make_fs(image_size);
	if (root < 0) {
		run(unmakeable, "made and mounted");
		return;
	}
	run(test_immutable_and_append_only, "immutable and append-only");
	run(test_immutable_file_with_a_name_outside_stays_immutable, "immutable outside");
	run(test_a_whole_tree_flat_and_wide, "a whole tree");
	run(test_a_directory_of_many_windows, "a directory of many windows");
	run(test_open_files_are_no_hindrance, "open files");
	if (strcmp(type, "btrfs") == 0) {
		run(test_subvolumes_go_in_one_step, "subvolumes");
		run(test_nested_subvolumes_in_read_only_ones, "nested subvolumes");
	}
	run(test_read_only_file_system_is_reported, "read-only");
	(void)close(root);
	if (asprintf(&command, "umount -l %s/%s && rm %s/%s.img", base, type, base, type) > 0)
		CHECK_EQ(system(command), 0); // NOLINT
}

int main(void)
{
	tap_private_mounts();
	base = tap_tmpdir(NULL);
	run_on("ext4", "256M");
	RUN(test_an_entry_that_cannot_be_found_ends_nothing);
	run_on("xfs", "320M");
	run_on("btrfs", "256M");
	return tap_done();
}
