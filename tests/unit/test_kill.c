/* An inventory may be old: whose pid and start time it has need not be what it says. */
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/kill.h"
#include "scanners/bundle.h"
#include "scanners/cleanup.h"
#include "tests/unit/processes.h"
#include "tests/unit/tap.h"

#define ID(c) c c c c c c c c c c c c c c c c
#define POD ID("aaa1")
#define OTHER ID("bbb2")
#define APP ID("caa3")
#define SOCKET "/run/none.sock"
#define RUNC BUNDLE_RUNC_ROOT "/k8s.io/" APP

/* A lost pod with one container, nothing of which runs. */
struct lost {
	struct container containers[1];
	struct sandbox sandbox;
	struct inventory inventory;
};

static void init(struct lost *lost)
{
	*lost = (struct lost){
		.containers = { { .ns = (char *)"k8s.io", .id = (char *)APP } },
		.sandbox = { .ns = (char *)"k8s.io", .id = (char *)POD, .container_count = 1 },
		.inventory = { .sandbox_count = 1, .complete = true },
	};
	lost->sandbox.containers = lost->containers;
	lost->inventory.sandboxes = &lost->sandbox;
}

static pid_t spawn_other(void)
{
	int ready;
	pid_t pid = fork_until_ready(&ready);

	if (pid > 0)
		return pid;
	(void)close(ready);
	for (;;)
		pause();
}

static size_t ended(struct lost *lost)
{
	struct kill_result result = { 0 };

	CHECK_EQ(kill_sandboxes(&lost->inventory, 50, &result), 0);
	CHECK_EQ(result.failed, 0);
	return result.shims + result.containers;
}

static void test_a_shim_is_what_its_command_line_says(void)
{
	static const struct {
		const char *ns, *id;
		bool is_its;
	} shims[] = {
		{ "k8s.io", POD, true }, { "k8s.io", APP, true }, /* one shim a container, once */
		{ "k8s.io", OTHER, false }, { "moby", POD, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(shims); i++) {
		pid_t pid = spawn_shim(shims[i].ns, shims[i].id, SOCKET);
		struct lost lost;

		init(&lost);
		lost.sandbox.shim = process_of(pid);
		CHECK_EQ(ended(&lost), shims[i].is_its);
		CHECK_EQ(ended_by(pid), shims[i].is_its ? SIGKILL : 0);
	}
}

/* Of this test, which is no shim. */
static void test_children_of_what_is_no_shim_are_spared(void)
{
	pid_t pid = spawn_other();
	struct lost lost;

	init(&lost);
	lost.sandbox.shim = process_of(getpid());
	CHECK_EQ(ended(&lost), 0);
	CHECK_EQ(ended_by(pid), 0);
}

static void put_runc_state(struct process process)
{
	char command[512];

	(void)snprintf(command, sizeof(command), "{\"id\":\"" APP "\",\"init_process_pid\":%d,\"init_process_start\":%llu}",
		       process.pid, (unsigned long long)process.start_ticks);
	CHECK_EQ(tap_shell("mkdir -p " RUNC " && echo '%s' >" RUNC "/state.json", command), 0);
}

/* By runc's own record it is one, and not by another's. */
static void test_a_first_process_is_what_runc_recorded(void)
{
	pid_t pid = spawn_other(), other = spawn_other();
	struct lost lost;

	init(&lost);
	lost.containers[0].init = process_of(pid);
	CHECK_EQ(ended(&lost), 0);
	put_runc_state(process_of(other));
	CHECK_EQ(ended(&lost), 0);
	CHECK_EQ(waitpid(pid, NULL, WNOHANG), 0);
	put_runc_state(process_of(pid));
	(void)ended(&lost);
	CHECK_EQ(ended_by(pid), SIGTERM);
	CHECK_EQ(ended_by(other), 0);
}

static void test_it_would_end_ourselves_as_a_shim(void)
{
	struct lost lost;

	init(&lost);
	CHECK_EQ(kill_ends_us(&lost.inventory), 0);
	lost.sandbox.shim = process_of(getpid());
	CHECK_EQ(kill_ends_us(&lost.inventory), 1);
	lost.sandbox.shim = process_of(getppid());
	CHECK_EQ(kill_ends_us(&lost.inventory), 1);
}

static void test_the_limit_of_files_is_put_back(void)
{
	struct rlimit before, after;
	struct lost lost;

	init(&lost);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
	before.rlim_cur = 256;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &before), 0);
	CHECK_EQ(ended(&lost), 0);
	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &after), 0);
	CHECK_EQ(after.rlim_cur, 256);
}

int main(int argc, char **argv)
{
	if (argc > 1)
		be_a_shim(argv);
	tap_private_mounts();
	if (tap_shell("mount -t tmpfs none /run") != 0) {
		printf("Bail out! no /run of its own\n");
		return 1;
	}
	RUN(test_a_shim_is_what_its_command_line_says);
	RUN(test_children_of_what_is_no_shim_are_spared);
	RUN(test_a_first_process_is_what_runc_recorded);
	RUN(test_it_would_end_ourselves_as_a_shim);
	RUN(test_the_limit_of_files_is_put_back);
	return tap_done();
}
