#include <stdlib.h>
#include <string.h>

#include "recover/fate.h"
#include "scanners/cleanup.h"
#include "scanners/pool.h"
#include "tests/unit/tap.h"

#define ID(c) c c c c c c c c c c c c c c c c
enum { NOW = 1000000, AGE = 300 };

/* A sandbox that nothing speaks for; each case takes or adds one thing. */
static const struct sandbox doomed = {
	.ns = (char *)"k8s.io",
	.id = (char *)ID("aaa1"),
	.from_bundle = true,
	.netns_mounted = true,
	.changed_sec = NOW - AGE,
};

static enum fate fate(const struct sandbox *sandbox, enum known_source source, const char *knows)
{
	json_auto_t *ids = json_object();
	const struct known known = { .source = source, .ids = ids };
	const char *why = NULL;
	enum fate result;

	if (knows)
		json_object_set_new(ids, knows, json_true());
	result = fate_of(sandbox, &known, NOW, AGE, &why);
	CHECK(why != NULL);
	return result;
}

static void test_lost_while_containerd_runs(void)
{
	struct sandbox s = doomed;

	CHECK_EQ(fate(&s, KNOWN_CRI, NULL), FATE_LOST);
	CHECK_EQ(fate(&s, KNOWN_CRI, ID("bbb2")), FATE_LOST);
	CHECK_EQ(fate(&s, KNOWN_CRI, s.id), FATE_LIVE);
	s.changed_sec++;
	CHECK_EQ(fate(&s, KNOWN_CRI, NULL), FATE_YOUNG);
	s.changed_sec = NOW + 1;
	CHECK_EQ(fate(&s, KNOWN_CRI, NULL), FATE_YOUNG);
	s.changed_sec = 0;
	CHECK_EQ(fate(&s, KNOWN_CRI, NULL), FATE_YOUNG);
	/* A process of its own does not save it: nobody can reach it any more. */
	s = doomed;
	s.shim = (struct process){ 1, 1 };
	CHECK_EQ(fate(&s, KNOWN_CRI, NULL), FATE_LOST);
	CHECK_EQ(fate(&s, KNOWN_CRI, s.id), FATE_LIVE);
	/* Somebody else's does. */
	s.visitor = 1;
	CHECK_EQ(fate(&s, KNOWN_CRI, NULL), FATE_LIVE);
	CHECK_EQ(fate(&s, KNOWN_METADATA, NULL), FATE_LIVE);
}

static void test_lost_while_containerd_is_down(void)
{
	struct sandbox s = doomed;

	CHECK_EQ(fate(&s, KNOWN_METADATA, NULL), FATE_LOST);
	CHECK_EQ(fate(&s, KNOWN_METADATA, s.id), FATE_LIVE);
	/* None can be in the making. */
	s.changed_sec = NOW;
	CHECK_EQ(fate(&s, KNOWN_METADATA, NULL), FATE_LOST);
	/* Known, but nothing of it outlived the reboot. */
	s.from_bundle = s.netns_mounted = false;
	CHECK_EQ(fate(&s, KNOWN_METADATA, s.id), FATE_LOST);
	s.netns_mounted = true;
	CHECK_EQ(fate(&s, KNOWN_METADATA, s.id), FATE_LIVE);
	s.netns_mounted = false;
	s.shim = (struct process){ 1, 1 };
	CHECK_EQ(fate(&s, KNOWN_METADATA, s.id), FATE_LIVE);
}

static void test_known_container_speaks_for_its_sandbox(void)
{
	struct container containers[] = { { .id = (char *)ID("ccc3") }, { .id = (char *)ID("ddd4") } };
	struct sandbox s = doomed;

	s.containers = containers;
	s.container_count = 2;
	CHECK_EQ(fate(&s, KNOWN_CRI, ID("bbb2")), FATE_LOST);
	CHECK_EQ(fate(&s, KNOWN_CRI, ID("ddd4")), FATE_LIVE);
	CHECK_EQ(fate(&s, KNOWN_METADATA, ID("ccc3")), FATE_LIVE);
}

