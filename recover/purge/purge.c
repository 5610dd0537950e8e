#include "recover/purge/purge.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>

#include "recover/purge/place.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

enum {
	DEPTH_MAX = 16,	    /* deeper directories are moved up: one fd a level */
	GENTLE_RATE = 4000, /* entries per second */
	PACE_MSEC = 20,
	REPORT_MSEC = 500,
};

struct purge {
	const struct purge_options *options;
	struct purge_progress progress;
	struct place place;
	int root_fd;
	int error;
	bool stopped;
	unsigned moved;
	struct timespec start;
	uint64_t paced, reported_msec, free_at_start;
};

static uint64_t elapsed_msec(const struct purge *purge)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* cannot fail */
	return (uint64_t)((now.tv_sec - purge->start.tv_sec) * 1000 +
			  (now.tv_nsec - purge->start.tv_nsec) / 1000000);
}

static uint64_t free_bytes(int fd)
{
	struct statvfs st;

	return fstatvfs(fd, &st) < 0 ? 0 : (uint64_t)st.f_bfree * st.f_frsize;
}

static void report(struct purge *purge, uint64_t now)
{
	uint64_t now_free = free_bytes(purge->root_fd);
	struct purge_progress *p = &purge->progress;

	p->elapsed_msec = now;
	p->bytes = now_free > purge->free_at_start ? now_free - purge->free_at_start : 0;
	p->rate = now ? (unsigned)(p->entries * 1000 / now) : 0;
	purge->reported_msec = now;
	if (purge->options->progress && purge->options->progress(p, purge->options->data))
		purge->stopped = true;
}

static void count(struct purge *purge)
{
	unsigned rate = purge->options->max_rate;
	struct timespec pause = { .tv_nsec = PACE_MSEC * 1000000L };
	uint64_t now;

	purge->progress.entries++;
	if (!rate)
		rate = purge->progress.urgent ? 0 : GENTLE_RATE;
	if (purge->progress.entries % 64)
		return;
	while (now = elapsed_msec(purge), rate && purge->progress.entries * 1000 / rate > now)
		(void)nanosleep(&pause, NULL); /* woken early, it sleeps again */
	if (now - purge->reported_msec >= REPORT_MSEC)
		report(purge, now);
}

static void leave(struct purge *purge, const char *name, int error)
{
	purge->progress.left++;
	purge->progress.mounts += error == -EXDEV || error == -EBUSY;
	if (!purge->error)
		purge->error = error;
	if (purge->options->left && purge->progress.left <= PURGE_NAMED_MAX)
		purge->options->left(name, error, purge->options->data);
}

static void empty(struct purge *purge, int fd, unsigned depth);

static void remove_dir(struct purge *purge, int dirfd, const char *name, unsigned depth)
{
	cleanup_fd int fd = place_open(&purge->place, dirfd, name);
	uint64_t left = purge->progress.left;
	int r = fd;

	if (r == -ENOENT)
		return;
	if (r >= 0)
		r = place_destroy_subvolume(&purge->place, dirfd, name, fd);
	if (r == 0 && depth == DEPTH_MAX) {
		char up[64];

		(void)snprintf(up, sizeof(up), ".purge-%d-%u", getpid(), purge->moved++);
		r = place_move(dirfd, name, fd, purge->root_fd, up);
		if (r == 0)
			return;
	} else if (r == 0) {
		empty(purge, fd, depth + 1);
		if (purge->stopped || purge->progress.left != left)
			return;
		r = place_rmdir(dirfd, name, fd);
	}
	if (r < 0)
		leave(purge, name, r);
	else
		count(purge);
}

static void empty(struct purge *purge, int fd, unsigned depth)
{
	cleanup_dir DIR *stream = NULL;
	unsigned char type;
	const char *name;
	int r;

	r = dir_stream(fd, &stream);
	while (r == 0 && !purge->stopped) {
		r = dir_next(stream, &name, &type);
		if (r <= 0)
			break;
		r = type == DT_DIR ? -EISDIR : place_unlink(&purge->place, fd, name);
		if (r == -EISDIR)
			remove_dir(purge, fd, name, depth);
		else if (r < 0)
			leave(purge, name, r);
		else
			count(purge);
		r = 0;
	}
	if (r < 0)
		leave(purge, ".", r);
}

int purge_tree(int fd, const struct purge_options *options, struct purge_progress *ret)
{
	struct purge purge = { .options = options, .root_fd = fd };
	unsigned moved;
	int r;

	purge.progress.urgent = options->urgent;
	purge.progress.why = options->urgent ? "asked" : "free";
	purge.progress.workers = 1;
	(void)clock_gettime(CLOCK_MONOTONIC, &purge.start); /* cannot fail */
	r = place_init(fd, &purge.place);
	if (r < 0) {
		*ret = purge.progress;
		return r;
	}
	purge.free_at_start = free_bytes(fd);
	do {
		moved = purge.moved;
		purge.progress.left = purge.progress.mounts = 0;
		purge.error = 0;
		empty(&purge, fd, 1);
	} while (!purge.stopped && purge.moved != moved);
	report(&purge, elapsed_msec(&purge));
	*ret = purge.progress;
	return purge.stopped ? 1 : purge.error;
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
