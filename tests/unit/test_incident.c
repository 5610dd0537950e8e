/*
 * What a run finds that an earlier one left unfinished, and what it makes of it;
 * and that nothing is ended on a node where it could not be written down. In a
 * mount namespace of its own, with the paths of a real node.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/clear.h"
#include "recover/command.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/incident.h"
#include "recover/quarantine.h"
#include "recover/roots.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"
#include "tests/unit/world.h"

#define PENDING RECORDS_PATH "/pending"
#define NOWHERE { .parent_fd = -EBADF, .root_fd = -EBADF }

static const struct config config = {
	.root = (char *)ROOT, .state = (char *)STATE, .unit = (char *)"containerd.service",
	.address = (char *)STATE "/containerd.sock", .snapshotter = (char *)"overlayfs",
};

/* A ticket, as a run that was killed leaves it behind the stages of @done. */
static void begin(struct data_root *place, struct ticket *ticket)
{
	json_t *manifest = json_pack("{s:{s:[], s:b}}", "lost", "sandboxes", "complete", 1);

	CHECK_EQ(data_root_open(ROOT, place), 0);
	CHECK_EQ(ticket_create(place, manifest, ticket), 0);
	json_decref(manifest);
}

static void move_bundle_aside(const struct ticket *ticket)
{
	struct container container = { .ns = (char *)"k8s.io", .id = (char *)"pod" };
	struct sandbox sandbox = { .ns = container.ns, .id = container.id, .containers = &container,
				   .container_count = 1 };
	const struct inventory lost = { .sandboxes = &sandbox, .sandbox_count = 1 };
	struct clear_result result = { 0 };

	CHECK_EQ(clear_bundles(&config, &lost, ticket->id, &result), 0);
	CHECK(!world_has(TASKS "/k8s.io/pod"));
}

static int mend(struct ticket *begun)
{
	cleanup_data_root struct data_root place = NOWHERE;

	CHECK_EQ(data_root_open(ROOT, &place), 0);
	return incident_mend(&config, &place, begun);
}

/* What cannot be written down is taken back all the same: containerd starts next. */
static void test_undone_without_a_record(void)
{
	static const char *const calls[] = { "fdatasync", "write" };

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++) {
		cleanup_data_root struct data_root place = NOWHERE;
		cleanup_ticket struct ticket ticket = TICKET_NONE;

		world_begin();
		begin(&place, &ticket);
		move_bundle_aside(&ticket);
		fault_arm(calls[i], 1, ENOSPC);
		CHECK_EQ(incident_undo(&config, &place, &ticket), -ENOSPC);
		CHECK(fault_fired());
		CHECK(world_has(TASKS "/k8s.io/pod"));
		CHECK_EQ(incident_undo(&config, &place, &ticket), 0);
		CHECK(world_has(TASKS "/k8s.io/pod"));
		CHECK(!world_has(JAIL));
	}
}

/* Another containerd may run on the half of a root, by hand, as a child of k3s… */
static void test_nothing_is_moved_under_a_running_containerd(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	struct ticket ticket = TICKET_NONE;
	cleanup_ticket struct ticket begun = TICKET_NONE;
	cleanup_fd int lock = -EBADF;
	char id[TICKET_ID];

	world_begin();
	CHECK_EQ(mount("tmpfs", ROOT, "tmpfs", 0, "size=1M"), 0);
	world_run("mkdir -p " ROOT "/io.containerd.metadata.v1.bolt " ROOT "/io.containerd.grpc.v1.cri");
	world_run("echo old >" META);
	begin(&place, &ticket);
	CHECK_EQ(stage_begin(&ticket.stages, STAGE_MOVE), 0);
	(void)strcpy(id, ticket.id);
	ticket_done(&ticket);
	/* Half way: CRI's records are aside. */
	world_run("mv " ROOT "/io.containerd.grpc.v1.cri " ROOT "/.quarantine/*/root/");
	lock = open(META, O_RDONLY | O_CLOEXEC);
	CHECK_EQ(flock(lock, LOCK_EX), 0);
	CHECK_EQ(mend(&begun), -EBUSY);
	CHECK(world_has(META));
	CHECK_EQ(flock(lock, LOCK_UN), 0);
	/* Nor where it cannot be seen whether one runs. */
	world_run("mv " META " /run/meta.db && ln -s /run/meta.db " META);
	CHECK_EQ(mend(&begun), -ELOOP);
	world_run("mv /run/meta.db " META);
	CHECK_EQ(mend(&begun), 0);
	CHECK(!world_has(META));
	data_root_done(&place);
	CHECK_EQ(umount2(ROOT, MNT_DETACH), 0);
}

