#include <string.h>

#include "recover/file.h"
#include "scanners/base64.h"
#include "scanners/cleanup.h"
#include "scanners/cnicache.h"
#include "scanners/dir.h"
#include "scanners/ipam.h"
#include "scanners/process.h"
#include "tests/unit/tap.h"

/* {"name": "n", "plugins": [{"ipam": {"dataDir": "/d"}}]} */
#define CONFIG "eyJuYW1lIjogIm4iLCAicGx1Z2lucyI6IFt7ImlwYW0iOiB7ImRhdGFEaXIiOiAiL2QifX1dfQ=="
#define ENTRY(config) \
	"{\"kind\":\"cniCacheV1\",\"containerId\":\"c1\",\"networkName\":\"a-b\",\"ifName\":\"eth0\"," \
	"\"config\":\"" config "\",\"cniArgs\":[[\"K8S_POD_NAME\",\"web\"],[\"K8S_POD_UID\",\"\"],[7]]," \
	"\"result\":{\"interfaces\":[{\"name\":\"cni0\",\"mac\":\"aa:00:00:00:00:01\"},{\"name\":\"veth1\"}," \
	"{\"name\":\"eth0\",\"sandbox\":\"/run/netns/x\"}]," \
	"\"ips\":[{\"address\":\"10.0.0.2/24\"},{\"address\":\"fd00::2/64\"}]}}"

static int tmp = -EBADF;

static void test_base64(void)
{
	static const struct {
		const char *text, *want;
	} cases[] = {
		{ "", "" },	    { "Zg==", "f" },	 { "Zm8=", "fo" },	  { "Zm9v", "foo" },
		{ "Zm9", NULL },    { "Zg=a", NULL },	 { "Z===", NULL },	  { "====", NULL },
		{ "Zm9vZg==", "foof" }, { "Zg==Zg==", NULL }, { "Zm 9", NULL }, { "Zm9v\n", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *out = NULL;
		size_t size = 0;

		CHECK_EQ(base64_decode(cases[i].text, &out, &size), cases[i].want ? 0 : -EINVAL);
		CHECK_STR(out, cases[i].want);
		CHECK_EQ(size, cases[i].want ? strlen(cases[i].want) : 0);
	}
}

static void test_entry_has_links_addresses_and_pod(void)
{
	cleanup_cnicache_entry struct cnicache_entry entry = { 0 };

	if (!CHECK_EQ(cnicache_parse("f", ENTRY(CONFIG), strlen(ENTRY(CONFIG)), true, &entry), 0))
		return;
	CHECK_STR(entry.network, "a-b");
	CHECK_STR(entry.netns, "/run/netns/x");
	CHECK_STR(entry.pod_name, "web");
	CHECK_STR(entry.pod_uid, NULL);
	CHECK_EQ(entry.link_count, 2);
	CHECK_STR(entry.links[0].mac, "aa:00:00:00:00:01");
	CHECK_STR(entry.links[1].mac, NULL);
	CHECK_EQ(entry.address_count, 2);
	CHECK_STR(entry.addresses[1], "fd00::2");
	CHECK_STR(entry.data_dir, "/d");
}

static void test_what_is_no_entry_is_skipped(void)
{
	static const char *const bad[] = {
		"", "{", "[]", "null", "{}",
		"{\"kind\":\"cniCacheV2\",\"containerId\":\"c\",\"networkName\":\"n\",\"ifName\":\"e\"}",
		"{\"kind\":\"cniCacheV1\",\"containerId\":\"\",\"networkName\":\"n\",\"ifName\":\"e\"}",
		ENTRY("!"), ENTRY("W10="),
	};
	cleanup_cnicache struct cnicache cache = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct cnicache_entry entry;
		char name[8];

		CHECK_EQ(cnicache_parse("f", bad[i], strlen(bad[i]), true, &entry), -EINVAL);
		snprintf(name, sizeof(name), "bad%zu", i);
		CHECK_EQ(file_replace(tmp, name, bad[i], strlen(bad[i]), 0600), 0);
	}
	CHECK_EQ(file_replace(tmp, "good", ENTRY(CONFIG), strlen(ENTRY(CONFIG)), 0600), 0);
	CHECK_EQ(cnicache_scan(tmp, &cache), 0);
	/* The last one's configuration is no list, which nobody has asked for yet. */
	CHECK_EQ(cache.count, 2);
	CHECK_EQ(cache.malformed_count, ARRAY_SIZE(bad) - 1);
}

static void test_addresses_are_told_from_locks(void)
{
	CHECK(ipam_is_address("10.88.0.7"));
	CHECK(ipam_is_address("fd00::7"));
	CHECK(!ipam_is_address("lock"));
	CHECK(!ipam_is_address("last_reserved_ip.0"));
	CHECK(!ipam_is_address("10.88.0"));
	CHECK(!ipam_is_address(".10.88.0.7.new"));
}

