/* Walks on ext4 of its own, whose directories are read from its device. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/walk.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

enum {
	WIDTH = 60,				 /* of three levels: */
	DIRECTORIES = WIDTH * (1 + WIDTH + 1),	 /* … the third has one in each of the first */
	FLATS = 12,				 /* of the first have a directory with … */
	FLAT = 700,				 /* … files of long names, more than is read at once */
};

static const char *base;

/* Mounted at <base>/mnt, with a tree. Returns the number of entries in it, or 0: it cannot be made here. */
static uint64_t make_fs(const char *options)
{
	if (tap_shell("cd %s && rm -f image && mkdir -p mnt && truncate -s 256M image && "
		      "mkfs.ext4 -q -F -N 40000 %s image >mkfs.log 2>&1 && mount -o loop image mnt 2>/dev/null",
		      base, options) != 0)
		return 0;
	CHECK_EQ(tap_shell("cd %s/mnt && mkdir tree other && cd tree && "
			   "for i in $(seq %d); do mkdir d$i && (cd d$i && touch f && mkdir -p deep/x && "
			   "seq -f s%%g %d | xargs mkdir && touch s1/g); done && "
			   "for i in $(seq %d); do mkdir d$i/flat && (cd d$i/flat && seq -f %%0200.f %d | xargs touch); done",
			   base, WIDTH, WIDTH - 1, FLATS, FLAT),
		 0);
	/* di, f, deep, x, s1 … and g; and flat */
	return WIDTH * (UINT64_C(4) + WIDTH - 1 + 1) + FLATS * (1 + FLAT);
}

static void unmount(void)
{
	CHECK_EQ(tap_shell("umount %s/mnt", base), 0);
}

static int open_below(const char *path)
{
	cleanup_free char *whole = NULL;

	if (asprintf(&whole, "%s/mnt/%s", base, path) < 0)
		return -ENOMEM;
	return open(whole, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static struct walk_result walk(const struct walk_options *options)
{
	cleanup_fd int fd = open_below("tree");
	struct walk_result result = { 0 };

	CHECK(fd >= 0);
	CHECK_EQ(walk_tree(fd, options, &result), 0);
	return result;
}

static void check_count(uint64_t entries)
{
	struct walk_result result = walk(&(struct walk_options){ 0 });

	CHECK_EQ(result.entries, entries);
	CHECK_EQ(result.error, 0);
	CHECK(result.complete);
}

/* None by its number, and by its name not as many as are read before the device is there. */
static void check_few_are_opened(uint64_t entries)
{
	bool many = true;

	for (int i = 0; i < 5 && many; i++) { /* it may take its time beside other work */
		fault_arm("getdents64", DIRECTORIES, EIO);
		(void)walk(&(struct walk_options){ 0 });
		many = fault_fired();
	}
	CHECK(!many);
	fault_arm("open_by_handle_at", 2, EIO); /* the first is whether it can be done */
	check_count(entries);
	CHECK(!fault_fired());
}

static void test_counts_what_is_there(void)
{
	uint64_t entries = make_fs("");

	if (entries == 0) {
		tap_skip("ext4 cannot be made or mounted here");
		return;
	}
	check_count(entries);
	check_few_are_opened(entries);
	/* Not in the caches. */
	unmount();
	CHECK_EQ(tap_shell("cd %s && mount -o loop image mnt", base), 0);
	check_count(entries);
	unmount();
}

static void test_other_blocks_and_inodes(void)
{
	static const char *const options[] = {
		"-b 1024 -I 128 -O ^64bit,^metadata_csum",
		"-O ^dir_index,^flex_bg",
		/* By the kernel alone, or all but the large directories. */
		"-O ^extents,^64bit",
		"-O meta_bg,^resize_inode",
		"-O inline_data -I 256",
	};

	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		uint64_t entries = make_fs(options[i]);

		if (entries == 0) {
			tap_skip("such an ext4 cannot be made or mounted here");
			continue;
		}
		check_count(entries);
		unmount();
	}
}

/* What was counted of it is not counted again; that it is not all is told. */
static void test_large_directory_that_is_broken_behind_its_beginning(void)
{
	uint64_t entries = make_fs("-b 1024");
	struct walk_result result = { 0 };

	if (entries == 0) {
		tap_skip("ext4 cannot be made or mounted here");
		return;
	}
	if (tap_shell("cd %s && sync -f mnt && "
		      "block=$(debugfs -R 'blocks tree/d1/flat' image 2>/dev/null | tr ' ' '\n' | sed -n 150p) && "
		      "printf '\377\377\377\377\377\377' | dd of=$(losetup -nO NAME -j image) bs=1024 "
		      "seek=${block:?} conv=notrunc status=none", base) != 0) {
		tap_skip("a mounted device cannot be written here");
		unmount();
		return;
	}
	for (int i = 0; i < 10 && result.error == 0; i++) { /* the kernel may get to it first, beside other work */
		result = walk(&(struct walk_options){ 0 });
		CHECK(result.entries < entries && result.entries > entries - FLAT);
	}
	CHECK(result.error < 0);
	CHECK(!result.complete);
	unmount();
}

/* What a mount hides is not counted, nor what is in the mount. */
static void test_mounts_are_not_entered(void)
{
	uint64_t entries = make_fs("");

	if (entries == 0) {
		tap_skip("ext4 cannot be made or mounted here");
		return;
	}
	CHECK_EQ(tap_shell("cd %s/mnt && touch other/1 other/2 && mount --bind other tree/d7/s1", base), 0);
	check_count(entries - 1); /* d7/s1/g */
	CHECK_EQ(tap_shell("cd %s/mnt && umount tree/d7/s1", base), 0);
	check_count(entries);
	/* One beside the tree is no hindrance. */
	CHECK_EQ(tap_shell("cd %s/mnt && mkdir tree-2 && mount --bind other tree-2", base), 0);
	check_few_are_opened(entries);
	CHECK_EQ(tap_shell("cd %s/mnt && umount tree-2", base), 0);
	unmount();
}

enum { TAG_FLAT = 1, TAG_DEEP = 2 };

static uint64_t enter(uint64_t parent, const char *name, unsigned depth, void *data)
{
	(void)data;
	if (depth == 1)
		return 0;
	if (depth == 2 && strcmp(name, "flat") == 0)
		return TAG_FLAT;
	if (depth == 2 && strcmp(name, "deep") == 0)
		return TAG_DEEP;
	if (depth == 2 && strcmp(name, "s1") == 0)
		return WALK_MEASURE;
	CHECK(depth == 2 || (depth == 3 && strcmp(name, "x") == 0));
	return parent;
}

static atomic_uint_fast64_t tagged[3], measured;

static void tally(uint64_t tag, const struct walk_sums *sums, void *data)
{
	(void)data;
	atomic_fetch_add(&tagged[tag & 3], sums->entries);
	atomic_fetch_add(&measured, sums->bytes);
}

static void test_tags_and_bytes(void)
{
	const struct walk_options options = { .enter = enter, .tally = tally };
	uint64_t entries = make_fs("");
	struct walk_result result;

	if (entries == 0) {
		tap_skip("ext4 cannot be made or mounted here");
		return;
	}
	CHECK_EQ(tap_shell("cd %s/mnt/tree && for i in $(seq %d); do head -c 8192 /dev/zero >d$i/s1/g; done && sync -f .",
			   base, WIDTH),
		 0);
	result = walk(&options);
	CHECK_EQ(result.entries, entries);
	CHECK(result.complete);
	CHECK_EQ(tagged[TAG_FLAT], FLATS * FLAT);
	CHECK_EQ(tagged[TAG_DEEP], WIDTH);
	CHECK_EQ(tagged[0], entries - FLATS * FLAT - WIDTH);
	CHECK_EQ(measured, UINT64_C(8192) * WIDTH);
	CHECK_EQ(result.bytes, UINT64_C(8192) * WIDTH);
	unmount();
}

static void test_stops_where_it_is_told(void)
{
	uint64_t entries = make_fs("");
	struct walk_result result;

	if (entries == 0) {
		tap_skip("ext4 cannot be made or mounted here");
		return;
	}
	result = walk(&(struct walk_options){ .stop_at = 9000 });
	CHECK(result.reached && !result.complete);
	CHECK(result.entries >= 9000);
	unmount();
}

/* Whatever fails, what comes out is right, or is said not to be. */
static void test_every_call_may_fail(void)
{
	static const char *const calls[] = { "pread", "open_by_handle_at", "fstat", "malloc" };
	uint64_t entries = make_fs("");

	if (entries == 0) {
		tap_skip("ext4 cannot be made or mounted here");
		return;
	}
	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		for (int n = 1; n < 4000; n += n < 8 ? 1 : 331) {
			struct walk_result result;
			cleanup_fd int fd = open_below("tree");
			int r;

			fault_arm(calls[i], n, EIO);
			r = walk_tree(fd, &(struct walk_options){ 0 }, &result);
			if (!fault_fired())
				break;
			if (r == 0 && result.complete)
				CHECK_EQ(result.entries, entries);
		}
	}
	unmount();
}

