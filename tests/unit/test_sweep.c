/* In mount and network namespaces of its own: nothing of the machine is touched. */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "recover/cni.h"
#include "recover/file.h"
#include "recover/remnant.h"
#include "recover/remove.h"
#include "recover/sweep.h"
#include "scanners/cleanup.h"
#include "scanners/cnicache.h"
#include "scanners/dir.h"
#include "tests/unit/fault.h"
#include "tests/unit/processes.h"
#include "tests/unit/tap.h"

#define STATE "/run/containerd"
#define TASKS STATE "/io.containerd.runtime.v2.task/k8s.io"
#define NETWORK "/var/lib/cni/networks/net"
#define RESULTS "/var/lib/cni/results"
#define CALLS "/var/lib/calls"
#define ID(c) c c c c c c c c c c c c c c c c
#define POD ID("aaa1")
#define OTHER ID("bbb2")

static char *plugin_dirs[] = { (char *)"/opt/none", (char *)"/var/lib/plugins" };
static struct config config = {
	.state = (char *)STATE,
	.address = (char *)STATE "/containerd.sock",
	.cni_conf_dir = (char *)"/var/lib/net.d",
	.cni_max_conf_num = 1,
	.cni_bin_dirs = plugin_dirs,
	.cni_bin_dir_count = 2,
};
static const struct sweep_options options = { .plugin_msec = 400, .parallel = 2 };

static void run(const char *command)
{
	if (!CHECK(system(command) == 0))
		printf("#   command: %s\n", command);
}

static void put_file(const char *path, const char *text, mode_t mode)
{
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);

	CHECK(fd >= 0);
	CHECK_EQ(file_write_all(fd, text, strlen(text)), 0);
}

static bool exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* A plugin that notes how it was called and then does as @does says. */
static void put_plugin(const char *name, const char *does)
{
	char path[256], text[1024];

	snprintf(path, sizeof(path), "/var/lib/plugins/%s", name);
	snprintf(text, sizeof(text),
		 "#!/bin/sh\necho \"%s $CNI_COMMAND $CNI_CONTAINERID $CNI_NETNS $CNI_IFNAME $CNI_ARGS "
		 "$CNI_PATH\" >>" CALLS "\ncat >/var/lib/stdin.%s\n%s\n", name, name, does);
	put_file(path, text, 0700);
}

