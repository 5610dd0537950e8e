/* In mount and network namespaces of its own: nothing of the machine is touched. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "recover/cgroup.h"
#include "recover/clear.h"
#include "recover/file.h"
#include "recover/kill.h"
#include "recover/reservation.h"
#include "recover/unmount.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/fault.h"
#include "tests/unit/processes.h"
#include "tests/unit/tap.h"

#define STATE "/run/containerd"
#define TASKS STATE "/io.containerd.runtime.v2.task/k8s.io"
#define SOCKET STATE "/containerd.sock"
#define NETWORK "/var/lib/cni/networks/cbr0"
#define ID(c) c c c c c c c c c c c c c c c c
#define POD_A ID("aaa1")
#define POD_B ID("bbb2")
#define APP_A ID("caa3")
#define NETNS_A "/run/netns/cni-aaaaaaaa"

static struct config config = {
	.state = (char *)STATE,
	.address = (char *)SOCKET,
	.cni_conf_dir = (char *)"/etc/cni/net.d",
	.cni_max_conf_num = 1,
};

static void run(const char *command)
{
	if (!CHECK(system(command) == 0))
		printf("#   command: %s\n", command);
}

static void put_file(const char *path, const char *text)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	CHECK(fd >= 0);
	CHECK_EQ(file_write_all(fd, text, strlen(text)), 0);
}

static bool exists(const char *path)
{
	return access(path, F_OK) == 0;
}

static void put_bundle(const char *id, const char *sandbox, const char *netns)
{
	char path[512], text[1024];

	snprintf(path, sizeof(path), "mkdir -p " TASKS "/%s/rootfs", id);
	run(path);
	snprintf(path, sizeof(path), TASKS "/%s/config.json", id);
	snprintf(text, sizeof(text),
		 "{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"%s\","
		 "\"io.kubernetes.cri.sandbox-name\":\"web\",\"io.kubernetes.cri.sandbox-namespace\":\"shop\","
		 "\"io.kubernetes.cri.sandbox-uid\":\"u-1\"},\"linux\":{\"cgroupsPath\":\"/kubepods/%s\","
		 "\"namespaces\":[{\"type\":\"network\",\"path\":\"%s\"}]}}",
		 sandbox, id, netns);
	put_file(path, text);
	snprintf(path, sizeof(path), TASKS "/%s/address", id);
	put_file(path, "unix:///run/containerd/s/0123\n");
}

static const char *cgroup_root(void)
{
	return exists("/sys/fs/cgroup/cgroup.procs") ? "/sys/fs/cgroup" : "/sys/fs/cgroup/unified";
}

/* A process in a control group that bears @id. */
static pid_t spawn_member(const char *id, void (*on_term)(int))
{
	char path[512];
	int ready;
	pid_t pid = fork_until_ready(&ready);

	if (pid > 0)
		return pid;
	signal(SIGTERM, on_term);
	snprintf(path, sizeof(path), "%s/recover-test-%s", cgroup_root(), id);
	(void)mkdir(path, 0700);
	strcat(path, "/cgroup.procs");
	put_file(path, "0");
	(void)close(ready);
	for (;;)
		pause();
}

static void remove_cgroup(const char *id)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/recover-test-%s", cgroup_root(), id);
	for (int i = 0; i < 50 && rmdir(path) < 0 && errno == EBUSY; i++)
		usleep(10000);
}

static struct sandbox *find(struct inventory *inventory, const char *id)
{
	for (size_t i = 0; i < inventory->sandbox_count; i++)
		if (strcmp(inventory->sandboxes[i].id, id) == 0)
			return &inventory->sandboxes[i];
	return NULL;
}

/* An inventory of @id alone, borrowed from @all. */
static struct inventory only(struct inventory *all, const char *id)
{
	struct inventory lost = { .sandboxes = find(all, id), .complete = true };

	lost.sandbox_count = lost.sandboxes != NULL;
	CHECK(lost.sandbox_count == 1);
	return lost;
}

