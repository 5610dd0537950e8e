#include "recover/purge/purge.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "recover/purge/governor.h"
#include "recover/purge/pressure.h"
#include "recover/purge/tuner.h"
#include "recover/purge/worker.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

#define NSEC_PER_MSEC 1000000ULL

enum {
	FDS_RESERVED = 20, /* for all else the process has open */
	FDS_MAX = 512,
	FDS_PER_WORKER = 5,
	BLOCK = 512,	     /* the unit of ru_inblock */
	READING_BYTES = 128, /* from the disk per entry: then the purge waits for it */
};

/*
 * Where the search for the number of workers begins: what was measured best
 * (docs/BENCHMARKS.md), since a tree of 200,000 entries is gone before a wrong
 * number is found out. ext4 keeps all processors busy, and where its directories
 * cannot be read ahead, more hide the waiting for them. xfs and btrfs with all in
 * memory lose a third with two workers, each waiting for the other's locks; on
 * btrfs two gain nothing from the disk either, whose tree is read ahead.
 */
static unsigned workers_start(const struct crew *crew)
{
	switch (crew->place.magic) {
	case EXT4_SUPER_MAGIC:
		return crew->ahead.device < 0 ? 8 : (unsigned)get_nprocs() + 1;
	case XFS_SUPER_MAGIC:
	case BTRFS_SUPER_MAGIC:
		return 1;
	default:
		return 4;
	}
}

struct purge {
	const struct purge_options *options;
	struct purge_progress *progress;
	int fd;
	struct crew crew;
	struct governor governor;
	struct tuner tuner;
	struct pressure pressure;
	uint64_t start_nsec, tick_nsec, governed_nsec;
	uint64_t entries_at_tick, entries_at_report;
	uint64_t inblock_at_tick;
	uint64_t free_at_start;
	bool stopped;
};

static unsigned fds_allowed(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur > FDS_MAX + FDS_RESERVED)
		return FDS_MAX;
	return limit.rlim_cur > FDS_RESERVED ? (unsigned)limit.rlim_cur - FDS_RESERVED : 1;
}

/*
 * The kernel's table of open files grows by doubling, each time after waiting
 * for all processors if there are threads: once for all before there are any.
 */
static void make_room_for_fds(int fd, unsigned fds)
{
	int top = fcntl(fd, F_DUPFD_CLOEXEC, (int)fds);

	if (top >= 0)
		(void)close(top);
}

/* Each needs room to go a few levels deep. */
static unsigned max_workers(const struct purge_options *options, unsigned fds)
{
	unsigned max = options->max_workers ? options->max_workers : WORKERS_MAX;

	if (max > WORKERS_MAX)
		max = WORKERS_MAX;
	if (max > fds / FDS_PER_WORKER)
		max = fds / FDS_PER_WORKER;
	return max ? max : 1;
}

static double percent(uint64_t part, uint64_t whole)
{
	return whole ? (double)part * 100 / (double)whole : -1;
}

static void sample_space(struct purge *purge, struct governor_sample *ret)
{
	struct statvfs st;
	uint64_t now_free;

	ret->bytes_percent = ret->inodes_percent = -1;
	if (fstatvfs(purge->fd, &st) < 0)
		return;
	ret->bytes_percent = percent(st.f_bavail, st.f_blocks);
	ret->inodes_percent = percent(st.f_favail, st.f_files);
	now_free = (uint64_t)st.f_bfree * st.f_frsize;
	if (!purge->governed_nsec) {
		purge->free_at_start = now_free;
		purge->progress->at_most = st.f_files - st.f_ffree;
	}
	if (now_free > purge->free_at_start)
		purge->progress->bytes = now_free - purge->free_at_start;
}

static void govern(struct purge *purge, uint64_t now)
{
	struct governor_sample sample = {
		.latency_usec = pace_latency(&purge->crew.pace),
		.stalled = pressure_stalled(&purge->pressure, now),
	};

	sample_space(purge, &sample);
	purge->crew.pace.rate = governor_next(&purge->governor, &sample);
	purge->governed_nsec = now;
}