static atomic_bool enough;

/* Directories come, go and change places below d1, and out of the tree. */
static void *change(void *data)
{
	int fd = *(int *)data;
	char name[32];

	for (unsigned i = 0; !enough; i++) {
		(void)snprintf(name, sizeof(name), "tree/d1/new%u", i % 500);
		(void)mkdirat(fd, name, 0700);
		(void)renameat(fd, name, fd, "other/moved");
		(void)renameat(fd, "other/moved", fd, "tree/d1/s2/again");
		(void)unlinkat(fd, "tree/d1/s2/again", AT_REMOVEDIR);
		(void)unlinkat(fd, name, AT_REMOVEDIR);
	}
	return NULL;
}

static void test_a_tree_that_changes(void)
{
	uint64_t entries = make_fs("");
	cleanup_fd int fd = -EBADF;
	pthread_t thread;

	if (entries == 0) {
		tap_skip("ext4 cannot be made or mounted here");
		return;
	}
	fd = open_below(".");
	CHECK_EQ(pthread_create(&thread, NULL, change, &fd), 0);
	for (int i = 0; i < 50; i++) {
		struct walk_result result = walk(&(struct walk_options){ 0 });

		CHECK_EQ(result.error, 0);
		CHECK(result.entries >= entries && result.entries <= entries + 3);
	}
	enough = true;
	CHECK_EQ(pthread_join(thread, NULL), 0);
	cleanup_close(&fd);
	fd = -EBADF;
	unmount();
}

int main(void)
{
	base = tap_tmpdir(NULL);
	RUN(test_counts_what_is_there);
	RUN(test_other_blocks_and_inodes);
	RUN(test_large_directory_that_is_broken_behind_its_beginning);
	RUN(test_mounts_are_not_entered);
	RUN(test_tags_and_bytes);
	RUN(test_stops_where_it_is_told);
	RUN(test_every_call_may_fail);
	RUN(test_a_tree_that_changes);
	return tap_done();
}
