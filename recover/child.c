#include "recover/child.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/log.h"
#include "scanners/cleanup.h"
#include "scanners/clock.h"

enum {
	OUTPUT_MAX = 16 * 1024,
	LAST_MSEC = 2000, /* for SIGKILL to take effect; stuck in the kernel, it is left behind */
};

static int make_input(const void *input, size_t size)
{
	cleanup_fd int fd = memfd_create("input", MFD_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = file_write_all(fd, input, size);
	if (r < 0)
		return r;
	return lseek(fd, 0, SEEK_SET) < 0 ? -errno : take_fd(&fd);
}

/* A file that cannot grow: a program gone wild fills this and no more. */
static int make_output(void)
{
	cleanup_fd int fd = memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, OUTPUT_MAX) < 0 ||
	    fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;
	return take_fd(&fd);
}

static int spawn(const struct child_options *options, int input, int output, pid_t *ret)
{
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attributes;
	sigset_t none, all;
	int r;

	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	r = posix_spawn_file_actions_init(&actions);
	if (r != 0)
		return -r;
	r = posix_spawnattr_init(&attributes);
	if (r != 0) {
		(void)posix_spawn_file_actions_destroy(&actions);
		return -r;
	}
	/* 0 to 2 are what dup2 makes of ours; closefrom takes what a library left open. */
	if ((r = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)) == 0 &&
	    (r = posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO)) == 0 &&
	    (r = posix_spawn_file_actions_adddup2(&actions, output, STDERR_FILENO)) == 0 &&
	    (r = posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1)) == 0 &&
	    (r = posix_spawn_file_actions_addchdir_np(
		     &actions, options->directory ? options->directory : "/")) == 0 &&
	    (r = posix_spawnattr_setsigmask(&attributes, &none)) == 0 &&
	    (r = posix_spawnattr_setsigdefault(&attributes, &all)) == 0 &&
	    (r = posix_spawnattr_setpgroup(&attributes, 0)) == 0 &&
	    (r = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP |
							       POSIX_SPAWN_SETSIGMASK |
							       POSIX_SPAWN_SETSIGDEF)) == 0)
		r = posix_spawn(ret, options->path, &actions, &attributes, options->argv,
				options->envp);
	(void)posix_spawnattr_destroy(&attributes);
	(void)posix_spawn_file_actions_destroy(&actions);
	return -r;
}

int child_start(const struct child_options *options, struct child *ret)
{
	cleanup_fd int input = options->input_fd > 0
				       ? fcntl(options->input_fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1)
				       : make_input(options->input ? options->input : "",
						    options->input_size);
	cleanup_fd int output = make_output();
	struct child child = { .deadline = clock_msec() + options->msec };
	int r;

	if (input < 0 || output < 0)
		return input < 0 ? input : output;
	r = spawn(options, input, output, &child.pid);
	if (r < 0)
		return r;
	child.pidfd = pidfd_open(child.pid, 0);
	child.output = take_fd(&output);
	if (child.pidfd < 0) {
		r = -errno;
		child_done(&child);
		return r;
	}
	log_debug("%s started as process %d, for at most %u ms", options->path, child.pid, options->msec);
	*ret = child;
	return 0;
}

/* Not reaped yet, so neither its pid nor its group can be another's. */
static void kill_group(const struct child *child)
{
	(void)kill(-child->pid, SIGKILL); /* all may have ended this instant */
}

static void reap(struct child *child)
{
	int status = 0;

	/* What it forked and left behind ends with it. */
	kill_group(child);
	while (waitpid(child->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (child->result == 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == 0))
		child->result = -EREMOTEIO;
	log_debug("process %d ended %s", child->pid, child->result == 0 ? "well" : "badly, or was late");
	child->pid = 0;
	cleanup_close(&child->pidfd);
}

/* Kill what is past its deadline, give up what does not even die. */
static bool is_over(struct child *child, int64_t now)
{
	if (now < child->deadline)
		return false;
	if (child->result == 0) {
		child->result = -ETIMEDOUT;
		child->deadline = now + LAST_MSEC;
		kill_group(child);
		return false;
	}
	child->pid = 0; /* PID 1 reaps it one day */
	cleanup_close(&child->pidfd);
	return true;
}

ssize_t child_wait(struct child *children, size_t count)
{
	cleanup_free struct pollfd *fds = calloc(count + 1, sizeof(*fds));

	if (!fds)
		return -ENOMEM;
	for (;;) {
		int64_t next = INT64_MAX, now = clock_msec();

		for (size_t i = 0; i < count; i++) {
			struct child *child = &children[i];

			fds[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
			if (!child->pid)
				continue;
			if (is_over(child, now))
				return (ssize_t)i;
			fds[i].fd = child->pidfd;
			if (child->deadline < next)
				next = child->deadline;
		}
		if (next == INT64_MAX)
			return -ECHILD;
		if (poll(fds, count, (int)(next - now)) < 0 && errno != EINTR)
			return -errno;
		for (size_t i = 0; i < count; i++)
			if (fds[i].fd >= 0 && fds[i].revents) {
				reap(&children[i]);
				return (ssize_t)i;
			}
	}
}

int child_output(const struct child *child, char **ret)
{
	cleanup_free char *text = calloc(1, OUTPUT_MAX + 1);
	ssize_t n;

	if (!text)
		return -ENOMEM;
	n = pread(child->output, text, OUTPUT_MAX, 0);
	if (n < 0)
		return -errno;
	*ret = take_ptr(text);
	return 0;
}

void child_done(struct child *child)
{
	if (child->pid)
		reap(child);
	if (child->output > 0)
		cleanup_close(&child->output);
	*child = (struct child){ 0 };
}