static void put_entry(const char *id, const char *network, const char *plugins)
{
	static const char alphabet[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char list[1024], encoded[2048], path[512], text[4096], *out = encoded;
	size_t length;

	length = (size_t)snprintf(list, sizeof(list),
				  "{\"cniVersion\":\"0.4.0\",\"name\":\"%s\",\"plugins\":[%s]}", network, plugins);
	memset(list + length, ' ', 3); /* white space behind JSON saves the padding */
	length += (3 - length % 3) % 3;
	for (size_t i = 0; i < length; i += 3) {
		unsigned bits = (unsigned)(unsigned char)list[i] << 16 |
				(unsigned)(unsigned char)list[i + 1] << 8 | (unsigned char)list[i + 2];

		for (int shift = 18; shift >= 0; shift -= 6)
			*out++ = alphabet[bits >> shift & 63];
	}
	*out = '\0';
	snprintf(path, sizeof(path), RESULTS "/%s-%s-eth0", network, id);
	snprintf(text, sizeof(text),
		 "{\"kind\":\"cniCacheV1\",\"containerId\":\"%s\",\"networkName\":\"%s\",\"ifName\":\"eth0\","
		 "\"config\":\"%s\",\"cniArgs\":[[\"IgnoreUnknown\",\"1\"],[\"K8S_POD_NAME\",\"web\"],"
		 "[\"K8S_POD_UID\",\"u\"],[\"K8S_POD_INFRA_CONTAINER_ID\",\"%s\"]],"
		 "\"capabilityArgs\":{\"portMappings\":[{\"hostPort\":80}],\"dns\":{}},"
		 "\"result\":{\"cniVersion\":\"0.4.0\",\"ips\":[{\"address\":\"10.1.0.2/24\"}]}}",
		 id, network, encoded, id);
	put_file(path, text, 0600);
}

static char *read_text(const char *path)
{
	char *text = NULL;

	return dir_read_path(path, 65536, &text, NULL) == 0 ? text : strdup("");
}

/* Each test begins with one lost pod, a reservation of it, and nothing else. */
static void begin(const char *plugins)
{
	run("rm -rf /var/lib/cni /var/lib/plugins /var/lib/stdin.* " CALLS " " STATE " /run/netns/*");
	run("mkdir -p " NETWORK " " RESULTS " /var/lib/plugins /var/lib/net.d " TASKS "/" POD "/rootfs /run/netns");
	put_file("/var/lib/net.d/10-net.conflist", "{\"name\":\"net\"}", 0600);
	put_file(TASKS "/" POD "/config.json",
		 "{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"" POD "\"},\"linux\":{\"namespaces\":"
		 "[{\"type\":\"network\",\"path\":\"/run/netns/cni-aaaaaaaa\"}]}}", 0600);
	put_file(NETWORK "/10.1.0.2", POD "\r\neth0", 0600);
	if (plugins)
		put_entry(POD, "net", plugins);
}

static struct sweep_result sweep(int expected)
{
	cleanup_inventory struct inventory lost = { 0 };
	struct sweep_result result = { 0 };

	CHECK_EQ(inventory_scan(&config, 0, &lost), 0);
	CHECK_EQ(lost.sandbox_count, 1);
	CHECK_EQ(sweep_sandboxes(&config, &lost, &options, &result), expected);
	CHECK_EQ(result.sandboxes, 1);
	return result;
}

/* Ids become paths that are deleted: a specification with another kind of id is none. */
static void test_id_that_is_a_path(void)
{
	static const char *const ids[] = { "../../../../precious", "a/b", "..", ".", "" };

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		cleanup_inventory struct inventory found = { 0 };
		char spec[256];

		begin(NULL);
		(void)snprintf(spec, sizeof(spec),
			       "{\"annotations\":{\"io.kubernetes.cri.sandbox-id\":\"%s\"}}", ids[i]);
		put_file(TASKS "/" POD "/config.json", spec, 0600);
		CHECK_EQ(inventory_scan(&config, 0, &found), 0);
		for (size_t k = 0; k < found.sandbox_count; k++)
			CHECK_STR(found.sandboxes[k].id, POD);
	}
}

#define CHAIN "{\"type\":\"bridge\",\"capabilities\":{\"dns\":false}}," \
	      "{\"type\":\"portmap\",\"capabilities\":{\"portMappings\":true}}"

static void test_del_is_replayed_as_libcni_does(void)
{
	cleanup_free char *calls = NULL, *text = NULL;
	json_auto_t *portmap = NULL, *bridge = NULL;

	begin(CHAIN);
	put_plugin("bridge", "rm " NETWORK "/10.1.0.2");
	put_plugin("portmap", "");
	CHECK_EQ(sweep(0).released, 1);
	calls = read_text(CALLS);
	/* In reverse; the namespace is gone, so its path is not given. */
#define REST " DEL " POD "  eth0 IgnoreUnknown=1;K8S_POD_NAME=web;K8S_POD_UID=u;" \
	     "K8S_POD_INFRA_CONTAINER_ID=" POD " /opt/none:/var/lib/plugins\n"
	CHECK_STR(calls, "portmap" REST "bridge" REST);
	text = read_text("/var/lib/stdin.portmap");
	portmap = json_loads(text, 0, NULL);
	CHECK_STR(json_string_value(json_object_get(portmap, "name")), "net");
	CHECK_STR(json_string_value(json_object_get(portmap, "cniVersion")), "0.4.0");
	CHECK(json_object_get(json_object_get(portmap, "prevResult"), "ips") != NULL);
	CHECK(json_object_get(json_object_get(portmap, "runtimeConfig"), "portMappings") != NULL);
	CHECK(json_object_get(json_object_get(portmap, "runtimeConfig"), "dns") == NULL);
	free(text);
	text = read_text("/var/lib/stdin.bridge");
	bridge = json_loads(text, 0, NULL);
	CHECK(json_object_get(bridge, "runtimeConfig") == NULL);
	CHECK(!exists(RESULTS "/net-" POD "-eth0"));
	CHECK(!exists(TASKS "/" POD));
}