/* Whether the cure is still called for is to be decided anew; of two, for the first. */
static void test_one_that_is_begun_is_handed_back(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	cleanup_ticket struct ticket begun = TICKET_NONE;
	struct ticket ticket = TICKET_NONE;

	world_begin();
	for (int i = 0; i < 2; i++) {
		begin(&place, &ticket);
		ticket_done(&ticket);
		data_root_done(&place);
	}
	CHECK_EQ(mend(&begun), 1);
	CHECK(begun.fd >= 0 && ticket_state(&begun) == TICKET_BEGUN && world_has(META));
	world_run("test $(ls " JAIL " | wc -l) = 1");
}

/* What is done is done: neither is it moved again, nor taken back, nor booked twice. */
static void test_what_is_finished_is_left(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	cleanup_ticket struct ticket begun = TICKET_NONE;
	struct ticket ticket = TICKET_NONE;
	int lock;

	world_begin();
	begin(&place, &ticket);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	ticket_done(&ticket);
	CHECK_EQ(mend(&begun), 0);
	CHECK_EQ(mend(&begun), 0);
	world_run("test $(grep -c quarantine " RECORDS_PATH "/history) = 1");

	/* Put back, and in use since. */
	world_begin();
	data_root_done(&place);
	begin(&place, &ticket);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	data_root_done(&place);
	CHECK_EQ(data_root_open(ROOT, &place), 0);
	CHECK_EQ(stage_begin(&ticket.stages, STAGE_RESTORE), 0);
	CHECK_EQ(quarantine_restore(&place, &ticket), 0);
	ticket_done(&ticket);
	lock = open(META, O_RDONLY | O_CLOEXEC);
	CHECK_EQ(flock(lock, LOCK_EX), 0);
	CHECK_EQ(mend(&begun), 0);
	(void)close(lock);
	CHECK(world_has(META) && world_has(JAIL));

	/* Being deleted, its root gone already. */
	world_begin();
	data_root_done(&place);
	begin(&place, &ticket);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	CHECK_EQ(stage_begin(&ticket.stages, STAGE_PURGE), 0);
	ticket_done(&ticket);
	world_run("rm -r " JAIL "/*/root");
	CHECK_EQ(mend(&begun), 0);
	world_run("test -e " JAIL "/*/manifest.json && ! grep undo " JAIL "/*/stages");
}

static void test_a_smaller_remedy_is_not_gone_on_with(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	cleanup_ticket struct ticket begun = TICKET_NONE;
	struct ticket ticket = TICKET_NONE;

	world_begin();
	begin(&place, &ticket);
	CHECK_EQ(stage_begin(&ticket.stages, STAGE_DEFER), 0);
	ticket_done(&ticket);
	CHECK_EQ(mend(&begun), 0);
	CHECK(world_has(META));
	world_run("grep -q 'done defer' " JAIL "/*/stages");
	/* What a run that was killed in the making left goes. */
	world_run("rm " JAIL "/*/manifest.json");
	CHECK_EQ(mend(&begun), 0);
	CHECK(!world_has(JAIL) && world_has(META));
}

