/*
 * A quarantine that is gone on with: whose turn it is, and the sandboxes that a
 * containerd which ran since has made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/incident.h"
#include "recover/quarantine.h"
#include "scanners/cleanup.h"
#include "tests/unit/fault.h"
#include "tests/unit/processes.h"
#include "tests/unit/tap.h"
#include "tests/unit/world.h"

#define NOWHERE { .parent_fd = -EBADF, .root_fd = -EBADF }

static const struct config config = {
	.root = (char *)ROOT, .state = (char *)STATE, .unit = (char *)"containerd.service",
	.address = (char *)STATE "/containerd.sock", .snapshotter = (char *)"overlayfs",
};

static void begin(struct ticket *ticket)
{
	cleanup_data_root struct data_root place = NOWHERE;
	json_t *manifest = json_pack("{s:{s:[], s:b}}", "lost", "sandboxes", "complete", 1);

	CHECK_EQ(data_root_open(ROOT, &place), 0);
	CHECK_EQ(ticket_create(&place, manifest, ticket), 0);
	json_decref(manifest);
}

static int mend(struct ticket *begun)
{
	cleanup_data_root struct data_root place = NOWHERE;

	CHECK_EQ(data_root_open(ROOT, &place), 0);
	return incident_mend(&config, &place, begun);
}

/* `status` looks at it just now: containerd's start is not to fail over that. */
static void test_who_only_looks_is_waited_for(void)
{
	cleanup_ticket struct ticket begun = TICKET_NONE;
	int ready;
	pid_t child;

	world_begin();
	child = fork_until_ready(&ready);
	if (child == 0) {
		struct ticket ticket = TICKET_NONE;

		begin(&ticket);
		(void)close(ready);
		(void)usleep(200000);
		_exit(0);
	}
	CHECK_EQ(mend(&begun), 1);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

/* One that cannot be looked at does not keep another one from being finished. */
static void test_one_of_two_is_in_use(void)
{
	cleanup_ticket struct ticket in_use = TICKET_NONE, begun = TICKET_NONE;
	struct ticket ticket = TICKET_NONE;

	world_begin();
	begin(&ticket);
	begin(&in_use);
	ticket_done(&ticket);
	CHECK_EQ(mend(&begun), 1);
	CHECK(begun.fd >= 0 && strcmp(begun.id, in_use.id) != 0);
}

/* Go on with one, with a pod there that it does not know; the @n-th @call fails. */
static int resume(const char *call, int n)
{
	const struct decision decision = { .rule = &triage_rules[triage_rule_count - 1] };
	struct sandbox sandbox = { .ns = (char *)"k8s.io", .id = (char *)"since", .from_bundle = true };
	struct situation s = SITUATION_NONE;
	struct incident_report report = { 0 };
	struct ticket ticket = TICKET_NONE;
	int r;

	world_begin();
	begin(&ticket);
	s.config = config;
	policy_init(&s.policy);
	CHECK_EQ(ledger_clock_now(&s.clock), 0);
	CHECK_EQ(data_root_open(ROOT, &s.place), 0);
	s.inventory.sandboxes = &sandbox;
	s.inventory.sandbox_count = 1;
	fault_arm(call, n, EIO);
	r = incident_quarantine(&s, &decision, &ticket, &report);
	CHECK(ticket.fd < 0);
	CHECK(r < 0 || report.sandboxes == 1);
	data_root_done(&s.place);
	return r;
}

static void test_pods_that_were_made_since(void)
{
	CHECK_EQ(resume("none", 1), 0);
	CHECK(!world_has(META));
	world_run("grep -q '\"since\"' " JAIL "/*/manifest.json");
	/* What the sweep could not know of is not ended. */
	CHECK_EQ(resume("renameat", 1), -EIO);
	CHECK(fault_fired() && world_has(META));
}

int main(void)
{
	if (!world_enter())
		return 0;
	RUN(test_who_only_looks_is_waited_for);
	RUN(test_one_of_two_is_in_use);
	RUN(test_pods_that_were_made_since);
	return tap_done();
}
