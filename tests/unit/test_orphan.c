/*
 * What nobody knows, and whether anybody could: half-deleted bundles, directories
 * of snapshots without a record, shims of another state directory.
 */
#include "recover/orphan.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/situation.h"
#include "scanners/cleanup.h"
#include "scanners/elsewhere.h"
#include "scanners/metadata.h"
#include "tests/unit/fault.h"
#include "tests/unit/processes.h"
#include "tests/unit/tap.h"
#include "tests/unit/world.h"

#define ID(c) c c c c c c c c c c c c c c c c
#define HALF ID("abab")
#define BUNDLES TASKS "/k8s.io"
#define PLUGIN ROOT "/" METADATA_SNAPSHOTTER_DIR "overlayfs"
#define SNAPSHOTS PLUGIN "/snapshots"
#define ASIDE ROOT "/.containerd-recover-orphans"
#define SOCKET STATE "/containerd.sock"
/* Of tests/fixtures/bolt/meta.db. */
#define APP "84c4304cd80341e41dfde25f85aa8415935fc0d2b2ea2cf63f32b3fe3847237c"

static struct config config = {
	.root = (char *)ROOT, .state = (char *)STATE, .unit = (char *)"containerd.service",
	.address = (char *)SOCKET, .snapshotter = (char *)"overlayfs",
};

/* A node whose containerd is down, with the records of five pods. */
static void begin(void)
{
	world_begin();
	world_run("mkdir -p " SNAPSHOTS " && cp tests/fixtures/bolt/meta.db " META
		  " && cp tests/fixtures/bolt/metadata.db " PLUGIN "/");
}

/* ---- what is known ---- */

static enum known_source source(bool *ret_knows_app)
{
	cleanup_known struct known known = { 0 };
	enum known_source is;

	CHECK_EQ(known_read(&config, &known), 0);
	is = known.source;
	CHECK_EQ(is == KNOWN_NOTHING, known.problem != NULL);
	*ret_knows_app = json_object_get(known.ids, APP);
	return is;
}

static void test_records_of_a_containerd_that_is_down(void)
{
	bool knows;
	int fd;

	begin();
	CHECK_EQ(source(&knows), KNOWN_METADATA);
	CHECK(knows);
	/* It is starting: what it will answer is not known. */
	fd = open(META, O_RDONLY | O_CLOEXEC);
	CHECK_EQ(flock(fd, LOCK_EX), 0);
	CHECK_EQ(source(&knows), KNOWN_NOTHING);
	CHECK(!knows);
	(void)close(fd);
	world_run("dd if=/dev/zero of=" META " bs=4096 count=2 conv=notrunc status=none");
	CHECK_EQ(source(&knows), KNOWN_NOTHING);
	CHECK(!knows);
	world_run(": >" META);
	CHECK_EQ(source(&knows), KNOWN_ABSENT);
	world_run("rm " META);
	CHECK_EQ(source(&knows), KNOWN_ABSENT);
	world_run("rm -r " ROOT);
	CHECK_EQ(source(&knows), KNOWN_ABSENT);
	world_run("touch " ROOT);
	CHECK_EQ(source(&knows), KNOWN_NOTHING);
}

/* Sandboxes, containers, and those of containers whose own record is gone. */
static void test_every_record_speaks_for_its_pod(void)
{
	cleanup_metadata struct metadata metadata = { 0 };
	cleanup_known struct known known = { 0 };
	cleanup_fd int root = -EBADF;

	begin();
	root = open(ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(metadata_read_root(root, &metadata), 0);
	CHECK_EQ(known_read(&config, &known), 0);
	CHECK(metadata.container_count > 0 && metadata.sandbox_count + metadata.container_count > 5);
	for (size_t i = 0; i < metadata.container_count; i++) {
		CHECK(json_object_get(known.ids, metadata.containers[i].id));
		if (metadata.containers[i].sandbox_id)
			CHECK(json_object_get(known.ids, metadata.containers[i].sandbox_id));
	}
	for (size_t i = 0; i < metadata.sandbox_count; i++)
		CHECK(json_object_get(known.ids, metadata.sandboxes[i].id));
}

/* Its container runs, under a sandbox that is not to be ended with all that is in it. */
static void test_a_container_speaks_for_a_sandbox_without_a_record(void)
{
	cleanup_known struct known known = { 0 };
	json_t *value;
	const char *id;
	size_t lost = 0;

	begin();
	world_run("LC_ALL=C sed -i 's/\"SandboxID\":\"..../\"SandboxID\":\"zzzz/g' " META);
	CHECK_EQ(known_read(&config, &known), 0);
	CHECK_EQ(known.source, KNOWN_METADATA);
	json_object_foreach(known.ids, id, value)
		lost += strncmp(id, "zzzz", 4) == 0;
	CHECK(lost > 0);
}

static int listen_at(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	CHECK_EQ(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 5), 0);
	return fd;
}

