#include "scanners/walk_worker.h"

#include <string.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/walk_inodes.h"

void walk_note_error(struct walk *walk, int error)
{
	int none = 0;

	atomic_store(&walk->incomplete, true);
	(void)atomic_compare_exchange_strong(&walk->error, &none, error); /* the first one counts */
}

bool walk_has_aid(struct walk *walk, atomic_int *aid, int (*open)(struct walk *walk))
{
	int state = atomic_load_explicit(aid, memory_order_acquire);

	if (state == AID_WANTED && atomic_compare_exchange_strong(aid, &state, AID_OPENING)) {
		state = open(walk) == 0 ? AID_ON : AID_OFF;
		atomic_store_explicit(aid, state, memory_order_release);
	}
	return state == AID_ON;
}

/* Tell what was seen since the last time; true: it is enough. */
bool walk_tell(struct walk_worker *w, uint64_t tag)
{
	struct walk *walk = w->walk;
	uint64_t total;

	if (w->seen.entries > 0) {
		total = atomic_fetch_add(&walk->entries, w->seen.entries) + w->seen.entries;
		(void)atomic_fetch_add(&walk->bytes, w->seen.bytes);
		if (walk->options.tally)
			walk->options.tally(tag, &w->seen, walk->options.data);
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

static void measure(struct walk_worker *w, int dirfd, const char *name)
{
	struct statx stx;
	int r = dir_stat_beneath(dirfd, name, STATX_BLOCKS, &stx);

	if (r == 0)
		w->seen.bytes += stx.stx_blocks * 512;
	else if (r != -EXDEV && r != -ENOENT) /* a mount is not ours; what is gone has no bytes */
		walk_note_error(w->walk, r);
}

/*
 * Take the entries of the deepest directory up to its next subdirectory. Returns
 * 1 with it, valid until the next call, 0 at the end, or a negative errno;
 * -ECANCELED: it is enough.
 */
static int next_dir(struct walk_worker *w, const struct dirent64 **ret)
{
	const struct dirstack_level *level = dirstack_top(w->stack);
	const struct dirent64 *entry;
	int r;

	for (;;) {
		if (!dirstack_has_read(w->stack) && walk_tell(w, level->tag))
			return -ECANCELED;
		r = dirstack_next(w->stack, &entry);
		if (r <= 0)
			return r;
		w->seen.entries++;
		if (level->tag & WALK_MEASURE)
			measure(w, level->dir->fd, entry->d_name);
		if (may_be_dir(entry)) {
			*ret = entry;
			return 1;
		}
	}
}

/* Room for one more job, with the mutex held; or NULL without it. */
static struct walk_job *add_job(struct walk *walk)
{
	if (atomic_load_explicit(&walk->queued, memory_order_relaxed) >= WALK_QUEUE_SIZE)
		return NULL;
	(void)pthread_mutex_lock(&walk->mutex);
	if (walk->queued < WALK_QUEUE_SIZE)
		return &walk->queue[(walk->head + walk->queued++) % WALK_QUEUE_SIZE];
	(void)pthread_mutex_unlock(&walk->mutex);
	return NULL;
}

static void added_job(struct walk *walk)
{
	(void)pthread_cond_signal(&walk->work);
	(void)pthread_mutex_unlock(&walk->mutex);
}

/* Let another worker have it, if the queue is short. */
static bool offer(struct walk_worker *w, const char *name, uint64_t tag)
{
	struct open_dir *dir = dirstack_top(w->stack)->dir;
	size_t len = strlen(name);
	struct walk_job *job = len < sizeof(job->name) ? add_job(w->walk) : NULL;

	if (!job)
		return false;
	atomic_fetch_add(&dir->refs, 1);
	job->parent = dir;
	job->tag = tag;
	job->depth = w->depth + (unsigned)w->stack->count;
	memcpy(job->name, name, len + 1);
	added_job(w->walk);
	return true;
}

bool walk_offer_inode(struct walk *walk, const struct inode_job *by_inode)
{
	struct walk_job *job = add_job(walk);

	if (!job)
		return false;
	job->parent = NULL;
	job->by_inode = *by_inode;
	added_job(walk);
	return true;
}

static int open_ahead(struct walk *walk)
{
	return dirahead_open(walk->start->fd, &walk->ahead);
}

bool walk_read_ahead(struct walk *walk)
{
	return walk_has_aid(walk, &walk->ahead_state, open_ahead);
}

static int descend(struct walk_worker *w, const struct open_dir *parent, const char *name,
		   uint64_t tag)
{
	int fd = dir_open_beneath(parent->fd, name);
	struct open_dir *dir;

	/* Gone, replaced or not a directory after all; or a mount, which is not ours. */
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP || fd == -EXDEV)
		return 0;
	if (fd < 0)
		return fd;
	w->descended++;
	if (walk_read_ahead(w->walk))
		dirahead_hint(&w->walk->ahead, fd);
	dir = open_dir_new(fd);
	if (!dir)
		return -ENOMEM;
	return dirstack_push(w->stack, dir, tag);
}

static uint64_t enter(const struct walk_worker *w, const char *name)
{
	const struct walk_options *options = &w->walk->options;
	uint64_t tag = dirstack_top(w->stack)->tag;

	if (!options->enter)
		return tag;
	return options->enter(tag, name, w->depth + (unsigned)w->stack->count, options->data);
}

/* A subdirectory of the deepest level: for later, another worker's, or the next level. */
static void meet(struct walk_worker *w, const struct dirent64 *entry)
{
	struct dirstack_level *level = dirstack_top(w->stack);
	uint64_t tag = enter(w, entry->d_name);
	int r;

	if ((entry->d_type == DT_DIR &&
	     walk_inodes_keep(w, level->dir->fd, entry->d_ino, tag, w->depth + (unsigned)w->stack->count)) ||
	    offer(w, entry->d_name, tag) || walk_tell(w, level->tag))
		return;
	r = descend(w, level->dir, entry->d_name, tag);
	if (r < 0)
		walk_note_error(w->walk, r);
}

/* Until the levels are done, or it is enough. */
static void walk_levels(struct walk_worker *w)
{
	const struct dirent64 *entry = NULL;
	int r = 0;

	while (w->stack->count > 0 && r >= 0) {
		r = next_dir(w, &entry);
		if (r > 0) {
			meet(w, entry);
			continue;
		}
		if (r == -ECANCELED)
			break;
		if (r < 0 && r != -ENOENT) /* ENOENT: removed while open */
			walk_note_error(w->walk, r);
		(void)walk_tell(w, dirstack_top(w->stack)->tag);
		r = dirstack_pop(w->stack);
		if (r < 0)
			walk_note_error(w->walk, r);
	}
	dirstack_clear(w->stack);
}

void walk_below(struct walk_worker *w, int fd, uint64_t tag, unsigned depth)
{
	struct open_dir *dir = open_dir_new(fd);
	int r;

	w->depth = depth;
	r = dir ? dirstack_push(w->stack, dir, tag) : -ENOMEM;
	if (r < 0)
		walk_note_error(w->walk, r);
	walk_levels(w);
}

static void do_job(struct walk_worker *w, struct walk_job *job)
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
		walk_note_error(w->walk, r);
	walk_levels(w);
}

static bool take_job(struct walk *walk, struct walk_job *ret)
{
	bool taken = false;

	(void)pthread_mutex_lock(&walk->mutex);
	while (walk->queued == 0 && walk->busy > 0 && !walk->stop)
		(void)pthread_cond_wait(&walk->work, &walk->mutex);
	if (walk->queued > 0 && !walk->stop) {
		*ret = walk->queue[walk->head++ % WALK_QUEUE_SIZE];
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

void walk_worker_free(struct walk_worker *w)
{
	if (!w)
		return;
	dirstack_free(w->stack);
	walk_inodes_free(w->inodes);
	free(w);
}

struct walk_worker *walk_worker_new(struct walk *walk)
{
	struct walk_worker *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->walk = walk;
	w->stack = dirstack_new();
	if (!w->stack) {
		walk_worker_free(w);
		return NULL;
	}
	return w;
}

void walk_worker_run(struct walk_worker *w)
{
	struct walk_job job;

	while (take_job(w->walk, &job)) {
		if (job.parent)
			do_job(w, &job);
		else
			walk_inodes_run(w, &job.by_inode);
		walk_inodes_run_kept(w);
		end_job(w->walk);
	}
}
