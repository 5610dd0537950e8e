/*
 * A piece of one directory: as many entries as one getdents64(2) gives, in the
 * order of their inodes, shared out in chunks to whoever has time.
 */
#ifndef RECOVER_PURGE_WINDOW_H
#define RECOVER_PURGE_WINDOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	WINDOW_SMALL = 32 << 10,
	WINDOW_MAX = 4 << 20, /* what an entry can point into */
	WINDOW_CHUNK = 64,
	WINDOW_LOOK = 192 << 10, /* entries looked at for one window of the lowest; more cost more than they save */
};

/* An entry as small as it can be: what orders it, and where in the buffer it is. */
typedef uint64_t window_entry;

struct node;

struct window {
	char *buffer;	       /* with the entries behind it, in one mapping */
	size_t size;
	window_entry *entries; /* what is no directory first, then directories */
	size_t room, files, count;
	bool full;		      /* there may be more, the buffer was too small */
	bool lowest;		      /* what is left of it will be read again */
	atomic_bool failed;	      /* and something will be */
	atomic_size_t taken;	      /* of the files */

	struct node *node;	    /* whose entries they are */
	struct window *next_shared; /* the queue's */
	unsigned helpers;
};

/* Returns 0 or -ENOMEM. @size is at most WINDOW_MAX; memory is taken as it is filled. */
int window_init(struct window *window, size_t size);
void window_done(struct window *window);

/*
 * The next entries of the directory @fd. Returns 1, 0 at the end, or a
 * negative errno.
 */
int window_read(struct window *window, int fd);

/*
 * For a directory that comes in no order of inodes (ext4: by hashes): of the
 * files behind where @fd stands those with the lowest inodes, so that a block
 * of inodes is changed by one window and not by all. Nothing that is or may be
 * a directory is among them, and @fd stands where it did, unless that was all
 * there is. @staging is a window whose content is done with. Returns as
 * window_read(); 0: no more files, the rest has to be read in its own order.
 */
int window_read_lowest(struct window *window, struct window *staging, int fd);

/* Of entry @i: its name, its inode, and where in the directory the one behind it is. */
const char *window_name(const struct window *window, size_t i);
uint64_t window_inode(const struct window *window, size_t i);
int64_t window_next(const struct window *window, size_t i);

bool window_has_more(const struct window *window);

/* Take up to @max files. Returns how many, the first being entries[@ret_first]. */
size_t window_take(struct window *window, size_t max, size_t *ret_first);

#endif