static void test_no_result_before_0_4_0(void)
{
	cleanup_cnicache_entry struct cnicache_entry entry = { 0 };
	static const struct {
		const char *version;
		bool result;
	} cases[] = { { "0.3.1", false }, { "0.4.0", true }, { "1.0.0", true }, { NULL, false } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *text = NULL;

		json_auto_t *list = json_pack("{s:s*, s:[{s:s}]}", "cniVersion", cases[i].version,
					      "plugins", "type", "x");
		entry.config = list;
		entry.entry = json_pack("{s:{}}", "result");
		CHECK_EQ(cni_plugin_input(&entry, 0, &text), 0);
		CHECK_EQ(text && strstr(text, "prevResult") != NULL, cases[i].result);
		CHECK_EQ(cni_plugin_input(&entry, 1, &text), -EINVAL);
		json_decref(entry.entry);
		entry.entry = entry.config = NULL;
	}
}

static void test_missing_plugin_is_made_up_for(void)
{
	begin(CHAIN);
	put_plugin("bridge", "echo '{\"code\": 11, \"msg\": \"try again\"}'; exit 1");
	CHECK_EQ(sweep(0).released, 1);
	CHECK(!exists(NETWORK "/10.1.0.2"));
	CHECK(!exists(RESULTS "/net-" POD "-eth0"));
}

/* What calico leaves, calico alone knows: its cache file stays for another try. */
static void test_failure_of_another_plugin_is_kept(void)
{
	struct sweep_result result;

	begin("{\"type\":\"calico\"}," CHAIN);
	put_plugin("bridge", "");
	put_plugin("portmap", "");
	put_plugin("calico", "exit 1");
	result = sweep(-EREMOTEIO);
	CHECK_EQ(result.failed, 1);
	CHECK_EQ(result.released, 0);
	CHECK(exists(RESULTS "/net-" POD "-eth0"));
}

/* While containerd is down its agent is too; what can be released by hand is. */
static void test_plugin_with_an_agent_is_deferred(void)
{
	cleanup_inventory struct inventory lost = { 0 };
	struct sweep_options deferring = options;
	struct sweep_result result = { 0 };
	int told = 0;

	begin("{\"type\":\"cilium-cni\"}," CHAIN);
	put_plugin("cilium-cni", "");
	put_plugin("bridge", "");
	put_plugin("portmap", "");
	deferring.defer = true;
	deferring.results = &told;
	CHECK_EQ(inventory_scan(&config, 0, &lost), 0);
	CHECK_EQ(sweep_sandboxes(&config, &lost, &deferring, &result), 0);
	CHECK_EQ(result.deferred, 1);
	CHECK_EQ(result.released + result.failed, 0);
	CHECK_EQ(told, -EINPROGRESS);
	CHECK(!exists(CALLS) && exists(RESULTS "/net-" POD "-eth0"));
	CHECK(!exists(NETWORK "/10.1.0.2") && !exists(TASKS "/" POD));
	/* The next one has the cache file alone to go by. */
	CHECK_EQ(sweep(0).released, 1);
	CHECK(exists(CALLS) && !exists(RESULTS "/net-" POD "-eth0"));

	/* A list of nothing but known plugins is not deferred. */
	begin(CHAIN);
	put_plugin("bridge", "");
	put_plugin("portmap", "");
	CHECK_EQ(sweep_sandboxes(&config, &lost, &deferring, &result), 0);
	CHECK_EQ(result.released, 1);
	CHECK(exists(CALLS));
}

