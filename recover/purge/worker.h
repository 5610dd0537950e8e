/*
 * Workers: threads that take directories from the queue, empty them and remove
 * them, until the tree is empty.
 */
#ifndef RECOVER_PURGE_WORKER_H
#define RECOVER_PURGE_WORKER_H

#include <stdatomic.h>

#include "recover/purge/leftover.h"
#include "recover/purge/pace.h"
#include "recover/purge/place.h"
#include "recover/purge/queue.h"
#include "scanners/dirahead.h"
#include "scanners/treeahead.h"

struct crew {
	struct place place;
	struct queue queue;
	struct pace pace;
	struct leftovers leftovers;
	struct dirahead ahead;
	struct treeahead *tree_ahead; /* on btrfs, else NULL */
	atomic_bool reading; /* from the disk: at full speed it pays to read ahead */
	bool by_hash;	     /* directories come in the order of hashes, not of inodes */
	bool in_turns;	     /* one worker unlinks at a time, while others read what comes next */
	pthread_mutex_t turn;
	struct node *root;
	_Atomic uint64_t entries; /* unlinked */
	atomic_uint moved;	  /* directories that were too deep */
	struct worker *workers;
	unsigned count;
};

/*
 * Start @count workers, of which queue.target work, on all below @fd, which is
 * the crew's if that succeeds. All above root is ready.
 *
 * Returns 0 if at least one was started, or a negative errno.
 */
int crew_start(struct crew *crew, int fd, unsigned count);

/* Wait for them to end, which they do when the tree is empty or the queue stopped. */
void crew_join(struct crew *crew);

#endif
