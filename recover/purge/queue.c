#include "recover/purge/queue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/purge/window.h"

#define NSEC_PER_SEC 1000000000L
#define NSEC_PER_MSEC 1000000L

/*
 * Of a huge directory each window is a slice by the hash of names: its inodes
 * lie everywhere, and what is small touches every block of them again, in
 * memory and in the journal. As large as the memory of a purge allows, then;
 * the sizes differ, and the larger is taken first.
 */
static const size_t large_windows[LARGE_WINDOWS] = { 2560 << 10, 768 << 10 };

static int init_monotonic(pthread_cond_t *cond)
{
	pthread_condattr_t attr;
	int r = -pthread_condattr_init(&attr);

	if (r < 0)
		return r;
	r = -pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	if (r == 0)
		r = -pthread_cond_init(cond, &attr);
	(void)pthread_condattr_destroy(&attr);
	return r;
}

int queue_init(struct queue *queue, unsigned target, unsigned fds_max)
{
	int r;

	*queue = (struct queue){ .target = target, .fds_max = fds_max };
	for (unsigned i = 0; i < WORKERS_MAX; i++)
		TAILQ_INIT(&queue->waiting[i]);
	r = -pthread_mutex_init(&queue->lock, NULL);
	if (r == 0)
		r = -pthread_cond_init(&queue->work, NULL);
	if (r == 0)
		r = -pthread_cond_init(&queue->park, NULL);
	if (r == 0)
		r = init_monotonic(&queue->ended);
	if (r == 0)
		r = -pthread_cond_init(&queue->helped, NULL);
	return r;
}

/* Ancestors are only reachable through the children that keep them waiting. */
static void node_abandon(struct node *node)
{
	while (node) {
		struct node *parent = node->parent;

		if (node->fd >= 0)
			(void)close(node->fd); /* only read from */
		free(node);
		node = parent && --parent->children == 0 && parent->read ? parent : NULL;
	}
}

void queue_done(struct queue *queue)
{
	for (unsigned i = 0; i < WORKERS_MAX; i++) {
		struct node *node;

		while ((node = TAILQ_FIRST(&queue->waiting[i]))) {
			TAILQ_REMOVE(&queue->waiting[i], node, link);
			/* Put back with children: the last of them frees it. */
			if (node->children)
				node->read = true;
			else
				node_abandon(node);
		}
	}
	(void)pthread_cond_destroy(&queue->helped); /* nobody waits any more */
	(void)pthread_cond_destroy(&queue->ended);
	(void)pthread_cond_destroy(&queue->park);
	(void)pthread_cond_destroy(&queue->work);
	(void)pthread_mutex_destroy(&queue->lock);
}

struct node *node_new(struct node *parent, const char *name)
{
	size_t length = strlen(name) + 1;
	struct node *node = malloc(sizeof(*node) + length);

	if (!node)
		return NULL;
	*node = (struct node){ .parent = parent, .fd = -EBADF };
	node->depth = parent ? parent->depth + 1 : 0;
	memcpy(node->name, name, length);
	return node;
}

static struct node *steal(struct queue *queue, unsigned worker)
{
	for (unsigned i = 1; i < WORKERS_MAX; i++) {
		struct node_list *list = &queue->waiting[(worker + i) % WORKERS_MAX];
		struct node *node = TAILQ_LAST(list, node_list);

		if (node) {
			TAILQ_REMOVE(list, node, link);
			return node;
		}
	}
	return NULL;
}

static struct window *helpable(struct queue *queue)
{
	for (struct window *window = queue->shared; window; window = window->next_shared)
		if (window_has_more(window))
			return window;
	return NULL;
}

static bool find_task(struct queue *queue, unsigned worker, struct task *ret)
{
	struct task task = { .node = TAILQ_FIRST(&queue->waiting[worker]) };

	if (task.node)
		TAILQ_REMOVE(&queue->waiting[worker], task.node, link);
	else
		task.node = steal(queue, worker);
	if (!task.node) {
		task.window = helpable(queue);
		if (!task.window)
			return false;
		task.window->helpers++;
	}
	*ret = task;
	return true;
}

