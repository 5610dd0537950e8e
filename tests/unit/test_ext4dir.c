/* Images of ext4 that mke2fs filled, which are not mounted for this. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "scanners/cleanup.h"
#include "scanners/ext4dir.h"
#include "tests/unit/tap.h"

enum { ROOT = 2, FILES = 1200 };

static const char *base;
static struct ext4dir_reader *reader;

/* Three directories in each other, of which "many" takes several parts. */
static void make_tree(void)
{
	CHECK_EQ(tap_shell("mkdir -p %s/tree/a/b && cd %s/tree && touch a/file && mkfifo a/pipe && ln -s x a/link && "
			   "mkdir many && cd many && seq -f %%0250.f %d | xargs touch",
			   base, base, FILES),
		 0);
}

/* An fd of an image made with @options; -1: this mke2fs has not got them. */
static int make_image(const char *options)
{
	cleanup_free char *path = NULL;

	if (tap_shell("cd %s && rm -f image && mkfs.ext4 -q -F -N 12000 %s -d tree image 16M >mkfs.log 2>&1", base,
		      options) != 0)
		return -1;
	if (asprintf(&path, "%s/image", base) < 0)
		return -1;
	return open(path, O_RDWR | O_CLOEXEC);
}

/* Its number, or 0. */
static uint32_t find(uint32_t inode, uint32_t parent, const char *name, unsigned char type)
{
	struct ext4dir_entry entry;

	CHECK_EQ(ext4dir_read(reader, inode, parent, 0), 0);
	while (ext4dir_next(reader, &entry))
		if (strlen(name) == entry.name_length && memcmp(name, entry.name, entry.name_length) == 0)
			return entry.type == type ? entry.inode : 0;
	return 0;
}

static unsigned count(uint32_t inode, uint32_t parent)
{
	struct ext4dir_entry entry;
	unsigned entries = 0;
	uint64_t from = 0;
	int r;

	do {
		r = ext4dir_read(reader, inode, parent, from);
		CHECK(r >= 0);
		while (ext4dir_next(reader, &entry))
			entries++;
		from += EXT4DIR_PART;
	} while (r > 0);
	return entries;
}

static void test_reads(const char *options)
{
	struct ext4dir_device device;
	uint32_t a, b, many;
	int fd = make_image(options);

	if (fd < 0) {
		tap_skip("mke2fs cannot make it");
		return;
	}
	CHECK_EQ(ext4dir_open_image(fd, &device), 0);
	ext4dir_reader_init(reader, &device);
	a = find(ROOT, ROOT, "a", DT_DIR);
	many = find(ROOT, ROOT, "many", DT_DIR);
	CHECK(a > 0 && many > 0 && find(ROOT, ROOT, "lost+found", DT_DIR) > 0);
	CHECK_EQ(count(ROOT, ROOT), 3);
	b = find(a, ROOT, "b", DT_DIR);
	CHECK(b > 0);
	CHECK(find(a, ROOT, "file", DT_REG) > 0 && find(a, ROOT, "pipe", DT_FIFO) > 0 && find(a, ROOT, "link", DT_LNK) > 0);
	CHECK_EQ(count(a, ROOT), 4);
	CHECK_EQ(count(b, a), 0);
	CHECK_EQ(count(many, ROOT), FILES);
	/* It lies elsewhere; there is none; that is a file. */
	CHECK_EQ(ext4dir_read(reader, b, ROOT, 0), -ENOENT);
	CHECK_EQ(ext4dir_read(reader, 11999, ROOT, 0), -ENOENT);
	CHECK_EQ(ext4dir_read(reader, 0, ROOT, 0), -ENOENT);
	CHECK_EQ(ext4dir_read(reader, UINT32_MAX, ROOT, 0), -ENOENT);
	CHECK_EQ(ext4dir_read(reader, find(a, ROOT, "file", DT_REG), a, 0), -ENOENT);
	/* Behind its end, as when it has become smaller. */
	CHECK_EQ(ext4dir_read(reader, a, ROOT, EXT4DIR_PART), 0);
	CHECK_EQ(ext4dir_next(reader, &(struct ext4dir_entry){ 0 }), false);
	ext4dir_close(&device);
}

static void test_blocks_of_4k(void)
{
	test_reads("-b 4096");
}

static void test_blocks_of_1k(void)
{
	test_reads("-b 1024 -O ^64bit,^metadata_csum -I 128");
}

static void test_blocks_of_2k(void)
{
	test_reads("-b 2048 -O ^has_journal -g 1024");
}

static void refuses(const char *options)
{
	struct ext4dir_device device = { .fd = -1 };
	int fd = make_image(options);

	if (fd < 0) {
		tap_skip("mke2fs cannot make it");
		return;
	}
	CHECK_EQ(ext4dir_open_image(fd, &device), -EOPNOTSUPP);
	CHECK_EQ(device.fd, -1);
}

