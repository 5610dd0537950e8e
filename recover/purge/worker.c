#include "recover/purge/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recover/purge/window.h"
#include "scanners/dir.h"

enum {
	STACK_SIZE = 128 << 10,
	TRIES_MAX = 3,	       /* for a directory that somebody fills while it is emptied */
	MOVED_NAME_MAX = 64,
	SHARED_MIN = 4 * WINDOW_CHUNK, /* files that are worth waking others for */
	HUGE_DIR = 256 << 10,	       /* bytes of a directory: thousands of entries */
	HUGE_LEVELS = 2,	       /* from the root of the tree */
	HUGE_AMONG_MAX = 256,	       /* directories that are asked for their size at once */
};

struct worker {
	struct crew *crew;
	unsigned id;
	pthread_t thread;
	struct window small, large;
	size_t large_size; /* 0: it has none */
};

static void leave(struct worker *worker, struct node *node, const char *name, int error)
{
	node->left = true;
	leftovers_add(&worker->crew->leftovers, node, name, error);
}

static void remove_node(struct worker *worker, struct node *node, bool gone);

/* A directory by d_type that is none by now, or an entry whose type nobody knew. */
static bool become_file(struct worker *worker, struct node *node)
{
	int r = place_unlink(&worker->crew->place, node->parent->fd, node->name);

	if (r >= 0)
		worker->crew->entries++;
	return r >= 0;
}

/* Returns whether @node is open and has to be emptied. */
static bool open_node(struct worker *worker, struct node *node)
{
	struct crew *crew = worker->crew;
	int fd = place_open(&crew->place, node->parent->fd, node->name);

	if (fd >= 0) {
		node->fd = fd;
		(void)queue_count_fd(&crew->queue, 1);
		if (!place_destroy_subvolume(&crew->place, node->parent->fd, node->name, fd))
			return true;
		crew->entries++;
		remove_node(worker, node, true);
		return false;
	}
	if (fd == -ENOENT || ((fd == -ENOTDIR || fd == -ELOOP) && become_file(worker, node))) {
		remove_node(worker, node, true);
		return false;
	}
	leave(worker, node, NULL, fd);
	remove_node(worker, node, true);
	return false;
}

static int add_dir(struct node_list *dirs, unsigned *count, struct node *node, const char *name)
{
	struct node *child = node_new(node, name);

	if (!child)
		return -ENOMEM;
	TAILQ_INSERT_TAIL(dirs, child, link);
	++*count;
	return 0;
}

/* Gentle, there is time enough; and nobody waits for what is in memory. */
static bool reads_ahead(const struct crew *crew)
{
	return crew->reading && crew->pace.rate == 0;
}

/* Inodes are read now, by many at a time, and not while it is this worker's turn. */
static void fetch(const struct place *place, const struct window *window, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++)
		(void)place_fetch(place, window->node->fd, window_name(window, i)); /* unlinking tells */
}

/* A chunk of @window; a directory of unknown type goes to @dirs. Returns how many are gone. */
static unsigned unlink_chunk(struct worker *worker, struct window *window, size_t first, size_t end,
			     struct node_list *dirs, unsigned *dir_count)
{
	struct node *node = window->node;
	unsigned gone = 0;

	for (size_t i = first; i < end; i++) {
		const char *name = window_name(window, i);
		int r = place_unlink(&worker->crew->place, node->fd, name);

		/* Met again, and told then; also what a damaged directory lists and does
		 * not find: among the lowest that would come for ever. */
		if (r != 0 && window->lowest) {
			window->failed = true;
			continue;
		}
		if (r == -EISDIR)
			r = add_dir(dirs, dir_count, node, name);
		else
			gone += r >= 0;
		if (r < 0)
			leave(worker, node, name, r);
	}
	return gone;
}

/* Files of @window, as long as there are; a directory of unknown type becomes a child. */
static void unlink_files(struct worker *worker, struct window *window)
{
	struct crew *crew = worker->crew;
	struct node_list dirs = TAILQ_HEAD_INITIALIZER(dirs);
	unsigned dir_count = 0;
	size_t first, count;

	while (!crew->queue.stop &&
	       (count = window_take(window, pace_chunk(&crew->pace, WINDOW_CHUNK), &first))) {
		uint64_t since;

		if (reads_ahead(crew)) {
			treeahead_hint(crew->tree_ahead, window_inode(window, first), count);
			if (crew->in_turns && queue_has_several(&crew->queue))
				fetch(&crew->place, window, first, first + count);
		}
		since = pace_wait(&crew->pace, (unsigned)count);
		if (crew->in_turns)
			pthread_mutex_lock(&crew->turn);
		crew->entries += unlink_chunk(worker, window, first, first + count, &dirs, &dir_count);
		if (crew->in_turns)
			pthread_mutex_unlock(&crew->turn);
		pace_took(&crew->pace, (unsigned)count, since);
	}
	if (dir_count)
		queue_add(&crew->queue, worker->id, window->node, &dirs, dir_count, false);
}

