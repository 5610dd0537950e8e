#include "scanners/walk.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/dirahead.h"
#include "scanners/dirstack.h"

enum {
	QUEUE_SIZE = 64,	 /* directories that wait for a worker */
	WORKERS_START = 2,
	WORKERS_MAX = 16,
	STACK_SIZE = 128 * 1024,
	TICK_MSEC = 2,		 /* between two looks at the workers; grows to … */
	TICK_MAX_MSEC = 100,
	SLACK_MSEC = 50,	 /* a worker that has not ended so long after the end hangs */
	WAITING_PERCENT = 70,	 /* of the cores' time used: below it, workers wait for the disk */
};

struct job {
	struct open_dir *parent;
	uint64_t tag;
	unsigned depth;
	char name[NAME_MAX + 1]; /* empty: the parent itself */
};

/* Is reading ahead called for? The first worker to see it opens what is needed. */
enum { AHEAD_OFF, AHEAD_WANTED, AHEAD_OPENING, AHEAD_ON };

struct walk {
	struct walk_options options;
	atomic_uint refs;
	atomic_bool stop;
	atomic_uint_fast64_t entries, bytes;
	atomic_int error;
	atomic_bool incomplete;

	pthread_mutex_t mutex;
	pthread_cond_t work, ended;
	struct job queue[QUEUE_SIZE];
	unsigned head;
	atomic_uint queued;
	unsigned busy, running, started;

	atomic_int ahead_state;
	struct dirahead ahead;
};

struct worker {
	struct walk *walk;
	struct walk_sums seen; /* not yet told, all in the deepest directory */
	struct dirstack *stack;
	unsigned depth; /* of its first level */
};

static uint64_t now_usec(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t); /* these clocks always exist */
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void note_error(struct walk *walk, int error)
{
	int none = 0;

	atomic_store(&walk->incomplete, true);
	(void)atomic_compare_exchange_strong(&walk->error, &none, error); /* the first one counts */
}

static void walk_unref(struct walk *walk)
{
	if (atomic_fetch_sub(&walk->refs, 1) != 1)
		return;
	for (; walk->queued > 0; walk->queued--)
		open_dir_unref(walk->queue[walk->head++ % QUEUE_SIZE].parent);
	(void)pthread_mutex_destroy(&walk->mutex);
	(void)pthread_cond_destroy(&walk->work);
	(void)pthread_cond_destroy(&walk->ended);
	dirahead_close(&walk->ahead);
	free(walk);
}

/* Tell what was seen since the last time; true: it is enough. */
static bool tell(struct worker *w)
{
	struct walk *walk = w->walk;
	uint64_t total;

	if (w->seen.entries > 0) {
		total = atomic_fetch_add(&walk->entries, w->seen.entries) + w->seen.entries;
		(void)atomic_fetch_add(&walk->bytes, w->seen.bytes);
		if (walk->options.tally)
			walk->options.tally(dirstack_top(w->stack)->tag, &w->seen,
					    walk->options.data);
		w->seen = (struct walk_sums){ 0 };
		if (walk->options.stop_at && total >= walk->options.stop_at)
			atomic_store(&walk->stop, true);
	}
	return atomic_load(&walk->stop);
}

/* What may be a directory; where the file system does not tell, opening does. */
static bool may_be_dir(const struct dirent64 *entry)
{
	return entry->d_type == DT_DIR || entry->d_type == DT_UNKNOWN;
}

static void measure(struct worker *w, int dirfd, const char *name)
{
	struct statx stx;
	int r = dir_stat_beneath(dirfd, name, STATX_BLOCKS, &stx);

	if (r == 0)
		w->seen.bytes += stx.stx_blocks * 512;
	else if (r != -EXDEV && r != -ENOENT) /* a mount is not ours; what is gone has no bytes */
		note_error(w->walk, r);
}

/*
 * Take the entries of the deepest directory up to its next subdirectory. Returns
 * 1 with its name, valid until the next call, 0 at the end, or a negative errno;
 * -ECANCELED: it is enough.
 */