/* The path of a lost pod's namespace by the time of acting is another pod's. */
static void test_namespace_of_another_at_its_path(void)
{
	cleanup_inventory struct inventory lost = { 0 };
	struct sweep_result result = { 0 };
	cleanup_fd int old = -EBADF;

	begin(CHAIN);
	put_plugin("bridge", "");
	put_plugin("portmap", "");
	run("ip netns add cni-aaaaaaaa && ip link add veth00000001 type veth peer name eth0 netns cni-aaaaaaaa");
	CHECK_EQ(inventory_scan(&config, 0, &lost), 0);
	CHECK_EQ(lost.sandboxes[0].link_count, 1);
	/* Deleted and made anew, with a link of the same name and a new address. Held
	 * open, or the new one may be given the old one's inode number. */
	old = open("/run/netns/cni-aaaaaaaa", O_RDONLY | O_CLOEXEC);
	CHECK(old >= 0);
	run("ip netns del cni-aaaaaaaa; ip link del veth00000001; "
	    "ip netns add cni-aaaaaaaa && ip link add veth00000001 type veth peer name eth0 netns cni-aaaaaaaa "
	    "&& ip link set veth00000001 up");
	CHECK_EQ(sweep_sandboxes(&config, &lost, &options, &result), 0);
	CHECK_EQ(result.released, 1);
	run("ip link show veth00000001 up | grep -q veth");
	run("ip -n cni-aaaaaaaa link show eth0 >/dev/null");
	{
		cleanup_free char *calls = read_text(CALLS);

		CHECK(calls && !strstr(calls, "netns/cni-aaaaaaaa"));
	}
	CHECK(!exists(TASKS "/" POD));
	run("ip netns del cni-aaaaaaaa");
}

/* Somebody's debugger in it, say: whoever it is, it is not lost with the pod. */
static void test_visitors_are_seen(void)
{
	cleanup_inventory struct inventory before = { 0 }, during = { 0 };

	begin(NULL);
	run("ip netns add cni-aaaaaaaa");
	CHECK_EQ(inventory_scan(&config, 0, &before), 0);
	CHECK_EQ(before.sandboxes[0].visitor, 0);
	run("ip netns exec cni-aaaaaaaa sleep 100 >/dev/null 2>&1 & echo $! >/var/lib/visitor; "
	    "for i in $(seq 100); do test \"$(readlink /proc/$!/ns/net)\" != \"$(readlink /proc/self/ns/net)\" && exit 0; sleep 0.02; done; exit 1");
	CHECK_EQ(inventory_scan(&config, 0, &during), 0);
	CHECK(during.sandboxes[0].visitor > 0);
	run("kill $(cat /var/lib/visitor); ip netns del cni-aaaaaaaa");
}

static void test_hanging_plugin_is_bounded(void)
{
	begin("{\"type\":\"portmap\"}");
	put_plugin("portmap", "sleep 1000");
	CHECK_EQ(sweep(0).released, 1);
	CHECK(!exists(RESULTS "/net-" POD "-eth0"));
}

static void test_plugin_that_is_a_path_is_not_run(void)
{
	begin("{\"type\":\"../plugins/bridge\"}");
	put_plugin("bridge", "");
	CHECK_EQ(sweep(-EREMOTEIO).failed, 1);
	CHECK(!exists(CALLS));
}

/* The firewall plugin knows addresses alone: not run for one that is another's. */
static void test_firewall_runs_for_an_address_of_its_own_only(void)
{
	cleanup_inventory struct inventory lost = { 0 };
	struct sweep_result result = { 0 };

	begin("{\"type\":\"firewall\"}");
	put_plugin("firewall", "cp " NETWORK "/10.1.0.2 /var/lib/stdin.seen");
	CHECK_EQ(inventory_scan(&config, 0, &lost), 0);
	put_file(NETWORK "/10.1.0.2", OTHER "\r\neth0", 0600);
	CHECK_EQ(sweep_sandboxes(&config, &lost, &options, &result), 0);
	CHECK(!exists(CALLS));
	CHECK(exists(NETWORK "/10.1.0.2"));

	/* Released before, and nobody's: held until the plugin is done. */
	put_entry(POD, "net", "{\"type\":\"firewall\"}");
	CHECK_EQ(unlink(NETWORK "/10.1.0.2"), 0);
	CHECK_EQ(sweep_sandboxes(&config, &lost, &options, &result), 0);
	CHECK(exists(CALLS));
	{
		cleanup_free char *seen = read_text("/var/lib/stdin.seen");

		CHECK_STR(seen, POD "\r\neth0");
	}
	CHECK(!exists(NETWORK "/10.1.0.2"));
}