static void test_inventory_takes_what_is_this_containerds(void)
{
	cleanup_inventory struct inventory inventory = { 0 }, copy = { 0 };
	pid_t ours = spawn_shim("k8s.io", POD_A, SOCKET), other = spawn_shim("k8s.io", ID("ddd4"), "/run/other.sock");
	json_auto_t *json = NULL, *again = NULL;
	struct sandbox *a;

	put_bundle(POD_A, POD_A, NETNS_A);
	put_bundle(APP_A, POD_A, "/proc/1/ns/net");
	put_bundle(POD_B, POD_B, "/run/netns/podman-1");
	run("mkdir -p " TASKS "/.half-deleted " TASKS "/" ID("eee5"));
	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	CHECK(inventory.complete);
	CHECK_EQ(inventory.sandbox_count, 3);
	CHECK_EQ(inventory.unreadable, 1);
	CHECK(!find(&inventory, ID("ddd4")));
	CHECK(find(&inventory, ID("eee5")));
	a = find(&inventory, POD_A);
	if (CHECK(a != NULL)) {
		CHECK_EQ(a->container_count, 2);
		CHECK_EQ(a->shim.pid, ours);
		CHECK_STR(a->netns, NETNS_A);
		CHECK_STR(a->pod_name, "web");
		CHECK(a->from_bundle && a->from_shim && !a->from_cache);
	}
	CHECK_STR(find(&inventory, POD_B)->netns, NULL);
	CHECK_EQ(inventory_live_count(&inventory, "k8s.io"), 1);
	CHECK_EQ(inventory_live_count(&inventory, "moby"), 0);

	json = inventory_to_json(&inventory);
	CHECK_EQ(inventory_from_json(json, &copy), 0);
	again = inventory_to_json(&copy);
	CHECK(json_equal(json, again));
	CHECK_EQ(ended_by(ours), 0);
	CHECK_EQ(ended_by(other), 0);
}

static void test_json_refuses_names_that_are_paths(void)
{
	static const char *const bad[] = {
		"{\"sandboxes\": [{\"ns\": \"k8s.io\", \"id\": \"../x\"}]}",
		"{\"sandboxes\": [{\"ns\": \"k8s.io\", \"id\": \"a\", \"cache_files\": [\"../../etc/passwd\"]}]}",
		"{\"sandboxes\": [{\"ns\": \"k8s.io\", \"id\": \"a\", \"reservations\": "
		"[{\"data_dir\": \"/x\", \"network\": \"..\", \"address\": \"1.2.3.4\"}]}]}",
		"{\"sandboxes\": [{\"ns\": \"k8s.io\", \"id\": \"a\", \"containers\": [{\"ns\": \"a/b\", \"id\": \"c\"}]}]}",
		"{\"sandboxes\": {}}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		json_auto_t *json = json_loads(bad[i], 0, NULL);
		struct inventory untouched = { 0 };

		CHECK(json != NULL);
		CHECK_EQ(inventory_from_json(json, &untouched), -EINVAL);
		CHECK(untouched.sandboxes == NULL);
	}
}

static void test_budget_that_runs_out_is_incomplete(void)
{
	cleanup_inventory struct inventory inventory = { 0 };

	/* 1 ms is gone after the first source on any machine; else all was seen. */
	CHECK_EQ(inventory_scan(&config, 1, &inventory), 0);
	CHECK(!inventory.complete || inventory.sandbox_count == 3);
}

static void noop(int signal)
{
	(void)signal;
}

