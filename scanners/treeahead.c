#include "scanners/treeahead.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/statfs.h>

#include "scanners/cleanup.h"
#include "scanners/sys.h"

enum {
	WINDOW = 1024,	     /* inode numbers that are read at once … */
	STRIDE = 16,	     /* … by looking one in so many up: a leaf holds about that many */
	WINDOWS_AHEAD = 16,  /* of those that follow a hint */
	RECENT = 4096,	     /* windows that are remembered as asked for */
	WAITING_MAX = 64,    /* windows that wait to be read */
	WASTE = 4,	     /* so many numbers may be passed for each that is needed, … */
	WASTE_FREE = 32 * WINDOW, /* … and these for none */
	STACK_SIZE = 128 * 1024,
};

struct treeahead {
	int fd;
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t work;
	uint64_t waiting[WAITING_MAX]; /* windows, a ring */
	unsigned head, count;
	atomic_bool stop;
	atomic_uint_fast64_t recent[RECENT];
	atomic_uint_fast64_t needed;
	uint64_t passed; /* inode numbers */
};

/*
 * Looking up holds no lock while it waits for the disk; searching for items
 * would hold that of the tree's root, and the one who deletes would wait, too.
 */
static void read_window(struct treeahead *ahead, uint64_t window)
{
	uint64_t inode = window * WINDOW, end = inode + WINDOW;

	for (; inode < end && !atomic_load(&ahead->stop); inode += STRIDE)
		(void)sys_btrfs_ino_lookup(ahead->fd, inode); /* there or not, the leaf is read */
	ahead->passed += WINDOW;
}

static bool is_worth(const struct treeahead *ahead)
{
	return ahead->passed < atomic_load(&ahead->needed) * WASTE + WASTE_FREE;
}

static bool take(struct treeahead *ahead, uint64_t *ret_window)
{
	bool taken;

	pthread_mutex_lock(&ahead->mutex);
	while (!ahead->count && !ahead->stop)
		pthread_cond_wait(&ahead->work, &ahead->mutex);
	taken = !ahead->stop;
	if (taken) {
		*ret_window = ahead->waiting[ahead->head++ % WAITING_MAX];
		ahead->count--;
	}
	pthread_mutex_unlock(&ahead->mutex);
	return taken;
}

static void *work(void *data)
{
	struct treeahead *ahead = data;
	uint64_t window;

	while (take(ahead, &window))
		if (is_worth(ahead))
			read_window(ahead, window);
	return NULL;
}

/* Nobody waits here: what finds no room is read when it is needed. */
static void ask(struct treeahead *ahead, uint64_t window)
{
	pthread_mutex_lock(&ahead->mutex);
	if (ahead->count < WAITING_MAX) {
		ahead->waiting[(ahead->head + ahead->count++) % WAITING_MAX] = window;
		pthread_cond_signal(&ahead->work);
	}
	pthread_mutex_unlock(&ahead->mutex);
}

/* Was it asked for just now? If not, it is from now on. */
static bool was_asked(struct treeahead *ahead, uint64_t window)
{
	atomic_uint_fast64_t *slot = &ahead->recent[window % RECENT];

	return atomic_exchange_explicit(slot, window + 1, memory_order_relaxed) == window + 1;
}

void treeahead_hint(struct treeahead *ahead, uint64_t inode, size_t count)
{
	uint64_t window = inode / WINDOW;

	if (!ahead)
		return;
	(void)atomic_fetch_add(&ahead->needed, count);
	for (unsigned i = 0; i <= WINDOWS_AHEAD; i++)
		if (!was_asked(ahead, window + i))
			ask(ahead, window + i);
}

static int start(struct treeahead *ahead)
{
	pthread_attr_t attr;
	int r = -pthread_attr_init(&attr);

	if (r < 0)
		return r;
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE); /* else the default */
	r = -pthread_create(&ahead->thread, &attr, work, ahead);
	(void)pthread_attr_destroy(&attr);
	return r;
}

static int init(struct treeahead *ahead)
{
	int r = -pthread_mutex_init(&ahead->mutex, NULL);

	if (r < 0)
		return r;
	r = -pthread_cond_init(&ahead->work, NULL);
	if (r == 0) {
		r = start(ahead);
		if (r < 0)
			(void)pthread_cond_destroy(&ahead->work);
	}
	if (r < 0)
		(void)pthread_mutex_destroy(&ahead->mutex);
	return r;
}

int treeahead_open(int dirfd, struct treeahead **ret)
{
	struct treeahead *ahead;
	struct statfs fs;
	int r;

	if (fstatfs(dirfd, &fs) < 0)
		return -errno;
	if (fs.f_type != BTRFS_SUPER_MAGIC)
		return -EOPNOTSUPP;
	r = sys_btrfs_ino_lookup(dirfd, 0); /* no file has it: is it allowed to ask? */
	if (r < 0 && r != -ENOENT)
		return r;
	ahead = calloc(1, sizeof(*ahead));
	if (!ahead)
		return -ENOMEM;
	ahead->fd = fcntl(dirfd, F_DUPFD_CLOEXEC, 3);
	r = ahead->fd < 0 ? -errno : init(ahead);
	if (r < 0) {
		cleanup_close(&ahead->fd);
		free(ahead);
		return r;
	}
	*ret = ahead;
	return 0;
}

void treeahead_close(struct treeahead *ahead)
{
	if (!ahead)
		return;
	pthread_mutex_lock(&ahead->mutex);
	ahead->stop = true;
	pthread_cond_signal(&ahead->work);
	pthread_mutex_unlock(&ahead->mutex);
	(void)pthread_join(ahead->thread, NULL); /* it is ours to join */
	(void)pthread_cond_destroy(&ahead->work);
	(void)pthread_mutex_destroy(&ahead->mutex);
	cleanup_close(&ahead->fd);
	free(ahead);
}
