/* Control groups of containers that ended: which are removed, and when. */
#include "recover/cgroup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "tests/unit/fault.h"
#include "tests/unit/processes.h"
#include "tests/unit/tap.h"
#include "tests/unit/world.h"

#define ID(c) c c c c c c c c c c c c c c c c
#define POD ID("aaa1")
#define OTHER ID("bbb2")

static void test_systemd_scopes(void)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "system.slice:cri-containerd:x", "/system.slice/cri-containerd-x.scope" },
		{ "kubepods-burstable-pod1.slice:cri-containerd:x",
		  "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice/cri-containerd-x.scope" },
		{ "-.slice:p:x", "/p-x.scope" },
		{ ":p:x", "/p-x.scope" },
		{ "a:b", NULL },
		{ "a:b:c:d", NULL },
		{ "../x:p:y", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *path = NULL;

		CHECK_EQ(cgroup_systemd_path(cases[i].text, &path), cases[i].want ? 0 : -EINVAL);
		CHECK_STR(path, cases[i].want);
	}
}

static void test_groups_go_with_their_children(void)
{
	const char *root = world_has("/sys/fs/cgroup/cgroup.procs") ? "" : "/unified";
	char path[512];

	(void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/recover-test-sweep/%s", root, POD);
	CHECK_EQ(tap_shell("mkdir -p %s/nested/deeper", path), 0);
	/* Not this container's: the name must be the id. */
	CHECK_EQ(cgroup_remove(path, OTHER), 0);
	CHECK(world_has(path));
	CHECK_EQ(cgroup_remove("/recover-test-sweep/" POD, POD), 0);
	CHECK(!world_has(path));
	/* A colon in a path makes it no name of systemd's. */
	CHECK_EQ(cgroup_remove("/recover-test-sweep/a:b/" POD, POD), 0);
	*strrchr(path, '/') = '\0';
	CHECK_EQ(cgroup_remove(path, POD), 0);
	CHECK(world_has(path));
	CHECK_EQ(rmdir(path), 0);
}

/* What died is seen a moment later to have left; what lives keeps its group. */
static void test_a_group_that_is_not_empty(void)
{
	const char *root = world_has("/sys/fs/cgroup/cgroup.procs") ? "" : "/unified";
	char path[512];
	int ready;
	pid_t pid;

	(void)snprintf(path, sizeof(path), "/sys/fs/cgroup%s/recover-test-busy/%s", root, POD);
	CHECK_EQ(tap_shell("mkdir -p %s", path), 0);
	pid = fork_until_ready(&ready);
	if (pid == 0) {
		(void)close(ready);
		for (;;)
			(void)pause();
	}
	CHECK_EQ(tap_shell("echo %d >%s/cgroup.procs", pid, path), 0);
	CHECK_EQ(cgroup_remove("/recover-test-busy/" POD, POD), -EBUSY);
	CHECK(world_has(path));
	CHECK_EQ(ended_by(pid), 0);
	fault_arm("unlinkat", 1, EBUSY);
	CHECK_EQ(cgroup_remove("/recover-test-busy/" POD, POD), 0);
	CHECK(fault_fired());
	CHECK(!world_has(path));
	/* Anything else is no matter of moments. */
	CHECK_EQ(tap_shell("mkdir %s", path), 0);
	fault_arm("unlinkat", 1, EROFS);
	CHECK_EQ(cgroup_remove("/recover-test-busy/" POD, POD), -EROFS);
	CHECK(fault_fired());
	CHECK_EQ(cgroup_remove("/recover-test-busy/" POD, POD), 0);
	*strrchr(path, '/') = '\0';
	CHECK_EQ(rmdir(path), 0);
}

int main(void)
{
	if (geteuid() != 0) {
		printf("1..0 # SKIP needs root\n");
		return 0;
	}
	RUN(test_systemd_scopes);
	RUN(test_groups_go_with_their_children);
	RUN(test_a_group_that_is_not_empty);
	return tap_done();
}