static void test_kill_ends_the_lost_and_nobody_else(void)
{
	pid_t shim = spawn_shim("k8s.io", POD_A, SOCKET), kept_shim = spawn_shim("k8s.io", POD_B, SOCKET);
	pid_t gentle = spawn_member(POD_A, SIG_DFL), stubborn = spawn_member(APP_A, noop);
	pid_t kept = spawn_member(POD_B, SIG_DFL);
	cleanup_inventory struct inventory inventory = { 0 };
	struct clear_result result = { 0 };
	struct inventory lost;
	char pid[16];

	snprintf(pid, sizeof(pid), "%d", (int)gentle);
	put_file(TASKS "/" POD_A "/init.pid", pid);
	snprintf(pid, sizeof(pid), "%d", (int)stubborn);
	put_file(TASKS "/" APP_A "/init.pid", pid);
	/* Reused by a process of another container: no init of ours. */
	snprintf(pid, sizeof(pid), "%d", (int)kept);
	put_file(TASKS "/" ID("eee5") "/init.pid", pid);

	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	CHECK_EQ(find(&inventory, ID("eee5"))->containers[0].init.pid, 0);
	lost = only(&inventory, POD_A);
	CHECK_EQ(clear_kill(&lost, 100, &result), 0);
	CHECK_EQ(result.shims_killed, 1);
	CHECK_EQ(result.containers_killed, 2);
	CHECK_EQ(result.failed, 0);
	CHECK_EQ(ended_by(shim), SIGKILL);
	CHECK_EQ(ended_by(gentle), SIGTERM);
	CHECK_EQ(ended_by(stubborn), SIGKILL);
	CHECK_EQ(ended_by(kept_shim), 0);
	CHECK_EQ(ended_by(kept), 0);

	/* Again: all are gone, which is success. */
	memset(&result, 0, sizeof(result));
	CHECK_EQ(clear_kill(&lost, 100, &result), 0);
	CHECK_EQ(result.shims_killed + result.containers_killed + result.failed, 0);
	remove_cgroup(POD_A);
	remove_cgroup(APP_A);
	remove_cgroup(POD_B);
}

/* What kill_ends_us() says in a process in the group of @id, or with @out in a child of it outside. */
static int asked_in(const char *id, const struct inventory *lost, bool out)
{
	char path[512];
	int status = -1;
	pid_t pid = fork();

	if (pid > 0) {
		CHECK_EQ(waitpid(pid, &status, 0), pid);
		return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	}
	snprintf(path, sizeof(path), "%s/recover-test-%s", cgroup_root(), id);
	(void)mkdir(path, 0700);
	strcat(path, "/cgroup.procs");
	put_file(path, "0");
	if (out && fork() > 0)
		_exit(wait(&status) > 0 ? WEXITSTATUS(status) : 9);
	if (out) {
		snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup_root());
		put_file(path, "0");
	}
	_exit(kill_ends_us(lost));
}

static void test_whether_it_would_end_ourselves(void)
{
	cleanup_inventory struct inventory inventory = { 0 };
	struct inventory lost;

	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	CHECK_EQ(kill_ends_us(&lost), 0);
	CHECK_EQ(asked_in(POD_A, &lost, false), 1);
	CHECK_EQ(asked_in(APP_A, &lost, false), 1);
	CHECK_EQ(asked_in(APP_A, &lost, true), 1);
	CHECK_EQ(asked_in(POD_B, &lost, false), 0);
	remove_cgroup(POD_A);
	remove_cgroup(APP_A);
	remove_cgroup(POD_B);
}

static void test_kill_spares_a_reused_pid(void)
{
	pid_t shim = spawn_shim("k8s.io", POD_A, SOCKET);
	cleanup_inventory struct inventory inventory = { 0 };
	struct clear_result result = { 0 };
	struct inventory lost;

	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	CHECK_EQ(lost.sandboxes->shim.pid, shim);
	lost.sandboxes->shim.start_ticks--;
	CHECK_EQ(clear_kill(&lost, 0, &result), 0);
	CHECK_EQ(result.shims_killed, 0);
	CHECK_EQ(ended_by(shim), 0);
}

