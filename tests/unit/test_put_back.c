/*
 * Putting a quarantined root back, as `restore` does between containerd's stop and
 * its start: what it refuses, and that whatever fails a root with its data stands.
 * In a mount namespace of its own, with the paths of a real node.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "recover/command.h"
#include "recover/put_back.h"
#include "recover/quarantine.h"
#include "scanners/cleanup.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"
#include "tests/unit/world.h"

#define NOWHERE { .parent_fd = -EBADF, .root_fd = -EBADF }
#define PENDING RECORDS_PATH "/pending"

static const struct config config = {
	.root = (char *)ROOT, .state = (char *)STATE, .unit = (char *)"containerd.service",
	.address = (char *)STATE "/containerd.sock", .snapshotter = (char *)"overlayfs",
};
static const struct config_overrides paths = { .root = ROOT, .state = STATE };
static char id[TICKET_ID]; /* of the one that is put back */
static ino_t old, fresh;   /* the root in it, and the one that stands */

static void open_place(struct data_root *place)
{
	data_root_done(place);
	CHECK_EQ(data_root_open(ROOT, place), 0);
}

/* Two roots: one in a quarantine, and one that has been used since, or not. */
static void begin(bool used)
{
	json_auto_t *manifest = json_pack("{s:{s:[], s:b}}", "lost", "sandboxes", "complete", 1);
	cleanup_data_root struct data_root place = NOWHERE;
	cleanup_ticket struct ticket ticket = TICKET_NONE;

	world_begin();
	old = world_inode(ROOT);
	open_place(&place);
	CHECK_EQ(ticket_create(&place, manifest, &ticket), 0);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	(void)strcpy(id, ticket.id);
	fresh = world_inode(ROOT);
	if (used)
		world_run("mkdir " ROOT "/io.containerd.metadata.v1.bolt && echo new >" META);
}

static int restore(void)
{
	struct incident_report report = { 0 };
	int r = put_back(&paths, &config, id, &report);

	/* What stood is where the report says. */
	if (r == 0 && *report.id)
		CHECK_EQ(tap_shell("grep -q new " JAIL "/%s/root/io.containerd.metadata.v1.bolt/meta.db", report.id), 0);
	return r;
}

static void open_ticket(const char *which, struct ticket *ticket)
{
	cleanup_data_root struct data_root place = NOWHERE;

	open_place(&place);
	CHECK_EQ(ticket_open(&place, which, ticket), 0);
}

/* Nothing was moved, and nothing was begun that a later run would go on with. */
static void check_untouched(void)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;

	CHECK_EQ(world_inode(ROOT), fresh);
	world_run("test \"$(cat " META ")\" = new && test $(ls " JAIL " | wc -l) = 1");
	CHECK_EQ(tap_shell("grep -q old " JAIL "/%s/root/io.containerd.metadata.v1.bolt/meta.db", id), 0);
	CHECK(world_has(TASKS "/k8s.io/pod"));
	open_ticket(id, &ticket);
	CHECK_EQ(ticket.stages.begun[STAGE_RESTORE], ticket.stages.done[STAGE_RESTORE]);
}

static void test_a_root_comes_back(void)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;

	begin(true);
	CHECK_EQ(restore(), 0);
	CHECK_EQ(world_inode(ROOT), old);
	world_run("grep -q old " META " && test $(ls " JAIL " | wc -l) = 2");
	CHECK(!world_has(TASKS "/k8s.io/pod")); /* of the root that stood */
	open_ticket(id, &ticket);
	CHECK_EQ(ticket_state(&ticket), TICKET_RESTORED);
	CHECK(world_has(PENDING));
	CHECK_EQ(tap_shell("grep -q \" containerd.service restore %s asked\" " RECORDS_PATH "/history", id), 0);
	world_run("grep -rq set_aside " RECORDS_PATH);
	ticket_done(&ticket);
	/* Once is enough, and what stood comes back in turn, with its own images. */
	CHECK_EQ(restore(), -EINVAL);
	CHECK_EQ(world_inode(ROOT), old);
	CHECK_EQ(tap_shell("grep -q 'done salvage' $(ls -d " JAIL "/* | grep -v %s)/stages", id), 0);
	CHECK_EQ(tap_shell("! grep -q salvage " JAIL "/%s/stages", id), 0);
}