/* Somebody looks at the ticket just now: it is waited for, not passed over. */
static void test_an_unfinished_ticket_in_use_is_not_passed_over(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	cleanup_ticket struct ticket begun = TICKET_NONE;
	struct ticket ticket = TICKET_NONE;

	world_begin();
	begin(&place, &ticket);
	CHECK_EQ(mend(&begun), -EBUSY);
	CHECK(begun.fd < 0);
	/* One that is purged meanwhile is nobody's business here. */
	CHECK_EQ(stage_done(&ticket.stages, STAGE_MOVE), 0);
	CHECK_EQ(mend(&begun), 0);
	ticket_done(&ticket);
}

/* Nor is a second quarantine made beside one that is half done. */
static void test_no_quarantine_is_begun_beside_an_unfinished_one(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	char *argv[] = { (char *)"preflight", (char *)"--root=" ROOT, (char *)"--state=" STATE, NULL };
	cleanup_tickets char **ids = NULL;
	struct ticket ticket = TICKET_NONE;

	world_begin();
	begin(&place, &ticket);
	CHECK_EQ(preflight_command(3, argv), 0);
	CHECK_EQ(tickets_list(&place, &ids), 1);
	CHECK(world_has(META));
	ticket_done(&ticket);
	/* Once it can be mended, the damaged meta.db is cured. */
	CHECK_EQ(preflight_command(3, argv), 0);
	(void)alarm(0);
	CHECK(!world_has(META));
	world_run("test -e " JAIL "/*/root/io.containerd.metadata.v1.bolt/meta.db");
}

/* A person put another root there: nothing was moved, and nothing ever will be. */
static void test_a_ticket_of_a_root_that_is_gone_is_taken_back(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	struct ticket ticket = TICKET_NONE;
	cleanup_ticket struct ticket begun = TICKET_NONE;

	world_begin();
	begin(&place, &ticket);
	move_bundle_aside(&ticket);
	ticket_done(&ticket);
	world_run("mv " ROOT " /var/lib/by-hand && mkdir " ROOT);
	CHECK_EQ(mend(&begun), 0);
	CHECK(world_has(TASKS "/k8s.io/pod"));
	CHECK(world_has("/var/lib/by-hand/io.containerd.metadata.v1.bolt/meta.db"));
	CHECK(!world_has(JAIL));

	/* But a ticket that holds anything is left as it is. */
	for (int i = 0; i < 3; i++) {
		world_begin();
		data_root_done(&place);
		begin(&place, &ticket);
		ticket_done(&ticket);
		world_run("mv " ROOT " /var/lib/by-hand && mkdir " ROOT " && echo precious >$(echo " JAIL "/*/root)/file");
		if (i == 1)
			world_run("cd " JAIL "/* && mv root fresh");
		if (i == 2) /* nobody knows what it leads to */
			world_run("cd " JAIL "/* && mv root other && ln -s other root");
		CHECK_EQ(mend(&begun), -ESTALE);
		world_run("grep -q precious " JAIL "/*/*/file");
	}
}

static void test_a_ticket_taken_back_but_not_put_away_is_put_away(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	struct ticket ticket = TICKET_NONE;
	cleanup_ticket struct ticket begun = TICKET_NONE;

	world_begin();
	begin(&place, &ticket);
	CHECK_EQ(stage_done(&ticket.stages, STAGE_UNDO), 0);
	ticket_done(&ticket);
	CHECK_EQ(mend(&begun), 0);
	CHECK(!world_has(JAIL));
	CHECK(world_has(META));
}

/* fsck moved the manifest elsewhere: the rest is evidence. */
static void test_nothing_is_taken_from_a_quarantine_without_its_manifest(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	struct ticket ticket = TICKET_NONE;
	cleanup_ticket struct ticket begun = TICKET_NONE;

	world_begin();
	begin(&place, &ticket);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	ticket_done(&ticket);
	world_run("rm " JAIL "/*/manifest.json");
	CHECK_EQ(mend(&begun), 0);
	world_run("test -e " JAIL "/*/stages && test -e " JAIL "/*/root/io.containerd.metadata.v1.bolt/meta.db");
}

