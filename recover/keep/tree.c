#include "recover/keep/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

#include "recover/log.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/dirstack.h"
#include "scanners/sys.h"
#include "scanners/text.h"

struct walk {
	const struct keep_sink *sink;
	void *to;
	struct keep_report *report;
	struct dirstack *stack; /* of the source; a level's tag is the length of its path */
	struct text path;
	bool overlay;
};

void keep_left(struct keep_report *report, const char *path, const char *why)
{
	if (report->left++ < KEEP_NAMED)
		log_warning("%s: %s", log_name(path), why);
}

void keep_check_size(struct keep_report *report, const struct keep_entry *entry)
{
	struct stat st;

	if (fstat(entry->fd, &st) == 0 && st.st_size < entry->st.st_size)
		keep_left(report, entry->path, "shorter than it was, zeros stand for the rest");
}

static void pop_path(struct walk *w, size_t length)
{
	w->path.length = length;
	w->path.string[length] = '\0';
}

static int push_path(struct walk *w, const char *name)
{
	int r = w->path.length ? text_add(&w->path, "/", 1) : 0;

	return r == 0 ? text_add_string(&w->path, name) : r;
}

static struct keep_entry entry_of(const struct walk *w, int dirfd, int fd)
{
	const char *slash = strrchr(w->path.string, '/');

	return (struct keep_entry){
		.path = w->path.string,
		.name = slash ? slash + 1 : w->path.string,
		.dirfd = dirfd,
		.fd = fd,
		.overlay = w->overlay,
	};
}

static void left(const struct walk *w, int error)
{
	keep_left(w->report, w->path.string,
		  error == -EXDEV ? "a mount point, left out" : strerror(-error));
}

/* A file that is a mount point is another file system's, too. */
static int open_entry(int dirfd, const char *name, int kind)
{
	const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC | kind;
	int fd = sys_openat2(dirfd, name, (uint64_t)flags, 0,
			     RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH);
	uint64_t here;
	int r;

	if (fd != -ENOSYS)
		return fd;
	r = dir_mount_id(dirfd, &here);
	return r < 0 ? r : dir_open_on_mount(dirfd, name, flags, here);
}

static int enter(struct walk *w, int dirfd, int fd)
{
	struct keep_entry entry = entry_of(w, dirfd, fd);
	struct open_dir *dir;
	int r = fstat(fd, &entry.st) < 0 ? -errno : w->sink->enter(w->to, &entry);

	if (r < 0) {
		(void)close(fd);
		return r;
	}
	w->report->entries++;
	dir = open_dir_new(fd);
	return dir ? dirstack_push(w->stack, dir, w->path.length) : -ENOMEM;
}

static int leave(struct walk *w)
{
	struct keep_entry entry = entry_of(w, -EBADF, dirstack_top(w->stack)->dir->fd);
	int r;

	if (fstat(entry.fd, &entry.st) < 0)
		return -errno;
	r = w->sink->leave(w->to, &entry);
	return r < 0 ? r : dirstack_pop(w->stack);
}

static int add(struct walk *w, int dirfd, const char *name, const struct stat *st)
{
	cleanup_fd int fd = -EBADF;
	struct keep_entry entry = entry_of(w, dirfd, -EBADF);

	entry.st = *st;
	if (S_ISREG(st->st_mode)) {
		fd = open_entry(dirfd, name, 0);
		if (fd >= 0 && (fstat(fd, &entry.st) < 0 || !S_ISREG(entry.st.st_mode)))
			return left(w, -ESTALE), 0;
		if (fd < 0)
			return left(w, fd), 0;
		entry.fd = fd;
	}
	w->report->entries++;
	return w->sink->add(w->to, &entry);
}

/* The path is that of the entry, until walk_all() goes on; a directory's until it is left. */
static int visit(struct walk *w, const char *name)
{
	int dirfd = dirstack_top(w->stack)->dir->fd, fd;
	struct stat st;
	int r = push_path(w, name);

	if (r < 0)
		return r;
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		left(w, -errno);
	} else if (S_ISDIR(st.st_mode)) {
		fd = open_entry(dirfd, name, O_DIRECTORY);
		if (fd >= 0)
			return enter(w, dirfd, fd);
		left(w, fd);
	} else {
		r = add(w, dirfd, name, &st);
	}
	return r;
}

static int walk_all(struct walk *w)
{
	const struct dirent64 *entry;
	int r = 0;

	while (r == 0 && w->stack->count > 0) {
		pop_path(w, dirstack_top(w->stack)->tag);
		r = dirstack_next(w->stack, &entry);
		if (r < 0) { /* the rest of this one cannot be read */
			left(w, r);
			r = 0;
		}
		r = r > 0 ? visit(w, entry->d_name) : leave(w);
		if (r == 0 && *w->report->stop)
			r = -ECANCELED;
	}
	return r;
}

static int make_parents(struct walk *w, const char *path, size_t *ret_depth)
{
	const char *slash;
	int r = 0;

	for (*ret_depth = 0; r == 0 && (slash = strchr(path, '/')); path = slash + 1) {
		cleanup_free char *name = strndup(path, (size_t)(slash - path));

		r = name ? push_path(w, name) : -ENOMEM;
		if (r == 0)
			r = w->sink->make(w->to, w->path.string, name);
		(*ret_depth)++;
	}
	return r < 0 ? r : push_path(w, path);
}

static int copy(struct walk *w, int fd, const char *path)
{
	const struct keep_entry parent = { .fd = -EBADF, .dirfd = -EBADF };
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_NOATIME | O_CLOEXEC); /* a position of its own */
	size_t depth;
	int r;

	if (own < 0)
		return -errno;
	r = make_parents(w, path, &depth);
	if (r < 0)
		(void)close(own);
	if (r == 0)
		r = enter(w, -EBADF, own);
	if (r == 0)
		r = walk_all(w);
	while (r == 0 && depth-- > 0)
		r = w->sink->leave(w->to, &parent);
	return r;
}

int keep_tree(int fd, const char *path, bool overlay, const struct keep_sink *sink, void *to,
	      struct keep_report *report)
{
	struct walk w = { .sink = sink, .to = to, .report = report, .overlay = overlay };
	int r;

	w.stack = dirstack_new();
	if (!w.stack)
		return -ENOMEM;
	r = copy(&w, fd, path);
	dirstack_free(w.stack);
	text_done(&w.path);
	return r;
}