static void test_remnants_go_and_neighbours_stay(void)
{
	begin(NULL);
	run("mkdir -p " STATE "/io.containerd.grpc.v1.cri/sandboxes/" POD "/shm "
	    STATE "/io.containerd.grpc.v1.cri/sandboxes/" OTHER "/shm "
	    STATE "/runc/k8s.io/" POD " " STATE "/runc/k8s.io/" OTHER " " TASKS "/.keep");
	run("mount -t tmpfs none " STATE "/io.containerd.grpc.v1.cri/sandboxes/" POD "/shm");
	run("mount -t tmpfs none " STATE "/io.containerd.grpc.v1.cri/sandboxes/" OTHER "/shm");
	run("mount -t tmpfs none " TASKS "/" POD "/rootfs && mkdir " TASKS "/" POD "/rootfs/sub "
	    "&& mount -t tmpfs none " TASKS "/" POD "/rootfs/sub");
	run("ln -s /var/lib/precious " TASKS "/" POD "/work && mkdir -p /var/lib/precious/sub");
	run("ip netns add cni-aaaaaaaa && ip netns add cni-bbbbbbbb");
	run("ip link add veth00000001 type veth peer name eth0 netns cni-aaaaaaaa");
	run("ip link add veth00000002 type veth peer name eth0 netns cni-bbbbbbbb");
	CHECK_EQ(sweep(0).released, 1);
	CHECK(!exists(TASKS "/" POD) && exists(TASKS "/.keep"));
	CHECK(exists("/var/lib/precious/sub"));
	CHECK(!exists(STATE "/io.containerd.grpc.v1.cri/sandboxes/" POD));
	CHECK(exists(STATE "/io.containerd.grpc.v1.cri/sandboxes/" OTHER "/shm"));
	CHECK(!exists(STATE "/runc/k8s.io/" POD) && exists(STATE "/runc/k8s.io/" OTHER));
	CHECK(!exists("/run/netns/cni-aaaaaaaa") && exists("/run/netns/cni-bbbbbbbb"));
	CHECK_EQ(system("ip link show veth00000001 >/dev/null 2>&1") == 0, 0);
	run("ip link show veth00000002 >/dev/null");
	CHECK(!exists(NETWORK "/10.1.0.2"));
	run("mountpoint -q " STATE "/io.containerd.grpc.v1.cri/sandboxes/" OTHER "/shm");
	run("umount " STATE "/io.containerd.grpc.v1.cri/sandboxes/" OTHER "/shm; ip netns del cni-bbbbbbbb");
}

/* A namespace that is gone leaves an empty file; anything else there is somebody's. */
static void test_what_is_no_namespace_stays(void)
{
	begin(NULL);
	put_file("/run/netns/cni-aaaaaaaa", "", 0600);
	CHECK_EQ(sweep(0).released, 1);
	CHECK(!exists("/run/netns/cni-aaaaaaaa"));
	begin(NULL);
	put_file("/run/netns/cni-aaaaaaaa", "precious", 0600);
	CHECK_EQ(sweep(-EEXIST).failed, 1);
	CHECK(exists("/run/netns/cni-aaaaaaaa"));
	begin(NULL);
	run("mkfifo /run/netns/cni-aaaaaaaa");
	CHECK_EQ(sweep(-EEXIST).failed, 1);
	CHECK(exists("/run/netns/cni-aaaaaaaa"));
}

/* Nothing of the pod answers any more when a plugin gives its address away. */
static void test_all_is_quiet_before_a_plugin_runs(void)
{
	pid_t shim = spawn_shim("k8s.io", POD, config.address);
	cleanup_free char *calls = NULL;

	begin(CHAIN);
	put_plugin("bridge", "ip -o link show up dev veth00000001 | sed 's/.*/link up/' >>" CALLS);
	put_plugin("portmap", "");
	run("ip netns add cni-aaaaaaaa && ip link add veth00000001 type veth peer name eth0 netns cni-aaaaaaaa "
	    "&& ip link set veth00000001 up");
	CHECK_EQ(sweep(0).released, 1);
	calls = read_text(CALLS);
	CHECK(strstr(calls, "bridge DEL") && !strstr(calls, "link up"));
	CHECK_EQ(ended_by(shim), SIGKILL);
}

