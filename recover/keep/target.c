#include "recover/keep/target.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "recover/archive.h"
#include "recover/purge/purge.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

#define MARK "mark"
#define DATA "data"
#define LINKS "links"

static const struct suffix {
	const char *text;
	unsigned how;
} suffixes[] = {
	{ ".tar", ARCHIVE_PLAIN },
	{ ".tar.zst", ARCHIVE_ZSTD },
	{ ".tar.gz", ARCHIVE_GZIP },
	{ ".tgz", ARCHIVE_GZIP },
};

static const struct suffix *suffix_of(const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(suffixes); i++) {
		size_t n = strlen(suffixes[i].text);

		if (length > n && strcmp(name + length - n, suffixes[i].text) == 0)
			return &suffixes[i];
	}
	return NULL;
}

int keep_target_open(const char *path, struct keep_target *ret)
{
	cleanup_keep_target struct keep_target target = KEEP_TARGET_NONE;
	cleanup_free char *first = strdup(path), *second = strdup(path);
	const struct suffix *suffix;
	const char *name;
	struct stat st;

	if (!first || !second)
		return -ENOMEM;
	name = basename(second);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || strcmp(name, "/") == 0)
		return -EEXIST;
	target.name = strdup(name);
	target.temporary = text_print(".%s.containerd-recover-keep", name);
	if (!target.name || !target.temporary)
		return -ENOMEM;
	target.parent_fd = dir_open_path(dirname(first));
	if (target.parent_fd < 0)
		return target.parent_fd;
	suffix = suffix_of(name);
	target.archive = suffix;
	target.how = suffix ? suffix->how : 0;
	if (fstatat(target.parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return -EEXIST;
	if (errno != ENOENT)
		return -errno;
	*ret = target;
	target = (struct keep_target)KEEP_TARGET_NONE;
	return 0;
}

static bool is_any_of(const struct stat *st, const int *fds, size_t count)
{
	struct stat other;

	for (size_t i = 0; i < count; i++)
		if (fds[i] >= 0 && fstat(fds[i], &other) == 0 && other.st_dev == st->st_dev &&
		    other.st_ino == st->st_ino)
			return true;
	return false;
}

int keep_target_is_inside(const struct keep_target *target, const struct data_root *place)
{
	cleanup_fd int beside = data_root_open_jail(place, false, false);
	cleanup_fd int inside = data_root_open_jail(place, true, false);
	const int fds[] = { place->root_fd, beside, inside };
	cleanup_fd int fd = fcntl(target->parent_fd, F_DUPFD_CLOEXEC, 0);
	struct stat st, above;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	for (;;) {
		int up;

		if (is_any_of(&st, fds, ARRAY_SIZE(fds)))
			return 1;
		up = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		cleanup_close(&fd);
		fd = up;
		if (fd < 0 || fstat(fd, &above) < 0)
			return -errno;
		if (above.st_dev == st.st_dev && above.st_ino == st.st_ino)
			return 0; /* "/" */
		st = above;
	}
}

int keep_target_has_room(const struct keep_target *target, uint64_t bytes, uint64_t entries,
			 uint64_t reserve, uint64_t *ret_bytes, uint64_t *ret_entries)
{
	struct statvfs fs;
	uint64_t room;

	if (fstatvfs(target->parent_fd, &fs) < 0)
		return -errno;
	room = (uint64_t)fs.f_bavail * fs.f_frsize;
	*ret_bytes = room > reserve ? room - reserve : 0;
	*ret_entries = fs.f_files ? fs.f_favail : UINT64_MAX; /* made as needed */
	if (target->archive)
		entries = 1;
	return *ret_bytes >= bytes && *ret_entries >= entries;
}

/* Whatever is at our temporary name: a dead run's, or not ours. */
static int remove_directory(int parent_fd, const char *name)
{
	cleanup_fd int fd = dir_open_beneath(parent_fd, name);
	const struct purge_options options = { .urgent = true };
	struct purge_progress progress;
	struct stat st;
	int r;

	if (fd < 0)
		return fd;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_uid != geteuid() ||
	    (dir_is_empty(fd) != 1 && faccessat(fd, MARK, F_OK, AT_SYMLINK_NOFOLLOW) < 0))
		return -EPERM;
	/* The mark last: killed in here, it is still known for what it is. */
	for (size_t i = 0; i < 2; i++) {
		const char *part = i ? LINKS : DATA;
		cleanup_fd int part_fd = dir_open_beneath(fd, part);

		if (part_fd == -ENOENT)
			continue;
		r = part_fd < 0 ? part_fd : purge_tree(part_fd, &options, &progress);
		if (r == 0 && unlinkat(fd, part, AT_REMOVEDIR) < 0)
			r = -errno;
		if (r < 0)
			return r;
	}
	if ((unlinkat(fd, MARK, 0) < 0 && errno != ENOENT) ||
	    unlinkat(parent_fd, name, AT_REMOVEDIR) < 0)
		return -errno;
	return 0;
}