/* One that answers nonsense is up: its records may be behind what it knows. */
static void test_somebody_answers(void)
{
	bool knows;
	pid_t server;
	int fd;

	begin();
	fd = listen_at(SOCKET);
	server = answer_nonsense(fd);
	CHECK_EQ(source(&knows), KNOWN_NOTHING);
	CHECK(!knows);
	CHECK_EQ(kill(server, SIGKILL), 0);
	CHECK_EQ(waitpid(server, NULL, 0), server);
	(void)close(fd);
	/* Its socket, which nobody listens at any more. */
	CHECK_EQ(source(&knows), KNOWN_METADATA);
	CHECK(knows);
}

/* ---- bundles that were begun to be deleted ---- */

static struct orphans_result sweep(enum known_source from, const char *id, int64_t min_age_sec, bool dry,
				   int expected)
{
	json_auto_t *ids = id ? json_pack("{s:b}", id, 1) : json_object();
	const struct known known = { .source = from, .ids = ids };
	struct orphans_result result = { .failed = 99 };

	CHECK_EQ(orphans_sweep(&config, &known, min_age_sec, dry, &result), expected);
	return result;
}

static void put_bundles(void)
{
	begin();
	world_run("mkdir -p " BUNDLES "/." HALF "/rootfs " BUNDLES "/.other " BUNDLES "/" HALF " " BUNDLES "/x" HALF " "
		  TASKS "/moby/." HALF " /var/lib/precious");
	world_run("mount -t tmpfs none " BUNDLES "/." HALF "/rootfs && touch " BUNDLES "/." HALF "/rootfs/file && "
		  "ln -s /var/lib/precious " BUNDLES "/." HALF "/work && touch /var/lib/precious/file");
}

static bool half_is_there(void)
{
	CHECK(world_has(BUNDLES "/.other") && world_has(BUNDLES "/" HALF) && world_has(BUNDLES "/x" HALF));
	CHECK(world_has(TASKS "/moby/." HALF) && world_has("/var/lib/precious/file"));
	return world_has(BUNDLES "/." HALF);
}