/* A node may be a container itself: its own group bears an id of the same form. */
static void test_cgroup_kill_takes_the_wanted_group(void)
{
	pid_t member = spawn_member(POD_B, SIG_DFL);

	CHECK_EQ(cgroup_kill(member, POD_A), -ENOENT);
	CHECK_EQ(ended_by(member), 0);
	member = spawn_member(POD_B, SIG_DFL);
	CHECK_EQ(cgroup_kill(member, POD_B), 0);
	CHECK_EQ(ended_by(member), SIGKILL);
	remove_cgroup(POD_B);
}

/* Paused by its pod, or frozen by a runtime that died: it dies only once thawed. */
static void test_frozen_containers_end(void)
{
	static const char group[] = "/sys/fs/cgroup/freezer/recover-test-" POD_A;
	cleanup_inventory struct inventory inventory = { 0 };
	struct clear_result result = { 0 };
	struct inventory lost;
	pid_t member;
	int ready;

	if (!exists("/sys/fs/cgroup/freezer/cgroup.procs")) {
		tap_skip("no freezer of version 1");
		return;
	}
	member = fork_until_ready(&ready);
	if (member == 0) {
		(void)mkdir(group, 0700);
		put_file("/sys/fs/cgroup/freezer/recover-test-" POD_A "/cgroup.procs", "0");
		(void)close(ready);
		for (;;)
			pause();
	}
	put_file("/sys/fs/cgroup/freezer/recover-test-" POD_A "/freezer.state", "FROZEN");
	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	CHECK_EQ(clear_kill(&lost, 50, &result), 0);
	CHECK_EQ(result.failed, 0);
	CHECK_EQ(ended_by(member), SIGKILL);
	put_file("/sys/fs/cgroup/freezer/recover-test-" POD_A "/freezer.state", "THAWED");
	for (int i = 0; i < 50 && rmdir(group) < 0; i++)
		usleep(10000);
}

