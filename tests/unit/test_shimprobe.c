/* What may stand at a shim's address; tests/node/shims.t has real ones. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "scanners/cleanup.h"
#include "scanners/shimprobe.h"
#include "tests/unit/tap.h"

enum { WAIT_MSEC = 300, PATIENCE_MSEC = 20000 };
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const char *tmp;
static char addresses[8][160];

static struct sockaddr_un socket_address(int which)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	CHECK(snprintf(address.sun_path, sizeof(address.sun_path), "%s/%d", tmp, which) <
	      (int)sizeof(address.sun_path));
	return address;
}

static int make_socket(int which, bool listening)
{
	struct sockaddr_un address = socket_address(which);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)snprintf(addresses[which], sizeof(addresses[which]), "unix://%s/%d", tmp, which);
	(void)unlink(address.sun_path);
	CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	if (listening)
		CHECK_EQ(listen(fd, 4), 0);
	return fd;
}

static struct sandbox shim_at(int which)
{
	return (struct sandbox){ .id = (char *)ID, .from_bundle = true, .shim_address = addresses[which] };
}

static int64_t now_msec(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static enum shim_health health_of(struct sandbox sandbox)
{
	struct inventory inventory = { .sandboxes = &sandbox, .sandbox_count = 1 };
	enum shim_health health = (enum shim_health)99;

	CHECK_EQ(shim_probe(&inventory, WAIT_MSEC, &health), 0);
	return health;
}

static void test_nobody_there_is_dead_at_once(void)
{
	cleanup_fd int fd = make_socket(0, false);
	int64_t start = now_msec();

	CHECK_EQ(health_of(shim_at(0)), SHIM_DEAD); /* refused */
	CHECK_EQ(unlink(addresses[0] + 7), 0);
	CHECK_EQ(health_of(shim_at(0)), SHIM_DEAD);
	CHECK(now_msec() - start < WAIT_MSEC);
}

static void test_silence_is_a_hang(void)
{
	cleanup_fd int fd = make_socket(0, true);
	int64_t start = now_msec();

	CHECK_EQ(health_of(shim_at(0)), SHIM_HUNG);
	CHECK(now_msec() - start >= WAIT_MSEC);
	struct sandbox grpc = shim_at(0);
	grpc.shim_grpc = true;
	CHECK_EQ(health_of(grpc), SHIM_ALIVE);
}

/* So many wait to be accepted that connect() does not succeed any more. */
static void test_a_full_backlog_is_a_hang(void)
{
	cleanup_fd int fd = make_socket(0, true);
	int waiting[8];

	CHECK_EQ(listen(fd, 0), 0);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++) {
		const struct sockaddr_un address = socket_address(0);

		waiting[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		(void)connect(waiting[i], (const struct sockaddr *)&address, sizeof(address));
	}
	CHECK_EQ(health_of(shim_at(0)), SHIM_HUNG);
	for (size_t i = 0; i < ARRAY_SIZE(waiting); i++)
		(void)close(waiting[i]);
}

struct answerer {
	int fd;
	bool hang_up;
	unsigned char request[256];
	ssize_t size;
};

static void *answer(void *data)
{
	struct answerer *a = data;
	int fd = accept(a->fd, NULL, NULL);
	/* An empty response to stream 1. */
	static const unsigned char reply[] = { 0, 0, 0, 0, 0, 0, 0, 1, 2, 0 };

	a->size = recv(fd, a->request, sizeof(a->request), 0);
	if (!a->hang_up)
		(void)!send(fd, reply, sizeof(reply), MSG_NOSIGNAL);
	(void)close(fd);
	return NULL;
}

static void answered(bool hang_up, struct answerer *ret)
{
	cleanup_fd int fd = make_socket(1, true);
	struct sandbox sandbox = shim_at(1);
	struct inventory inventory = { .sandboxes = &sandbox, .sandbox_count = 1 };
	enum shim_health health = SHIM_DEAD;
	int64_t start = now_msec();
	pthread_t thread;

	*ret = (struct answerer){ .fd = fd, .hang_up = hang_up };
	CHECK_EQ(pthread_create(&thread, NULL, answer, ret), 0);
	CHECK_EQ(shim_probe(&inventory, PATIENCE_MSEC, &health), 0);
	CHECK(now_msec() - start < PATIENCE_MSEC);
	(void)pthread_join(thread, NULL);
	CHECK_EQ(health, SHIM_ALIVE);
}

static void test_any_answer_is_life_and_the_request_is_ttrpc(void)
{
	static const unsigned char head[] = { 0, 0, 0, 102, 0, 0, 0, 1, 1, 0, 0x0a, 23 };
	struct answerer a;

	answered(false, &a);
	CHECK_EQ(a.size, 10 + 102);
	CHECK(memcmp(a.request, head, sizeof(head)) == 0);
	CHECK(memcmp(a.request + 12, "containerd.task.v2.Task\x12\x07" "Connect\x1a\x42\x0a\x40" ID,
		     23 + 2 + 7 + 4 + 64) == 0);
	answered(true, &a);
}

