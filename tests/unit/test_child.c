#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "recover/child.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/process.h"
#include "tests/unit/tap.h"

static int start(const char *script, const char *input, unsigned msec, struct child *ret)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)script, NULL };
	char *envp[] = { (char *)"PATH=/usr/bin:/bin", (char *)"WORD=kept", NULL };

	return child_start(&(struct child_options){
		.path = "/bin/sh", .argv = argv, .envp = envp,
		.input = input, .input_size = input ? strlen(input) : 0, .msec = msec,
	}, ret);
}

static void expect(const char *script, const char *input, int result, const char *output)
{
	cleanup_free char *got = NULL;
	struct child child;

	if (!CHECK_EQ(start(script, input, 5000, &child), 0))
		return;
	CHECK_EQ(child_wait(&child, 1), 0);
	CHECK_EQ(child.result, result);
	CHECK_EQ(child_output(&child, &got), 0);
	CHECK_STR(got, output);
	child_done(&child);
}

/* Gone, or a zombie that whoever adopted it has yet to reap. */
static bool ends(const char *pid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%ld/stat", strtol(pid, NULL, 10));
	for (int i = 0; i < 200; i++, usleep(5000)) {
		cleanup_free char *text = NULL;
		struct process_entry entry;

		if (dir_read_path(path, 4096, &text, NULL) < 0 ||
		    (process_parse_stat(text, &entry) == 0 && entry.zombie))
			return true;
	}
	return false;
}

static void test_input_output_and_status(void)
{
	expect("cat; echo err >&2", "in ", 0, "in err\n");
	expect("exit 3", NULL, -EREMOTEIO, "");
	expect("kill -9 $$", NULL, -EREMOTEIO, "");
	expect("pwd; echo $WORD $HOME", NULL, 0, "/\nkept\n");
}

static void test_nothing_of_ours_is_inherited(void)
{
	int leaked = dup(STDIN_FILENO); /* without O_CLOEXEC, as a library would */

	CHECK(leaked > STDERR_FILENO);
	/* ls itself opens the directory it lists. */
	expect("ls /proc/self/fd | wc -l", NULL, 0, "4\n");
	close(leaked);
}

static void test_output_is_bounded(void)
{
	cleanup_free char *got = NULL;
	struct child child;

	CHECK_EQ(start("head -c 10000000 /dev/zero | tr '\\0' x; true", NULL, 5000, &child), 0);
	CHECK_EQ(child_wait(&child, 1), 0);
	CHECK_EQ(child_output(&child, &got), 0);
	CHECK(strlen(got) > 1000 && strlen(got) < 100000);
	child_done(&child);
}

static long msec_since(const struct timespec *begin)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (now.tv_sec - begin->tv_sec) * 1000 + (now.tv_nsec - begin->tv_nsec) / 1000000;
}

/* The group goes, not the leader alone; and a neighbour's longer bound stays its own. */
static void test_timeout_kills_the_whole_group(void)
{
	struct child children[3] = { 0 };
	struct timespec begin;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	CHECK_EQ(start("trap '' TERM; sleep 1000 & echo $!; wait", NULL, 200, &children[0]), 0);
	CHECK_EQ(start("sleep 0.4; echo fine", NULL, 5000, &children[2]), 0);
	CHECK_EQ(child_wait(children, 3), 0);
	CHECK_EQ(children[0].result, -ETIMEDOUT);
	CHECK(msec_since(&begin) < 2000);
	{
		cleanup_free char *pid = NULL;

		CHECK_EQ(child_output(&children[0], &pid), 0);
		CHECK(ends(pid));
	}
	CHECK_EQ(child_wait(children, 3), 2);
	CHECK_EQ(children[2].result, 0);
	CHECK_EQ(child_wait(children, 3), -ECHILD);
	child_done(&children[0]);
	child_done(&children[2]);
	CHECK_EQ(waitpid(-1, NULL, WNOHANG), -1);
}

static void test_orphans_end_with_their_leader(void)
{
	cleanup_free char *pid = NULL;
	struct child child;

	CHECK_EQ(start("sleep 1000 & echo $!", NULL, 5000, &child), 0);
	CHECK_EQ(child_wait(&child, 1), 0);
	CHECK_EQ(child.result, 0);
	CHECK_EQ(child_output(&child, &pid), 0);
	CHECK(ends(pid));
	child_done(&child);
}

static void test_what_cannot_start(void)
{
	char *argv[] = { (char *)"x", NULL }, *envp[] = { NULL };
	struct child child = { 0 };

	CHECK_EQ(child_start(&(struct child_options){
		.path = "/nonexistent", .argv = argv, .envp = envp, .msec = 10 }, &child), -ENOENT);
	CHECK_EQ(child_start(&(struct child_options){
		.path = "/bin/true", .argv = argv, .envp = envp, .msec = 10,
		.directory = "/nonexistent" }, &child), -ENOENT);
	CHECK_EQ(child.pid, 0);
}

int main(void)
{
	RUN(test_input_output_and_status);
	RUN(test_nothing_of_ours_is_inherited);
	RUN(test_output_is_bounded);
	RUN(test_timeout_kills_the_whole_group);
	RUN(test_orphans_end_with_their_leader);
	RUN(test_what_cannot_start);
	return tap_done();
}
