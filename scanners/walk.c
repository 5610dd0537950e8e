#include "scanners/walk.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/param.h>
#include <sys/resource.h>
#include <time.h>

#include "scanners/cleanup.h"
#include "scanners/walk_worker.h"

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

static uint64_t now_usec(clockid_t clock)
{
	struct timespec t;

	(void)clock_gettime(clock, &t); /* these clocks always exist */
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* With nobody left who uses them. */
static void walk_close(struct walk *walk)
{
	for (; walk->queued > 0; walk->queued--)
		open_dir_unref(walk->queue[walk->head++ % WALK_QUEUE_SIZE].parent);
	open_dir_unref(walk->start);
	walk->start = NULL;
	dirahead_close(&walk->ahead);
	ext4dir_close(&walk->device);
}

static void walk_unref(struct walk *walk)
{
	if (atomic_fetch_sub(&walk->refs, 1) != 1)
		return;
	walk_close(walk);
	(void)pthread_mutex_destroy(&walk->mutex);
	(void)pthread_cond_destroy(&walk->work);
	(void)pthread_cond_destroy(&walk->ended);
	free(walk);
}

static void *work(void *data)
{
	struct walk_worker *w = data;
	struct walk *walk = w->walk;

	walk_worker_run(w);
	walk_worker_free(w);
	(void)pthread_mutex_lock(&walk->mutex);
	walk->running--;
	(void)pthread_cond_signal(&walk->ended);
	(void)pthread_mutex_unlock(&walk->mutex);
	walk_unref(walk);
	return NULL;
}

/* Signals are the business of the program's own threads. */
static int create_thread(struct walk_worker *w)
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
	struct walk_worker *w = walk_worker_new(walk);
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
		walk_worker_free(w);
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
		atomic_store(&walk->ahead_state, AID_WANTED);
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
	walk->ahead.device = walk->device.fd = -EBADF;
	walk->device_state = AID_WANTED;
	walk->start = open_dir_new(fd);
	if (!walk->start) {
		free(walk);
		return NULL;
	}
	walk->start->refs = 2;
	walk->queue[0].parent = walk->start;
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
	if (ended)
		walk_close(walk); /* now, not when the last worker's thread is gone */
	walk_unref(walk);
	return 0;
}
