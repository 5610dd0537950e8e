/*
 * Directories waiting to be emptied. Each worker takes its own newest first, so
 * that it stays deep and few are open; one that has none steals the oldest of
 * another, which is the largest piece of work. A directory is removed by
 * whoever removes the last thing inside it.
 */
#ifndef RECOVER_PURGE_QUEUE_H
#define RECOVER_PURGE_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/queue.h>

#include "recover/purge/purge.h"

enum {
	/* Beyond this many known directories they are taken one at a time. */
	NODES_MAX = 8192,
	LARGE_WINDOWS = 2,
};

struct window;

struct node {
	TAILQ_ENTRY(node) link;
	struct node *parent; /* NULL for the tree itself */
	unsigned children;   /* known and not gone */
	unsigned depth;
	int fd;		     /* -EBADF until visited */
	bool read;	     /* to the end, and nobody is at it */
	bool rescan;	     /* directories were moved into it */
	bool in_order;	     /* what is left is read as it comes, not by inodes */
	atomic_bool left;    /* something inside could not be deleted */
	unsigned char tries;
	char name[];
};

TAILQ_HEAD(node_list, node);

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t work;   /* for idle workers: a directory, a window, or the end */
	pthread_cond_t park;   /* for workers beyond the target */
	pthread_cond_t ended;  /* for who started it all */
	pthread_cond_t helped; /* for a window's owner: its helpers are gone */
	struct node_list waiting[WORKERS_MAX];
	struct window *shared; /* windows that may be helped with */
	atomic_uint target;    /* workers that may work */
	unsigned idle;
	unsigned nodes, fds, fds_max;
	bool window_taken[LARGE_WINDOWS];
	atomic_bool stop; /* asked for */
	bool done;	  /* the tree itself is through */
};

/* What a worker is to do next: one of both. */
struct task {
	struct node *node;
	struct window *window;
};

/* Returns 0, or a negative errno. @fds_max: directories that may be open at once. */
int queue_init(struct queue *queue, unsigned target, unsigned fds_max);

/* Frees everything; no worker may be left. */
void queue_done(struct queue *queue);

/* A new node, known to nobody yet. Returns NULL without memory. */
struct node *node_new(struct node *parent, const char *name);

/* Waits for something to do. Returns false when there is nothing more, or to stop. */
bool queue_take(struct queue *queue, unsigned worker, struct task *ret);

/*
 * Hand @children, new ones of @parent, to @worker's list. @at_once: it has
 * nothing else to do, and takes one of them itself before anybody could.
 */
void queue_add(struct queue *queue, unsigned worker, struct node *parent,
	       struct node_list *children, unsigned count, bool at_once);

/* Put @node, not done with, behind the others of @worker. */
void queue_put_back(struct queue *queue, unsigned worker, struct node *node);

/* @node was read to its end. Returns whether nothing inside is pending. */
bool queue_node_read(struct queue *queue, struct node *node);

/*
 * @node is gone or given up; it is freed and its fd closed. Returns its parent
 * if that is now due to be removed, else NULL.
 */
struct node *queue_node_gone(struct queue *queue, struct node *node);

/* May @worker go on with its directory? Not if stopping, or beyond the target. */
bool queue_may_go_on(struct queue *queue, unsigned worker);

/* Something was moved into @node: it is read again before it is removed. */
void queue_rescan(struct queue *queue, struct node *node);
/* Was something? If so @node, through until now, is no longer. */
bool queue_take_rescan(struct queue *queue, struct node *node);

/* Nothing is known to be left in @node. */
bool queue_is_leaf(struct queue *queue, const struct node *node);
bool queue_is_full(struct queue *queue);

/* Is more than one worker wanted now? */
bool queue_has_several(struct queue *queue);

/* An fd more, or less, is open. Returns whether more directories may stay open. */
bool queue_count_fd(struct queue *queue, int change);

/* The size of the largest window that nobody has, or 0; it is to be given back. */
size_t queue_take_window(struct queue *queue);
void queue_give_window(struct queue *queue, size_t size);

void queue_set_target(struct queue *queue, unsigned target);
void queue_stop(struct queue *queue);
void queue_finish(struct queue *queue);

/* Wait for one of the two, at most @msec. Returns whether it came. */
bool queue_wait(struct queue *queue, unsigned msec);

/* Offer @window to idle workers; take it back, and wait until they are gone. */
void queue_share(struct queue *queue, struct window *window);
void queue_unshare(struct queue *queue, struct window *window);
void queue_helped(struct queue *queue, struct window *window);

#endif