/* What says whose a link or an address is outlives it, whatever fails; and the rest is gone on with. */
static void test_no_fault_forgets_whose_it_is(void)
{
	static const char *const calls[] = { "unlinkat", "flock", "mnl_socket_recvfrom" };

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (int n = 1;; n++) {
			cleanup_inventory struct inventory lost = { 0 };
			struct sweep_result result = { 0 };
			bool fired;
			int r;

			begin(CHAIN);
			put_plugin("bridge", "");
			put_plugin("portmap", "");
			run("ip netns add cni-aaaaaaaa && "
			    "ip link add veth00000001 type veth peer name eth0 netns cni-aaaaaaaa");
			CHECK_EQ(inventory_scan(&config, 0, &lost), 0);
			fault_arm(calls[i], n, EIO);
			r = sweep_sandboxes(&config, &lost, &options, &result);
			fired = fault_fired();
			if (exists(NETWORK "/10.1.0.2") || exists(TASKS "/" POD) || exists("/run/netns/cni-aaaaaaaa") ||
			    system("ip link show veth00000001 >/dev/null 2>&1") == 0)
				CHECK(r < 0 && result.failed == 1 && exists(RESULTS "/net-" POD "-eth0"));
			CHECK_EQ(sweep_sandboxes(&config, &lost, &options, &result), 0);
			CHECK_EQ(result.released, 1);
			CHECK(!exists(NETWORK "/10.1.0.2") && !exists(RESULTS "/net-" POD "-eth0"));
			if (!fired)
				break;
		}
}

/* Without the sandbox's own bundle the next run would not know of the rest. */
static void test_the_sandboxs_own_bundle_goes_last(void)
{
	for (int n = 1, status = 0; !WIFEXITED(status) || n == 1; n++) {
		cleanup_inventory struct inventory lost = { 0 };
		struct sweep_result result;
		pid_t pid;

		begin(NULL);
		run("cp -r " TASKS "/" POD " " TASKS "/" OTHER);
		CHECK_EQ(inventory_scan(&config, 0, &lost), 0);
		CHECK_EQ(lost.sandbox_count, 1);
		pid = fork();
		if (pid == 0) {
			fault_arm("unlinkat", n, FAULT_STOP);
			_exit(sweep_sandboxes(&config, &lost, &options, &result) < 0);
		}
		CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
		CHECK(exists(TASKS "/" POD "/config.json") || !exists(TASKS "/" OTHER));
		if (!WIFEXITED(status)) {
			CHECK_EQ(kill(pid, SIGKILL), 0);
			CHECK_EQ(waitpid(pid, NULL, 0), pid);
		}
	}
	CHECK(!exists(TASKS "/" POD) && !exists(TASKS "/" OTHER));
}