static int remove_file(int parent_fd, const char *name)
{
	cleanup_fd int fd = openat(parent_fd, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 07777) != 0600 ||
	    st.st_nlink > 1)
		return -EPERM;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return unlinkat(parent_fd, name, 0) < 0 ? -errno : 0;
}

static int remove_temporary(const struct keep_target *target)
{
	struct stat st;

	if (fstatat(target->parent_fd, target->temporary, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (S_ISDIR(st.st_mode) && !target->archive)
		return remove_directory(target->parent_fd, target->temporary);
	if (S_ISREG(st.st_mode) && target->archive)
		return remove_file(target->parent_fd, target->temporary);
	return -EPERM;
}

static int begin_file(struct keep_target *target)
{
	target->fd = openat(target->parent_fd, target->temporary,
			    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (target->fd < 0)
		return -errno;
	return flock(target->fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
}

static int make_in(int dirfd, const char *name)
{
	return mkdirat(dirfd, name, 0700) < 0 ? -errno : dir_open_beneath(dirfd, name);
}

static int begin_directory(struct keep_target *target)
{
	int fd;

	if (mkdirat(target->parent_fd, target->temporary, 0700) < 0)
		return -errno;
	target->own_fd = dir_open_beneath(target->parent_fd, target->temporary);
	if (target->own_fd < 0)
		return target->own_fd;
	if (flock(target->own_fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	fd = openat(target->own_fd, MARK, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	(void)close(fd); /* empty: there is nothing to be lost */
	target->fd = make_in(target->own_fd, DATA);
	if (target->fd < 0)
		return target->fd;
	target->links_fd = make_in(target->own_fd, LINKS);
	return target->links_fd < 0 ? target->links_fd : 0;
}

int keep_target_begin(struct keep_target *target)
{
	int r = remove_temporary(target);

	if (r < 0)
		return r;
	r = target->archive ? begin_file(target) : begin_directory(target);
	if (r < 0)
		(void)keep_target_abandon(target); /* the error is what began it */
	return r;
}

/* Where there is no RENAME_NOREPLACE (NFS) a file is linked, and a directory replaces
 * at most an empty one. */
static int give_name(const struct keep_target *target, int from_fd, const char *from)
{
	if (renameat2(from_fd, from, target->parent_fd, target->name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	if (!target->archive)
		return renameat(from_fd, from, target->parent_fd, target->name) < 0 ?
			       (errno == ENOTEMPTY ? -EEXIST : -errno) : 0;
	if (linkat(from_fd, from, target->parent_fd, target->name, 0) < 0)
		return -errno;
	return unlinkat(from_fd, from, 0) < 0 ? -errno : 0;
}

static void take_name_back(const struct keep_target *target)
{
	if (target->archive)
		(void)renameat(target->parent_fd, target->name, target->parent_fd, target->temporary);
	else
		(void)renameat(target->parent_fd, target->name, target->own_fd, DATA);
}

int keep_target_commit(struct keep_target *target)
{
	int r;

	if (target->archive) {
		if (fsync(target->fd) < 0)
			return -errno;
		r = give_name(target, target->parent_fd, target->temporary);
	} else {
		/* One call for all files of the tree. */
		if (syncfs(target->fd) < 0)
			return -errno;
		r = give_name(target, target->own_fd, DATA);
	}
	if (r == 0 && fsync(target->parent_fd) < 0) {
		r = -errno;
		take_name_back(target); /* or it would be there or not after a crash */
	}
	return r;
}

int keep_target_abandon(struct keep_target *target)
{
	cleanup_close(&target->fd);
	cleanup_close(&target->links_fd);
	cleanup_close(&target->own_fd); /* and with it the lock, for ourselves to take */
	target->fd = target->links_fd = target->own_fd = -EBADF;
	return remove_temporary(target);
}

void keep_target_done(struct keep_target *target)
{
	cleanup_close(&target->fd);
	cleanup_close(&target->links_fd);
	cleanup_close(&target->own_fd);
	cleanup_close(&target->parent_fd);
	free(target->name);
	free(target->temporary);
	*target = (struct keep_target)KEEP_TARGET_NONE;
}