/* A restore that ended before it moved anything: weeks later there are new pods. */
static void test_a_restore_that_moved_nothing_is_called_off(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	struct ticket ticket = TICKET_NONE;
	cleanup_ticket struct ticket begun = TICKET_NONE;
	ino_t fresh;
	char id[TICKET_ID];

	world_begin();
	begin(&place, &ticket);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	CHECK_EQ(stage_begin(&ticket.stages, STAGE_RESTORE), 0);
	(void)strcpy(id, ticket.id);
	ticket_done(&ticket);
	fresh = world_inode(ROOT);
	world_run("mkdir " ROOT "/io.containerd.grpc.v1.cri");
	CHECK_EQ(mend(&begun), 0);
	CHECK_EQ(world_inode(ROOT), fresh);
	/* It can still be restored, and purged. */
	data_root_done(&place);
	CHECK_EQ(data_root_open(ROOT, &place), 0);
	CHECK_EQ(ticket_open(&place, id, &ticket), 0);
	CHECK_EQ(ticket_state(&ticket), TICKET_MOVED);
	CHECK(!ticket.stages.begun[STAGE_RESTORE]);
	CHECK_EQ(quarantine_restore(&place, &ticket), 0);
	CHECK_EQ(ticket_state(&ticket), TICKET_RESTORED);
	CHECK(world_has(META));
	ticket_done(&ticket);
}

/* One behind which no containerd has run yet: the root that stands is empty. */
static void test_a_restore_over_an_unused_root_is_finished(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	struct ticket ticket = TICKET_NONE;
	cleanup_ticket struct ticket begun = TICKET_NONE;
	ino_t old;

	world_begin();
	old = world_inode(ROOT);
	begin(&place, &ticket);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	CHECK_EQ(stage_begin(&ticket.stages, STAGE_RESTORE), 0);
	ticket_done(&ticket);
	CHECK(world_inode(ROOT) != old);
	CHECK_EQ(mend(&begun), 0);
	CHECK_EQ(world_inode(ROOT), old);
	CHECK(world_has(META));
}

/* One that moved a part is finished. */
static void test_a_restore_that_moved_a_part_is_finished(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	struct ticket ticket = TICKET_NONE;
	cleanup_ticket struct ticket begun = TICKET_NONE;

	world_begin();
	CHECK_EQ(mount("tmpfs", ROOT, "tmpfs", 0, "size=1M"), 0);
	world_run("mkdir -p " ROOT "/io.containerd.metadata.v1.bolt " ROOT "/io.containerd.grpc.v1.cri");
	world_run("echo old >" META);
	begin(&place, &ticket);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	CHECK_EQ(stage_begin(&ticket.stages, STAGE_RESTORE), 0);
	ticket_done(&ticket);
	world_run("mv " ROOT "/.quarantine/*/root/io.containerd.metadata.v1.bolt " ROOT "/");
	CHECK_EQ(mend(&begun), 0);
	CHECK(world_has(ROOT "/io.containerd.grpc.v1.cri"));
	CHECK(world_has(META));
	data_root_done(&place);
	CHECK_EQ(umount2(ROOT, MNT_DETACH), 0);
}

static void situation_of(struct situation *s)
{
	*s = (struct situation)SITUATION_NONE;
	s->config = config;
	policy_init(&s->policy);
	CHECK_EQ(ledger_clock_now(&s->clock), 0);
	CHECK_EQ(data_root_open(ROOT, &s->place), 0);
}

static int quarantine_with(const char *failing, int n, struct incident_report *ret)
{
	const struct decision decision = { .rule = &triage_rules[triage_rule_count - 1] };
	struct situation s;
	int r;

	situation_of(&s);
	fault_arm(failing, n, EIO);
	r = incident_quarantine(&s, &decision, NULL, ret);
	data_root_done(&s.place);
	return r;
}

