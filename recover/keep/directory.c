#include "recover/keep/directory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/param.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/keep/xattrs.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/dirstack.h"

enum { COPY_CHUNK = 64 << 20, BLOCK = 1 << 20 };

struct keep_directory {
	struct dirstack *stack; /* of the copy */
	int links_fd;
	struct keep_report *report;
	char *block;
};

static int top(const struct keep_directory *to)
{
	return dirstack_top(to->stack)->dir->fd;
}

static int step_down(struct keep_directory *to, int fd)
{
	struct open_dir *dir;

	if (fd < 0)
		return fd;
	dir = open_dir_new(fd);
	return dir ? dirstack_push(to->stack, dir, 0) : -ENOMEM;
}

struct keep_directory *keep_directory_new(int fd, int links_fd, struct keep_report *report)
{
	struct keep_directory *to = calloc(1, sizeof(*to));
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);

	if (to) {
		to->links_fd = links_fd;
		to->report = report;
		to->block = malloc(BLOCK);
		to->stack = dirstack_new();
	}
	if (to && to->block && to->stack && step_down(to, take_fd(&own)) == 0)
		return to;
	cleanup_close(&own);
	keep_directory_free(to);
	return NULL;
}

void keep_directory_free(struct keep_directory *to)
{
	if (!to)
		return;
	dirstack_free(to->stack);
	free(to->block);
	free(to);
}

struct carrying {
	const struct xattrs_of *to;
	const struct keep_entry *entry;
	struct keep_report *report;
};

/* By its nature, or by what it allows for one file. */
static bool cannot_hold(int error)
{
	static const int errors[] = { -EOPNOTSUPP, -ENOSPC, -E2BIG, -ERANGE, -EPERM, -EINVAL };

	for (size_t i = 0; i < ARRAY_SIZE(errors); i++)
		if (error == errors[i])
			return true;
	return false;
}

/* What cannot be read or has no place in the copy is said, and no failure. */
static int carry_xattr(const char *name, const void *value, ssize_t size, void *data)
{
	const struct carrying *c = data;
	int r;

	if (size < 0)
		return keep_left(c->report, c->entry->path, KEEP_UNREAD_ATTRIBUTE), 0;
	r = xattrs_set(c->to, name, value, (size_t)size);
	if (!cannot_hold(r))
		return r;
	keep_left(c->report, c->entry->path, "kept without an attribute that the target cannot hold");
	return 0;
}

/* Owner, attributes, mode, times of what was made: of @fd, or of @name in the top directory. */
static int carry_attributes(struct keep_directory *to, const struct keep_entry *entry, int fd)
{
	const struct stat *st = &entry->st;
	const struct timespec times[] = { st->st_atim, st->st_mtim };
	const struct xattrs_of from = { entry->fd, entry->dirfd, entry->name };
	const struct xattrs_of target = { fd, fd < 0 ? top(to) : -EBADF, entry->name };
	struct carrying carrying = { &target, entry, to->report };
	int r;

	if ((fd >= 0 ? fchown(fd, st->st_uid, st->st_gid) :
		       fchownat(top(to), entry->name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW)) < 0)
		return -errno;
	/* Behind chown, which drops capabilities and the set-id bits. */
	r = xattrs_each(&from, carry_xattr, &carrying);
	if (r < 0)
		return r;
	if (fd >= 0 && fchmod(fd, st->st_mode & 07777) < 0)
		return -errno;
	/* In our own directory: the name is what was just made. */
	if (fd < 0 && !S_ISLNK(st->st_mode) && fchmodat(top(to), entry->name, st->st_mode & 07777, 0) < 0)
		return -errno;
	if ((fd >= 0 ? futimens(fd, times) :
		       utimensat(top(to), entry->name, times, AT_SYMLINK_NOFOLLOW)) < 0)
		return -errno;
	return 0;
}

static int enter_directory(void *data, const struct keep_entry *entry)
{
	struct keep_directory *to = data;

	if (mkdirat(top(to), entry->name, 0700) < 0)
		return -errno;
	return step_down(to, dir_open_beneath(top(to), entry->name));
}

static int make_directory(void *data, const char *path, const char *name)
{
	struct keep_directory *to = data;

	(void)path;
	if (mkdirat(top(to), name, 0755) < 0 && errno != EEXIST)
		return -errno;
	return step_down(to, dir_open_beneath(top(to), name));
}

static int leave_directory(void *data, const struct keep_entry *entry)
{
	struct keep_directory *to = data;
	int r = entry->fd < 0 ? 0 : carry_attributes(to, entry, top(to));

	return r < 0 ? r : dirstack_pop(to->stack);
}