/* Files of CNI's are enough to go by only where nobody else writes them. */
static void test_beside_another_runtime_files_prove_nothing(void)
{
	json_auto_t *ids = json_object();
	struct known known = { .source = KNOWN_METADATA, .ids = ids };
	struct sandbox s = doomed;
	const char *why;

	s.from_bundle = s.netns_mounted = false;
	s.from_reservation = s.from_cache = true;
	CHECK_EQ(fate_of(&s, &known, NOW, AGE, &why), FATE_LOST);
	known.sharer = (char *)"crio, pid 17";
	CHECK_EQ(fate_of(&s, &known, NOW, AGE, &why), FATE_OTHER);
	known.source = KNOWN_CRI;
	CHECK_EQ(fate_of(&s, &known, NOW, AGE, &why), FATE_OTHER);
	s.from_shim = true;
	CHECK_EQ(fate_of(&s, &known, NOW, AGE, &why), FATE_LOST);
	s.from_shim = false;
	s.from_bundle = true;
	CHECK_EQ(fate_of(&s, &known, NOW, AGE, &why), FATE_LOST);
	s.from_bundle = false;
	json_object_set_new(ids, s.id, json_true());
	known.source = KNOWN_METADATA;
	CHECK_EQ(fate_of(&s, &known, NOW, AGE, &why), FATE_LOST);
}

static void test_nothing_is_lost_without_proof(void)
{
	struct sandbox s = doomed;

	CHECK_EQ(fate(&s, KNOWN_NOTHING, NULL), FATE_LIVE);
	/* No meta.db at all: a data root that is not mounted looks the same. */
	CHECK_EQ(fate(&s, KNOWN_ABSENT, NULL), FATE_LIVE);
	s.from_bundle = s.netns_mounted = false;
	CHECK_EQ(fate(&s, KNOWN_ABSENT, NULL), FATE_LOST);
	CHECK_EQ(fate(&s, KNOWN_NOTHING, NULL), FATE_LIVE);
}

static void test_others_are_others(void)
{
	struct sandbox s = doomed;

	s.ns = (char *)"moby";
	CHECK_EQ(fate(&s, KNOWN_CRI, NULL), FATE_OTHER);
	s = doomed;
	s.not_cri = true;
	CHECK_EQ(fate(&s, KNOWN_CRI, NULL), FATE_OTHER);
	s = doomed;
	s.id = (char *)"debug-shell";
	CHECK_EQ(fate(&s, KNOWN_METADATA, NULL), FATE_OTHER);
}

static void test_pool_capacity(void)
{
	static const struct {
		const char *subnet, *start, *end, *gateway;
		uint64_t want;
	} cases[] = {
		{ "10.0.0.0/28", NULL, NULL, NULL, 13 },
		{ "10.0.0.0/24", NULL, NULL, NULL, 253 },
		{ "10.0.0.0/24", NULL, NULL, "10.0.0.254", 253 },
		{ "10.0.0.0/24", NULL, NULL, "10.0.1.1", 254 },
		{ "10.0.0.0/24", "10.0.0.10", "10.0.0.19", NULL, 10 },
		{ "10.0.0.77/28", NULL, NULL, NULL, 13 },
		{ "10.0.0.0/30", NULL, NULL, NULL, 1 },
		{ "fd00::/120", NULL, NULL, NULL, 253 },
		{ "fd00::/64", NULL, NULL, NULL, UINT64_MAX },
	};
	uint64_t got;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		got = 0;
		CHECK_EQ(pool_capacity(cases[i].subnet, cases[i].start, cases[i].end,
				       cases[i].gateway, &got), 0);
		CHECK_EQ(got, cases[i].want);
	}
	CHECK_EQ(pool_capacity("10.0.0.0", NULL, NULL, NULL, &got), -EINVAL);
	CHECK_EQ(pool_capacity("10.0.0.0/33", NULL, NULL, NULL, &got), -EINVAL);
	CHECK_EQ(pool_capacity("10.0.0.0/24", "fd00::1", NULL, NULL, &got), -EINVAL);
	CHECK_EQ(pool_has("10.0.0.0/28", "10.0.0.15"), 1);
	CHECK_EQ(pool_has("10.0.0.0/28", "10.0.0.16"), 0);
	CHECK_EQ(pool_has("10.0.0.0/28", "fd00::1"), 0);
}

int main(void)
{
	RUN(test_lost_while_containerd_runs);
	RUN(test_lost_while_containerd_is_down);
	RUN(test_known_container_speaks_for_its_sandbox);
	RUN(test_beside_another_runtime_files_prove_nothing);
	RUN(test_nothing_is_lost_without_proof);
	RUN(test_others_are_others);
	RUN(test_pool_capacity);
	return tap_done();
}
