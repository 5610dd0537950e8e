/*
 * Directories of a mounted ext4, read from the page cache of its block device,
 * which is where the kernel itself keeps them: for counting millions of entries
 * without an open, a sort by hash and an inode in the caches for each directory.
 *
 * Nothing is locked, so what is read may be half changed. Everything is checked
 * (bounds, the "." and ".." of each directory), and where a directory is not of
 * the plain kind or does not add up the caller is told to ask the kernel for it.
 *
 * The format: Documentation/filesystems/ext4 of Linux.
 */
#ifndef SCANNERS_EXT4DIR_H
#define SCANNERS_EXT4DIR_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	EXT4DIR_PART = 128 * 1024, /* bytes of a directory that are read at once */
	EXT4DIR_ENTRY_MIN = 12,	   /* that an entry takes at least */
	EXT4DIR_BLOCK_MAX = 4096,
};

/* One for all threads: not written after it was opened. */
struct ext4dir_device {
	int fd;
	uint32_t block_size, inodes, inodes_per_group, inode_size, descriptor_size;
	uint64_t blocks, descriptors; /* byte offset of the first group's */
};

/*
 * The device of the ext4 at @dirfd, to end with ext4dir_close(). Returns 0, or
 * a negative errno with @ret untouched: -EOPNOTSUPP for a file system of another
 * kind or with features that change how directories lie; -ENODEV if its device
 * cannot be found.
 */
int ext4dir_open(int dirfd, struct ext4dir_device *ret);

/* As ext4dir_open(), for the device or image at @fd, which is taken over, also on failure. */
int ext4dir_open_image(int fd, struct ext4dir_device *ret);

void ext4dir_close(struct ext4dir_device *device);

/*
 * Open the directory with the number @inode of the mounted ext4 that @dirfd is on.
 * Returns an fd, or a negative errno: -EPERM without CAP_DAC_READ_SEARCH, -ESTALE
 * if there is no such inode, -ENOTDIR.
 */
int ext4dir_open_inode(int dirfd, uint32_t inode);

/* What one thread reads with; to begin with, ext4dir_reader_init(). */
struct ext4dir_reader {
	const struct ext4dir_device *device;
	/* Told before the device is read, for reading ahead. May be NULL. */
	void (*about_to_read)(uint64_t offset, uint64_t length, void *data);
	void *data;

	uint32_t group; /* whose table of inodes is at: … */
	uint64_t table;
	uint64_t inodes_at; /* what of the tables is in: … */
	char inodes[EXT4DIR_BLOCK_MAX];
	char node[EXT4DIR_BLOCK_MAX]; /* of a tree of extents */
	uint32_t size, at; /* of what was read of a directory, and how far it was looked at: */
	char blocks[EXT4DIR_PART];
};

void ext4dir_reader_init(struct ext4dir_reader *reader, const struct ext4dir_device *device);

/*
 * Read what comes at @from, a multiple of EXT4DIR_PART, of the directory with the
 * inode number @inode, which lies in @parent's.
 *
 * Returns 1 if there is more behind it, 0, or a negative errno: -ENOENT if the
 * directory is there no more; else ask the kernel, -EUCLEAN meaning that it is
 * not of the plain kind or did not add up.
 */
int ext4dir_read(struct ext4dir_reader *reader, uint32_t inode, uint32_t parent, uint64_t from);

struct ext4dir_entry {
	uint32_t inode;
	unsigned char type; /* DT_* */
	unsigned char name_length;
	const char *name; /* no NUL behind it; valid until @reader reads again */
};

/* The next entry of what was read that is not "." or "..". false: no more. */
bool ext4dir_next(struct ext4dir_reader *reader, struct ext4dir_entry *ret);

#endif
