#include "scanners/walk_inodes.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/mounts.h"
#include "scanners/text.h"

enum {
	WORTH_IT = 256,	 /* directories opened by one worker before the device is looked for */
	QUEUE_SHORT = 8,
	TELL_AFTER = 1024, /* entries */
	ODD_MIN = 64,	   /* directories that had to be opened, from which on it is asked … */
	ODD_SHARE = 8,	   /* … whether they are more than one of so many: then it is no help here */
	KEPT_MAX = 16384, /* directories; more are walked as everywhere else */
	REST_TRIES = 10, REST_PAUSE_NSEC = 1000000,
	PART_MAX = EXT4DIR_PART / EXT4DIR_ENTRY_MIN, /* that one part of a directory can hold */
};

/* Of one worker. */
struct walk_inodes {
	uint64_t tag; /* of what was seen and not yet told */
	unsigned taken, odd; /* directories, and those of them that had to be opened */
	unsigned kept;
	struct inode_job jobs[KEPT_MAX]; /* the last one is next */
	struct ext4dir_reader reader;
};

static void about_to_read(uint64_t offset, uint64_t length, void *data)
{
	struct walk *walk = data;

	if (walk_read_ahead(walk))
		dirahead_hint_at(&walk->ahead, offset, length);
}

static struct walk_inodes *inodes_new(struct walk *walk)
{
	struct walk_inodes *inodes = malloc(sizeof(*inodes)); /* not cleared: little of it is used */

	if (!inodes)
		return NULL;
	inodes->tag = 0;
	inodes->taken = inodes->odd = 0;
	inodes->kept = 0;
	ext4dir_reader_init(&inodes->reader, &walk->device);
	inodes->reader.about_to_read = about_to_read;
	inodes->reader.data = walk;
	return inodes;
}

void walk_inodes_free(struct walk_inodes *inodes)
{
	free(inodes);
}

/* An entry's inode is that of what a mount hides. */
static int find_mount_below(int dirfd)
{
	cleanup_free char *link = NULL, *path = NULL;
	cleanup_mounts struct mounts mounts = { 0 };
	int r;

	link = text_print("/proc/self/fd/%d", dirfd);
	if (!link)
		return -ENOMEM;
	r = dir_read_link(AT_FDCWD, link, &path);
	if (r == 0)
		r = mounts_scan(&mounts);
	if (r < 0)
		return r;
	for (size_t i = 0; i < mounts.count; i++)
		if (strcmp(mounts.items[i].path, path) != 0 && mounts_is_below(mounts.items[i].path, path))
			return -EXDEV;
	return 0;
}

/* Does opening by number work here? It takes CAP_DAC_READ_SEARCH. */
static int try_opening(int dirfd)
{
	cleanup_fd int fd = -EBADF;
	struct stat by_number, start;

	if (fstat(dirfd, &start) < 0)
		return -errno;
	fd = ext4dir_open_inode(dirfd, (uint32_t)start.st_ino);
	if (fd < 0)
		return fd;
	if (fstat(fd, &by_number) < 0)
		return -errno;
	return by_number.st_dev == start.st_dev && by_number.st_ino == start.st_ino ? 0 : -ESTALE;
}

static int open_device(struct walk *walk)
{
	int r;

	r = ext4dir_open(walk->start->fd, &walk->device);
	if (r == 0)
		r = try_opening(walk->start->fd);
	if (r == 0)
		r = find_mount_below(walk->start->fd);
	return r;
}

/* Are the directories here of the plain kind, mostly? */
static bool is_of_use(const struct walk_inodes *inodes)
{
	return inodes->odd < ODD_MIN || inodes->odd < inodes->taken / ODD_SHARE;
}

/* Is it time, and can it be done? */
static bool is_ready(struct walk_worker *w)
{
	if (w->inodes)
		return is_of_use(w->inodes);
	if ((w->descended < WORTH_IT && w->walk->device_state != AID_ON) ||
	    !walk_has_aid(w->walk, &w->walk->device_state, open_device))
		return false;
	w->inodes = inodes_new(w->walk);
	return w->inodes;
}

static void push(struct walk_inodes *inodes, const struct inode_job *job)
{
	inodes->jobs[inodes->kept++] = *job;
}

/* Few jobs that the others could take. */
static bool is_short(struct walk *walk)
{
	return atomic_load_explicit(&walk->queued, memory_order_relaxed) < QUEUE_SHORT;
}

/* Give the one that was met first away, which has the most below it. */
static void share(struct walk_worker *w)
{
	struct walk_inodes *inodes = w->inodes;

	if (inodes->kept > 1 && is_short(w->walk) && walk_offer_inode(w->walk, &inodes->jobs[0]))
		inodes->jobs[0] = inodes->jobs[--inodes->kept];
}

