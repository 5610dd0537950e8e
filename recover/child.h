/*
 * Running other programs (CNI plugins, shims) without trusting them: bounded in
 * time, in a process group of their own that is killed as a whole, with nothing
 * of ours but standard input, output and error, and an environment of the
 * caller's making.
 */
#ifndef RECOVER_CHILD_H
#define RECOVER_CHILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid;
	int pidfd;
	int output;	  /* standard output and error, kept in memory, cut when full */
	int64_t deadline; /* CLOCK_MONOTONIC in milliseconds */
	int result;	  /* once ended: 0, -ETIMEDOUT if killed for it, -EREMOTEIO if it failed */
};

struct child_options {
	const char *path;
	char *const *argv;
	char *const *envp;
	const char *directory; /* to start in, NULL: "/" */
	const void *input;     /* for standard input; may be NULL */
	size_t input_size;
	int input_fd; /* for standard input instead, if it is above 0; stays the caller's */
	unsigned msec; /* bound on its life */
};

/* Start it. Returns 0 with @ret to end with child_done(), or a negative errno. */
int child_start(const struct child_options *options, struct child *ret);

/*
 * Wait until one of the @count children has ended; those with a pid of 0 are
 * not looked at. One that is past its deadline is killed, with its group.
 *
 * Returns its index, with its pid set to 0 and its result set, or a negative
 * errno; -ECHILD if none is running.
 */
ssize_t child_wait(struct child *children, size_t count);

/* What it printed, cut to something sensible. Returns 0 with @ret the caller's. */
int child_output(const struct child *child, char **ret);

/* Kills what still runs. */
void child_done(struct child *child);

#endif
