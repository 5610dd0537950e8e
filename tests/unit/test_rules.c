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
	CHECK_EQ(rules_remove(NULL, &lost, &result), 0);
	CHECK(result.removed >= 3);
	CHECK_EQ(result.failed, 0);
	snprintf(command, sizeof(command), "%s -t nat -S | sort | diff /run/before -", iptables);
	run(command);

	memset(&result, 0, sizeof(result));
	CHECK_EQ(rules_remove(NULL, &lost, &result), 0);
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
		CHECK(strstr(rules.items[i].comment, LOST) != NULL);
		CHECK_STR(rules.items[i].table, "nat");
		jumps += rules.items[i].target && strncmp(rules.items[i].target, "CNI-", 4) == 0;
	}
	CHECK_EQ(jumps, 2);
}

static struct reservation reservation = { (char *)"/d", (char *)"net", (char *)"10.0.0.2" };
static char *cache_files[] = { (char *)"long-name-" LOST "-net1" };

/* A plugin that is killed in its DEL leaves chains that no comment names. */
static void test_chains_without_a_comment(const char *iptables)
{
	static const char *const networks[] = { "net", "long-name" };
	struct rules_result result = { 0 };
	char command[1024], chain[CNINAME_CHAIN_SIZE];

	sandbox.reservations = &reservation;
	sandbox.reservation_count = 1;
	sandbox.cache_files = cache_files;
	sandbox.cache_file_count = 1;
	snprintf(command, sizeof(command), "%s -t nat -F && %s -t nat -X", iptables, iptables);
	run(command);
	/* Of the same container in a network it was not in, and of another one in the same. */
	CHECK_EQ(cniname_chain("", "other", LOST, chain), 0);
	snprintf(command, sizeof(command), "%s -t nat -N %s", iptables, chain);
	run(command);
	CHECK_EQ(cniname_chain("DN-", "net", KEPT, chain), 0);
	snprintf(command, sizeof(command), "%s -t nat -N %s && %s -t nat -A POSTROUTING -j %s", iptables, chain, iptables, chain);
	run(command);
	snprintf(command, sizeof(command), "%s -t nat -S | sort >/run/before", iptables);
	run(command);
	for (size_t i = 0; i < 2; i++) {
		CHECK_EQ(cniname_chain(i ? "DN-" : "", networks[i], LOST, chain), 0);
		snprintf(command, sizeof(command), "%s -t nat -N %s && %s -t nat -A %s -j ACCEPT", iptables, chain, iptables, chain);
		run(command);
	}
	/* And one that is jumped to without a comment. */
	CHECK_EQ(cniname_chain("DN-", "net", LOST, chain), 0);
	snprintf(command, sizeof(command), "%s -t nat -N %s && %s -t nat -A PREROUTING -j %s", iptables, chain, iptables, chain);
	run(command);
	CHECK_EQ(rules_remove(NULL, &lost, &result), 0);
	CHECK_EQ(result.failed, 0);
	CHECK_EQ(result.removed, 3);
	snprintf(command, sizeof(command), "%s -t nat -S | sort | diff /run/before -", iptables);
	run(command);
}

static void test_chains_without_a_comment_nft(void)
{
	test_chains_without_a_comment("iptables-nft");
}

static void test_chains_without_a_comment_legacy(void)
{
	test_chains_without_a_comment("iptables-legacy");
}

/* ipMasq's own rules in nf_tables: the comment is cut before the id ends. */
static void test_comment_that_is_cut(void)
{
	static const char *const ids[] = { LOST, KEPT };
	struct rules_result result = { 0 };
	char command[1024], head[CNINAME_COMMENT_SIZE], comment[129];

	run("nft add table inet masq && nft add chain inet masq checks");
	for (size_t i = 0; i < 2; i++) {
		CHECK_EQ(cniname_comment("long-name", "net1", ids[i], head), 0);
		snprintf(comment, sizeof(comment), "%s, net: long-name, if: net1, id: %s", head, ids[i]);
		CHECK(!strstr(comment, ids[i]));
		snprintf(command, sizeof(command),
			 "nft 'add rule inet masq checks ip saddr 10.0.0.%zu masquerade comment \"%s\"'", i + 1, comment);
		run(command);
	}
	CHECK_EQ(rules_remove(NULL, &lost, &result), 0);
	CHECK_EQ(result.removed, 1);
	run("test \"$(nft list chain inet masq checks | grep -c masquerade)\" = 1");
	run("nft list chain inet masq checks | grep -q 10.0.0.2");
	run("nft delete table inet masq");
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

static void test_names_by_hash(void)
{
	char name[IF_NAMESIZE], chain[CNINAME_CHAIN_SIZE], comment[CNINAME_COMMENT_SIZE];

	/* sha512("ab"), sha512("a"), sha512("b:b") */
	CHECK_EQ(cniname_ifb("a", "b", name), 0);
	CHECK_STR(name, "bwp2d408a0717ec");
	CHECK_EQ(cniname_chain("", "a", "b", chain), 0);
	CHECK_STR(chain, "CNI-2d408a0717ec188158278a79");
	CHECK_EQ(cniname_chain("DN-", "a", "b", chain), 0);
	CHECK_STR(chain, "CNI-DN-2d408a0717ec188158278");
	CHECK_EQ(cniname_comment("a", "b", "b", comment), 0);
	CHECK_STR(comment, "1f40fc92da241694-cdecb7d1e26a541a");
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
	RUN(test_chains_without_a_comment_nft);
	RUN(test_chains_without_a_comment_legacy);
	RUN(test_comment_that_is_cut);
	RUN(test_names_by_hash);
	return tap_done();
}