/* Nothing is in the root that stands: it is no quarantine. What runs is cleared all the same. */
static void test_over_an_unused_root(void)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;

	begin(false);
	CHECK_EQ(restore(), 0);
	CHECK_EQ(world_inode(ROOT), old);
	world_run("test $(ls " JAIL " | wc -l) = 1");
	CHECK(!world_has(TASKS "/k8s.io/pod"));
	CHECK(world_has(PENDING));
	open_ticket(id, &ticket);
	CHECK_EQ(ticket_state(&ticket), TICKET_RESTORED);
	CHECK_EQ(json_array_size(json_object_get(json_object_get(ticket.manifest, "lost"), "sandboxes")), 1);
}

/* From the look at it to the end nobody else gets at it. */
static void test_it_is_locked(void)
{
	struct situation_options options = { .overrides = paths };
	cleanup_situation struct situation s = SITUATION_NONE;
	cleanup_ticket struct ticket ticket = TICKET_NONE, other = TICKET_NONE;

	begin(true);
	CHECK_EQ(situation_look(&options, NULL, &s), 0);
	CHECK_EQ(put_back_open(&s, id, true, &ticket), 0);
	CHECK_EQ(ticket_open(&s.place, id, &other), -EBUSY);
	CHECK_EQ(ticket_peek(&s.place, id, &other), 0);
	CHECK_EQ(ticket_lock_data(&other, true), -EBUSY);
}

static void test_what_cannot_be_put_back(void)
{
	static const struct {
		const char *command; /* in the quarantine */
		bool mended;	     /* is put away by the mending that comes first */
	} cases[] = {
		{ "echo begin purge 9 9 >>stages", false },
		{ "echo done restore 9 9 >>stages", false },
		{ "printf 'begin defer 1 1\\ndone defer 2 2\\n' >stages", false },
		{ "mv root gone && cp -a gone root", false },
		{ "echo done undo 9 9 >stages", true },
		{ ": >stages", true },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct situation_options options = { .overrides = paths };
		cleanup_situation struct situation s = SITUATION_NONE;
		cleanup_ticket struct ticket ticket = TICKET_NONE;

		begin(true);
		CHECK_EQ(tap_shell("cd " JAIL "/* && %s", cases[i].command), 0);
		CHECK_EQ(situation_look(&options, NULL, &s), 0);
		if (!CHECK_EQ(put_back_open(&s, id, false, &ticket), -EINVAL))
			printf("# %s\n", cases[i].command);
		ticket_done(&ticket);
		ticket = (struct ticket)TICKET_NONE;
		situation_done(&s);
		if (cases[i].mended)
			continue;
		CHECK_EQ(restore(), -EINVAL);
		CHECK_EQ(world_inode(ROOT), fresh);
		world_run("test \"$(cat " META ")\" = new && test $(ls " JAIL " | wc -l) = 1");
		CHECK(world_has(TASKS "/k8s.io/pod"));
	}
	begin(true);
	(void)strcpy(id, "20260101T000000Z-none");
	CHECK_EQ(restore(), -ENOENT);
	CHECK_EQ(world_inode(ROOT), fresh);
}

enum who { STANDING, ASIDE, DATA };