static void test_other_kinds_are_refused(void)
{
	int fd;

	refuses("-O ^extents,^64bit");
	refuses("-O meta_bg,^resize_inode");
	fd = make_image("");
	CHECK(fd >= 0 && ftruncate(fd, 1500) == 0);
	CHECK_EQ(ext4dir_open_image(fd, &(struct ext4dir_device){ 0 }), -EIO);
}

static void test_directories_inside_inodes_are_the_kernels(void)
{
	struct ext4dir_device device;
	int fd = make_image("-O inline_data -I 256");

	if (fd < 0) {
		tap_skip("mke2fs cannot make it");
		return;
	}
	CHECK_EQ(ext4dir_open_image(fd, &device), 0);
	ext4dir_reader_init(reader, &device);
	CHECK_EQ(ext4dir_read(reader, find(ROOT, ROOT, "a", DT_DIR), ROOT, 0), -EUCLEAN);
	CHECK_EQ(count(find(ROOT, ROOT, "many", DT_DIR), ROOT), FILES);
	ext4dir_close(&device);
}

static uint64_t last_offset, last_length;

static void remember(uint64_t offset, uint64_t length, void *data)
{
	(void)data;
	last_offset = offset;
	last_length = length;
}

/* Every byte of a directory's first half kilobyte, broken: an error, or names within bounds. */
static void test_half_written_blocks(void)
{
	struct ext4dir_device device;
	struct ext4dir_entry entry;
	unsigned errors = 0;
	uint32_t a;
	int fd = make_image("-b 4096");

	CHECK(fd >= 0);
	CHECK_EQ(ext4dir_open_image(fd, &device), 0);
	ext4dir_reader_init(reader, &device);
	reader->about_to_read = remember;
	a = find(ROOT, ROOT, "a", DT_DIR);
	CHECK_EQ(count(a, ROOT), 4);
	CHECK_EQ(last_length, 4096);
	for (uint64_t at = last_offset; at < last_offset + 512; at++) {
		uint8_t byte, broken;
		int r;

		CHECK_EQ(pread(fd, &byte, 1, (off_t)at), 1);
		for (unsigned bit = 0; bit < 8; bit++) {
			broken = (uint8_t)(byte ^ 1U << bit);
			CHECK_EQ(pwrite(fd, &broken, 1, (off_t)at), 1);
			r = ext4dir_read(reader, a, ROOT, 0);
			errors += r < 0;
			while (ext4dir_next(reader, &entry))
				CHECK(entry.name + entry.name_length <= reader->blocks + reader->size &&
				      entry.inode > 0 && entry.inode <= device.inodes);
		}
		CHECK_EQ(pwrite(fd, &byte, 1, (off_t)at), 1);
	}
	CHECK(errors > 100);
	CHECK_EQ(count(a, ROOT), 4);
	ext4dir_close(&device);
}

/* A directory that was made after its neighbours in the table were read. */
static void test_what_is_remembered_is_asked_anew(void)
{
	struct ext4dir_device device;
	char inode[128], empty[128] = { 0 };
	uint64_t at = 0;
	uint32_t a;
	int fd = make_image("-b 4096 -I 128");

	CHECK(fd >= 0);
	CHECK_EQ(ext4dir_open_image(fd, &device), 0);
	ext4dir_reader_init(reader, &device);
	a = find(ROOT, ROOT, "a", DT_DIR);
	at = reader->table + (a - 1) * 128;
	CHECK_EQ(pread(fd, inode, sizeof(inode), (off_t)at), sizeof(inode));
	CHECK_EQ(pwrite(fd, empty, sizeof(empty), (off_t)at), sizeof(empty));
	ext4dir_reader_init(reader, &device);
	CHECK_EQ(ext4dir_read(reader, a, ROOT, 0), -ENOENT);
	CHECK_EQ(pwrite(fd, inode, sizeof(inode), (off_t)at), sizeof(inode));
	CHECK_EQ(count(a, ROOT), 4);
	ext4dir_close(&device);
}

int main(void)
{
	base = tap_tmpdir(NULL);
	reader = malloc(sizeof(*reader));
	CHECK(reader);
	make_tree();
	RUN(test_blocks_of_4k);
	RUN(test_blocks_of_1k);
	RUN(test_blocks_of_2k);
	RUN(test_other_kinds_are_refused);
	RUN(test_directories_inside_inodes_are_the_kernels);
	RUN(test_half_written_blocks);
	RUN(test_what_is_remembered_is_asked_anew);
	free(reader);
	return tap_done();
}