static void report(struct purge *purge, uint64_t now)
{
	struct purge_progress *p = purge->progress;
	uint64_t msec = (now - purge->start_nsec) / NSEC_PER_MSEC;
	uint64_t since = msec - p->elapsed_msec;

	p->entries = purge->crew.entries;
	leftovers_count(&purge->crew.leftovers, &p->left, &p->mounts);
	if (since)
		p->rate = (unsigned)((p->entries - purge->entries_at_report) * 1000 / since);
	p->workers = purge->crew.queue.target;
	p->urgent = purge->governor.urgent;
	p->why = purge->governor.why;
	p->elapsed_msec = msec;
	purge->entries_at_report = p->entries;
}

/* Were inodes and directories read from the disk for the last @entries? */
static bool is_reading(struct purge *purge, uint64_t entries)
{
	struct rusage usage;
	uint64_t since;

	if (getrusage(RUSAGE_SELF, &usage) < 0)
		return true; /* then as if so */
	since = (uint64_t)usage.ru_inblock - purge->inblock_at_tick;
	purge->inblock_at_tick = (uint64_t)usage.ru_inblock;
	return since * BLOCK > entries * READING_BYTES;
}

/* One worker is enough to be gentle. */
static void tune(struct purge *purge, uint64_t now)
{
	uint64_t entries = purge->crew.entries, since = entries - purge->entries_at_tick;
	double seconds = (double)(now - purge->tick_nsec) / (1000.0 * NSEC_PER_MSEC);
	unsigned workers = 1;

	purge->crew.reading = is_reading(purge, since);
	if (purge->governor.urgent)
		workers = tuner_next(&purge->tuner, (double)since / seconds, purge->crew.reading);
	if (workers != purge->crew.queue.target)
		queue_set_target(&purge->crew.queue, workers);
	purge->entries_at_tick = entries;
	purge->tick_nsec = now;
}

static void tick(struct purge *purge)
{
	const struct purge_options *options = purge->options;
	uint64_t now = pace_now_nsec();

	tune(purge, now);
	if (now - purge->governed_nsec < GOVERNOR_MSEC * NSEC_PER_MSEC)
		return;
	govern(purge, now);
	report(purge, now);
	if (options->progress && options->progress(purge->progress, options->data)) {
		purge->stopped = true;
		queue_stop(&purge->crew.queue);
	}
}

/* Returns 0 when its workers are through, or a negative errno if none could start. */
static int run(struct purge *purge, int fd, unsigned fds)
{
	struct crew *crew = &purge->crew;
	unsigned workers = purge->tuner.max;
	cleanup_fd int own = openat(fd, ".", crew->place.dir_flags);
	int r;

	if (own < 0)
		return -errno;
	r = queue_init(&crew->queue, purge->governor.urgent ? purge->tuner.workers : 1,
		       fds > workers ? fds - workers : 1);
	if (r < 0)
		return r;
	r = crew_start(crew, own, workers);
	if (r == 0) {
		(void)take_fd(&own); /* the crew's now */
		while (!queue_wait(&crew->queue, TUNER_MSEC))
			tick(purge);
		crew_join(crew);
	}
	queue_done(&crew->queue);
	return r;
}

/* Which top-level directories of a data root come first: their names start so. */
static const char *first_names(const struct purge *purge)
{
	static const char contents[] = "io.containerd.content.v1.";
	static const char snapshots[] = "io.containerd.snapshotter.v1.";

	switch (purge->options->first) {
	case PURGE_FIRST_BYTES:
		return contents;
	case PURGE_FIRST_INODES:
		return snapshots;
	case PURGE_FIRST_AUTO:
		break;
	}
	if (purge->governor.short_of_bytes)
		return contents;
	return purge->governor.short_of_inodes ? snapshots : NULL;
}