static int quarantine(void)
{
	const struct decision decision = { .rule = &triage_rules[triage_rule_count - 1] };
	struct incident_report report = { 0 };
	struct situation s;
	int r;

	situation_of(&s);
	r = incident_quarantine(&s, &decision, NULL, &report);
	data_root_done(&s.place);
	return r;
}

/* As the page on the architecture has them: addresses are free only when no link answers for them. */
static void test_the_order_of_the_stages(void)
{
	world_begin();
	CHECK_EQ(quarantine(), 0);
	world_run("test \"$(cut -d' ' -f1,2 " JAIL "/*/stages | tr '\\n' ' ')\" = 'begin kill done kill begin bundles "
		  "done bundles begin links done links begin release done release begin move done move '");
	CHECK(world_has(PENDING));
}

/* Those of Kubernetes with a bundle: whatever else runs here goes on. */
static void test_what_a_fresh_root_makes_lost(void)
{
	struct sandbox sandboxes[] = {
		{ .id = (char *)"pod", .ns = (char *)"k8s.io", .from_bundle = true },
		{ .id = (char *)"shim", .ns = (char *)"k8s.io", .from_shim = true },
		{ .id = (char *)"other", .ns = (char *)"moby", .from_bundle = true },
		{ .id = (char *)"none", .from_bundle = true },
	};
	struct inventory all = { .sandboxes = sandboxes, .sandbox_count = ARRAY_SIZE(sandboxes) }, lost;

	for (int complete = 0; complete < 2; complete++) {
		all.complete = complete;
		CHECK_EQ(incident_lost(&all, &lost), 0);
		CHECK_EQ(lost.sandbox_count, 1);
		CHECK_STR(lost.sandboxes[0].id, "pod");
		CHECK_EQ(lost.complete, complete);
		free(lost.sandboxes);
	}
}

/* Returns whether there was an @n-th call. */
static bool fails_at(const char *call, int n)
{
	cleanup_data_root struct data_root place = NOWHERE;
	cleanup_ticket struct ticket begun = TICKET_NONE;
	struct incident_report report = { .failed = 99 };
	bool fired, aside;
	int r;

	world_begin();
	r = quarantine_with(call, n, &report);
	fired = fault_fired();
	aside = !world_has(META);
	CHECK(r < 0 ? report.aside == aside : aside);
	CHECK(r == 0 || aside || report.failed == 99);
	/* Or the next start would know nothing of what was done to the pods. */
	if (aside)
		world_run("grep -q ' begin ' " RECORDS_PATH "/history");
	if (r == 0) /* what cannot be recorded is not gone on from */
		world_run("test $(grep -c -E 'kill|bundles|links|release|move' " JAIL "/*/stages) = 10");
	CHECK(world_has(TASKS "/k8s.io/pod"));
	r = mend(&begun);
	CHECK(r >= 0 && (r == 0 || !aside));
	if (r == 1) {
		CHECK_EQ(data_root_open(ROOT, &place), 0);
		CHECK_EQ(incident_undo(&config, &place, &begun), 0);
	}
	CHECK_EQ(world_has(META), !aside);
	CHECK(aside || !world_has(JAIL) || rmdir(JAIL) == 0);
	if (aside)
		world_run("grep -q 'done move' " JAIL "/*/stages && grep -q quarantine " RECORDS_PATH "/history && "
			  "test -e " PENDING " -a -e " JAIL "/*/root/io.containerd.metadata.v1.bolt/meta.db");
	return fired;
}

/* Wherever it ends: the report says where the root is, and the next run has nothing to guess. */
static void test_no_fault_leaves_it_between(void)
{
	/* All that changes anything; how often others are called is up to what runs here. */
	static const char *const calls[] = { "fsync", "fdatasync", "renameat", "renameat2", "mkdirat", "unlinkat",
					     "write", "fchmod", "fchown", "flock" };

	for (size_t i = 0; i < ARRAY_SIZE(calls); i++)
		for (int n = 1; fails_at(calls[i], n); n++)
			;
}