bool queue_take(struct queue *queue, unsigned worker, struct task *ret)
{
	bool found = false;

	pthread_mutex_lock(&queue->lock);
	while (!queue->stop && !queue->done) {
		if (worker >= queue->target) {
			pthread_cond_wait(&queue->park, &queue->lock);
			continue;
		}
		found = find_task(queue, worker, ret);
		if (found)
			break;
		queue->idle++;
		pthread_cond_wait(&queue->work, &queue->lock);
		queue->idle--;
	}
	pthread_mutex_unlock(&queue->lock);
	return found;
}

static void wake(struct queue *queue, unsigned count)
{
	if (count > queue->idle)
		count = queue->idle;
	while (count-- > 0)
		pthread_cond_signal(&queue->work);
}

void queue_add(struct queue *queue, unsigned worker, struct node *parent,
	       struct node_list *children, unsigned count, bool at_once)
{
	struct node *node;

	pthread_mutex_lock(&queue->lock);
	parent->children += count;
	queue->nodes += count;
	while ((node = TAILQ_FIRST(children))) {
		TAILQ_REMOVE(children, node, link);
		TAILQ_INSERT_HEAD(&queue->waiting[worker], node, link);
	}
	/* Of a chain of directories each would wake somebody who finds nothing left
	 * to take; and who is to park now takes none. */
	wake(queue, at_once && worker < queue->target ? count - 1 : count);
	pthread_mutex_unlock(&queue->lock);
}

/* Behind its own children, before all that was there earlier. */
static void insert_behind_children(struct node_list *list, struct node *node)
{
	struct node *at = TAILQ_FIRST(list);

	while (at && at->parent == node)
		at = TAILQ_NEXT(at, link);
	if (at)
		TAILQ_INSERT_BEFORE(at, node, link);
	else
		TAILQ_INSERT_TAIL(list, node, link);
}

void queue_put_back(struct queue *queue, unsigned worker, struct node *node)
{
	pthread_mutex_lock(&queue->lock);
	node->read = false;
	insert_behind_children(&queue->waiting[worker], node);
	wake(queue, 1);
	pthread_mutex_unlock(&queue->lock);
}

bool queue_node_read(struct queue *queue, struct node *node)
{
	bool through;

	pthread_mutex_lock(&queue->lock);
	node->read = true;
	through = node->children == 0;
	pthread_mutex_unlock(&queue->lock);
	return through;
}

struct node *queue_node_gone(struct queue *queue, struct node *node)
{
	struct node *parent = node->parent;

	if (node->fd >= 0)
		(void)close(node->fd); /* only read from */
	pthread_mutex_lock(&queue->lock);
	queue->fds -= node->fd >= 0;
	queue->nodes--;
	parent->left |= node->left;
	if (--parent->children > 0 || !parent->read)
		parent = NULL;
	pthread_mutex_unlock(&queue->lock);
	free(node);
	return parent;
}

bool queue_may_go_on(struct queue *queue, unsigned worker)
{
	bool may;

	pthread_mutex_lock(&queue->lock);
	may = !queue->stop && worker < queue->target;
	pthread_mutex_unlock(&queue->lock);
	return may;
}

bool queue_is_leaf(struct queue *queue, const struct node *node)
{
	bool leaf;

	pthread_mutex_lock(&queue->lock);
	leaf = node->children == 0 && !node->rescan && !node->left;
	pthread_mutex_unlock(&queue->lock);
	return leaf;
}

bool queue_has_several(struct queue *queue)
{
	return queue->target > 1; /* one number: no lock is needed to read it */
}

bool queue_is_full(struct queue *queue)
{
	bool full;

	pthread_mutex_lock(&queue->lock);
	full = queue->nodes >= NODES_MAX;
	pthread_mutex_unlock(&queue->lock);
	return full;
}