static int next_dir(struct worker *w, const char **ret_name)
{
	const struct dirstack_level *level = dirstack_top(w->stack);
	const struct dirent64 *entry;
	int r;

	for (;;) {
		if (!dirstack_has_read(w->stack) && tell(w))
			return -ECANCELED;
		r = dirstack_next(w->stack, &entry);
		if (r <= 0)
			return r;
		w->seen.entries++;
		if (level->tag & WALK_MEASURE)
			measure(w, level->dir->fd, entry->d_name);
		if (may_be_dir(entry)) {
			*ret_name = entry->d_name;
			return 1;
		}
	}
}

/* Let another worker have it, if the queue is short. */
static bool offer(struct worker *w, const char *name, uint64_t tag)
{
	struct walk *walk = w->walk;
	struct open_dir *dir = dirstack_top(w->stack)->dir;
	size_t len = strlen(name);
	struct job *job;
	bool taken = false;

	if (atomic_load_explicit(&walk->queued, memory_order_relaxed) >= QUEUE_SIZE ||
	    len >= sizeof(job->name))
		return false;
	(void)pthread_mutex_lock(&walk->mutex);
	if (walk->queued < QUEUE_SIZE) {
		job = &walk->queue[(walk->head + walk->queued) % QUEUE_SIZE];
		atomic_fetch_add(&dir->refs, 1);
		job->parent = dir;
		job->tag = tag;
		job->depth = w->depth + (unsigned)w->stack->count;
		memcpy(job->name, name, len + 1);
		walk->queued++;
		taken = true;
		(void)pthread_cond_signal(&walk->work);
	}
	(void)pthread_mutex_unlock(&walk->mutex);
	return taken;
}

static void read_ahead(struct walk *walk, int fd)
{
	int state = atomic_load_explicit(&walk->ahead_state, memory_order_acquire);

	if (state == AHEAD_WANTED &&
	    atomic_compare_exchange_strong(&walk->ahead_state, &state, AHEAD_OPENING)) {
		state = dirahead_open(fd, &walk->ahead) == 0 ? AHEAD_ON : AHEAD_OFF;
		atomic_store_explicit(&walk->ahead_state, state, memory_order_release);
	}
	if (state == AHEAD_ON)
		dirahead_hint(&walk->ahead, fd);
}

static int descend(struct worker *w, const struct open_dir *parent, const char *name,
		   uint64_t tag)
{
	int fd = dir_open_beneath(parent->fd, name);
	struct open_dir *dir;

	/* Gone, replaced or not a directory after all; or a mount, which is not ours. */
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV)
		return 0;
	if (fd < 0)
		return fd;
	read_ahead(w->walk, fd);
	dir = open_dir_new(fd);
	if (!dir)
		return -ENOMEM;
	return dirstack_push(w->stack, dir, tag);
}

static uint64_t enter(const struct worker *w, const char *name)
{
	const struct walk_options *options = &w->walk->options;
	uint64_t tag = dirstack_top(w->stack)->tag;

	if (!options->enter)
		return tag;
	return options->enter(tag, name, w->depth + (unsigned)w->stack->count, options->data);
}

/* A subdirectory of the deepest level: another worker's, or the next level. */
static void meet(struct worker *w, const char *name)
{
	uint64_t tag = enter(w, name);
	int r;

	if (offer(w, name, tag) || tell(w))
		return;
	r = descend(w, dirstack_top(w->stack)->dir, name, tag);
	if (r < 0)
		note_error(w->walk, r);
}

/* Until the levels are done, or it is enough. */
static void walk_levels(struct worker *w)
{
	const char *name = NULL;
	int r = 0;

	while (w->stack->count > 0 && r >= 0) {
		r = next_dir(w, &name);
		if (r > 0) {
			meet(w, name);
			continue;
		}
		if (r == -ECANCELED)
			break;
		if (r < 0 && r != -ENOENT) /* ENOENT: removed while open */
			note_error(w->walk, r);
		(void)tell(w);
		r = dirstack_pop(w->stack);
		if (r < 0)
			note_error(w->walk, r);
	}
	dirstack_clear(w->stack);
}

static void do_job(struct worker *w, struct job *job)
{
	int r;

	w->depth = job->depth;
	if (job->name[0]) {
		r = descend(w, job->parent, job->name, job->tag);
		open_dir_unref(job->parent);
	} else {
		r = dirstack_push(w->stack, job->parent, job->tag);
	}
	if (r < 0)
		note_error(w->walk, r);
	walk_levels(w);
}

