/*
 * A place in a directory tree, from where a depth-first walk stands down to the
 * directory it reads. Flat in fds whatever the depth, and nearly so in memory
 * (some 40 bytes a level): blocks and fds of the deepest levels alone are kept,
 * the ones above are opened again by ".." when the walk returns to them, checked
 * by device and inode.
 */
#ifndef SCANNERS_DIRSTACK_H
#define SCANNERS_DIRSTACK_H

#include <dirent.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
	DIRSTACK_BLOCK = 32 * 1024, /* of one getdents64(2): what a deadline waits for */
	DIRSTACK_CACHED = 8,	    /* levels whose block and fd are kept */
};

/* A directory that is open for one or several: closed with its last reference. */
struct open_dir {
	atomic_uint refs;
	int fd;
};

struct dirstack_level {
	struct open_dir *dir; /* NULL: closed for now */
	dev_t dev;	      /* of a closed one */
	ino_t ino;
	off_t resume; /* d_off of the last entry taken */
	uint64_t tag; /* the caller's */
};

struct dirstack {
	struct dirstack_level *levels;
	size_t count, room;
	struct {
		size_t used, at;
		char data[DIRSTACK_BLOCK] __attribute__((aligned(8)));
	} blocks[DIRSTACK_CACHED];
};

/* An empty stack, 256 KiB, of which only what is used is touched. NULL: no memory. */
struct dirstack *dirstack_new(void);

/* Closes what is open; NULL is a no-op. */
void dirstack_free(struct dirstack *stack);

/* Back to empty. */
void dirstack_clear(struct dirstack *stack);

/* Takes @fd over, also on failure, which is NULL: no memory. */
struct open_dir *open_dir_new(int fd);
void open_dir_unref(struct open_dir *dir);

/* Step down into @dir, which is taken over, also on failure. 0 or a negative errno. */
int dirstack_push(struct dirstack *stack, struct open_dir *dir, uint64_t tag);

/*
 * Step up. Returns 0; or a negative errno if the directory above cannot be gone
 * on with (-ESTALE: something was moved meanwhile): then pop on.
 */
int dirstack_pop(struct dirstack *stack);

/* The directory that is being read: its fd, its tag. */
static inline struct dirstack_level *dirstack_top(struct dirstack *stack)
{
	return &stack->levels[stack->count - 1];
}

/*
 * The next entry of the deepest directory that is not "." or "..", valid until
 * the next call. Returns 1, 0 at the end, or a negative errno.
 */
int dirstack_next(struct dirstack *stack, const struct dirent64 **ret);

/* Are there entries left that need no reading? */
static inline bool dirstack_has_read(struct dirstack *stack)
{
	size_t slot = (stack->count - 1) % DIRSTACK_CACHED;

	return stack->blocks[slot].at < stack->blocks[slot].used;
}

#endif
