/*
 * The workers of a walk (scanners/walk.h): private to it.
 */
#ifndef SCANNERS_WALK_WORKER_H
#define SCANNERS_WALK_WORKER_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "scanners/dirahead.h"
#include "scanners/dirstack.h"
#include "scanners/ext4dir.h"
#include "scanners/walk.h"

enum { WALK_QUEUE_SIZE = 64 }; /* directories that wait for a worker */

/* A directory of ext4 that is read without being opened (scanners/walk_inodes.h). */
struct inode_job {
	uint64_t tag;
	uint64_t from; /* where to go on in it */
	uint32_t inode, parent;
	unsigned depth;
};

struct walk_job {
	struct open_dir *parent; /* NULL: by_inode says it all */
	uint64_t tag;
	unsigned depth;
	char name[NAME_MAX + 1]; /* empty: the parent itself */
	struct inode_job by_inode;
};

/* What is opened by the first worker to see that it is called for. */
enum walk_aid { AID_OFF, AID_WANTED, AID_OPENING, AID_ON };

struct walk {
	struct walk_options options;
	struct open_dir *start;
	atomic_uint refs;
	atomic_bool stop;
	atomic_uint_fast64_t entries, bytes;
	atomic_int error;
	atomic_bool incomplete;

	pthread_mutex_t mutex;
	pthread_cond_t work, ended;
	struct walk_job queue[WALK_QUEUE_SIZE];
	unsigned head;
	atomic_uint queued;
	unsigned busy, running, started;

	atomic_int ahead_state; /* enum walk_aid */
	struct dirahead ahead;
	atomic_int device_state; /* likewise */
	struct ext4dir_device device;
};

struct walk_worker {
	struct walk *walk;
	struct walk_sums seen; /* not yet told, all in one directory */
	struct dirstack *stack;
	unsigned depth; /* of its first level */
	unsigned descended; /* directories that it opened */
	struct walk_inodes *inodes; /* NULL: not yet called for */
};

/* Returns NULL for want of memory; the walk stays the caller's. */
struct walk_worker *walk_worker_new(struct walk *walk);
void walk_worker_free(struct walk_worker *w);

/* Take jobs until there are none and nobody is left who could make some, or it is enough. */
void walk_worker_run(struct walk_worker *w);

/* For scanners/walk_inodes.c. Tell what was seen in a directory tagged @tag; true: it is enough. */
bool walk_tell(struct walk_worker *w, uint64_t tag);
/* The first one counts. */
void walk_note_error(struct walk *walk, int error);
/* Is @aid there? @open is called for it once, in one thread, when it is wanted. */
bool walk_has_aid(struct walk *walk, atomic_int *aid, int (*open)(struct walk *walk));
/* Is the disk read ahead by now? */
bool walk_read_ahead(struct walk *walk);
/* Let another worker have it, if the queue is short. */
bool walk_offer_inode(struct walk *walk, const struct inode_job *job);
/* Walk what is below @fd, a directory @depth levels below the start, which is taken over. */
void walk_below(struct walk_worker *w, int fd, uint64_t tag, unsigned depth);

#endif
