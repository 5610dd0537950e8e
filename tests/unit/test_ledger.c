#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/ledger.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"

#define BOOT "11111111-2222-3333-4444-555555555555"

static int tmp = -EBADF;
static struct policy policy;

static struct ledger_clock at(int64_t msec)
{
	struct ledger_clock clock = { .boot_id = BOOT, .boottime_msec = msec, .realtime_sec = 1 };

	return clock;
}

static struct ledger_summary summary_of(const char *text, int64_t now_msec)
{
	struct ledger_clock now = at(now_msec);
	struct ledger_summary s;

	ledger_summarise(text, strlen(text), &now, &policy, &s);
	return s;
}

static void test_three_failures_make_a_loop(void)
{
	const char *text = BOOT " 1000 1 attempt a\n" BOOT " 2000 1 stopped a exit-code exited 2\n"
			   BOOT " 3000 1 attempt b\n" BOOT " 4000 1 stopped b timeout exited 1\n"
			   BOOT " 5000 1 attempt c\n" BOOT " 6000 1 ready c\n"
			   BOOT " 7000 1 stopped c core-dump dumped ABRT\n" BOOT " 8000 1 attempt d\n";
	struct ledger_summary s = summary_of(text, 8000);

	CHECK_EQ(s.failures, 3);
	CHECK_EQ(s.timeouts, 1);
	CHECK_EQ(s.attempts, 4);
	CHECK(s.last_failed && s.in_start);
	CHECK_STR(s.last_result, "core-dump");
	CHECK_EQ(s.invocation_count, 3);
	CHECK_STR(s.invocations[0], "c");
	CHECK_STR(s.invocations[2], "a");
	s = summary_of(text, 2000 + 600 * 1000 + 1); /* the first one has aged out */
	CHECK_EQ(s.failures, 2);
}

static void test_operators_do_not_count(void)
{
	struct ledger_summary s;

	s = summary_of(BOOT " 1 1 attempt a\n" BOOT " 2 1 ready a\n"
		       BOOT " 3 1 stopped a signal killed KILL\n", 10);
	CHECK_EQ(s.failures, 0);
	CHECK(!s.last_failed);
	s = summary_of(BOOT " 1 1 attempt a\n" BOOT " 2 1 stopped a success exited 0\n", 10);
	CHECK_EQ(s.failures, 0);
	/* The same signal before READY is a start that failed. */
	s = summary_of(BOOT " 1 1 attempt a\n" BOOT " 3 1 stopped a signal killed KILL\n", 10);
	CHECK_EQ(s.failures, 1);
	CHECK(s.last_failed);
}

static void test_a_healthy_stretch_ends_a_loop(void)
{
	const char *two = BOOT " 1 1 attempt a\n" BOOT " 2 1 stopped a exit-code exited 2\n"
			  BOOT " 3 1 attempt b\n" BOOT " 4 1 stopped b exit-code exited 2\n"
			  BOOT " 5 1 attempt c\n" BOOT " 6 1 ready c\n";
	cleanup_free char *crashed = NULL;

	CHECK_EQ(summary_of(two, 60005).failures, 2);
	CHECK_EQ(summary_of(two, 60006).failures, 0);
	CHECK(asprintf(&crashed, "%s" BOOT " 60006 1 stopped c exit-code exited 2\n", two) > 0);
	CHECK_EQ(summary_of(crashed, 60007).failures, 0);
	CHECK(!summary_of(crashed, 60007).last_failed);
}

static void test_ready_without_cri_is_a_failed_start(void)
{
	const char *up = BOOT " 1 100 attempt a\n" BOOT " 2 100 ready a\n"
			 BOOT " 60000 160 unready a hung\n";
	cleanup_free char *stopped = NULL, *better = NULL, *other = NULL;
	struct ledger_summary s = summary_of(up, 70000); /* READY for longer than a healthy one */

	CHECK(s.up && s.last_failed);
	CHECK_STR(s.up_invocation, "a");
	CHECK_STR(s.unready, LEDGER_HUNG);
	CHECK_EQ(s.failures, 1);
	CHECK_EQ(s.failing_since_sec, 100); /* when that start began */
	CHECK_STR(s.invocations[0], "a");

	/* However it is stopped, it counts once. */
	CHECK(asprintf(&stopped, "%s" BOOT " 200000 300 stopped a timeout killed KILL\n"
			         BOOT " 200001 300 attempt b\n", up) > 0);
	s = summary_of(stopped, 200002);
	CHECK(!s.up && s.last_failed);
	CHECK_STR(s.unready, LEDGER_HUNG);
	CHECK_EQ(s.failures, 1);
	CHECK_EQ(s.timeouts, 0);
	CHECK_STR(s.last_result, "unready");

	/* And the next one has another fate. */
	CHECK(asprintf(&better, "%s" BOOT " 200003 300 ready b\n" BOOT " 300000 400 stopped b success exited 0\n",
		       stopped) > 0);
	s = summary_of(better, 300001);
	CHECK(!s.last_failed);
	CHECK_STR(s.unready, "");
	CHECK_EQ(s.failures, 0);
	CHECK_EQ(s.failing_since_sec, 0);

	/* Said of a start that is over. */
	CHECK(asprintf(&other, "%s" BOOT " 200003 300 ready b\n" BOOT " 200004 300 unready a degraded\n",
		       stopped) > 0);
	s = summary_of(other, 200005);
	CHECK_EQ(s.failures, 1);
	CHECK(s.up && s.last_failed); /* what that means is seen when this one has stood for a while */
	CHECK_STR(s.unready, "");
	CHECK_EQ(summary_of(BOOT " 1 1 attempt a\n" BOOT " 2 1 ready a\n" BOOT " 3 1 unready a\n", 4).malformed, 1);
}

