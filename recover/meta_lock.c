#include "recover/meta_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/lock_holder.h"

enum {
	PAUSE_MSEC = 10,
	GONE_MSEC = 200,  /* for a holder that cannot be seen, or is gone */
	OURS_MSEC = 3000, /* for a look of ours, which takes no longer */
};

bool meta_lock_is_ours(pid_t pid)
{
	char name[PROCESS_NAME];

	lock_holder_name(pid, name);
	return strcmp(name, "containerd-reco") == 0; /* the kernel cuts it */
}

/* Fills in who holds it. Returns for how many ms that is worth waiting for. */
static unsigned name_holder(int fd, const char *unit, struct meta_lock *lock)
{
	int in_unit;

	lock->state = LOCK_BY_OTHER;
	lock->pid = 0;
	if (lock_holder(fd, &lock->pid) <= 0)
		return GONE_MSEC;
	in_unit = lock_holder_in_unit(lock->pid, unit ?: "none.service");
	if (in_unit > 0)
		lock->state = LOCK_BY_UNIT;
	if (meta_lock_is_ours(lock->pid))
		return OURS_MSEC;
	return in_unit < 0 ? GONE_MSEC : 0;
}

void meta_lock_take(int dirfd, const char *name, const char *unit, struct meta_lock *ret)
{
	const struct timespec pause = { .tv_nsec = PAUSE_MSEC * 1000000 };
	struct meta_lock lock = { .state = LOCK_UNKNOWN };
	cleanup_fd int fd = -EBADF;
	struct stat st;

	*ret = (struct meta_lock){ .fd = -EBADF, .state = LOCK_UNKNOWN };
	/* Opening anything else could have effects of its own, and bbolt has no use for it. */
	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(st.st_mode)) {
		ret->state = LOCK_NO_FILE;
		return;
	}
	fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0) {
		ret->state = errno == ENOENT || errno == ELOOP ? LOCK_NO_FILE : LOCK_UNKNOWN;
		return;
	}
	/* A look of ours that has ended is a holder that is gone: that moment counts anew. */
	for (unsigned waited = 0, all = 0, last = 0; flock(fd, LOCK_EX | LOCK_NB) < 0;
	     waited += PAUSE_MSEC, all += PAUSE_MSEC) {
		unsigned patience;

		if (errno != EWOULDBLOCK)
			return;
		patience = name_holder(fd, unit, &lock);
		if (patience != last)
			waited = 0;
		last = patience;
		if (patience <= waited || all > OURS_MSEC + GONE_MSEC) {
			*ret = lock;
			ret->fd = -EBADF;
			return;
		}
		(void)nanosleep(&pause, NULL);
	}
	*ret = (struct meta_lock){ .fd = take_fd(&fd), .state = LOCK_FREE };
}
