/* With the real iptables, both variants, in a network namespace of its own. */
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

#include "recover/rules.h"
#include "scanners/cleanup.h"
#include "scanners/cniname.h"
#include "scanners/nft.h"
#include "tests/unit/tap.h"

#define ID(c) c c c c c c c c c c c c c c c c
#define LOST ID("aaa1")
#define KEPT ID("bbb2")

static struct sandbox sandbox = { .ns = (char *)"k8s.io", .id = (char *)LOST };
static const struct inventory lost = { .sandboxes = &sandbox, .sandbox_count = 1 };

static void run(const char *command)
{
	if (!CHECK(system(command) == 0))
		printf("#   command: %s\n", command);
}

/* As the plugins leave them for the container @id; @hash makes the chains' names. */
static void add(const char *iptables, const char *id, const char *hash)
{
	bool six = strstr(iptables, "ip6") != NULL;
	const char *net = six ? "fd00::/64" : "10.0.0.0/24", *all = six ? "ff00::/8" : "224.0.0.0/4";
	const char *address = six ? "fd00::2" : "10.0.0.2", *to = six ? "[fd00::2]:80" : "10.0.0.2:80";
	char command[4096];

	snprintf(command, sizeof(command),
		 "set -e; I='%s -t nat'; C='-m comment --comment'; "
		 "$I -N CNI-%s && $I -A CNI-%s -d %s $C 'name: \"net\" id: \"%s\"' -j ACCEPT; "
		 "$I -A CNI-%s ! -d %s $C 'name: \"net\" id: \"%s\"' -j MASQUERADE; "
		 "$I -A POSTROUTING -s %s $C 'name: \"net\" id: \"%s\"' -j CNI-%s; "
		 "$I -N CNI-HOSTPORT-DNAT 2>/dev/null || true; $I -N CNI-DN-%.21s; "
		 "$I -A CNI-DN-%.21s -p tcp --dport 80 -j DNAT --to-destination %s; "
		 "$I -A CNI-HOSTPORT-DNAT -p tcp $C 'dnat name: \"net\" id: \"%s\"' -j CNI-DN-%.21s",
		 iptables, hash, hash, net, id, hash, all, id, address, id, hash, hash, hash, to, id, hash);
	run(command);
}

static void test_one(const char *iptables)
{
	struct rules_result result = { 0 };
	char command[512];

	add(iptables, KEPT, "bbbbbbbbbbbbbbbbbbbbbbbb");
	snprintf(command, sizeof(command), "%s -t nat -S | sort >/run/before", iptables);
	run(command);
	add(iptables, LOST, "aaaaaaaaaaaaaaaaaaaaaaaa");
	/* Twice the same jump: the chain goes with the last one. */
	snprintf(command, sizeof(command),
		 "%s -t nat -A CNI-HOSTPORT-DNAT -m comment --comment 'id: \"" LOST "\"' "
		 "-j CNI-DN-aaaaaaaaaaaaaaaaaaaaa", iptables);
	run(command);
	CHECK_EQ(rules_remove(&lost, &result), 0);
	CHECK(result.removed >= 3);
	CHECK_EQ(result.failed, 0);
	snprintf(command, sizeof(command), "%s -t nat -S | sort | diff /run/before -", iptables);
	run(command);

	memset(&result, 0, sizeof(result));
	CHECK_EQ(rules_remove(&lost, &result), 0);
	CHECK_EQ(result.removed, 0);
}

static void test_nft_variant(void)
{
	test_one("iptables-nft");
	test_one("ip6tables-nft -w");
}

static void test_legacy_variant(void)
{
	test_one("iptables-legacy");
	test_one("ip6tables-legacy");
}

static void test_scan_sees_comment_and_target(void)
{
	cleanup_nft_rules struct nft_rules rules = { 0 };
	size_t jumps = 0;

	run("iptables-nft -t nat -F && iptables-nft -t nat -X && ip6tables-nft -t nat -F");
	add("iptables-nft", LOST, "aaaaaaaaaaaaaaaaaaaaaaaa");
	run("iptables-nft -t nat -A POSTROUTING -m comment --comment 'no id here' -j ACCEPT");
	CHECK_EQ(nft_scan(&rules), 0);
	CHECK_EQ(rules.count, 4);
	for (size_t i = 0; i < rules.count; i++) {
		CHECK_EQ(rules_owner(&lost, rules.items[i].comment), 0);
		CHECK_STR(rules.items[i].table, "nat");
		jumps += rules.items[i].target && strncmp(rules.items[i].target, "CNI-", 4) == 0;
	}
	CHECK_EQ(jumps, 2);
}

static void test_chains_of_one_container(void)
{
	CHECK(rules_is_own_chain("CNI-4f6dd6c08c7e1a901788c768"));
	CHECK(rules_is_own_chain("CNI-DN-1c0f7dcfabb0738ef290d"));
	CHECK(!rules_is_own_chain("CNI-HOSTPORT-DNAT"));
	CHECK(!rules_is_own_chain("CNI-FORWARD"));
	CHECK(!rules_is_own_chain("CNI-4f6dd6c08c7e1a901788c76"));
	CHECK(!rules_is_own_chain("KUBE-SERVICES"));
}

static void test_ifb_name(void)
{
	char name[IF_NAMESIZE];

	/* sha512("ab") */
	CHECK_EQ(cniname_ifb("a", "b", name), 0);
	CHECK_STR(name, "bwp2d408a0717ec");
}

int main(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS | CLONE_NEWNET) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("none", "/run", "tmpfs", 0, NULL) < 0) {
		printf("1..0 # SKIP needs root and namespaces\n");
		return 0;
	}
	RUN(test_nft_variant);
	RUN(test_legacy_variant);
	RUN(test_scan_sees_comment_and_target);
	RUN(test_chains_of_one_container);
	RUN(test_ifb_name);
	return tap_done();
}