/* Returns bytes copied, 0 at the end, or a negative errno; *@ret_read: it was the source's. */
static ssize_t copy_some(struct keep_directory *to, int from_fd, int to_fd, off_t at, off_t end,
			 bool *ret_read)
{
	size_t wanted = (size_t)MIN(end - at, (off_t)BLOCK);
	off_t in = at, out = at;
	ssize_t n, done = 0;

	/* Shares the blocks where the file system can. */
	n = copy_file_range(from_fd, &in, to_fd, &out, (size_t)MIN(end - at, (off_t)COPY_CHUNK), 0);
	if (n > 0)
		return n;
	n = pread(from_fd, to->block, wanted, at);
	if (n < 0) {
		*ret_read = true;
		return -errno;
	}
	while (done < n) {
		ssize_t w = pwrite(to_fd, to->block + done, (size_t)(n - done), at + done);

		if (w < 0 && errno != EINTR)
			return -errno;
		done += w < 0 ? 0 : w;
	}
	return n;
}

static int copy_range(struct keep_directory *to, int from_fd, int to_fd, off_t at, off_t end,
		      bool *ret_read)
{
	while (at < end) {
		ssize_t n = copy_some(to, from_fd, to_fd, at, end, ret_read);

		if (n <= 0)
			return (int)n; /* 0: it is shorter by now */
		at += n;
		to->report->bytes += (uint64_t)n;
		if (*to->report->stop)
			return -ECANCELED;
	}
	return 0;
}

/* Holes stay holes. */
static int copy_content(struct keep_directory *to, const struct keep_entry *entry, int fd,
			bool *ret_read)
{
	off_t size = entry->st.st_size, at = 0;
	int r = 0;

	while (r == 0 && at < size) {
		off_t begin = lseek(entry->fd, at, SEEK_DATA), end;

		if (begin < 0 && errno == ENXIO)
			break; /* a hole to the end */
		end = begin < 0 ? size : lseek(entry->fd, begin, SEEK_HOLE);
		if (begin < 0)
			begin = at; /* a file system that does not know */
		if (end < 0 || end > size)
			end = size;
		r = copy_range(to, entry->fd, fd, begin, end, ret_read);
		at = end;
	}
	if (r < 0)
		return r;
	keep_check_size(to->report, entry);
	return ftruncate(fd, size) < 0 ? -errno : 0;
}

static int add_regular(struct keep_directory *to, const struct keep_entry *entry)
{
	cleanup_fd int fd = openat(top(to), entry->name,
				   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	bool reading = false;
	int r;

	if (fd < 0)
		return -errno;
	r = copy_content(to, entry, fd, &reading);
	if (r < 0 && reading) {
		keep_left(to->report, entry->path, strerror(-r));
		return unlinkat(top(to), entry->name, 0) < 0 ? -errno : 0;
	}
	return r < 0 ? r : carry_attributes(to, entry, fd);
}

static int add_other(struct keep_directory *to, const struct keep_entry *entry)
{
	cleanup_free char *target = NULL;
	int r;

	if (S_ISLNK(entry->st.st_mode)) {
		r = dir_read_link(entry->dirfd, entry->name, &target);
		if (r < 0)
			return keep_left(to->report, entry->path, strerror(-r)), 0;
		if (symlinkat(target, top(to), entry->name) < 0)
			return -errno;
	} else if (mknodat(top(to), entry->name, (entry->st.st_mode & S_IFMT) | 0600,
			   entry->st.st_rdev) < 0) {
		return -errno;
	}
	return carry_attributes(to, entry, -EBADF);
}

/* The first one of several names is found again by its inode. */
static void link_name(const struct keep_entry *entry, char name[64])
{
	(void)snprintf(name, 64, "%jx-%ju", (uintmax_t)entry->st.st_dev, (uintmax_t)entry->st.st_ino);
}

static int add_linked(struct keep_directory *to, const struct keep_entry *entry)
{
	char name[64];
	int r;

	link_name(entry, name);
	if (linkat(to->links_fd, name, top(to), entry->name, 0) == 0)
		return 0;
	if (errno == EMLINK) { /* the next ones are names of another file */
		keep_left(to->report, entry->path, "kept apart from its other names, which are too many");
		if (unlinkat(to->links_fd, name, 0) < 0)
			return -errno;
	} else if (errno != ENOENT) {
		return -errno;
	}
	r = S_ISREG(entry->st.st_mode) ? add_regular(to, entry) : add_other(to, entry);
	if (r < 0 || linkat(top(to), entry->name, to->links_fd, name, 0) == 0)
		return r;
	return errno == ENOENT ? 0 : -errno; /* left out */
}

static int add(void *data, const struct keep_entry *entry)
{
	struct keep_directory *to = data;

	if (entry->st.st_nlink > 1)
		return add_linked(to, entry);
	return S_ISREG(entry->st.st_mode) ? add_regular(to, entry) : add_other(to, entry);
}

static int note(void *data, const char *name, const char *text, size_t size)
{
	struct keep_directory *to = data;

	return file_replace(top(to), name, text, size, 0644);
}

int keep_directory_finish(struct keep_directory *to)
{
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r = dir_stream(to->links_fd, &stream);

	while (r >= 0 && (r = dir_next(stream, &name, NULL)) > 0)
		if (unlinkat(to->links_fd, name, 0) < 0)
			return -errno;
	return r;
}

const struct keep_sink keep_directory_sink = {
	.enter = enter_directory,
	.leave = leave_directory,
	.add = add,
	.make = make_directory,
	.note = note,
};
