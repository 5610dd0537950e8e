/*
 * A small TAP harness, read by prove(1) and tests/run. A check that fails is
 * reported and the test goes on, so cleanup attributes always run.
 *
 *	int main(void)
 *	{
 *		RUN(test_one);
 *		return tap_done();
 *	}
 */
#ifndef TESTS_UNIT_TAP_H
#define TESTS_UNIT_TAP_H

#include <stdbool.h>
#include <stdio.h>

/* Record a check; returns @ok. Used through CHECK() and CHECK_EQ(). */
bool tap_check(bool ok, const char *file, int line, const char *text);
bool tap_check_int(long long got, long long want, const char *file, int line, const char *text);
bool tap_check_str(const char *got, const char *want, const char *file, int line,
		   const char *text);

/* Run one test function as one TAP line: ok if none of its checks failed. */
void tap_run(void (*test)(void), const char *name);

/* Mark the running test as skipped, with a reason. */
void tap_skip(const char *reason);

/* Print the plan; returns the exit status for main(). */
int tap_done(void);

/*
 * A new empty directory, removed with its content when the process ends. @base
 * is a directory or NULL for $TMPDIR. Returns its path (static storage of the
 * harness) or exits: there is no test without it.
 */
const char *tap_tmpdir(const char *base);

/*
 * A mount namespace of the test's own, nothing of which is seen elsewhere: mounts
 * of a test that died are gone with it, and their loop devices. Exits without one.
 */
void tap_private_mounts(void);

/*
 * From here on the kernel says ENOSYS to the system call @number, as an older one
 * or a sandbox does. Returns 0, or a negative errno.
 */
int tap_refuse(unsigned number);

/* system(3) of what is printed by @format. Returns its status, or -ENOMEM. */
__attribute__((format(printf, 1, 2))) int tap_shell(const char *format, ...);

#define CHECK(x) tap_check((x), __FILE__, __LINE__, #x)
#define CHECK_EQ(got, want) \
	tap_check_int((long long)(got), (long long)(want), __FILE__, __LINE__, #got " == " #want)
#define CHECK_STR(got, want) \
	tap_check_str((got), (want), __FILE__, __LINE__, #got " == " #want)
#define RUN(test) tap_run(test, #test)

#endif
