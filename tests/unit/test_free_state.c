/* Finishing what was freed: what goes, and above all what stays.
 * tests/node/shims.t has the freeing itself. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/free_state.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/tap.h"

#define ID "20261123T150000Z-abcd"
#define ASIDE "state/.containerd-recover-" ID
#define TASKS "state/io.containerd.runtime.v2.task/k8s.io"
#define CRI "state/io.containerd.grpc.v1.cri/sandboxes"

static char *tmp;
static int tmp_fd = -EBADF;

static void make(const char *path)
{
	char whole[512];

	(void)snprintf(whole, sizeof(whole), "%s/%s", tmp, path);
	(void)close(file_make_dirs(whole, 0700));
}

static bool there(const char *path)
{
	return faccessat(tmp_fd, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void write_manifest(const struct inventory *lost)
{
	json_t *manifest = json_pack("{s:o}", "lost", inventory_to_json(lost));
	char *text = json_dumps(manifest, 0);
	cleanup_fd int fd = openat(tmp_fd, "records/freed/" ID, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	CHECK_EQ(file_replace(fd, "manifest.json", text, strlen(text), 0600), 0);
	free(text);
	json_decref(manifest);
}

/* Two sandboxes: the bundle of one is aside, that of the other in place again. */
static void build(void)
{
	struct container containers[] = { { .ns = (char *)"k8s.io", .id = (char *)"gone", .sandbox_id = (char *)"gone" },
					  { .ns = (char *)"k8s.io", .id = (char *)"back", .sandbox_id = (char *)"back" } };
	struct sandbox sandboxes[2] = { 0 };
	struct inventory lost = { .sandboxes = sandboxes, .sandbox_count = 2, .complete = true };

	for (size_t i = 0; i < 2; i++) {
		sandboxes[i].ns = containers[i].ns;
		sandboxes[i].id = containers[i].id;
		sandboxes[i].containers = &containers[i];
		sandboxes[i].container_count = 1;
		sandboxes[i].from_bundle = true;
	}
	make("records/freed/" ID);
	make(ASIDE "/k8s.io/gone/rootfs");
	make(TASKS "/back/rootfs");
	make(TASKS "/stranger");
	make(CRI "/gone");
	make(CRI "/back");
	write_manifest(&lost);
}

static int finish(void)
{
	char state[512];
	const struct config config = { .root = (char *)"/nonexistent", .state = state, .address = (char *)"/run/containerd/containerd.sock" };
	const struct policy policy = { 0 };
	cleanup_fd int records_fd = openat(tmp_fd, "records", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)snprintf(state, sizeof(state), "%s/state", tmp);
	return free_state_finish(&config, &policy, records_fd);
}

static void what_stays(void)
{
	CHECK(there(TASKS "/back/rootfs"));
	CHECK(there(TASKS "/stranger"));
	CHECK(there(CRI "/gone"));
	CHECK(there(CRI "/back"));
}

static void test_only_what_is_aside_goes(void)
{
	build();
	CHECK_EQ(finish(), 0);
	CHECK(!there(ASIDE));
	what_stays();
	CHECK(!there("records/freed/" ID));
	CHECK(there("records/" ID ".json"));
	CHECK_EQ(finish(), 0);
	what_stays();
}

static void test_a_record_in_use_is_left(void)
{
	cleanup_fd int fd = -EBADF;

	build();
	fd = openat(tmp_fd, "records/freed/" ID, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	CHECK_EQ(finish(), 0);
	CHECK(there(ASIDE "/k8s.io/gone/rootfs"));
	CHECK(there("records/freed/" ID "/manifest.json"));
	CHECK_EQ(flock(fd, LOCK_UN), 0);
	CHECK_EQ(finish(), 0);
	CHECK(!there(ASIDE));
}

static void test_a_record_without_a_whole_manifest(void)
{
	build();
	/* As killed before the new one has its name. */
	CHECK_EQ(renameat(tmp_fd, "records/freed/" ID "/manifest.json", tmp_fd,
			  "records/freed/" ID "/.manifest.json.new"), 0);
	CHECK_EQ(finish(), 0);
	CHECK(!there("records/freed/" ID));
	what_stays();
	CHECK(there(ASIDE "/k8s.io/gone/rootfs"));

	build();
	(void)close(openat(tmp_fd, "records/freed/" ID "/manifest.json", O_WRONLY | O_TRUNC));
	CHECK_EQ(finish(), -EBADMSG);
	CHECK(there(ASIDE "/k8s.io/gone/rootfs"));
	CHECK(there("records/freed/" ID "/manifest.json"));
	what_stays();
}

static void test_nothing_was_ever_freed(void)
{
	make("empty");
	cleanup_fd int fd = openat(tmp_fd, "empty", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct config config = { .root = (char *)"/nonexistent", .state = (char *)"/nonexistent" };
	const struct policy policy = { 0 };

	CHECK_EQ(free_state_finish(&config, &policy, fd), 0);
}

int main(void)
{
	tmp = strdup(tap_tmpdir(NULL));
	tmp_fd = open(tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	RUN(test_only_what_is_aside_goes);
	RUN(test_a_record_in_use_is_left);
	RUN(test_a_record_without_a_whole_manifest);
	RUN(test_nothing_was_ever_freed);
	(void)close(tmp_fd);
	free(tmp);
	return tap_done();
}
