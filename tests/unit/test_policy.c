#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/policy.h"
#include "scanners/cleanup.h"
#include "tests/unit/tap.h"

static void test_defaults_lie_within_their_bounds(void)
{
	for (unsigned i = 0; i < policy_key_count; i++) {
		const struct policy_key *key = &policy_keys[i];

		CHECK(key->fallback >= key->min && key->fallback <= key->max);
	}
}

static void test_values_and_units(void)
{
	cleanup_free char *problem = NULL;
	struct policy policy;

	policy_init(&policy);
	CHECK_EQ(policy_parse("[quarantine]\ngrace = 2h\nautomatic = no\nmin_free_space = 1G\n"
			      "[clear]\nterm_grace=500ms\n", "x", &policy, &problem), 0);
	CHECK_EQ(policy.grace_sec, 7200);
	CHECK_EQ(policy.automatic, false);
	CHECK_EQ(policy.min_free_bytes, 1 << 30);
	CHECK_EQ(policy.term_grace_msec, 500);
	CHECK_EQ(policy.failures, 3);
	CHECK_STR(policy.keep_pods, "");
	CHECK_EQ(policy_parse("[keep]\npods = ci/* default/db-0\n", "x", &policy, &problem), 0);
	CHECK_STR(policy.keep_pods, "ci/* default/db-0");
	CHECK_EQ(policy_parse("  [quarantine]\n\tgrace = 3h ; longer\n  # all night\n\tcooldown = 1h\r\n", "x",
			      &policy, &problem), 0);
	CHECK_EQ(policy.grace_sec, 3 * 3600);
	CHECK_EQ(policy.cooldown_sec, 3600);
	CHECK_EQ(policy_parse("[keep]\npods =\n", "x", &policy, &problem), 0);
	CHECK_STR(policy.keep_pods, "");
}