void queue_rescan(struct queue *queue, struct node *node)
{
	pthread_mutex_lock(&queue->lock);
	node->rescan = true;
	pthread_mutex_unlock(&queue->lock);
}

bool queue_take_rescan(struct queue *queue, struct node *node)
{
	bool rescan;

	pthread_mutex_lock(&queue->lock);
	rescan = node->rescan;
	node->rescan = false;
	pthread_mutex_unlock(&queue->lock);
	return rescan;
}

size_t queue_take_window(struct queue *queue)
{
	size_t size = 0;

	pthread_mutex_lock(&queue->lock);
	for (unsigned i = 0; i < LARGE_WINDOWS && !size; i++) {
		if (queue->window_taken[i])
			continue;
		queue->window_taken[i] = true;
		size = large_windows[i];
	}
	pthread_mutex_unlock(&queue->lock);
	return size;
}

void queue_give_window(struct queue *queue, size_t size)
{
	pthread_mutex_lock(&queue->lock);
	for (unsigned i = 0; i < LARGE_WINDOWS; i++)
		if (large_windows[i] == size)
			queue->window_taken[i] = false;
	pthread_mutex_unlock(&queue->lock);
}

bool queue_count_fd(struct queue *queue, int change)
{
	bool room;

	pthread_mutex_lock(&queue->lock);
	queue->fds += (unsigned)change;
	room = queue->fds < queue->fds_max;
	pthread_mutex_unlock(&queue->lock);
	return room;
}

void queue_set_target(struct queue *queue, unsigned target)
{
	pthread_mutex_lock(&queue->lock);
	queue->target = target;
	pthread_cond_broadcast(&queue->park);
	pthread_cond_broadcast(&queue->work);
	pthread_mutex_unlock(&queue->lock);
}

static void end(struct queue *queue, bool stop)
{
	pthread_mutex_lock(&queue->lock);
	queue->stop = queue->stop || stop;
	queue->done = queue->done || !stop;
	pthread_cond_broadcast(&queue->ended);
	pthread_cond_broadcast(&queue->park);
	pthread_cond_broadcast(&queue->work);
	pthread_mutex_unlock(&queue->lock);
}

void queue_stop(struct queue *queue)
{
	end(queue, true);
}

void queue_finish(struct queue *queue)
{
	end(queue, false);
}

void queue_share(struct queue *queue, struct window *window)
{
	pthread_mutex_lock(&queue->lock);
	window->next_shared = queue->shared;
	queue->shared = window;
	wake(queue, WORKERS_MAX);
	pthread_mutex_unlock(&queue->lock);
}

void queue_unshare(struct queue *queue, struct window *window)
{
	pthread_mutex_lock(&queue->lock);
	for (struct window **at = &queue->shared; *at; at = &(*at)->next_shared) {
		if (*at == window) {
			*at = window->next_shared;
			break;
		}
	}
	while (window->helpers > 0)
		pthread_cond_wait(&queue->helped, &queue->lock);
	pthread_mutex_unlock(&queue->lock);
}

void queue_helped(struct queue *queue, struct window *window)
{
	pthread_mutex_lock(&queue->lock);
	if (--window->helpers == 0)
		pthread_cond_broadcast(&queue->helped);
	pthread_mutex_unlock(&queue->lock);
}

bool queue_wait(struct queue *queue, unsigned msec)
{
	struct timespec until;
	bool ended;
	int r = 0;

	(void)clock_gettime(CLOCK_MONOTONIC, &until); /* cannot fail */
	until.tv_sec += msec / 1000;
	until.tv_nsec += (long)(msec % 1000) * NSEC_PER_MSEC;
	if (until.tv_nsec >= NSEC_PER_SEC) {
		until.tv_sec++;
		until.tv_nsec -= NSEC_PER_SEC;
	}
	pthread_mutex_lock(&queue->lock);
	while (!queue->stop && !queue->done && r == 0)
		r = pthread_cond_timedwait(&queue->ended, &queue->lock, &until);
	ended = queue->stop || queue->done;
	pthread_mutex_unlock(&queue->lock);
	return ended;
}