static void test_half_deleted_bundles(void)
{
	static const struct {
		enum known_source from;
		const char *id;
		int64_t age;
		bool dry, found;
	} cases[] = {
		{ KNOWN_NOTHING, NULL, 0, false, false },
		{ KNOWN_CRI, HALF, 0, false, false }, /* in the making again */
		{ KNOWN_CRI, NULL, 1000, false, false },
		{ KNOWN_METADATA, HALF, 0, false, false },
		{ KNOWN_CRI, NULL, 0, true, true },
		{ KNOWN_CRI, NULL, 0, false, true },
		{ KNOWN_METADATA, NULL, 1000, false, true },
		{ KNOWN_ABSENT, NULL, 1000, false, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct orphans_result result;

		put_bundles();
		result = sweep(cases[i].from, cases[i].id, cases[i].age, cases[i].dry, 0);
		CHECK_EQ(result.bundles, cases[i].found);
		CHECK_EQ(result.failed, 0);
		CHECK_EQ(half_is_there(), !cases[i].found || cases[i].dry);
		(void)umount2(BUNDLES "/." HALF "/rootfs", MNT_DETACH);
	}
}

static void test_a_bundle_that_cannot_go_is_named(void)
{
	for (int n = 1;; n++) {
		json_auto_t *ids = json_object();
		const struct known known = { .source = KNOWN_METADATA, .ids = ids };
		struct orphans_result result;
		int r;

		put_bundles();
		fault_arm("unlinkat", n, EROFS);
		r = orphans_sweep(&config, &known, 0, false, &result);
		if (!fault_fired())
			break;
		/* A directory that cannot be removed at once is tried again. */
		CHECK_EQ(r, half_is_there() ? -EROFS : 0);
		CHECK_EQ(result.failed, half_is_there());
	}
	CHECK(!half_is_there());
}

/* What is mounted would not be told from what is not. */
static void test_nothing_goes_without_the_mount_table(void)
{
	int fd;

	put_bundles();
	CHECK_EQ(tap_shell("mkdir -p " SNAPSHOTS "/9001"), 0);
	fd = listen_at("/run/not-to-be-opened");
	CHECK_EQ(mount("/run/not-to-be-opened", "/proc/self/mountinfo", NULL, MS_BIND, NULL), 0);
	(void)sweep(KNOWN_METADATA, NULL, 0, false, -ENXIO);
	CHECK_EQ(umount2("/proc/self/mountinfo", MNT_DETACH), 0);
	CHECK(half_is_there() && world_has(SNAPSHOTS "/9001"));
	CHECK_EQ(umount2(BUNDLES "/." HALF "/rootfs", MNT_DETACH), 0);
	(void)close(fd);
}

/* ---- directories of snapshots ---- */

/* How many there are records of. */
static size_t put_snapshots(void)
{
	cleanup_metadata_directories struct metadata_directories known = { 0 };

	begin();
	CHECK_EQ(metadata_read_directories(AT_FDCWD, PLUGIN "/metadata.db", &known), 0);
	for (size_t i = 0; i < known.count; i++)
		CHECK_EQ(tap_shell("mkdir -p " SNAPSHOTS "/%llu/fs", (unsigned long long)known.items[i].id), 0);
	world_run("mkdir -p " SNAPSHOTS "/9001/fs/d " SNAPSHOTS "/new-1 " SNAPSHOTS "/notes " SNAPSHOTS "/90x "
		  SNAPSHOTS "/+91 && touch " SNAPSHOTS "/9001/fs/d/file");
	return known.count;
}

/* Beside the unknown one. */
static size_t others(void)
{
	size_t count = 0;
	FILE *list = popen("ls " SNAPSHOTS " | grep -vx -e 9001 | wc -l", "re"); // NOLINT: the test's own words

	CHECK(list && fscanf(list, "%zu", &count) == 1);
	(void)pclose(list);
	return count;
}

static bool unknown_stays(void)
{
	CHECK(!world_has(ASIDE "/9001") || world_has(ASIDE "/9001/fs/d/file"));
	return world_has(SNAPSHOTS "/9001/fs/d/file");
}

static void test_unknown_snapshots(void)
{
	size_t known = put_snapshots();
	struct orphans_result result = sweep(KNOWN_METADATA, NULL, 0, true, 0);

	CHECK_EQ(result.snapshots, 1);
	CHECK_EQ(result.waiting, 0);
	CHECK(unknown_stays() && !world_has(ASIDE));
	result = sweep(KNOWN_METADATA, NULL, 0, false, 0);
	CHECK_EQ(result.snapshots, 1);
	CHECK_EQ(result.waiting, 1);
	CHECK_EQ(result.failed, 0);
	CHECK(!unknown_stays() && world_has(ASIDE "/9001"));
	world_run("test $(stat -c %a " ASIDE ") = 700");
	CHECK_EQ(others(), known + 4);

	/* One of the same number that waits already is not buried. */
	world_run("mkdir -p " SNAPSHOTS "/9001/fs/d && touch " SNAPSHOTS "/9001/fs/d/file");
	CHECK_EQ(sweep(KNOWN_METADATA, NULL, 0, false, -EEXIST).failed, 1);
	CHECK(unknown_stays() && world_has(ASIDE "/9001/fs/d/file"));
}

static void test_snapshots_that_stay(void)
{
	static const enum known_source sources[] = { KNOWN_NOTHING, KNOWN_CRI, KNOWN_ABSENT };
	int fd;

	for (size_t i = 0; i < ARRAY_SIZE(sources); i++) {
		(void)put_snapshots();
		CHECK_EQ(sweep(sources[i], NULL, 0, false, 0).snapshots, 0);
		CHECK(unknown_stays());
	}
	config.snapshotter = (char *)"native";
	CHECK_EQ(sweep(KNOWN_METADATA, NULL, 0, false, 0).snapshots, 0);
	config.snapshotter = (char *)"overlayfs";
	CHECK(unknown_stays());
	fd = open(PLUGIN "/metadata.db", O_RDONLY | O_CLOEXEC);
	CHECK_EQ(flock(fd, LOCK_SH), 0); /* bbolt's own tools look */
	CHECK_EQ(sweep(KNOWN_METADATA, NULL, 0, false, 0).snapshots, 0);
	CHECK(unknown_stays());
	(void)close(fd);
	world_run("dd if=/dev/zero of=" PLUGIN "/metadata.db bs=4096 seek=2 conv=notrunc count=2 status=none");
	CHECK_EQ(sweep(KNOWN_METADATA, NULL, 0, false, 0).snapshots, 0);
	CHECK(unknown_stays());
	world_run(": >" PLUGIN "/metadata.db");
	CHECK_EQ(sweep(KNOWN_METADATA, NULL, 0, false, 0).snapshots, 0);
	world_run("rm " PLUGIN "/metadata.db");
	CHECK_EQ(sweep(KNOWN_METADATA, NULL, 0, false, 0).snapshots, 0);
	CHECK(unknown_stays());
}

/* An overlay names its layers; and anything may be mounted in one. */
static void test_mounted_snapshots_stay(void)
{
	(void)put_snapshots();
	world_run("mkdir -p " SNAPSHOTS "/9002/fs " SNAPSHOTS "/9003/fs " SNAPSHOTS "/9004/fs /var/lib/at /var/lib/lower && "
		  "mount -t tmpfs none " SNAPSHOTS "/9001/fs");
	if (mount("overlay", "/var/lib/at", "overlay", MS_RDONLY,
		  "lowerdir=" SNAPSHOTS "/9002/fs:/var/lib/lower") < 0) {
		CHECK(errno == ENODEV || errno == EPERM);
		printf("# no overlay file system here\n");
		world_run("rm -r " SNAPSHOTS "/900[234]");
	} else {
		world_run("cd " SNAPSHOTS " && mount -t overlay -o ro,lowerdir=9003/fs:9004/fs overlay /var/lib/lower");
	}
	CHECK_EQ(sweep(KNOWN_METADATA, NULL, 0, false, 0).snapshots, 0);
	(void)umount2("/var/lib/lower", MNT_DETACH);
	(void)umount2("/var/lib/at", MNT_DETACH);
	CHECK_EQ(umount2(SNAPSHOTS "/9001/fs", MNT_DETACH), 0);
	CHECK(!world_has(ASIDE));
	/* One that is a mount itself; and those of which it has but a part of the name. */
	world_run("mkdir -p " SNAPSHOTS "/90019/fs " SNAPSHOTS "/19001/fs && mount -t tmpfs none " SNAPSHOTS "/9001 && "
		  "rm -rf " SNAPSHOTS "/900[234]");
	CHECK_EQ(sweep(KNOWN_METADATA, NULL, 0, true, 0).snapshots, 2);
	world_run("umount " SNAPSHOTS "/9001 && mount -t tmpfs none " SNAPSHOTS "/90019/fs && "
		  "mount -t tmpfs none " SNAPSHOTS "/19001/fs");
	CHECK_EQ(sweep(KNOWN_METADATA, NULL, 0, true, 0).snapshots, 1);
	world_run("umount " SNAPSHOTS "/90019/fs " SNAPSHOTS "/19001/fs");
	CHECK(sweep(KNOWN_METADATA, NULL, 0, false, 0).snapshots > 0);
}

static void test_links_lead_nowhere(void)
{
	(void)put_snapshots();
	world_run("mkdir /var/lib/precious && touch /var/lib/precious/file && ln -s /var/lib/precious " ASIDE);
	CHECK(sweep(KNOWN_METADATA, NULL, 0, false, -ENOTDIR).failed > 0);
	CHECK(unknown_stays());
	CHECK_EQ(orphans_purge(&config), -ENOTDIR);
	CHECK(world_has("/var/lib/precious/file") && world_has(ASIDE));
	world_run("rm " ASIDE " && mv " PLUGIN "/metadata.db /run/ && ln -s /run/metadata.db " PLUGIN "/");
	(void)sweep(KNOWN_METADATA, NULL, 0, false, -ELOOP);
	world_run("rm " PLUGIN "/metadata.db && mkfifo " PLUGIN "/metadata.db"); /* which nobody writes to */
	(void)sweep(KNOWN_METADATA, NULL, 0, false, 0);
	CHECK(unknown_stays() && !world_has(ASIDE));
	world_run("mv /run/metadata.db " PLUGIN "/ && mv " SNAPSHOTS " /var/lib/snapshots && ln -s /var/lib/snapshots " SNAPSHOTS);
	(void)sweep(KNOWN_METADATA, NULL, 0, false, -ENOTDIR);
	CHECK(world_has("/var/lib/snapshots/9001"));
}

static void test_what_waits_is_deleted(void)
{
	(void)put_snapshots();
	CHECK_EQ(orphans_purge(&config), 0);
	(void)sweep(KNOWN_METADATA, NULL, 0, false, 0);
	world_run("mkdir -p /var/lib/precious " ASIDE "/9001/m && touch /var/lib/precious/file && "
		  "mount --bind /var/lib/precious " ASIDE "/9001/m");
	CHECK(orphans_purge(&config) < 0);
	CHECK(world_has("/var/lib/precious/file") && world_has(ASIDE "/9001/m"));
	CHECK_EQ(umount2(ASIDE "/9001/m", MNT_DETACH), 0);
	CHECK_EQ(orphans_purge(&config), 0);
	CHECK(!world_has(ASIDE) && world_has(SNAPSHOTS "/notes") && world_has(META));
	world_run("rm -r " ROOT);
	CHECK_EQ(orphans_purge(&config), 0);
}

/* ---- shims of another state directory ---- */

/* Works in @dir until it is ended. */
static pid_t work_in(const char *dir)
{
	int ready;
	pid_t pid = fork_until_ready(&ready);

	if (pid > 0)
		return pid;
	if (chdir(dir) < 0)
		_exit(1);
	(void)close(ready);
	for (;;)
		(void)pause();
}

static void test_shims_elsewhere(void)
{
	static const struct {
		const char *dir;
		bool from_shim, from_bundle, ends;
	} all[] = {
		{ TASKS "/k8s.io/pod", true, true, false },
		{ TASKS "/k8s.io/pod", true, false, false }, /* its bundle is being made */
		{ "/run/not/a/plugin", true, false, false },
		{ "/run", true, false, false },
		{ "/", true, false, false },
		{ "/run/old/io.containerd.runtime.v2.task/k8s.io/a", false, false, false },
		{ "/run/old/io.containerd.runtime.v2.task/k8s.io/a", true, false, true },
		{ "/run/old/io.containerd.runtime.v2.task/k8s.io/a", true, false, false },
		{ "/run/older/io.containerd.runtime.v2.task/k8s.io/a", true, false, false },
	};
	struct sandbox sandboxes[ARRAY_SIZE(all)] = { 0 };
	const struct inventory inventory = { .sandboxes = sandboxes, .sandbox_count = ARRAY_SIZE(all) };
	struct elsewhere found = { 0 };
	pid_t pids[ARRAY_SIZE(all)];

	begin();
	world_run("mkdir -p /run/not/a/plugin /run/old/io.containerd.runtime.v2.task/k8s.io/a "
		  "/run/older/io.containerd.runtime.v2.task/k8s.io/a && ln -s " STATE " /run/link");
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		pids[i] = work_in(all[i].dir);
		sandboxes[i] = (struct sandbox){ .shim = process_of(pids[i]), .from_shim = all[i].from_shim,
						 .from_bundle = all[i].from_bundle };
		if (all[i].ends)
			CHECK(ended_by(pids[i]) == 0);
	}
	CHECK_EQ(elsewhere_scan("/run/link", &inventory, &found), 0);
	CHECK_EQ(found.count, 2);
	CHECK_EQ(found.here, 1);
	CHECK_EQ(found.pid, pids[7]);
	CHECK_STR(found.state, "/run/old");
	free(found.state);
	/* A directory that is not there is none of theirs. */
	CHECK_EQ(elsewhere_scan("/run/none", &inventory, &found), 0);
	CHECK_EQ(found.count, 3);
	CHECK_STR(found.state, STATE);
	free(found.state);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		if (!all[i].ends)
			CHECK_EQ(ended_by(pids[i]), 0);
	CHECK_EQ(elsewhere_scan(STATE, &inventory, &found), 0);
	CHECK(found.count == 0 && found.here == 0 && !found.state);
}

int main(void)
{
	if (!world_enter())
		return 0;
	RUN(test_records_of_a_containerd_that_is_down);
	RUN(test_every_record_speaks_for_its_pod);
	RUN(test_a_container_speaks_for_a_sandbox_without_a_record);
	RUN(test_somebody_answers);
	RUN(test_half_deleted_bundles);
	RUN(test_a_bundle_that_cannot_go_is_named);
	RUN(test_nothing_goes_without_the_mount_table);
	RUN(test_unknown_snapshots);
	RUN(test_snapshots_that_stay);
	RUN(test_mounted_snapshots_stay);
	RUN(test_links_lead_nowhere);
	RUN(test_what_waits_is_deleted);
	RUN(test_shims_elsewhere);
	return tap_done();
}