/* Somebody's backup in the root, or a root that is others' as well: it would be
 * moved away now, and purged with the old root a quarter of an hour later. */
static void test_a_root_with_something_else_in_it_stays(void)
{
	char *argv[] = { (char *)"preflight", (char *)"--root=" ROOT, (char *)"--state=" STATE, NULL };

	world_begin();
	world_run("mkdir " ROOT "/backup " ROOT "/tmpmounts " ROOT "/opt");
	CHECK_EQ(preflight_command(3, argv), 0);
	CHECK(world_has(META));
	CHECK(world_has(ROOT "/backup"));
	CHECK(!world_has(JAIL));
	world_run("mv " ROOT "/backup /var/lib/");
	CHECK_EQ(preflight_command(3, argv), 0);
	(void)alarm(0);
	CHECK(!world_has(META));
	CHECK(world_has(JAIL));
}

/* What the cool-down could not see later is not done at all. */
static void test_nothing_is_done_that_cannot_be_written_down(void)
{
	cleanup_ticket struct ticket begun = TICKET_NONE;

	world_begin();
	CHECK_EQ(mount("none", RECORDS_PATH, "tmpfs", 0, "size=4k"), 0);
	world_run("head -c 4096 /dev/zero >" RECORDS_PATH "/full || true");
	CHECK(quarantine() < 0);
	CHECK(world_has(META));
	CHECK(world_has(TASKS "/k8s.io/pod"));
	CHECK(!world_has(JAIL)); /* with nothing done there is nothing to keep a record of */
	CHECK_EQ(umount2(RECORDS_PATH, MNT_DETACH), 0);
	CHECK_EQ(mend(&begun), 0);
	CHECK(world_has(META));
}

/* What ended pods is not forgotten for want of room: it waits for some. */
static void check_kept_behind(enum stage stage)
{
	cleanup_data_root struct data_root place = NOWHERE;
	cleanup_ticket struct ticket ticket = TICKET_NONE, begun = TICKET_NONE;

	world_begin();
	begin(&place, &ticket);
	CHECK_EQ(stage_begin(&ticket.stages, stage), 0);
	CHECK_EQ(mount("none", RECORDS_PATH, "tmpfs", 0, "size=4k"), 0);
	world_run("head -c 4096 /dev/zero >" RECORDS_PATH "/full || true");
	CHECK(incident_undo(&config, &place, &ticket) < 0);
	CHECK(world_has(JAIL));
	CHECK_EQ(ticket_state(&ticket), TICKET_UNDONE);
	ticket_done(&ticket);
	ticket = (struct ticket)TICKET_NONE;
	CHECK_EQ(umount2(RECORDS_PATH, MNT_DETACH), 0);
	CHECK_EQ(mend(&begun), 0);
	CHECK(!world_has(JAIL));
	world_run("test -e " RECORDS_PATH "/*.json");
}

static void test_what_was_done_is_kept_until_it_can_be_written_down(void)
{
	static const enum stage stages[] = { STAGE_KILL, STAGE_BUNDLES, STAGE_LINKS, STAGE_RELEASE, STAGE_MOVE, STAGE_DEFER };

	for (size_t i = 0; i < ARRAY_SIZE(stages); i++)
		check_kept_behind(stages[i]);
}