static void test_other_boots_and_rubbish_are_skipped(void)
{
	struct ledger_summary s =
		summary_of("containerd-recover ledger 1\n"
			   "other-boot 1 1 stopped a exit-code exited 2\n"
			   BOOT " 99999999 1 stopped a exit-code exited 2\n" /* from the future */
			   BOOT " x 1 attempt a\n"
			   BOOT " 1 1 stopped a exit-code\n"
			   BOOT " 1 1 jumped a\n"
			   "\n"
			   BOOT " 2 1 stopped b exit-code exited 2\n"
			   BOOT " 3 1 stopped c exit-code exi", 10);

	CHECK_EQ(s.failures, 1);
	CHECK_EQ(s.malformed, 5);
}

static const struct ledger_entry failure = {
	.event = LEDGER_STOPPED, .invocation = "abc", .result = "exit-code", .code = "exited", .status = "2",
};

static struct ledger_summary read_back(const char *name)
{
	struct ledger_clock now = at(5000);
	struct ledger_summary s;

	CHECK_EQ(ledger_read(tmp, name, &now, &policy, &s), 0);
	return s;
}

static void test_append_and_read_back(void)
{
	struct ledger_clock now = at(1000);

	CHECK_EQ(ledger_append(tmp, "l", &now, &failure, true), 0);
	CHECK_EQ(ledger_append(tmp, "l", &now, &failure, false), 0);
	CHECK_EQ(read_back("l").failures, 2);
	CHECK_EQ(read_back("absent").failures, 0);
}

static void test_torn_and_foreign_ledgers(void)
{
	struct ledger_clock now = at(1000);
	cleanup_free char *text = NULL;

	CHECK_EQ(file_replace(tmp, "t", "containerd-recover ledger 1\nabc def", 35, 0600), 0);
	CHECK_EQ(ledger_append(tmp, "t", &now, &failure, true), 0);
	CHECK_EQ(read_back("t").failures, 1);
	CHECK_EQ(read_back("t").malformed, 1);

	CHECK_EQ(file_replace(tmp, "f", "somebody else's", 15, 0600), 0);
	CHECK_EQ(read_back("f").failures, 0);
	CHECK_EQ(ledger_append(tmp, "f", &now, &failure, true), 0);
	CHECK_EQ(read_back("f").failures, 1);
	CHECK_EQ(dir_read_file(tmp, "f.foreign", 100, &text, NULL), 0);
	CHECK_STR(text, "somebody else's");

	CHECK_EQ(symlinkat("/etc/passwd", tmp, "link"), 0);
	CHECK_EQ(read_back("link").failures, 0);
	CHECK_EQ(ledger_append(tmp, "link", &now, &failure, true), 0);
	CHECK_EQ(read_back("link").failures, 1);
}

static void test_it_stays_small_and_keeps_the_newest(void)
{
	struct ledger_clock now = at(1000);
	struct stat st;

	for (int i = 0; i < 2000; i++)
		CHECK_EQ(ledger_append(tmp, "big", &now, &failure, false), 0);
	CHECK_EQ(fstatat(tmp, "big", &st, 0), 0);
	CHECK(st.st_size < 80 * 1024);
	CHECK(read_back("big").failures > 300);
	CHECK_EQ(read_back("big").malformed, 0);
}

static void test_every_fault_leaves_a_readable_ledger(void)
{
	struct ledger_clock now = at(1000);

	CHECK_EQ(ledger_append(tmp, "n", &now, &failure, true), 0);
	for (int n = 1;; n++) {
		int r;

		fault_arm("any", n, ENOSPC);
		r = ledger_append(tmp, "n", &now, &failure, true);
		if (!fault_fired())
			break;
		CHECK(r < 0);
		CHECK(read_back("n").failures >= 1);
	}
}

int main(void)
{
	policy_init(&policy);
	tmp = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_three_failures_make_a_loop);
	RUN(test_operators_do_not_count);
	RUN(test_a_healthy_stretch_ends_a_loop);
	RUN(test_ready_without_cri_is_a_failed_start);
	RUN(test_other_boots_and_rubbish_are_skipped);
	RUN(test_append_and_read_back);
	RUN(test_torn_and_foreign_ledgers);
	RUN(test_it_stays_small_and_keeps_the_newest);
	RUN(test_every_fault_leaves_a_readable_ledger);
	return tap_done();
}