bool walk_inodes_keep(struct walk_worker *w, int parent_fd, uint64_t inode, uint64_t tag, unsigned depth)
{
	struct stat parent;
	struct inode_job job;

	/* Bytes are asked of files by their names. */
	if ((tag & WALK_MEASURE) || !is_ready(w) || w->inodes->kept == KEPT_MAX ||
	    fstat(parent_fd, &parent) < 0)
		return false;
	job = (struct inode_job){
		.tag = tag, .inode = (uint32_t)inode, .parent = (uint32_t)parent.st_ino, .depth = depth,
	};
	if (!is_short(w->walk) || !walk_offer_inode(w->walk, &job))
		push(w->inodes, &job);
	return true;
}

/* What was seen in directories of one tag, at once: that is shared between workers. */
static void flush(struct walk_worker *w)
{
	if (w->inodes)
		(void)walk_tell(w, w->inodes->tag);
}

/* By the kernel, as everywhere else. Returns 0, also if it is gone, or a negative errno. */
static int walk_opened(struct walk_worker *w, const struct inode_job *job)
{
	int fd = ext4dir_open_inode(w->walk->start->fd, job->inode);
	struct stat parent;

	flush(w);
	if (fd == -ESTALE || fd == -ENOTDIR)
		return 0;
	if (fd < 0)
		return fd;
	if (fstatat(fd, "..", &parent, 0) < 0 || parent.st_ino != job->parent)
		(void)close(fd); /* another one by now */
	else
		walk_below(w, fd, job->tag, job->depth);
	return 0;
}

static void meet(struct walk_worker *w, const struct inode_job *parent, const struct ext4dir_entry *entry)
{
	const struct walk_options *options = &w->walk->options;
	struct inode_job job = {
		.tag = parent->tag, .inode = entry->inode, .parent = parent->inode, .depth = parent->depth + 1,
	};
	char name[NAME_MAX + 1];

	if (options->enter) {
		memcpy(name, entry->name, entry->name_length);
		name[entry->name_length] = '\0';
		job.tag = options->enter(parent->tag, name, job.depth, options->data);
	}
	push(w->inodes, &job);
}

static void take_entries(struct walk_worker *w, const struct inode_job *job)
{
	struct walk_inodes *inodes = w->inodes;
	struct ext4dir_entry entry;

	if (job->tag != inodes->tag)
		flush(w);
	inodes->tag = job->tag;
	while (ext4dir_next(&inodes->reader, &entry)) {
		w->seen.entries++;
		if (entry.type == DT_DIR)
			meet(w, job, &entry);
	}
	if (w->seen.entries >= TELL_AFTER)
		flush(w);
}

/* What came before is counted: it cannot be begun anew, but what is half changed is whole soon. */
static int read_rest(struct walk_worker *w, const struct inode_job *job)
{
	const struct timespec pause = { .tv_nsec = REST_PAUSE_NSEC };
	int r;

	for (unsigned tries = 0;; tries++) {
		r = ext4dir_read(&w->inodes->reader, job->inode, job->parent, job->from);
		if (r >= 0 || r == -ENOENT || tries == REST_TRIES)
			return r;
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
}

/* As ext4dir_read(); or -ENOENT as well if the kernel has walked it instead. */
static int read_or_walk(struct walk_worker *w, const struct inode_job *job)
{
	struct walk_inodes *inodes = w->inodes;
	int r, opened;

	if (job->from > 0)
		return read_rest(w, job);
	r = ext4dir_read(&inodes->reader, job->inode, job->parent, job->from);
	inodes->taken++;
	if (r >= 0 || r == -ENOENT)
		return r;
	inodes->odd++;
	opened = walk_opened(w, job);
	if (opened == 0)
		return -ENOENT;
	/* While it is moved the kernel may fail to find its way up from it. */
	r = ext4dir_read(&inodes->reader, job->inode, job->parent, job->from);
	return r == -EUCLEAN ? opened : r;
}

static void take(struct walk_worker *w, struct inode_job job)
{
	struct walk_inodes *inodes = w->inodes;
	struct inode_job rest = job;
	int r;

	/* Bytes are asked of files by their names. */
	if ((job.tag & WALK_MEASURE) || !is_of_use(inodes) || inodes->kept + 1 + PART_MAX > KEPT_MAX) {
		r = walk_opened(w, &job);
		if (r < 0)
			walk_note_error(w->walk, r);
		return;
	}
	r = read_or_walk(w, &job);
	if (r < 0) {
		if (r != -ENOENT)
			walk_note_error(w->walk, r);
		return;
	}
	rest.from += EXT4DIR_PART;
	if (r > 0)
		push(inodes, &rest);
	take_entries(w, &job);
}

void walk_inodes_run_kept(struct walk_worker *w)
{
	while (w->inodes && w->inodes->kept > 0) {
		if (atomic_load_explicit(&w->walk->stop, memory_order_relaxed))
			w->inodes->kept = 0;
		else
			take(w, w->inodes->jobs[--w->inodes->kept]);
		share(w);
	}
	flush(w);
}

void walk_inodes_run(struct walk_worker *w, const struct inode_job *job)
{
	/* Offered by another one, which had it ready. */
	if (!w->inodes)
		w->inodes = inodes_new(w->walk);
	if (w->inodes)
		take(w, *job);
	else
		walk_note_error(w->walk, -ENOMEM);
}