/* A loss of power leaves files of zeros; "no" must not turn into the default "yes". */
static void test_files_that_cannot_be_read(void)
{
	static const char damaged[] = "[quarantine]\nautomatic = yes\n\0\0\0\0";
	cleanup_fd int etc = open(tap_tmpdir(NULL), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *path = NULL, *problem = NULL, *second = NULL, *third = NULL;
	cleanup_free char *wanted = NULL;
	struct policy policy;

	CHECK(asprintf(&path, "/proc/self/fd/%d", etc) > 0);
	CHECK_EQ(policy_read(path, &policy, &problem), 0);
	CHECK(problem == NULL);
	CHECK_EQ(file_replace(etc, "containerd-recover.conf", damaged, sizeof(damaged) - 1, 0600), 0);
	CHECK_EQ(policy_read(path, &policy, &problem), -EINVAL);
	CHECK(asprintf(&wanted, "%s/containerd-recover.conf has a NUL byte at 29: it is damaged; write it anew",
		       path) > 0);
	CHECK_STR(problem, wanted);
	CHECK_EQ(unlinkat(etc, "containerd-recover.conf", 0), 0);
	CHECK_EQ(file_replace(etc, "containerd-recover.conf.d", "", 0, 0600), 0);
	CHECK_EQ(policy_read(path, &policy, &second), -ENOTDIR);
	if (CHECK(second != NULL))
		CHECK(strstr(second, "/containerd-recover.conf.d cannot be read: Not a directory") != NULL);
	CHECK_EQ(unlinkat(etc, "containerd-recover.conf.d", 0), 0);
	CHECK_EQ(symlinkat("/dev/null", etc, "containerd-recover.conf"), 0);
	CHECK_EQ(policy_read(path, &policy, &third), -ELOOP);
	if (CHECK(third != NULL))
		CHECK(strstr(third, "/containerd-recover.conf cannot be read: it is a link") != NULL);
}

static void refused(const char *text, const char *naming)
{
	cleanup_free char *problem = NULL;
	struct policy policy, before;

	policy_init(&policy);
	before = policy;
	CHECK_EQ(policy_parse(text, "file", &policy, &problem), -EINVAL);
	if (CHECK(problem != NULL))
		CHECK(strstr(problem, naming) != NULL);
	CHECK(memcmp(&policy, &before, sizeof(policy)) == 0);
}

static void test_what_is_not_understood_is_named_and_changes_nothing(void)
{
	refused("[quarantine]\ngrace = 15min\ngracee = 1\n", "file:3: [quarantine] has no key gracee");
	refused("[quarantin]\ngrace = 15min\n", "file:2: there is no section [quarantin]; see");
	refused("[quarantine]\nentries = 1000\n", "file:2: [quarantine] has no key entries, which is one of [bloat]");
	refused("grace = 15min\n", "file:1: 'grace' stands before the first [section]");
	refused("[crash-loop]\nwindow = 2d\n", "give 10 s to 86400 s");
	refused("[clear]\nterm_grace = 2min\n", "file:2");
	refused("[clear]\nterm_grace = 61s\n", "give 0 ms to 60000 ms");
	refused("[bloat]\nentries = 3\n", "give at least 1000");
	refused("nonsense\n[bloat]\nentires = 3\n", "file:1: neither");
	refused("[bloat]\nentires = 3\nnonsense\n", "file:2: [bloat] has no key entires");
	/* inih would take the second line alone, and a long one in parts. */
	refused("[keep]\npods = a/b\n  c/d\n", "file:3: neither");
	refused("[keep]\npods = a/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb "
		"a/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb "
		"a/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\n", "file:2: the line is too long");
	refused("[quarantine]\ngrace = soon\n", "15min");
	refused("[crash-loop]\nfailures = 1\n", "out of range");
	refused("[crash-loop]\nfailures = 99999999999999999999999\n", "out of range");
	refused("[crash-loop]\nfailures = -3\n", "whole number");
	refused("[crash-loop]\nfailures\n", "file:2");
	refused("[quarantine]\ncooldown = 99999999999999999d\n", "out of range");
	refused("[keep]\npods = default\n", "namespace/name");
}

static void test_dropins_come_after_the_file_in_order(void)
{
	const char *etc = tap_tmpdir(NULL);
	cleanup_fd int fd = open(etc, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int conf_d = -EBADF;
	cleanup_free char *problem = NULL;
	struct policy policy;

	CHECK_EQ(policy_read(etc, &policy, &problem), 0);
	CHECK_EQ(policy.grace_sec, 900);
	CHECK_EQ(mkdirat(fd, "containerd-recover.conf.d", 0755), 0);
	conf_d = openat(fd, "containerd-recover.conf.d", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(file_replace(fd, "containerd-recover.conf", "[quarantine]\ngrace=1s\n", 21, 0644), 0);
	CHECK_EQ(file_replace(conf_d, "20.conf", "[quarantine]\ngrace=3s\n", 21, 0644), 0);
	CHECK_EQ(file_replace(conf_d, "10.conf", "[quarantine]\ngrace=2s\n", 21, 0644), 0);
	CHECK_EQ(file_replace(conf_d, "30.txt", "[quarantine]\ngrace=4s\n", 21, 0644), 0);
	CHECK_EQ(policy_read(etc, &policy, &problem), 0);
	CHECK_EQ(policy.grace_sec, 3);
	CHECK_EQ(file_replace(conf_d, "40.conf", "nonsense", 8, 0644), 0);
	CHECK_EQ(policy_read(etc, &policy, &problem), -EINVAL);
	CHECK_EQ(policy.grace_sec, 900);
}

int main(void)
{
	RUN(test_defaults_lie_within_their_bounds);
	RUN(test_values_and_units);
	RUN(test_what_is_not_understood_is_named_and_changes_nothing);
	RUN(test_files_that_cannot_be_read);
	RUN(test_dropins_come_after_the_file_in_order);
	return tap_done();
}