/* A move that is refused (overlayfs, quotas) must not end the pods at each start. */
static void test_a_failed_quarantine_counts_for_the_cool_down(void)
{
	cleanup_fd int records = -EBADF;
	int64_t last = 0;

	world_begin();
	fault_arm("renameat2", 1, EXDEV);
	CHECK_EQ(quarantine(), -EXDEV);
	CHECK(fault_fired());
	CHECK(world_has(META));
	CHECK(!world_has(JAIL));
	records = open(RECORDS_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK_EQ(history_last(records, config.unit, "quarantine", &last), 0);
	CHECK_EQ(history_last(records, config.unit, "failed", &last), 1);
	CHECK_EQ(quarantine(), 0);
	CHECK_EQ(history_last(records, config.unit, "quarantine", &last), 1);
}

/* By its path the quarantines of a root are found when the configuration has another one. */
static void test_a_root_is_noted_once(void)
{
	static const char *const before[] = { "", "{}", "[{\"unit\":\"containerd.se", "[]" };
	cleanup_fd int records = -EBADF;

	for (size_t i = 0; i < ARRAY_SIZE(before); i++) {
		json_auto_t *roots = NULL;
		const char *unit = NULL, *root = NULL;

		world_begin();
		cleanup_close(&records);
		records = open(RECORDS_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		CHECK_EQ(file_replace(records, "roots", before[i], strlen(before[i]), 0600), 0);
		CHECK_EQ(quarantine(), 0);
		CHECK_EQ(quarantine(), 0);
		roots = roots_read(records);
		CHECK_EQ(json_array_size(roots), 1);
		CHECK_EQ(json_unpack(json_array_get(roots, 0), "{s:s, s:s}", "unit", &unit, "root", &root), 0);
		CHECK_STR(unit, config.unit);
		CHECK_STR(root, ROOT);
		CHECK_EQ(roots_note(records, "k3s.service", ROOT), 0);
		json_decref(roots);
		roots = roots_read(records);
		CHECK_EQ(json_array_size(roots), 2);
	}
}

/* The root goes away (an unmount, a hand) while the purge waits for its turn. */
static void test_a_purge_without_a_root_forgets_nothing(void)
{
	cleanup_data_root struct data_root place = NOWHERE;
	struct ticket ticket = TICKET_NONE;
	char *argv[] = { (char *)"purge", (char *)"--wait", NULL };
	pid_t child;
	int status;

	world_begin();
	world_run("printf '[quarantine]\\ngrace = 2\\n[salvage]\\nenabled = no\\n' >/etc/containerd-recover.conf");
	begin(&place, &ticket);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	ticket_done(&ticket);
	world_run("touch " PENDING);
	child = fork();
	if (child == 0)
		exit(purge_command(2, argv));
	(void)usleep(500000);
	world_run("mv " ROOT " /var/lib/elsewhere");
	CHECK_EQ(waitpid(child, &status, 0), child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) != 0);
	CHECK(world_has(PENDING));
	world_run("test -e " JAIL "/*/root/io.containerd.metadata.v1.bolt/meta.db");
}

int main(void)
{
	if (!world_enter())
		return 0;
	RUN(test_undone_without_a_record);
	RUN(test_nothing_is_moved_under_a_running_containerd);
	RUN(test_one_that_is_begun_is_handed_back);
	RUN(test_what_is_finished_is_left);
	RUN(test_a_smaller_remedy_is_not_gone_on_with);
	RUN(test_an_unfinished_ticket_in_use_is_not_passed_over);
	RUN(test_no_quarantine_is_begun_beside_an_unfinished_one);
	RUN(test_a_ticket_of_a_root_that_is_gone_is_taken_back);
	RUN(test_a_ticket_taken_back_but_not_put_away_is_put_away);
	RUN(test_nothing_is_taken_from_a_quarantine_without_its_manifest);
	RUN(test_a_restore_that_moved_nothing_is_called_off);
	RUN(test_a_restore_over_an_unused_root_is_finished);
	RUN(test_a_restore_that_moved_a_part_is_finished);
	RUN(test_a_root_with_something_else_in_it_stays);
	RUN(test_nothing_is_done_that_cannot_be_written_down);
	RUN(test_what_was_done_is_kept_until_it_can_be_written_down);
	RUN(test_a_failed_quarantine_counts_for_the_cool_down);
	RUN(test_the_order_of_the_stages);
	RUN(test_what_a_fresh_root_makes_lost);
	RUN(test_no_fault_leaves_it_between);
	RUN(test_a_root_is_noted_once);
	RUN(test_a_purge_without_a_root_forgets_nothing);
	return tap_done();
}