/* Somebody has the one or the other: until a byte is written to the pipe, or for @msec. */
static pid_t hold(enum who who, unsigned msec)
{
	int ready[2];
	char c, path[256];
	pid_t child;

	(void)snprintf(path, sizeof(path), JAIL "/%s/%s", id,
		       who == ASIDE ? "root/io.containerd.metadata.v1.bolt/meta.db" : "stages");
	CHECK_EQ(pipe(ready), 0);
	child = fork();
	if (child == 0) {
		int fd = open(who == STANDING ? META : path, O_RDONLY | O_CLOEXEC);

		(void)flock(fd, who == DATA ? LOCK_SH : LOCK_EX);
		(void)!write(ready[1], "x", 1);
		(void)usleep(msec * 1000);
		_exit(0);
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	(void)close(ready[0]);
	(void)close(ready[1]);
	return child;
}

static void test_what_somebody_uses_stays(void)
{
	for (enum who who = STANDING; who <= DATA; who++) {
		pid_t child;

		begin(true);
		child = hold(who, 60000);
		CHECK_EQ(restore(), -EBUSY);
		check_untouched();
		CHECK_EQ(kill(child, SIGKILL), 0);
		CHECK_EQ(waitpid(child, NULL, 0), child);
		CHECK_EQ(restore(), 0);
		CHECK_EQ(world_inode(ROOT), old);
	}
}

/* A sweep is over in a moment. */
static void test_who_works_on_it_is_waited_for(void)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	pid_t child;

	begin(true);
	open_ticket(id, &ticket);
	child = fork();
	if (child == 0) {
		(void)usleep(300000);
		_exit(0);
	}
	ticket_done(&ticket); /* the child's copy of the fd has the lock now */
	CHECK_EQ(restore(), 0);
	CHECK_EQ(world_inode(ROOT), old);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

/* A quarantine that an earlier run had begun takes what stands; no third one is made. */
static void test_an_unfinished_quarantine_is_gone_on_with(void)
{
	json_auto_t *manifest = json_pack("{s:{s:[], s:b}}", "lost", "sandboxes", "complete", 1);
	cleanup_data_root struct data_root place = NOWHERE;
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	char begun[TICKET_ID];

	for (int used = 0; used < 2; used++) {
		begin(used);
		open_place(&place);
		CHECK_EQ(ticket_create(&place, manifest, &ticket), 0);
		(void)strcpy(begun, ticket.id);
		ticket_done(&ticket);
		ticket = (struct ticket)TICKET_NONE;
		{
			struct incident_report report = { 0 };

			CHECK_EQ(put_back(&paths, &config, id, &report), 0);
			CHECK_STR(report.id, begun);
		}
		CHECK_EQ(world_inode(ROOT), old);
		world_run("test $(ls " JAIL " | wc -l) = 2");
		open_ticket(begun, &ticket);
		CHECK_EQ(ticket_state(&ticket), TICKET_MOVED);
		ticket_done(&ticket);
		ticket = (struct ticket)TICKET_NONE;
	}
}

/* Another one can neither be finished nor taken back. */
static void test_nothing_is_begun_beside_one_that_cannot_be_mended(void)
{
	json_auto_t *manifest = json_pack("{s:{s:[], s:b}}", "lost", "sandboxes", "complete", 1);
	cleanup_data_root struct data_root place = NOWHERE;
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	struct incident_report report = { 0 };

	begin(true);
	open_place(&place);
	CHECK_EQ(ticket_create(&place, manifest, &ticket), 0);
	CHECK_EQ(put_back(&paths, &config, id, &report), -EBUSY);
	CHECK_EQ(world_inode(ROOT), fresh);
	CHECK(world_has(TASKS "/k8s.io/pod"));
}

/* Of a restore that failed or was killed: what a later run makes of it. Both roots are there. */
static ino_t mended(void)
{
	cleanup_ticket struct ticket begun = TICKET_NONE;
	cleanup_data_root struct data_root place = NOWHERE;

	open_place(&place);
	CHECK(incident_mend(&config, &place, &begun) >= 0);
	if (begun.fd >= 0)
		CHECK_EQ(incident_undo(&config, &place, &begun), 0);
	world_run("test $(cat " META " " JAIL "/*/root/io.containerd.metadata.v1.bolt/meta.db | sort | tr -d '\\n') = newold");
	return world_inode(ROOT);
}

/* Returns whether there was an @n-th call. What comes of it is in order whichever failed. */
static bool fails_at(const char *call, int n, int times)
{
	struct incident_report report = { 0 };
	bool fired, ok;
	ino_t stands;
	int r;

	begin(true);
	fault_arm_times(call, n, times, EIO);
	r = put_back(&paths, &config, id, &report);
	fired = fault_fired();
	stands = world_inode(ROOT);
	if (r == 0) { /* what stood can be had back in turn */
		cleanup_ticket struct ticket ticket = TICKET_NONE;

		ok = CHECK(*report.id) && CHECK_EQ(stands, old);
		CHECK_EQ(tap_shell("grep -q new " JAIL "/%s/root/io.containerd.metadata.v1.bolt/meta.db", report.id), 0);
		CHECK_EQ(mended(), stands);
		open_ticket(report.id, &ticket);
		ok = CHECK_EQ(ticket_state(&ticket), TICKET_MOVED) && ok;
	} else {
		cleanup_ticket struct ticket ticket = TICKET_NONE;

		open_ticket(id, &ticket);
		ok = CHECK(stands == old || stands == fresh);
		/* Called off: it can be kept, purged, or tried again. */
		if (stands == fresh && times == 1)
			ok = CHECK(!ticket.stages.begun[STAGE_RESTORE]) && ok;
		ticket_done(&ticket);
		ok = CHECK_EQ(mended(), stands) && ok;
	}
	if (!ok)
		printf("# %s, call %d, %d times: %d\n", call, n, times, r);
	return fired;
}

static const char *const calls[] = { "fsync", "fdatasync", "renameat", "renameat2", "mkdirat", "unlinkat", "write",
				     "flock" };

static void test_no_fault_leaves_no_root(void)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (int n = 1; fails_at(calls[i], n, 1); n++)
			;
	/* Trying once more does not help, going back does. */
	for (int n = 1; fails_at("renameat2", n, 2); n++)
		;
}