static void test_what_cannot_be_asked_is_not_judged(void)
{
	cleanup_fd int fd = make_socket(0, false);
	struct sandbox sandbox = shim_at(0);

	sandbox.from_bundle = false;
	CHECK_EQ(health_of(sandbox), SHIM_UNASKED);
	sandbox = shim_at(0);
	sandbox.many_shims = true;
	CHECK_EQ(health_of(sandbox), SHIM_UNASKED);
	sandbox.many_shims = false;
	sandbox.shim_address = NULL;
	CHECK_EQ(health_of(sandbox), SHIM_UNASKED);
	sandbox.shim_address = (char *)"vsock://3:1024";
	CHECK_EQ(health_of(sandbox), SHIM_UNASKED);
	sandbox.shim_address = (char *)"unix:///" ID ID ID;
	CHECK_EQ(health_of(sandbox), SHIM_UNASKED);
}

static void test_without_descriptors_nobody_is_judged(void)
{
	cleanup_fd int fd = make_socket(0, true);
	struct rlimit old, none;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &old), 0);
	none = old;
	none.rlim_cur = (rlim_t)fd + 1;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &none), 0);
	CHECK_EQ(health_of(shim_at(0)), SHIM_UNASKED);
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &old), 0);
}

static void test_all_wait_together(void)
{
	cleanup_fd int silent = make_socket(0, true), refused = make_socket(2, false);
	struct sandbox sandboxes[20];
	struct inventory inventory = { .sandboxes = sandboxes, .sandbox_count = ARRAY_SIZE(sandboxes) };
	enum shim_health health[ARRAY_SIZE(sandboxes)];
	int64_t start = now_msec();

	CHECK_EQ(listen(silent, 64), 0);
	for (size_t i = 0; i < ARRAY_SIZE(sandboxes); i++)
		sandboxes[i] = shim_at(i % 2 ? 2 : 0);
	CHECK_EQ(shim_probe(&inventory, WAIT_MSEC, health), 0);
	CHECK(now_msec() - start < 5 * WAIT_MSEC);
	for (size_t i = 0; i < ARRAY_SIZE(sandboxes); i++)
		CHECK_EQ(health[i], i % 2 ? SHIM_DEAD : SHIM_HUNG);
}

/* A shim's process: what it does but for answering is up to @busy. */
static struct process start_shim(bool busy)
{
	struct process_entry entry = { 0 };
	char path[64], stat[512] = "";
	pid_t pid = fork();

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			if (!busy)
				(void)pause();
	}
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	CHECK(read(fd, stat, sizeof(stat) - 1) > 0);
	CHECK_EQ(process_parse_stat(stat, &entry), 0);
	return entry.process;
}

static enum shim_health health_with(bool listening, bool busy, int signal)
{
	cleanup_fd int fd = make_socket(0, listening);
	struct sandbox sandbox = shim_at(0);
	enum shim_health health;

	sandbox.shim = start_shim(busy);
	if (signal)
		CHECK_EQ(kill(sandbox.shim.pid, signal), 0);
	health = health_of(sandbox);
	CHECK_EQ(kill(sandbox.shim.pid, SIGKILL), 0);
	CHECK_EQ(waitpid(sandbox.shim.pid, NULL, 0), sandbox.shim.pid);
	return health;
}

static void test_who_is_slow_is_not_hung(void)
{
	CHECK_EQ(health_with(true, false, 0), SHIM_HUNG); /* waits for ever */
	CHECK_EQ(health_with(true, false, SIGSTOP), SHIM_HUNG);
	CHECK_EQ(health_with(true, true, SIGSTOP), SHIM_HUNG);
	CHECK_EQ(health_with(true, true, 0), SHIM_UNASKED);
}

static void test_who_lost_his_socket_is_not_dead(void)
{
	CHECK_EQ(health_with(false, false, 0), SHIM_UNASKED);
}

int main(void)
{
	tmp = tap_tmpdir(NULL);
	RUN(test_nobody_there_is_dead_at_once);
	RUN(test_silence_is_a_hang);
	RUN(test_a_full_backlog_is_a_hang);
	RUN(test_any_answer_is_life_and_the_request_is_ttrpc);
	RUN(test_what_cannot_be_asked_is_not_judged);
	RUN(test_without_descriptors_nobody_is_judged);
	RUN(test_all_wait_together);
	RUN(test_who_is_slow_is_not_hung);
	RUN(test_who_lost_his_socket_is_not_dead);
	return tap_done();
}