/* Best effort: whatever is left here, run() of the whole finds and reports. */
static void run_first(struct purge *purge, int fd, unsigned fds)
{
	const char *first = first_names(purge), *name;
	cleanup_dir DIR *stream = NULL;
	unsigned char type;

	if (!first || dir_stream(fd, &stream) < 0)
		return;
	while (!purge->stopped && dir_next(stream, &name, &type) > 0) {
		cleanup_fd int sub = -EBADF;

		if (strncmp(name, first, strlen(first)) != 0)
			continue;
		sub = place_open(&purge->crew.place, fd, name);
		if (sub >= 0)
			(void)run(purge, sub, fds);
	}
	leftovers_forget(&purge->crew.leftovers);
}

static int setup(struct purge *purge, int fd)
{
	struct crew *crew = &purge->crew;
	int r;

	r = place_init(fd, &crew->place);
	if (r < 0)
		return r;
	r = pace_init(&crew->pace, 0);
	if (r < 0)
		return r;
	r = leftovers_init(&crew->leftovers);
	if (r == 0) {
		r = -pthread_mutex_init(&crew->turn, NULL);
		if (r < 0)
			leftovers_done(&crew->leftovers);
	}
	if (r < 0) {
		pace_done(&crew->pace);
		return r;
	}
	crew->by_hash = crew->place.magic == EXT4_SUPER_MAGIC;
	crew->in_turns = crew->place.magic == XFS_SUPER_MAGIC;
	crew->reading = true; /* as long as it is not known */
	if (dirahead_open(fd, &crew->ahead) < 0)
		crew->ahead.device = -EBADF; /* then slower */
	if (treeahead_open(fd, &crew->tree_ahead) < 0)
		crew->tree_ahead = NULL; /* likewise */
	pressure_init(&purge->pressure);
	purge->governor = (struct governor){
		.asked = purge->options->urgent,
		.bytes_percent = purge->options->urgent_bytes_percent,
		.inodes_percent = purge->options->urgent_inodes_percent,
		.max_rate = purge->options->max_rate,
	};
	governor_init(&purge->governor);
	return 0;
}

static int finish(struct purge *purge)
{
	struct crew *crew = &purge->crew;
	int r = crew->leftovers.first_error;

	govern(purge, pace_now_nsec());
	report(purge, pace_now_nsec());
	pressure_done(&purge->pressure);
	dirahead_close(&crew->ahead);
	treeahead_close(crew->tree_ahead);
	(void)pthread_mutex_destroy(&crew->turn); /* nobody has it any more */
	leftovers_done(&crew->leftovers);
	pace_done(&crew->pace);
	return purge->stopped ? 1 : r;
}

int purge_tree(int fd, const struct purge_options *options, struct purge_progress *ret)
{
	unsigned fds = fds_allowed();
	struct purge *purge;
	int r, r2;

	*ret = (struct purge_progress){ .expected = options->expected, .why = "free" };
	purge = calloc(1, sizeof(*purge));
	if (!purge)
		return -ENOMEM;
	purge->options = options;
	purge->progress = ret;
	purge->fd = fd;
	purge->start_nsec = purge->tick_nsec = pace_now_nsec();
	r = setup(purge, fd);
	if (r == 0) {
		tuner_init(&purge->tuner, workers_start(&purge->crew), max_workers(options, fds),
			   purge->crew.place.magic != BTRFS_SUPER_MAGIC);
		make_room_for_fds(fd, fds);
		govern(purge, purge->start_nsec);
		run_first(purge, fd, fds);
		purge->crew.leftovers.name = options->left;
		purge->crew.leftovers.data = options->data;
		r = purge->stopped ? 0 : run(purge, fd, fds);
		r2 = finish(purge);
		r = r < 0 ? r : r2;
	}
	free(purge);
	return r;
}

bool purge_eta(const struct purge_progress *progress, uint64_t *ret_low, uint64_t *ret_high)
{
	uint64_t most = progress->expected ? progress->expected : progress->at_most;

	if (!progress->rate || most < progress->entries)
		return false;
	*ret_high = (most - progress->entries) / progress->rate;
	*ret_low = progress->expected ? *ret_high : 0;
	return true;
}
