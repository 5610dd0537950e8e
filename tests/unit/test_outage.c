/*
 * Who stopped containerd by hand, and whether he lives: at whatever instant he is
 * killed, and whoever comes behind him. With a /run of its own.
 */
#include "recover/outage.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/command.h"
#include "recover/file.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define UNIT "recover-test.service"
#define MARK RUN_PATH "/" UNIT ".stopped"

static bool is_marked(void)
{
	return access(MARK, F_OK) == 0;
}

static bool is_alive(void)
{
	json_auto_t *outage = outage_read(UNIT);

	return json_is_true(json_object_get(outage, "alive"));
}

static void end(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static int begin(void)
{
	return outage_begin(UNIT, "now");
}

static int forget(void)
{
	outage_forget(UNIT);
	return 0;
}

/* @act stops at the @n-th call that can be made to fail, or in the end; 0 of them are left. */
static pid_t stop_in(int (*act)(void), int n)
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		fault_arm("any", n, FAULT_STOP);
		if (act() < 0)
			_exit(1);
		if (!fault_fired())
			_exit(0);
		for (;;)
			(void)pause();
	}
	CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
	CHECK(WIFSTOPPED(status) || WEXITSTATUS(status) == 0);
	return WIFSTOPPED(status) ? pid : 0;
}

/* A guard that looks just then must not take him for one that was killed. */
static void test_a_run_is_never_seen_without_its_lock(void)
{
	pid_t pid;
	int n;

	for (n = 1; (pid = stop_in(begin, n)) > 0; n++) {
		CHECK(!is_marked() || is_alive());
		CHECK_EQ(kill(pid, SIGCONT), 0);
		for (int i = 0; i < 500 && !is_alive(); i++)
			(void)usleep(10000);
		CHECK(is_alive());
		end(pid);
		CHECK(is_marked() && !is_alive());
		outage_forget(UNIT);
		CHECK(!is_marked());
	}
	CHECK(n > 3);
	outage_forget(UNIT);
}

static void test_what_is_said_of_it(void)
{
	json_auto_t *outage = NULL;
	cleanup_free char *alive = NULL, *dead = NULL;
	int fd = outage_begin(UNIT, "restore");

	outage = outage_read(UNIT);
	CHECK_STR(json_string_value(json_object_get(outage, "command")), "restore");
	CHECK_EQ(json_integer_value(json_object_get(outage, "pid")), getpid());
	alive = outage_print(UNIT, outage);
	CHECK(alive && strstr(alive, "at work"));
	(void)close(fd);
	json_decref(outage);
	outage = outage_read(UNIT);
	dead = outage_print(UNIT, outage);
	CHECK(dead && strstr(dead, "was killed"));
	json_decref(outage);
	outage = outage_read("other.service");
	CHECK(!outage);
	CHECK_EQ(tap_shell("echo '{\"command\":\"now\",\"pid\":1}' >" MARK), 0);
	outage = outage_read(UNIT);
	CHECK(!outage);
	outage_forget(UNIT);
}

/* The preflight of somebody else's start, while we are at work. */
static void test_a_run_at_work_is_not_forgotten(void)
{
	int fd = outage_begin(UNIT, "now");

	outage_forget(UNIT);
	CHECK(is_alive());
	outage_end(UNIT, &fd);
	CHECK_EQ(fd, -EBADF);
	CHECK(!is_marked());
	/* One that could not be written down takes nobody else's away. */
	fd = outage_begin(UNIT, "now");
	outage_end(UNIT, &(int){ -EBADF });
	CHECK(is_alive());
	outage_end(UNIT, &fd);
}

/* The preflight judges the file of a run that was killed, and just then another begins. */
static void test_a_run_that_takes_its_place_is_not_forgotten(void)
{
	pid_t preflight, run;
	int n;

	(void)close(begin());
	for (n = 1; (preflight = stop_in(forget, n)) > 0; n++) {
		run = fork();
		if (run == 0) {
			if (begin() < 0)
				_exit(1);
			for (;;)
				(void)pause();
		}
		(void)usleep(50000);
		CHECK_EQ(kill(preflight, SIGCONT), 0);
		for (int i = 0; i < 500 && !is_alive(); i++)
			(void)usleep(10000);
		(void)usleep(50000);
		CHECK(is_alive());
		end(preflight);
		end(run);
		CHECK(is_marked());
	}
	CHECK(n > 3);
	CHECK(!is_marked());
}