static void test_leases_old_new_and_empty(void)
{
	static const struct {
		const char *text, *id, *ifname;
	} cases[] = {
		{ "c1\r\neth0", "c1", "eth0" }, { "c1", "c1", NULL }, { "c1\n", "c1", NULL }, { "", "", NULL },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *id = NULL, *ifname = NULL;

		CHECK_EQ(file_replace(tmp, "10.0.0.1", cases[i].text, strlen(cases[i].text), 0600), 0);
		CHECK_EQ(ipam_read_lease(tmp, "10.0.0.1", &id, &ifname), 0);
		CHECK_STR(id, cases[i].id);
		CHECK_STR(ifname, cases[i].ifname);
	}
}

#define CRI "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
static void test_cgroups_name_their_container(void)
{
	static const struct {
		const char *cgroups, *id, *path;
		bool want;
	} cases[] = {
		{ "0::/kubepods.slice/x.slice/cri-containerd-" CRI ".scope\n", CRI, NULL, true },
		{ "9:cpu:/\n0::/kubepods/pod1/" CRI "\n", CRI, NULL, true },
		{ "0::/kata_" CRI "/sub\n", CRI, NULL, true },
		{ "0::/kubepods/pod1/a" CRI "\n", CRI, NULL, false },
		{ "0::/kubepods/pod1/" CRI "0\n", CRI, NULL, false },
		{ "0::/system.slice\n", CRI, "/system.slice", false },
		{ "0::/default/web\n", "web", "/default/web", true },
		{ "0::/default/web/sub\n", "web", "/default/web", true },
		{ "0::/default/web2\n", "web", "/default/web", false },
		{ "0::/default/web\n", "web", NULL, false },
		{ "0::/system.slice/ssh\n", "web", "/system.slice", false },
		{ "0::/\n", "web", "/", false },
		{ "0::/a.slice/ctr-web.scope\n", "web", "a.slice:ctr:web", true },
		{ "0::/a.slice/ctr-web2.scope\n", "web", "a.slice:ctr:web", false },
		{ NULL, CRI, NULL, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!CHECK_EQ(process_cgroups_name(cases[i].cgroups, cases[i].id, cases[i].path),
			      cases[i].want))
			printf("#   case %zu\n", i);
}

static void test_stat_with_a_hostile_name(void)
{
	struct process_entry entry = { 0 };

	CHECK_EQ(process_parse_stat("42 (a) R 1 (x) Z 7 1 1 0 -1 64 1 1 1 1 1 1 1 1 20 0 1 0 555 1", &entry), 0);
	CHECK_EQ(entry.parent, 7);
	CHECK(entry.zombie);
	CHECK_EQ(entry.process.start_ticks, 555);
	CHECK_EQ(process_parse_stat("42 (a) R 1", &entry), -EINVAL);
	CHECK_EQ(process_parse_stat("42 (a", &entry), -EINVAL);
	CHECK_EQ(process_parse_stat("", &entry), -EINVAL);
}

#define SHIM(text) text, sizeof(text) - 1
static void test_shims_by_command_line(void)
{
	struct shim_args args;

	CHECK_EQ(process_parse_shim(SHIM("s\0-namespace\0k8s.io\0-id\0i\0-address\0/a.sock\0"), &args), 0);
	CHECK_STR(args.ns, "k8s.io");
	CHECK_STR(args.id, "i");
	CHECK_STR(args.address, "/a.sock");
	CHECK_EQ(process_parse_shim(SHIM("s\0--namespace=n\0-debug\0-id=i\0--address\0/a\0"), &args), 0);
	CHECK_STR(args.ns, "n");
	CHECK_EQ(process_parse_shim(SHIM("s\0-namespace\0n\0-id\0i\0-address\0/a\0start\0"), &args), -EINVAL);
	CHECK_EQ(process_parse_shim(SHIM("s\0-namespace\0n\0-id\0i\0-address\0/a\0delete\0"), &args), -EINVAL);
	CHECK_EQ(process_parse_shim(SHIM("s\0-namespace\0n\0-id\0i\0-address\0"), &args), -EINVAL);
	CHECK_EQ(process_parse_shim(SHIM("s\0"), &args), -EINVAL);
	CHECK_EQ(process_parse_shim(SHIM("s"), &args), -EINVAL);
}

int main(void)
{
	tmp = dir_open_path(tap_tmpdir(NULL));
	RUN(test_base64);
	RUN(test_entry_has_links_addresses_and_pod);
	RUN(test_what_is_no_entry_is_skipped);
	RUN(test_addresses_are_told_from_locks);
	RUN(test_leases_old_new_and_empty);
	RUN(test_cgroups_name_their_container);
	RUN(test_stat_with_a_hostile_name);
	RUN(test_shims_by_command_line);
	return tap_done();
}