static struct node *ancestor(struct node *node, unsigned depth)
{
	while (node->depth > depth)
		node = node->parent;
	return node;
}

static int move_up(struct worker *worker, struct node *node, const char *name, struct node *to)
{
	struct crew *crew = worker->crew;
	char moved[MOVED_NAME_MAX];
	int r;

	do {
		(void)snprintf(moved, sizeof(moved), ".purge-%d-%u", getpid(), crew->moved++);
		r = place_move(&crew->place, node->fd, name, to->fd, moved);
	} while (r == -EEXIST);
	if (r == 0)
		queue_rescan(&crew->queue, to);
	return r;
}

/*
 * So deep that every level held open would take more fds than there are: @name
 * moves up, as far as it may (project quotas, encryption and subvolumes bound
 * it), and is found there when all else of that directory is gone.
 */
static bool hoist(struct worker *worker, struct node *node, const char *name)
{
	int r = -EXDEV;

	for (unsigned depth = 0; r == -EXDEV && depth < node->depth; depth++)
		r = move_up(worker, node, name, ancestor(node, depth));
	if (r == -EBUSY)
		leave(worker, node, name, r);
	return r == 0 || r == -ENOENT || r == -EBUSY;
}

/*
 * Workers in one directory wait for each other. What is huge is begun first,
 * then, and meanwhile the others have all the rest to themselves. Asked of the
 * first levels only, and of a few: elsewhere it would cost calls for every
 * directory, to put first what is first below its parent alone.
 */
static bool is_huge(const struct worker *worker, const struct window *window, size_t i)
{
	const struct node *node = window->node;

	return node->depth < HUGE_LEVELS && window->count - window->files <= HUGE_AMONG_MAX &&
	       place_size(&worker->crew->place, node->fd, window_name(window, i)) >= HUGE_DIR;
}

/* Returns false if @node has to be put back, to read the rest of it later. */
static bool add_dirs(struct worker *worker, struct window *window, struct node *node)
{
	struct queue *queue = &worker->crew->queue;
	struct node_list dirs = TAILQ_HEAD_INITIALIZER(dirs);
	struct node_list huge = TAILQ_HEAD_INITIALIZER(huge);
	bool deep = node->parent && !queue_count_fd(queue, 0);
	bool full = queue_is_full(queue);
	unsigned count = 0;

	for (size_t i = window->files; i < window->count; i++) {
		const char *name = window_name(window, i);
		int r;

		if (deep && hoist(worker, node, name))
			continue;
		r = add_dir(is_huge(worker, window, i) ? &huge : &dirs, &count, node, name);
		if (r < 0)
			leave(worker, node, name, r);
		if (full && i + 1 < window->count) {
			(void)lseek(node->fd, window_next(window, i), SEEK_SET); /* else: all again */
			break;
		}
	}
	TAILQ_CONCAT(&dirs, &huge, link); /* who comes last is taken first */
	if (count)
		queue_add(queue, worker->id, node, &dirs, count, window->files == 0 && !window->full);
	return !(full && count);
}

static bool get_large(struct worker *worker)
{
	struct queue *queue = &worker->crew->queue;

	if (worker->large_size)
		return true;
	worker->large_size = queue_take_window(queue);
	if (!worker->large_size)
		return false;
	if (window_init(&worker->large, worker->large_size) == 0)
		return true;
	queue_give_window(queue, worker->large_size);
	worker->large_size = 0;
	return false;
}

static void drop_large(struct worker *worker)
{
	if (!worker->large_size)
		return;
	window_done(&worker->large);
	queue_give_window(&worker->crew->queue, worker->large_size);
	worker->large_size = 0;
}

/* Most directories are read in one go: then the end need not be read to know it. */
static bool removed_early(struct worker *worker, struct node *node, const struct window *window)
{
	struct crew *crew = worker->crew;

	if (window->full || !node->parent || !queue_is_leaf(&crew->queue, node))
		return false;
	(void)pace_wait(&crew->pace, 1);
	if (place_rmdir(node->parent->fd, node->name, node->fd) < 0)
		return false;
	crew->entries++;
	return true;
}

static void work_off(struct worker *worker, struct window *window)
{
	struct queue *queue = &worker->crew->queue;
	bool shared = window->files >= SHARED_MIN;

	if (shared)
		queue_share(queue, window);
	unlink_files(worker, window);
	if (shared)
		queue_unshare(queue, window);
}

/* What comes by hashes is worth a look at all of it, if it is large. */
static int read_window(struct worker *worker, struct window *window, struct node *node)
{
	if (window == &worker->large && worker->crew->by_hash && !node->in_order) {
		int r = window_read_lowest(window, &worker->small, node->fd);

		if (r != 0)
			return r;
		node->in_order = true;
	}
	return window_read(window, node->fd);
}