static bool take_job(struct walk *walk, struct job *ret)
{
	bool taken = false;

	(void)pthread_mutex_lock(&walk->mutex);
	while (walk->queued == 0 && walk->busy > 0 && !walk->stop)
		(void)pthread_cond_wait(&walk->work, &walk->mutex);
	if (walk->queued > 0 && !walk->stop) {
		*ret = walk->queue[walk->head++ % QUEUE_SIZE];
		walk->queued--;
		walk->busy++;
		taken = true;
	}
	(void)pthread_mutex_unlock(&walk->mutex);
	return taken;
}

static void end_job(struct walk *walk)
{
	(void)pthread_mutex_lock(&walk->mutex);
	if (--walk->busy == 0 && walk->queued == 0)
		(void)pthread_cond_broadcast(&walk->work);
	(void)pthread_mutex_unlock(&walk->mutex);
}

static void worker_free(struct worker *w)
{
	if (!w)
		return;
	dirstack_free(w->stack);
	free(w);
}

static struct worker *worker_new(struct walk *walk)
{
	struct worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->walk = walk;
	w->stack = dirstack_new();
	if (!w->stack) {
		worker_free(w);
		return NULL;
	}
	return w;
}

static void *work(void *data)
{
	struct worker *w = data;
	struct walk *walk = w->walk;
	struct job job;

	while (take_job(walk, &job)) {
		do_job(w, &job);
		end_job(walk);
	}
	worker_free(w);
	(void)pthread_mutex_lock(&walk->mutex);
	walk->running--;
	(void)pthread_cond_signal(&walk->ended);
	(void)pthread_mutex_unlock(&walk->mutex);
	walk_unref(walk);
	return NULL;
}

/* Signals are the business of the program's own threads. */
static int create_thread(struct worker *w)
{
	pthread_attr_t attr;
	pthread_t thread;
	sigset_t all, saved;
	int r;

	r = pthread_attr_init(&attr);
	if (r != 0)
		return -r;
	(void)pthread_attr_setstacksize(&attr, STACK_SIZE);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_BLOCK, &all, &saved);
	r = pthread_create(&thread, &attr, work, w);
	(void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
	(void)pthread_attr_destroy(&attr);
	return -r;
}

static int add_worker(struct walk *walk)
{
	struct worker *w = worker_new(walk);
	int r;

	if (!w)
		return -ENOMEM;
	(void)pthread_mutex_lock(&walk->mutex);
	walk->running++;
	atomic_fetch_add(&walk->refs, 1);
	r = create_thread(w);
	if (r == 0) {
		walk->started++;
	} else {
		walk->running--;
		atomic_fetch_sub(&walk->refs, 1);
		worker_free(w);
	}
	(void)pthread_mutex_unlock(&walk->mutex);
	return r;
}

static void end_all(struct walk *walk)
{
	atomic_store(&walk->stop, true);
	(void)pthread_mutex_lock(&walk->mutex);
	(void)pthread_cond_broadcast(&walk->work);
	(void)pthread_mutex_unlock(&walk->mutex);
}

/* Wait for the workers' end until @usec of the monotonic clock; true: they ended. */
static bool wait_until(struct walk *walk, uint64_t usec)
{
	const struct timespec until = {
		.tv_sec = (time_t)(usec / 1000000),
		.tv_nsec = (long)(usec % 1000000) * 1000,
	};
	bool ended;

	(void)pthread_mutex_lock(&walk->mutex);
	while (walk->running > 0)
		if (pthread_cond_timedwait(&walk->ended, &walk->mutex, &until) == ETIMEDOUT)
			break;
	ended = walk->running == 0;
	(void)pthread_mutex_unlock(&walk->mutex);
	return ended;
}

struct governor {
	uint64_t deadline, last_wall, last_cpu, last_progress;
	unsigned tick_msec;
	uint64_t cores;
	long disk_reads; /* at the start */
	bool cold;
};

/* Of this process, as far as the kernel accounts for them; else 0. */
static long disk_reads(void)
{
	struct rusage usage = { 0 };

	(void)getrusage(RUSAGE_SELF, &usage); /* cannot fail with these arguments */
	return usage.ru_inblock;
}

