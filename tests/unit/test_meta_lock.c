#include "recover/meta_lock.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "tests/unit/tap.h"

static int place;

struct holder {
	const char *name;  /* of the process */
	unsigned msec;	   /* until it lets go; 0: never */
	bool hands_it_on;  /* to a child, and ends */
};

static void hold(const struct holder *how, int ready_fd)
{
	int fd = openat(place, "meta.db", O_RDONLY | O_CLOEXEC);

	(void)prctl(PR_SET_NAME, how->name);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		_exit(1);
	if (how->hands_it_on && fork() != 0)
		_exit(0);
	(void)!write(ready_fd, "", 1);
	for (unsigned i = 0; !how->msec || i < how->msec; i++)
		(void)usleep(1000);
	_exit(0);
}

/* Returns the process that took the lock. */
static pid_t start(const struct holder *how)
{
	int ends[2];
	pid_t pid;
	char byte;

	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		exit(1);
	if (pid == 0)
		hold(how, ends[1]);
	(void)close(ends[1]);
	if (how->hands_it_on)
		(void)waitpid(pid, NULL, 0);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	(void)close(ends[0]);
	return pid;
}

static void end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

static enum facts_lock take(const char *unit, pid_t *ret_pid)
{
	struct meta_lock lock = { .pid = 12345 };

	meta_lock_take(place, "meta.db", unit, &lock);
	CHECK_EQ(lock.fd >= 0, lock.state == LOCK_FREE);
	if (lock.fd >= 0)
		(void)close(lock.fd);
	*ret_pid = lock.pid;
	return lock.state;
}

static void test_free(void)
{
	struct meta_lock lock, second;
	pid_t pid;

	meta_lock_take(place, "meta.db", NULL, &lock);
	CHECK_EQ(lock.state, LOCK_FREE);
	CHECK_EQ(lock.pid, 0);
	meta_lock_take(place, "meta.db", NULL, &second);
	CHECK_EQ(second.state, LOCK_BY_OTHER);
	CHECK_EQ(second.fd, -EBADF);
	CHECK_EQ(second.pid, getpid());
	(void)close(lock.fd);
	CHECK_EQ(take(NULL, &pid), LOCK_FREE);
}

static void test_nothing_to_lock(void)
{
	struct meta_lock lock;

	meta_lock_take(place, "none.db", NULL, &lock);
	CHECK_EQ(lock.state, LOCK_NO_FILE);
	CHECK(symlinkat("meta.db", place, "link.db") == 0);
	meta_lock_take(place, "link.db", NULL, &lock);
	CHECK_EQ(lock.state, LOCK_NO_FILE);
	CHECK_EQ(lock.fd, -EBADF);
	CHECK(mkfifoat(place, "pipe.db", 0600) == 0);
	meta_lock_take(place, "pipe.db", NULL, &lock);
	CHECK_EQ(lock.state, LOCK_NO_FILE);
	CHECK_EQ(lock.fd, -EBADF);
	CHECK(mkdirat(place, "dir.db", 0700) == 0);
	meta_lock_take(place, "dir.db", NULL, &lock);
	CHECK_EQ(lock.state, LOCK_NO_FILE);
	CHECK_EQ(lock.fd, -EBADF);
}

static void test_held(void)
{
	const struct holder stays = { .name = "stranger" };
	pid_t pid, holder = start(&stays);

	CHECK_EQ(take(NULL, &pid), LOCK_BY_OTHER);
	CHECK_EQ(pid, holder);
	CHECK_EQ(take("containerd.service", &pid), LOCK_BY_OTHER);
	end(holder);
	CHECK_EQ(take(NULL, &pid), LOCK_FREE);
}

/* The process that the kernel names is no more: a moment's patience, not for ever. */
static void test_holder_is_gone(void)
{
	const struct holder soon = { .name = "stranger", .msec = 50, .hands_it_on = true };
	const struct holder late = { .name = "stranger", .msec = 1500, .hands_it_on = true };
	pid_t pid;

	start(&soon);
	CHECK_EQ(take("containerd.service", &pid), LOCK_FREE);
	start(&late);
	CHECK_EQ(take("containerd.service", &pid), LOCK_BY_OTHER);
}

/* A look of our own ends soon; who does not end is reported like any other. */
static void test_ours(void)
{
	const struct holder look = { .name = "containerd-recover", .msec = 600 };
	const struct holder stays = { .name = "containerd-recover" };
	pid_t pid, holder = start(&look);

	CHECK_EQ(take("containerd.service", &pid), LOCK_FREE);
	end(holder);
	holder = start(&stays);
	CHECK_EQ(take("containerd.service", &pid), LOCK_BY_OTHER);
	CHECK_EQ(pid, holder);
	end(holder);
}

int main(void)
{
	cleanup_fd int fd = -EBADF;

	place = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(place, "meta.db", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (place < 0 || fd < 0)
		return 1;
	RUN(test_free);
	RUN(test_nothing_to_lock);
	RUN(test_held);
	RUN(test_ours);
	RUN(test_holder_is_gone);
	(void)close(place);
	return tap_done();
}