static void test_no_mark_is_left_by_a_failure(void)
{
	for (int n = 1;; n++) {
		int fd;

		fault_arm("any", n, EIO);
		fd = outage_begin(UNIT, "now");
		if (!fault_fired()) {
			outage_end(UNIT, &fd);
			break;
		}
		CHECK(fd < 0);
		CHECK_EQ(tap_shell("test -z \"$(ls -A " RUN_PATH ")\""), 0);
	}
}

/* ---- whoever waits ---- */

static int result_of(pid_t pid)
{
	int status;

	CHECK_EQ(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Waits in a process of its own: the lock is not inherited from a test that has it. */
static pid_t wait_in_background(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		int r = outage_wait(UNIT);

		_exit(r < 0 ? 100 : r);
	}
	(void)usleep(100000);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	return pid;
}

static void test_one_that_ends_and_one_that_is_killed(void)
{
	static const int ends[] = { 0, 1 };

	CHECK_EQ(outage_wait(UNIT), 0);
	CHECK(rmdir(RUN_PATH) == 0);
	CHECK_EQ(outage_wait(UNIT), 0);
	for (size_t i = 0; i < ARRAY_SIZE(ends); i++) {
		int ready[2];
		pid_t run, guard;
		char byte;

		CHECK_EQ(pipe2(ready, O_CLOEXEC), 0);
		run = fork();
		if (run == 0) {
			int fd = outage_begin(UNIT, "now");

			(void)!write(ready[1], "", 1);
			(void)usleep(300000);
			if (ends[i] == 0)
				outage_end(UNIT, &fd);
			_exit(0);
		}
		CHECK_EQ(read(ready[0], &byte, 1), 1);
		guard = wait_in_background();
		CHECK_EQ(result_of(run), 0);
		CHECK_EQ(result_of(guard), ends[i]);
		CHECK_EQ(is_marked(), ends[i]);
		(void)close(ready[0]);
		(void)close(ready[1]);
	}
	outage_forget(UNIT);
}

/* A second run, whose file took the place of the first one's: it is waited for in turn. */
static void test_a_later_run_is_waited_for(void)
{
	int first = outage_begin(UNIT, "now"), second;
	pid_t guard = fork();

	if (guard == 0) {
		(void)close(first);
		_exit(outage_wait(UNIT));
	}
	(void)usleep(100000);
	second = outage_begin(UNIT, "now");
	CHECK(second >= 0);
	(void)close(first);
	(void)usleep(100000);
	CHECK_EQ(waitpid(guard, NULL, WNOHANG), 0);
	outage_end(UNIT, &second);
	CHECK_EQ(result_of(guard), 0);
}

/* There is no systemd here: what could not be started is not forgotten. */
static void test_the_guard_keeps_what_it_could_not_do(void)
{
	char *argv[] = { (char *)"guard", (char *)UNIT, NULL };
	int fd;

	CHECK_EQ(guard_command(2, argv), EXIT_OK);
	fd = outage_begin(UNIT, "now");
	(void)close(fd);
	CHECK_EQ(guard_command(2, argv), EXIT_FAILED);
	CHECK(is_marked());
	outage_forget(UNIT);
}

int main(void)
{
	tap_private_mounts();
	if (tap_shell("mount -t tmpfs none /run") != 0) {
		printf("Bail out! no /run of its own\n");
		return 1;
	}
	RUN(test_a_run_is_never_seen_without_its_lock);
	RUN(test_what_is_said_of_it);
	RUN(test_a_run_at_work_is_not_forgotten);
	RUN(test_a_run_that_takes_its_place_is_not_forgotten);
	RUN(test_no_mark_is_left_by_a_failure);
	RUN(test_one_that_ends_and_one_that_is_killed);
	RUN(test_a_later_run_is_waited_for);
	RUN(test_the_guard_keeps_what_it_could_not_do);
	return tap_done();
}