/* Twice as many while the cores are idle, for then the disk is what they wait for. */
static void adapt(struct walk *walk, struct governor *g, uint64_t wall)
{
	uint64_t cpu = now_usec(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t could = (wall - g->last_wall) * MIN(g->cores, walk->started);

	if (!g->cold && disk_reads() != g->disk_reads) {
		g->cold = true;
		atomic_store(&walk->ahead_state, AHEAD_WANTED);
	}
	if ((cpu - g->last_cpu) * 100 < could * WAITING_PERCENT) {
		for (unsigned n = walk->started; n > 0 && walk->started < WORKERS_MAX; n--)
			if (add_worker(walk) < 0)
				break; /* as many as there are will do */
	} else {
		g->tick_msec = MIN(g->tick_msec * 2, TICK_MAX_MSEC);
	}
	g->last_wall = wall;
	g->last_cpu = cpu;
}

static bool report(struct walk *walk, struct governor *g, uint64_t wall)
{
	const uint64_t pause = 200000;

	if (!walk->options.progress || wall - g->last_progress < pause)
		return false;
	g->last_progress = wall;
	return walk->options.progress(walk->entries, walk->options.data);
}

/* Until the workers have ended, or are left behind: false. */
static bool govern(struct walk *walk, uint64_t start)
{
	struct governor g = {
		.deadline = walk->options.budget_msec
				    ? start + (uint64_t)walk->options.budget_msec * 1000
				    : UINT64_MAX,
		.last_wall = start,
		.last_cpu = now_usec(CLOCK_PROCESS_CPUTIME_ID),
		.last_progress = start,
		.tick_msec = TICK_MSEC,
		.disk_reads = disk_reads(),
		.cores = (uint64_t)MAX(sysconf(_SC_NPROCESSORS_ONLN), 1),
	};
	uint64_t wall = start;
	bool may_leave = !walk->options.enter && !walk->options.tally;

	while (!walk->stop) {
		if (wait_until(walk, MIN(wall + g.tick_msec * 1000, g.deadline)))
			return true;
		wall = now_usec(CLOCK_MONOTONIC);
		if (wall >= g.deadline || report(walk, &g, wall))
			break;
		adapt(walk, &g, wall);
	}
	end_all(walk);
	return wait_until(walk, may_leave ? wall + SLACK_MSEC * 1000 : UINT64_MAX / 2);
}

/* NULL with *@ret_error set: there is none. */
static struct walk *walk_new(int dirfd, const struct walk_options *options, int *ret_error)
{
	struct walk *walk = calloc(1, sizeof(*walk));
	pthread_condattr_t attr;
	int fd;

	*ret_error = -ENOMEM;
	if (!walk)
		return NULL;
	/* A copy of its own: workers that hang may outlive the caller's. */
	fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0) {
		*ret_error = -errno;
		free(walk);
		return NULL;
	}
	walk->ahead.device = -EBADF;
	walk->queue[0].parent = open_dir_new(fd);
	if (!walk->queue[0].parent) {
		free(walk);
		return NULL;
	}
	walk->queue[0].tag = options->tag;
	walk->queued = 1;
	walk->options = *options;
	walk->refs = 1;
	(void)pthread_mutex_init(&walk->mutex, NULL); /* cannot fail without attributes */
	(void)pthread_cond_init(&walk->work, NULL);
	(void)pthread_condattr_init(&attr);
	(void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	(void)pthread_cond_init(&walk->ended, &attr);
	(void)pthread_condattr_destroy(&attr);
	return walk;
}

int walk_tree(int dirfd, const struct walk_options *options, struct walk_result *ret)
{
	uint64_t start = now_usec(CLOCK_MONOTONIC);
	struct walk *walk;
	bool ended;
	int r;

	walk = walk_new(dirfd, options, &r);
	if (!walk)
		return r;
	r = 0;
	for (unsigned i = 0; i < WORKERS_START && r == 0; i++)
		r = add_worker(walk);
	if (walk->started == 0) {
		walk_unref(walk);
		return r;
	}
	ended = govern(walk, start);
	*ret = (struct walk_result){
		.entries = walk->entries,
		.bytes = walk->bytes,
		.complete = ended && !walk->stop && !walk->incomplete,
		.reached = options->stop_at && walk->entries >= options->stop_at,
		.msec = (unsigned)((now_usec(CLOCK_MONOTONIC) - start) / 1000),
		.error = ended ? walk->error : -ETIMEDOUT,
	};
	walk_unref(walk);
	return 0;
}