/* What is mounted below a directory is found by any way to it, but for a link at its very end. */
static void test_unmount_by_another_way(void)
{
	cleanup_mounts struct mounts mounts = { 0 };
	cleanup_fd int fd = -EBADF;

	run("mkdir -p /run/real/dir/in /run/real/other && ln -s real /run/way && ln -s other /run/real/link && "
	    "mount -t tmpfs none /run/real/dir/in && mount -t tmpfs none /run/real/other");
	CHECK_EQ(mounts_scan(&mounts), 0);
	CHECK_EQ(unmount_below(&mounts, "/run/real/link"), 0);
	CHECK_EQ(unmount_below(&mounts, "/run/way/none"), 0);
	CHECK_EQ(unmount_below(&mounts, "/run/gone/dir"), 0);
	run("mountpoint -q /run/real/dir/in && mountpoint -q /run/real/other");
	CHECK_EQ(unmount_below(&mounts, "/run/way//dir"), 0);
	run("! mountpoint -q /run/real/dir/in && mountpoint -q /run/real/other");
	CHECK_EQ(unmount_below(&mounts, "/run/real/dir"), 0); /* as the table of before has it */
	/* A link that came to a mount's path since, and a mount that is in use. */
	CHECK_EQ(unmount("/run/real/link"), 0);
	run("mountpoint -q /run/real/other");
	fd = open("/run/real/other", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(unmount("/run/real/other"), 0);
	run("! mountpoint -q /run/real/other");
}

static void test_bundles_go_aside_and_come_back(void)
{
	cleanup_inventory struct inventory inventory = { 0 };
	struct clear_result result = { 0 };
	struct inventory lost;

	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	CHECK_EQ(mount("none", TASKS "/" APP_A "/rootfs", "tmpfs", 0, NULL), 0);
	CHECK_EQ(clear_bundles(&config, &lost, "t1", &result), 0);
	CHECK_EQ(result.bundles_moved, 2);
	CHECK(!exists(TASKS "/" POD_A));
	CHECK(exists(TASKS "/" POD_B));
	CHECK(exists(STATE "/.containerd-recover-t1/k8s.io/" APP_A "/config.json"));

	CHECK_EQ(clear_bundles(&config, &lost, "t1", &result), 0);
	CHECK_EQ(result.bundles_moved, 2);
	CHECK_EQ(clear_bundles(&config, &lost, "../t1", &result), -EINVAL);

	CHECK_EQ(clear_bundles_undo(&config, "t1"), 0);
	CHECK(exists(TASKS "/" POD_A "/config.json"));
	CHECK(exists(TASKS "/" APP_A "/config.json"));
	CHECK(!exists(STATE "/.containerd-recover-t1"));
	CHECK_EQ(clear_bundles_undo(&config, "t1"), 0);
	CHECK_EQ(umount(TASKS "/" APP_A "/rootfs"), 0);
	CHECK_EQ(clear_bundles(&config, &lost, "", &result), -EINVAL);
	/* Of an earlier try, whatever it is: nothing is moved over it. */
	run("mkdir -p " STATE "/.containerd-recover-t3/k8s.io/" POD_A);
	CHECK_EQ(clear_bundles(&config, &lost, "t3", &result), -EEXIST);
	CHECK(exists(TASKS "/" POD_A "/config.json"));
	run("rmdir " STATE "/.containerd-recover-t3/k8s.io/" POD_A);
	CHECK_EQ(clear_bundles_undo(&config, "t3"), 0);
	CHECK(exists(TASKS "/" APP_A "/config.json"));
}

/* Whatever call fails, no bundle is lost, and a second run completes the move. */
static void test_bundles_survive_every_fault(void)
{
	cleanup_inventory struct inventory inventory = { 0 };
	struct inventory lost;

	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	for (int n = 1;; n++) {
		struct clear_result result = { 0 };
		int r;

		fault_arm("any", n, EIO);
		r = clear_bundles(&config, &lost, "t2", &result);
		if (!fault_fired())
			break;
		CHECK(r < 0);
		CHECK(exists(TASKS "/" POD_A) !=
		      exists(STATE "/.containerd-recover-t2/k8s.io/" POD_A));
		CHECK_EQ(clear_bundles(&config, &lost, "t2", &result), 0);
		CHECK(!exists(TASKS "/" POD_A) && !exists(TASKS "/" APP_A));
		CHECK_EQ(clear_bundles_undo(&config, "t2"), 0);
	}
	CHECK_EQ(clear_bundles_undo(&config, "t2"), 0);
	CHECK(exists(TASKS "/" POD_A) && exists(TASKS "/" APP_A));
}

/* veth00000001 leads into pod A's namespace, veth00000002 too, but in a group. */
static void make_links(void)
{
	run("ip netns add cni-aaaaaaaa && ip netns add cni-other");
	run("ip link add veth00000001 type veth peer name eth0 netns cni-aaaaaaaa");
	run("ip link add veth00000002 group 77 type veth peer name eth1 netns cni-aaaaaaaa");
	run("ip link add cali0000001 type veth peer name eth2 netns cni-aaaaaaaa");
	run("ip link add veth00000003 type veth peer name eth0 netns cni-other");
	run("for l in veth00000001 veth00000002 veth00000003 cali0000001; do ip link set $l up; done");
}

static const struct link_entry *link_now(struct links *links, const char *name)
{
	links_done(links);
	CHECK_EQ(links_scan(links), 0);
	return links_by_name(links, name);
}

static void test_links_go_down_in_a_group(void)
{
	cleanup_inventory struct inventory inventory = { 0 };
	cleanup_links struct links links = { 0 };
	struct clear_result result = { 0 };
	const struct link_entry *link;
	struct inventory lost;

	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	if (!CHECK_EQ(lost.sandboxes->link_count, 2))
		return;
	CHECK_EQ(clear_links_down(&lost, &result), 0);
	CHECK_EQ(result.links_down, 2);
	link = link_now(&links, "veth00000001");
	CHECK(link && !link->up && link->group == 0);
	link = link_now(&links, "veth00000002");
	CHECK(link && !link->up && link->group == 77);
	link = link_now(&links, "veth00000003");
	CHECK(link && link->up);
	link = link_now(&links, "cali0000001");
	CHECK(link && link->up);

	/* An index that is another link's by now is left alone. */
	run("ip link set veth00000001 up && ip link set veth00000003 up");
	lost.sandboxes->links[0].index = link_now(&links, "veth00000003")->index;
	lost.sandboxes->link_count = 1;
	memset(&result, 0, sizeof(result));
	CHECK_EQ(clear_links_down(&lost, &result), 0);
	CHECK_EQ(result.links_down, 0);
	CHECK(link_now(&links, "veth00000003")->up);
	lost.sandboxes->link_count = 2;
}

static void put_leases(void)
{
	run("mkdir -p " NETWORK " /var/lib/cni/networks/podman");
	put_file(NETWORK "/10.88.0.2", POD_A "\r\neth0");
	put_file(NETWORK "/fd00::2", POD_A "\r\neth0");
	put_file(NETWORK "/10.88.0.3", POD_B "\r\neth0");
	put_file(NETWORK "/last_reserved_ip.0", "10.88.0.3");
	put_file("/var/lib/cni/networks/podman/10.99.0.2", ID("fff6") "\r\neth0");
}

static void test_reservations_wait_for_their_links(void)
{
	cleanup_inventory struct inventory inventory = { 0 };
	struct clear_result result = { 0 };
	struct inventory lost;

	put_leases();
	run("ip link set veth00000001 up");
	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	CHECK_EQ(lost.sandboxes->reservation_count, 2);
	CHECK_EQ(clear_reservations(&config, &lost, &result), 0);
	CHECK_EQ(result.released, 0);
	CHECK_EQ(result.kept, 2);
	CHECK(exists(NETWORK "/10.88.0.2"));

	/* A link of calico's into the same namespace answers as well. */
	run("ip link set veth00000001 down && ip link set veth00000002 down");
	memset(&result, 0, sizeof(result));
	CHECK_EQ(clear_reservations(&config, &lost, &result), 0);
	CHECK_EQ(result.kept, 2);

	run("ip link set cali0000001 down");
	memset(&result, 0, sizeof(result));
	CHECK_EQ(clear_reservations(&config, &lost, &result), 0);
	CHECK_EQ(result.released, 2);
	CHECK(!exists(NETWORK "/10.88.0.2") && !exists(NETWORK "/fd00::2"));
	CHECK(exists(NETWORK "/10.88.0.3"));
	CHECK(exists(NETWORK "/last_reserved_ip.0") && exists(NETWORK "/lock"));
	CHECK(exists("/var/lib/cni/networks/podman/10.99.0.2"));
	CHECK(!exists("/var/lib/cni/networks/podman/lock"));
}

static void test_reservation_given_to_another_is_kept(void)
{
	cleanup_inventory struct inventory inventory = { 0 };
	struct clear_result result = { 0 };
	struct inventory lost;

	put_leases();
	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	put_file(NETWORK "/10.88.0.2", POD_B "\r\neth0");
	CHECK_EQ(clear_reservations(&config, &lost, &result), 0);
	CHECK_EQ(result.released, 1);
	CHECK_EQ(result.kept, 1);
	CHECK(exists(NETWORK "/10.88.0.2"));
}

static void test_lock_held_by_a_stuck_process_is_bounded(void)
{
	cleanup_inventory struct inventory inventory = { 0 };
	struct clear_result result = { 0 };
	cleanup_fd int lock = -EBADF;
	struct inventory lost;

	put_leases();
	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	lock = open(NETWORK "/lock", O_RDONLY | O_CREAT | O_CLOEXEC, 0750);
	CHECK_EQ(flock(lock, LOCK_EX), 0);
	CHECK_EQ(clear_reservations(&config, &lost, &result), -ETIMEDOUT);
	CHECK_EQ(result.failed, 2);
	CHECK(exists(NETWORK "/10.88.0.2") && exists(NETWORK "/fd00::2"));
}

static void test_netns_without_a_link_of_ours_keeps_its_address(void)
{
	cleanup_inventory struct inventory inventory = { 0 };
	struct clear_result result = { 0 };
	struct inventory lost;

	put_leases();
	run("ip link del veth00000002; ip link del cali0000001; ip link set veth00000001 up");
	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	CHECK_EQ(clear_reservations(&config, &lost, &result), 0);
	CHECK_EQ(result.kept, 2);
	inventory_done(&inventory);
	run("ip link del veth00000001");
	CHECK_EQ(inventory_scan(&config, 0, &inventory), 0);
	lost = only(&inventory, POD_A);
	memset(&result, 0, sizeof(result));
	CHECK_EQ(clear_reservations(&config, &lost, &result), 0);
	CHECK_EQ(result.kept, 2);
	run("ip netns del cni-aaaaaaaa");
	memset(&result, 0, sizeof(result));
	CHECK_EQ(clear_reservations(&config, &lost, &result), 0);
	CHECK_EQ(result.released, 2);
}

/* Host-local had made the file and not written it; by now it has, or the network is gone. */
static void test_an_empty_reservation_that_is_filled_is_kept(void)
{
	struct reservation empty[] = {
		{ .data_dir = (char *)"/var/lib/cni/networks", .network = (char *)"cbr0", .address = (char *)"10.88.0.8" },
		{ .data_dir = (char *)"/var/lib/cni/networks", .network = (char *)"cbr0", .address = (char *)"10.88.0.9" },
		{ .data_dir = (char *)"/var/lib/cni/networks", .network = (char *)"gone", .address = (char *)"10.88.0.9" },
	};
	struct inventory inventory = { .empty_reservations = empty, .empty_reservation_count = 3 };
	struct reservation_result result = { 0 };

	put_file(NETWORK "/10.88.0.8", "");
	put_file(NETWORK "/10.88.0.9", POD_B "\r\neth0");
	CHECK_EQ(reservations_release_empty(&inventory, 500, &result), 0);
	CHECK_EQ(result.released, 1);
	CHECK_EQ(result.kept, 1);
	CHECK(!exists(NETWORK "/10.88.0.8") && exists(NETWORK "/10.88.0.9"));
}

static bool enter_own_world(void)
{
	if (unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/run", "tmpfs", 0, NULL) < 0 ||
	    mount("none", "/var/lib", "tmpfs", 0, NULL) < 0)
		return false;
	return system("mkdir -p " TASKS " /var/lib/cni/networks /var/lib/cni/results") == 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		be_a_shim(argv);
	if (geteuid() != 0 || !enter_own_world()) {
		printf("1..0 # SKIP needs root and namespaces\n");
		return 0;
	}
	RUN(test_inventory_takes_what_is_this_containerds);
	RUN(test_json_refuses_names_that_are_paths);
	RUN(test_budget_that_runs_out_is_incomplete);
	RUN(test_kill_ends_the_lost_and_nobody_else);
	RUN(test_whether_it_would_end_ourselves);
	RUN(test_kill_spares_a_reused_pid);
	RUN(test_cgroup_kill_takes_the_wanted_group);
	RUN(test_frozen_containers_end);
	RUN(test_unmount_by_another_way);
	RUN(test_bundles_go_aside_and_come_back);
	RUN(test_bundles_survive_every_fault);
	make_links();
	RUN(test_links_go_down_in_a_group);
	RUN(test_reservations_wait_for_their_links);
	RUN(test_reservation_given_to_another_is_kept);
	RUN(test_lock_held_by_a_stuck_process_is_bounded);
	RUN(test_netns_without_a_link_of_ours_keeps_its_address);
	RUN(test_an_empty_reservation_that_is_filled_is_kept);
	return tap_done();
}