static void visit(struct worker *worker, struct node *node)
{
	struct queue *queue = &worker->crew->queue;
	struct window *window = &worker->small;
	bool go_on = true;
	int r;

	if (node->fd < 0 && !open_node(worker, node))
		return;
	if (reads_ahead(worker->crew))
		dirahead_hint(&worker->crew->ahead, node->fd);
	while ((r = read_window(worker, window, node)) > 0) {
		window->node = node;
		go_on = add_dirs(worker, window, node);
		work_off(worker, window);
		node->in_order = node->in_order || window->failed;
		if (removed_early(worker, node, window)) {
			drop_large(worker);
			remove_node(worker, node, true);
			return;
		}
		if (!go_on || !queue_may_go_on(queue, worker->id))
			break;
		if (window->full && get_large(worker))
			window = &worker->large;
	}
	drop_large(worker);
	if (r > 0) {
		queue_put_back(queue, worker->id, node);
		return;
	}
	if (r < 0)
		leave(worker, node, NULL, r);
	if (queue_node_read(queue, node))
		remove_node(worker, node, false);
}

/* Returns whether @node has to be read once more. */
static bool read_again(struct worker *worker, struct node *node, int error)
{
	if (!queue_take_rescan(&worker->crew->queue, node) &&
	    (error != -ENOTEMPTY || node->left || node->tries++ >= TRIES_MAX))
		return false;
	if (lseek(node->fd, 0, SEEK_SET) < 0)
		return false;
	queue_put_back(&worker->crew->queue, worker->id, node);
	return true;
}

static int try_to_remove(struct crew *crew, struct node *node)
{
	int r;

	if (!node->parent)
		return dir_is_empty(node->fd) == 0 ? -ENOTEMPTY : 0;
	if (node->left || node->rescan)
		return -ENOTEMPTY;
	(void)pace_wait(&crew->pace, 1);
	r = place_rmdir(node->parent->fd, node->name, node->fd);
	crew->entries += r == 0;
	return r;
}

/* @node has nothing left to do inside: it goes, and those above it that waited for it. */
static void remove_node(struct worker *worker, struct node *node, bool gone)
{
	struct crew *crew = worker->crew;

	for (; node; gone = false) {
		int r = gone ? 0 : try_to_remove(crew, node);

		if (!gone && read_again(worker, node, r))
			return;
		if (r < 0 && !node->left)
			leave(worker, node, NULL, r);
		if (!node->parent) {
			queue_put_back(&crew->queue, worker->id, node);
			queue_finish(&crew->queue);
			return;
		}
		node = queue_node_gone(&crew->queue, node);
	}
}

static void *work(void *data)
{
	struct worker *worker = data;
	struct queue *queue = &worker->crew->queue;
	struct task task;

	while (queue_take(queue, worker->id, &task)) {
		if (task.node) {
			visit(worker, task.node);
		} else {
			unlink_files(worker, task.window);
			queue_helped(queue, task.window);
		}
	}
	return NULL;
}

static int start(struct crew *crew, struct worker *worker, unsigned id)
{
	pthread_attr_t attr;
	int r;

	*worker = (struct worker){ .crew = crew, .id = id };
	r = window_init(&worker->small, WINDOW_SMALL);
	if (r < 0)
		return r;
	r = -pthread_attr_init(&attr);
	if (r == 0) {
		(void)pthread_attr_setstacksize(&attr, STACK_SIZE); /* else the default */
		r = -pthread_create(&worker->thread, &attr, work, worker);
		(void)pthread_attr_destroy(&attr);
	}
	if (r < 0)
		window_done(&worker->small);
	return r;
}

int crew_start(struct crew *crew, int fd, unsigned count)
{
	int r = -ENOMEM;

	crew->root = node_new(NULL, "");
	crew->workers = calloc(count, sizeof(*crew->workers));
	if (!crew->root || !crew->workers) {
		free(crew->root);
		free(crew->workers);
		return r;
	}
	crew->root->fd = fd;
	queue_put_back(&crew->queue, 0, crew->root);
	for (crew->count = 0; crew->count < count; crew->count++) {
		r = start(crew, &crew->workers[crew->count], crew->count);
		if (r < 0)
			break;
	}
	if (crew->count)
		return 0;
	crew->root->fd = -EBADF; /* still the caller's */
	free(crew->workers);
	crew->workers = NULL;
	return r;
}

void crew_join(struct crew *crew)
{
	for (unsigned i = 0; i < crew->count; i++) {
		(void)pthread_join(crew->workers[i].thread, NULL); /* it is ours to join */
		window_done(&crew->workers[i].small);
	}
	free(crew->workers);
	crew->workers = NULL;
}
