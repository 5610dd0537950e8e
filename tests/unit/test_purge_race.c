/* The tree changes under the purge, the purge is killed, or there are two. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "recover/purge/purge.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/tap.h"

enum {
	SWAPS = 10000,
	OUTSIDE_FILES = 20,
	KILLS = 50,
	KILLED_DIRS = 2000,
	KILLED_FILES = 99, /* in each: 200,000 entries */
};

static const char *base;
static int tmp = -EBADF;

static int make_dir(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool make_files(int fd, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		char name[32];
		int file;

		(void)snprintf(name, sizeof(name), "file-%u", i);
		file = openat(fd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		if (file < 0)
			return false;
		(void)close(file);
	}
	return true;
}

static unsigned count_entries(int fd)
{
	cleanup_dir DIR *stream = NULL;
	unsigned count = 0;

	if (dir_stream(fd, &stream) < 0)
		return 0;
	while (dir_next(stream, NULL, NULL) > 0)
		count++;
	return count;
}

static int purge(int fd, struct purge_progress *ret)
{
	struct purge_options options = { .urgent = true };

	return purge_tree(fd, &options, ret);
}

/* Purges the same tree again and again until told to end. */
struct again {
	int fd;
	atomic_bool end;
	atomic_uint rounds;
};

static void *purge_again(void *data)
{
	struct again *again = data;
	struct purge_progress p;

	while (!again->end) {
		struct purge_options options = { .urgent = true, .max_workers = 2 };

		(void)purge_tree(again->fd, &options, &p); /* what is left is the test's */
		again->rounds++;
	}
	return NULL;
}

/* A link to, or a mount of, what is outside takes the place of a directory. */
static void swap_link(int tree)
{
	if (symlinkat("../outside", tree, "link") == 0 || errno == EEXIST)
		(void)renameat2(tree, "link", tree, "victim", RENAME_EXCHANGE);
}

static void swap_mount(void)
{
	char from[256], on[256];

	(void)snprintf(from, sizeof(from), "%s/outside", base);
	(void)snprintf(on, sizeof(on), "%s/race/victim/sub", base);
	if (mount(from, on, NULL, MS_BIND, NULL) == 0)
		(void)umount2(on, MNT_DETACH);
}

static void test_swapped_directories_lead_nowhere(void)
{
	cleanup_fd int outside = make_dir(tmp, "outside"), tree = make_dir(tmp, "race");
	struct again again = { .fd = tree };
	pthread_t thread;

	CHECK(make_files(outside, OUTSIDE_FILES));
	if (!CHECK_EQ(pthread_create(&thread, NULL, purge_again, &again), 0))
		return;
	for (int i = 0; i < SWAPS; i++) {
		int victim = make_dir(tree, "victim");

		if (victim >= 0) {
			(void)close(make_dir(victim, "sub"));
			(void)make_files(victim, 3);
			(void)close(victim);
		}
		if (i % 2)
			swap_link(tree);
		else
			swap_mount();
	}
	again.end = true;
	(void)pthread_join(thread, NULL);
	CHECK(again.rounds > 10);
	CHECK_EQ(count_entries(outside), OUTSIDE_FILES);
}

static void test_two_at_once_share_the_work(void)
{
	cleanup_fd int fd = make_dir(tmp, "two");
	struct again again = { .fd = fd };
	struct purge_progress p;
	pthread_t thread;

	for (unsigned i = 0; i < 300; i++) {
		char name[32];
		cleanup_fd int sub = -EBADF;

		(void)snprintf(name, sizeof(name), "dir-%u", i);
		sub = make_dir(fd, name);
		CHECK(make_files(sub, 30));
	}
	if (!CHECK_EQ(pthread_create(&thread, NULL, purge_again, &again), 0))
		return;
	CHECK_EQ(purge(fd, &p), 0);
	CHECK_EQ(p.left, 0);
	again.end = true;
	(void)pthread_join(thread, NULL);
	CHECK_EQ(dir_is_empty(fd), 1);
}

/* Somebody still writes: it ends, and says so. */
static void test_directory_that_is_filled_meanwhile(void)
{
	cleanup_fd int fd = make_dir(tmp, "filled"), sub = make_dir(fd, "sub");
	struct again again = { .fd = fd };
	pthread_t thread;
	struct stat st;

	if (!CHECK_EQ(pthread_create(&thread, NULL, purge_again, &again), 0))
		return;
	/* Until it has ended twice, however late its thread came to run. */
	for (int i = 0; i < 5000 || (again.rounds < 2 && i < 1000000); i++)
		(void)make_files(sub, 1);
	again.end = true;
	(void)pthread_join(thread, NULL);
	CHECK(again.rounds > 1);
	CHECK_EQ(fstat(sub, &st), 0);
}

static void pause_usec(unsigned usec)
{
	struct timespec time = { .tv_nsec = usec * 1000L };

	(void)nanosleep(&time, NULL);
}

static unsigned kill_one(int fd, unsigned usec)
{
	pid_t pid = fork();
	int status = 0;

	if (pid == 0) {
		struct purge_options options = { .urgent = true, .max_rate = 10000 };
		struct purge_progress p;

		_exit(purge_tree(fd, &options, &p) != 0);
	}
	pause_usec(usec);
	CHECK_EQ(kill(pid, SIGKILL), 0);
	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status);
}

static void test_killed_50_times_the_rest_is_finished(void)
{
	cleanup_fd int beside = make_dir(tmp, "beside"), fd = make_dir(tmp, "killed");
	struct purge_progress p;
	unsigned killed = 0;

	CHECK(make_files(beside, OUTSIDE_FILES));
	for (unsigned i = 0; i < KILLED_DIRS; i++) {
		char name[32];
		cleanup_fd int sub = -EBADF;

		(void)snprintf(name, sizeof(name), "dir-%u", i);
		sub = make_dir(fd, name);
		if (!CHECK(make_files(sub, KILLED_FILES)))
			return;
	}
	for (unsigned i = 0; i < KILLS; i++)
		killed += kill_one(fd, 2000 + i * 1500);
	CHECK_EQ(killed, KILLS);
	CHECK_EQ(purge(fd, &p), 0);
	CHECK(p.entries > 0 && p.entries < 200000);
	CHECK_EQ(dir_is_empty(fd), 1);
	CHECK_EQ(count_entries(beside), OUTSIDE_FILES);
}

int main(void)
{
	tap_private_mounts();
	base = tap_tmpdir(NULL);
	if (mount("none", base, "tmpfs", 0, "nr_inodes=0") < 0) {
		printf("Bail out! cannot mount a tmpfs\n");
		return 1;
	}
	tmp = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_swapped_directories_lead_nowhere);
	RUN(test_two_at_once_share_the_work);
	RUN(test_directory_that_is_filled_meanwhile);
	RUN(test_killed_50_times_the_rest_is_finished);
	(void)close(tmp);
	(void)umount2(base, MNT_DETACH); /* else it goes with the namespace */
	return tap_done();
}