static void make_socket(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memcpy(address.sun_path, path, strlen(path) + 1);
	CHECK_EQ(bind(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
}

static void test_sockets_of_shims_alone(void)
{
	begin(NULL);
	run("mkdir -p " STATE "/s");
	make_socket(STATE "/s/" POD);
	make_socket(STATE "/containerd.sock");
	put_file(TASKS "/" POD "/address", "unix://" STATE "/s/" POD, 0600);
	CHECK_EQ(sweep(0).released, 1);
	CHECK(!exists(STATE "/s/" POD));

	begin(NULL);
	run("mkdir -p " STATE "/s");
	make_socket(STATE "/containerd.sock");
	put_file(TASKS "/" POD "/address", "unix://" STATE "/s/../containerd.sock", 0600);
	CHECK_EQ(sweep(0).released, 1);
	CHECK(exists(STATE "/containerd.sock"));

	begin(NULL);
	run("mkdir -p " STATE "/s");
	put_file(STATE "/s/" POD, "", 0600);
	put_file(TASKS "/" POD "/address", "unix://" STATE "/s/" POD, 0600);
	CHECK_EQ(sweep(-ENOTSOCK).failed, 1);
	CHECK(exists(STATE "/s/" POD));
}

/* kata and gVisor clean up themselves; runc's remains are known. */
static void test_other_runtimes_delete_themselves(void)
{
	cleanup_free char *calls = NULL;

	begin(NULL);
	put_plugin("containerd-shim-kata-v2", "echo \"$PWD $*\" >>" CALLS);
	put_file(TASKS "/" POD "/shim-binary-path", "/var/lib/plugins/containerd-shim-kata-v2", 0600);
	CHECK_EQ(sweep(0).released, 1);
	calls = read_text(CALLS);
	CHECK(strstr(calls, TASKS "/" POD " -namespace k8s.io -address " STATE "/containerd.sock "
		     "-publish-binary /usr/bin/containerd -id " POD " -bundle " TASKS "/" POD " delete\n"));

	begin(NULL);
	put_plugin("containerd-shim-runc-v2", "");
	put_file(TASKS "/" POD "/shim-binary-path", "/var/lib/plugins/containerd-shim-runc-v2", 0600);
	CHECK_EQ(sweep(0).released, 1);
	CHECK(!exists(CALLS));

	/* One that fails is said, and the bundle goes all the same: nobody else would come for it. */
	begin(NULL);
	put_plugin("containerd-shim-kata-v2", "exit 1");
	put_file(TASKS "/" POD "/shim-binary-path", "/var/lib/plugins/containerd-shim-kata-v2", 0600);
	CHECK_EQ(sweep(-EREMOTEIO).failed, 1);
	CHECK(!exists(TASKS "/" POD));
}

static void test_dry_run_changes_nothing(void)
{
	cleanup_inventory struct inventory lost = { 0 };
	struct sweep_options dry = options;
	struct sweep_result result = { 0 };

	begin(CHAIN);
	put_plugin("bridge", "");
	CHECK_EQ(inventory_scan(&config, 0, &lost), 0);
	dry.dry_run = true;
	CHECK_EQ(sweep_sandboxes(&config, &lost, &dry, &result), 0);
	CHECK_EQ(result.released, 0);
	CHECK(exists(NETWORK "/10.1.0.2") && exists(TASKS "/" POD) && !exists(CALLS));
}

static void test_torn_cache_file_does_not_keep_the_rest(void)
{
	begin(NULL);
	put_file(RESULTS "/net-" POD "-eth0", "{\"kind\":\"cniCac", 0600);
	put_file(RESULTS "/net-" OTHER "-eth0", "{\"kind\":\"cniCac", 0600);
	CHECK_EQ(sweep(0).released, 1);
	CHECK(!exists(NETWORK "/10.1.0.2"));
	CHECK(!exists(RESULTS "/net-" POD "-eth0"));
	CHECK(exists(RESULTS "/net-" OTHER "-eth0"));
}

static void test_small_trees_without_crossing(void)
{
	cleanup_fd int fd = -EBADF;

	begin(NULL);
	run("mkdir -p /var/lib/t/a/b /var/lib/t/c && mount --bind /var/lib/net.d /var/lib/t/a/b");
	fd = dir_open_path("/var/lib");
	CHECK_EQ(remove_small_tree(fd, "t"), -EXDEV);
	CHECK(exists("/var/lib/net.d/10-net.conflist"));
	CHECK(!exists("/var/lib/t/c"));
	run("umount /var/lib/t/a/b");
	CHECK_EQ(remove_small_tree(fd, "t"), 0);
	CHECK_EQ(remove_small_tree(fd, "t"), 0);
	CHECK(!exists("/var/lib/t"));
	/* A small tree is no deep one. */
	run("mkdir -p /var/lib/t/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16");
	CHECK_EQ(remove_small_tree(fd, "t"), -ELOOP);
	run("rmdir /var/lib/t/1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16");
	CHECK_EQ(remove_small_tree(fd, "t"), 0);
}

/* Whatever is mounted in a bundle would be deleted with it. */
static void test_nothing_is_removed_without_the_mount_table(void)
{
	cleanup_inventory struct inventory lost = { 0 };
	struct sweep_result result = { 0 };

	begin(NULL);
	run("mkdir -p /var/lib/precious && touch /var/lib/precious/file && "
	    "mount --bind /var/lib/precious " TASKS "/" POD "/rootfs");
	CHECK_EQ(inventory_scan(&config, 0, &lost), 0);
	make_socket("/var/lib/not-to-be-opened");
	CHECK_EQ(mount("/var/lib/not-to-be-opened", "/proc/self/mountinfo", NULL, MS_BIND, NULL), 0);
	CHECK(sweep_sandboxes(&config, &lost, &options, &result) < 0);
	CHECK_EQ(umount2("/proc/self/mountinfo", MNT_DETACH), 0);
	CHECK_EQ(result.failed, 1);
	CHECK(exists(TASKS "/" POD "/rootfs/file") && exists(TASKS "/" POD "/config.json"));
	CHECK_EQ(sweep_sandboxes(&config, &lost, &options, &result), 0);
	CHECK(!exists(TASKS "/" POD) && exists("/var/lib/precious/file"));
	run("rm -r /var/lib/precious /var/lib/not-to-be-opened");
}

/* Of a pod that CRI still knows: what is CRI's own, and what is in place. */
static void test_tasks_alone(void)
{
	cleanup_mounts struct mounts mounts = { 0 };
	cleanup_inventory struct inventory lost = { 0 };
	struct remnants remnants = { .config = &config, .mounts = &mounts, .delete_msec = 400, .tasks_only = true };

	begin(NULL);
	run("mkdir -p " STATE "/io.containerd.grpc.v1.cri/sandboxes/" POD " "
	    STATE "/io.containerd.grpc.v1.cri/containers/" POD " " STATE "/runc/k8s.io/" POD " "
	    STATE "/.containerd-recover-T/k8s.io/" POD "/rootfs");
	put_file("/run/netns/cni-aaaaaaaa", "", 0600);
	CHECK_EQ(inventory_scan(&config, 0, &lost), 0);
	CHECK_EQ(mounts_scan(&mounts), 0);
	for (int aside = 0; aside < 2; aside++) {
		remnants.ticket = aside ? "T" : NULL;
		CHECK_EQ(remnants_remove(&remnants, &lost.sandboxes[0]), 0);
		CHECK(exists(TASKS "/" POD "/config.json") && exists("/run/netns/cni-aaaaaaaa"));
		CHECK(exists(STATE "/io.containerd.grpc.v1.cri/sandboxes/" POD));
		CHECK(exists(STATE "/io.containerd.grpc.v1.cri/containers/" POD));
		CHECK(!exists(STATE "/runc/k8s.io/" POD));
		CHECK_EQ(exists(STATE "/.containerd-recover-T/k8s.io/" POD), !aside);
	}
	remnants.tasks_only = false;
	CHECK_EQ(remnants_remove(&remnants, &lost.sandboxes[0]), 0);
	CHECK(!exists(TASKS "/" POD) && !exists("/run/netns/cni-aaaaaaaa"));
	CHECK(!exists(STATE "/io.containerd.grpc.v1.cri/sandboxes/" POD));
	CHECK(!exists(STATE "/io.containerd.grpc.v1.cri/containers/" POD));
}

static bool enter_own_world(void)
{
	return unshare(CLONE_NEWNS | CLONE_NEWNET) == 0 &&
	       mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("none", "/run", "tmpfs", 0, NULL) == 0 &&
	       mount("none", "/var/lib", "tmpfs", 0, NULL) == 0;
}

int main(int argc, char **argv)
{
	if (argc > 1)
		be_a_shim(argv);
	if (geteuid() != 0 || !enter_own_world()) {
		printf("1..0 # SKIP needs root and namespaces\n");
		return 0;
	}
	RUN(test_id_that_is_a_path);
	RUN(test_del_is_replayed_as_libcni_does);
	RUN(test_no_result_before_0_4_0);
	RUN(test_missing_plugin_is_made_up_for);
	RUN(test_failure_of_another_plugin_is_kept);
	RUN(test_plugin_with_an_agent_is_deferred);
	RUN(test_namespace_of_another_at_its_path);
	RUN(test_visitors_are_seen);
	RUN(test_hanging_plugin_is_bounded);
	RUN(test_plugin_that_is_a_path_is_not_run);
	RUN(test_firewall_runs_for_an_address_of_its_own_only);
	RUN(test_remnants_go_and_neighbours_stay);
	RUN(test_what_is_no_namespace_stays);
	RUN(test_all_is_quiet_before_a_plugin_runs);
	RUN(test_no_fault_forgets_whose_it_is);
	RUN(test_the_sandboxs_own_bundle_goes_last);
	RUN(test_sockets_of_shims_alone);
	RUN(test_other_runtimes_delete_themselves);
	RUN(test_dry_run_changes_nothing);
	RUN(test_torn_cache_file_does_not_keep_the_rest);
	RUN(test_small_trees_without_crossing);
	RUN(test_nothing_is_removed_without_the_mount_table);
	RUN(test_tasks_alone);
	return tap_done();
}