/* The same on a disk of its own, whose children are moved one by one. */
static bool fails_on_a_mount_at(const char *call, int n)
{
	json_auto_t *manifest = json_pack("{s:{s:[], s:b}}", "lost", "sandboxes", "complete", 1);
	struct incident_report report = { 0 };
	cleanup_data_root struct data_root place = NOWHERE;
	cleanup_ticket struct ticket ticket = TICKET_NONE, begun = TICKET_NONE;
	bool fired;
	int r;

	world_begin();
	CHECK_EQ(mount("tmpfs", ROOT, "tmpfs", 0, "size=4M"), 0);
	world_run("mkdir -p " ROOT "/io.containerd.metadata.v1.bolt " ROOT "/io.containerd.grpc.v1.cri && echo old >" META);
	open_place(&place);
	CHECK_EQ(ticket_create(&place, manifest, &ticket), 0);
	CHECK_EQ(quarantine_move(&place, &ticket), 0);
	(void)strcpy(id, ticket.id);
	ticket_done(&ticket);
	ticket = (struct ticket)TICKET_NONE;
	world_run("mkdir " ROOT "/io.containerd.metadata.v1.bolt && echo new >" META);
	fault_arm(call, n, EIO);
	r = put_back(&paths, &config, id, &report);
	fired = fault_fired();
	open_place(&place);
	/* containerd's next start mends first. */
	CHECK(incident_mend(&config, &place, &begun) >= 0);
	if (begun.fd >= 0)
		CHECK_EQ(incident_undo(&config, &place, &begun), 0);
	ticket_done(&begun);
	begun = (struct ticket)TICKET_NONE;
	if (!CHECK_EQ(tap_shell("grep -q '%s' " META, r == 0 ? "old" : "old\\|new"), 0))
		printf("# %s, call %d: %d\n", call, n, r);
	world_run("test $(cat $(find " ROOT " -name meta.db) | sort | tr -d '\\n') = newold");
	data_root_done(&place);
	CHECK_EQ(umount2(ROOT, MNT_DETACH), 0);
	return fired;
}

static void test_no_fault_leaves_no_mounted_root(void)
{
	static const char *const few[] = { "fsync", "renameat2", "write" };

	for (size_t i = 0; i < sizeof(few) / sizeof(few[0]); i++)
		for (int n = 1; fails_on_a_mount_at(few[i], n); n++)
			;
}

/* Returns whether there was an @n-th call: killed there, some root with its data stands in the end. */
static bool killed_at(const char *call, int n)
{
	int status;
	pid_t child;
	ino_t stands;

	begin(true);
	(void)fflush(stdout);
	child = fork();
	if (child == 0) {
		struct incident_report report = { 0 };

		fault_arm(call, n, FAULT_STOP);
		(void)put_back(&paths, &config, id, &report);
		_exit(0);
	}
	CHECK_EQ(waitpid(child, &status, WUNTRACED), child);
	if (!WIFSTOPPED(status))
		return false;
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, &status, 0), child);
	stands = mended();
	if (!CHECK(stands == old || stands == fresh))
		printf("# %s, call %d\n", call, n);
	return true;
}

static void test_no_kill_leaves_no_root(void)
{
	/* Between any two of those that change anything. */
	for (int n = 1; killed_at("fsync", n); n++)
		;
	for (int n = 1; killed_at("renameat2", n); n++)
		;
}

/* The command itself, whose words are not the test's. */
static int command(const char *option)
{
	char *argv[] = { (char *)"restore", (char *)"--root=" ROOT, (char *)"--state=" STATE, (char *)option, id, NULL };
	int saved = dup(1), nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC), r;

	(void)fflush(stdout);
	CHECK_EQ(dup2(nowhere, 1), 1);
	r = restore_command(5, argv);
	(void)fflush(stdout);
	CHECK_EQ(dup2(saved, 1), 1);
	(void)close(saved);
	(void)close(nowhere);
	return r;
}

/* Nothing is stopped, let alone moved, where it could not go on, or nobody asked for it. */
static void test_what_the_command_refuses(void)
{
	static const struct {
		const char *command, *option;
		int status;
	} cases[] = {
		{ "true", "--dry-run", EXIT_OK },
		{ "true", "--verbose", EXIT_USAGE }, /* no terminal to ask at */
		{ "true", "--yes", EXIT_FAILED },    /* no systemd to stop it with */
		{ "mount -t tmpfs -o ro none " RECORDS_PATH, "--dry-run", EXIT_FAILED },
		{ "echo 'version = [' >/etc/bad.toml", "--config=/etc/bad.toml", EXIT_FAILED },
		{ "cd " JAIL "/* && echo begin purge 9 9 >>stages", "--dry-run", EXIT_FAILED },
		{ "cd " JAIL "/* && echo begin purge 9 9 >>stages", "--yes", EXIT_FAILED },
		{ "mkdir -p /etc/containerd /var/lib/state && echo 'state = \"/var/lib/state\"' >/etc/containerd/config.toml && "
		  "rm -r " STATE, "--yes", EXIT_HANDS_OFF },
	};
	int in = dup(0), nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);

	CHECK_EQ(dup2(nothing, 0), 0);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		begin(true);
		world_run(cases[i].command);
		if (!CHECK_EQ(command(cases[i].option), cases[i].status))
			printf("# %s, %s\n", cases[i].command, cases[i].option);
		if (i == 3)
			CHECK_EQ(umount2(RECORDS_PATH, MNT_DETACH), 0);
		CHECK_EQ(world_inode(ROOT), fresh);
		world_run("test \"$(cat " META ")\" = new && test $(ls " JAIL " | wc -l) = 1 && ! grep restore " JAIL "/*/stages");
		CHECK(world_has(TASKS "/k8s.io/pod") == world_has(STATE));
	}
	begin(true);
	world_run("mv " ROOT " /var/lib/away");
	CHECK_EQ(command("--yes"), EXIT_FAILED);
	CHECK(!world_has(ROOT));
	CHECK_EQ(dup2(in, 0), 0);
	(void)close(in);
	(void)close(nothing);
}

/* Who is asked and does not say yes has said no. */
static void test_the_command_asks(void)
{
	static const struct {
		const char *answer;
		int status;
	} cases[] = { { "n\n", EXIT_DECLINED }, { "\n", EXIT_DECLINED }, { "y\n", EXIT_FAILED } /* no systemd */ };
	int in = dup(0), error = dup(2);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int terminal = posix_openpt(O_RDWR | O_NOCTTY), other;

		CHECK_EQ(grantpt(terminal) | unlockpt(terminal), 0);
		other = open(ptsname(terminal), O_RDWR | O_NOCTTY | O_CLOEXEC);
		begin(true);
		CHECK_EQ(dup2(other, 0), 0);
		CHECK_EQ(dup2(other, 2), 2);
		CHECK_EQ(write(terminal, cases[i].answer, strlen(cases[i].answer)), strlen(cases[i].answer));
		CHECK_EQ(command("--verbose"), cases[i].status);
		CHECK_EQ(dup2(in, 0), 0);
		CHECK_EQ(dup2(error, 2), 2);
		check_untouched();
		(void)close(other);
		(void)close(terminal);
	}
	(void)close(in);
	(void)close(error);
}

/* A dry run neither waits for who works on it, nor ends their work. */
static void test_the_command_only_looks(void)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;

	begin(true);
	open_ticket(id, &ticket);
	CHECK_EQ(command("--dry-run"), EXIT_OK);
}

/* A containerd of somebody else's is told of before ours is stopped for nothing. */
static void test_the_command_where_somebody_has_the_database(void)
{
	pid_t child;

	begin(true);
	child = hold(STANDING, 60000);
	CHECK_EQ(command("--yes"), EXIT_HANDS_OFF);
	check_untouched();
	CHECK_EQ(kill(child, SIGKILL), 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

int main(void)
{
	if (!world_enter())
		return 0;
	RUN(test_a_root_comes_back);
	RUN(test_over_an_unused_root);
	RUN(test_it_is_locked);
	RUN(test_what_cannot_be_put_back);
	RUN(test_what_somebody_uses_stays);
	RUN(test_who_works_on_it_is_waited_for);
	RUN(test_an_unfinished_quarantine_is_gone_on_with);
	RUN(test_nothing_is_begun_beside_one_that_cannot_be_mended);
	RUN(test_what_the_command_refuses);
	RUN(test_the_command_asks);
	RUN(test_the_command_only_looks);
	RUN(test_the_command_where_somebody_has_the_database);
	RUN(test_no_fault_leaves_no_root);
	RUN(test_no_fault_leaves_no_mounted_root);
	RUN(test_no_kill_leaves_no_root);
	return tap_done();
}
