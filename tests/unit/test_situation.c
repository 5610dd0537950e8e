/*
 * What is taken for a fact of a node. What could not be seen must not look like
 * something harmless, and what is judged must stay locked. In a mount namespace of
 * its own, with the paths of a real node.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "recover/file.h"
#include "recover/fingerprint.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"
#include "tests/unit/fault.h"
#include "tests/unit/tap.h"
#include "tests/unit/world.h"

#define UNIT "containerd.service"
#define CONF "/etc/containerd-recover.conf"
#define FIXTURES "tests/fixtures/bolt/"
#define SNAPSHOTTER ROOT "/io.containerd.snapshotter.v1.overlayfs"

static char *top; /* where the fixtures are */

static struct situation look_with(struct situation_options options)
{
	struct situation s = SITUATION_NONE;

	options.overrides.root = ROOT;
	options.overrides.state = STATE;
	CHECK_EQ(situation_look(&options, NULL, &s), 0);
	return s;
}

static struct situation look(void)
{
	return look_with((struct situation_options){ 0 });
}

/* As world_begin(), but with databases that are sound. */
static void begin(void)
{
	world_begin();
	world_run("mkdir -p " SNAPSHOTTER);
	CHECK_EQ(tap_shell("cp %s/" FIXTURES "meta.db " META " && cp %s/" FIXTURES "metadata.db " SNAPSHOTTER "/",
			   top, top), 0);
}

static struct ledger_clock clock_at(int seconds_ago)
{
	struct ledger_clock clock;

	CHECK_EQ(ledger_clock_now(&clock), 0);
	clock.boottime_msec -= seconds_ago * INT64_C(1000);
	clock.realtime_sec -= seconds_ago;
	return clock;
}

static void note(int seconds_ago, struct ledger_entry entry)
{
	cleanup_fd int records = open(RECORDS_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct ledger_clock clock = clock_at(seconds_ago);

	entry.invocation = "a";
	CHECK_EQ(ledger_append(records, UNIT ".ledger", &clock, &entry, false), 0);
}

/* A start that ended with @result so long ago. */
static void fail(int seconds_ago, const char *result)
{
	note(seconds_ago + 1, (struct ledger_entry){ .event = LEDGER_ATTEMPT });
	note(seconds_ago, (struct ledger_entry){ .event = LEDGER_STOPPED, .result = result, .code = "exited",
						 .status = "1" });
}

/* An event of the history. */
static void happened(int seconds_ago, const char *event, const char *rule)
{
	CHECK_EQ(tap_shell("echo %lld " UNIT " %s id %s >>" RECORDS_PATH "/history",
			   (long long)time(NULL) - seconds_ago, event, rule), 0);
}

/* Somebody else's lock on meta.db, until the pipe is closed. */
static pid_t hold(int *ret_end)
{
	int ends[2], ready[2];
	char c;
	pid_t child;

	CHECK_EQ(pipe(ends) | pipe(ready), 0);
	child = fork();
	if (child == 0) {
		int fd = open(META, O_RDWR | O_CLOEXEC);

		(void)close(ends[1]);
		(void)flock(fd, LOCK_EX);
		(void)!write(ready[1], "x", 1);
		(void)!read(ends[0], &c, 1);
		_exit(0);
	}
	CHECK_EQ(read(ready[0], &c, 1), 1);
	(void)close(ends[0]);
	(void)close(ready[0]);
	(void)close(ready[1]);
	*ret_end = ends[1];
	return child;
}

static void let_go(pid_t child, int end)
{
	(void)close(end);
	CHECK_EQ(waitpid(child, NULL, 0), child);
}

static bool is_locked(void)
{
	cleanup_fd int fd = open(META, O_RDONLY | O_CLOEXEC);

	return flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK;
}

static void test_a_node_at_rest(void)
{
	struct situation s;

	begin();
	s = look();
	CHECK_EQ(s.facts.config.config, FACTS_CONFIG_DEFAULTS);
	CHECK_STR(s.facts.config.root, ROOT);
	CHECK_STR(s.facts.config.unit, UNIT);
	CHECK(!s.facts.config.policy_invalid && s.facts.config.automatic);
	CHECK_EQ(s.facts.root.error, 0);
	CHECK_EQ(s.facts.root.ino, world_inode(ROOT));
	CHECK(!s.facts.root.is_empty && !s.facts.root.is_link && !s.facts.root.is_mount_point);
	CHECK(!s.facts.root.child_mount && !s.facts.root.lasting_mount && !*s.facts.root.stranger);
	CHECK_EQ(s.facts.root.mount_missing, ANSWER_NO);
	CHECK(!s.facts.fs.read_only && !s.facts.fs.no_space && !s.facts.fs.no_inodes && !s.facts.fs.error);
	CHECK_EQ(s.facts.meta.state, DB_SOUND);
	CHECK_EQ(s.facts.meta.lock, LOCK_FREE);
	CHECK(s.facts.meta.under_lock && !s.facts.meta.whole_tree);
	CHECK_EQ(s.facts.snapshots.state, DB_SOUND);
	CHECK(s.facts.snapshots.under_lock);
	CHECK(!s.facts.history.hold && !s.facts.history.cooling_down && !s.facts.history.freed);
	CHECK(!s.facts.count.looked && !s.facts.shims.looked && !s.facts.tmpmounts.looked);
	CHECK(s.facts.pods.looked && s.facts.leftovers.looked);
	CHECK_EQ(s.facts.history.quarantines, 0);
	/* Held as long as the situation lasts, and no longer. */
	CHECK(is_locked());
	situation_done(&s);
	CHECK(!is_locked());
	s = look_with((struct situation_options){ .whole_tree = true, .count_always = true, .by_hand = true });
	CHECK(s.facts.meta.whole_tree && s.facts.count.looked && s.facts.taken.by_hand && !s.facts.taken.force);
	situation_done(&s);
}

/* Nobody but the holder may judge it: what it writes just now looks like damage. */
static void test_a_database_that_somebody_holds(void)
{
	struct situation s;
	pid_t child;
	int end;

	begin();
	/* Something in its tree is damaged, which a glance does not see. */
	world_run("dd if=/dev/zero of=" META " bs=4096 seek=2 count=20 conv=notrunc status=none");
	child = hold(&end);
	s = look_with((struct situation_options){ .whole_tree = true });
	CHECK_EQ(s.facts.meta.lock, LOCK_BY_OTHER);
	CHECK_EQ(s.facts.meta.lock_pid, child);
	CHECK_EQ(s.facts.meta.state, DB_SOUND);
	CHECK(!s.facts.meta.under_lock && !s.facts.meta.whole_tree && !s.facts.leftovers.looked);
	CHECK(s.meta_fd < 0 && !s.facts.snapshots.under_lock);
	situation_done(&s);
	/* One that hangs does not write. */
	note(10, (struct ledger_entry){ .event = LEDGER_ATTEMPT });
	note(9, (struct ledger_entry){ .event = LEDGER_READY });
	note(8, (struct ledger_entry){ .event = LEDGER_UNREADY, .unready = LEDGER_HUNG });
	s = look_with((struct situation_options){ .whole_tree = true });
	CHECK(s.facts.cri.up);
	CHECK_EQ(s.facts.cri.state, CRI_HUNG);
	CHECK_EQ(s.facts.meta.state, DB_DAMAGED);
	CHECK(*s.facts.meta.damage && s.facts.meta.page >= 2);
	situation_done(&s);
	let_go(child, end);
	s = look();
	CHECK_EQ(s.facts.meta.state, DB_SOUND); /* as far as was looked */
	situation_done(&s);
}

static void test_databases_that_cannot_be_read(void)
{
	struct situation s;

	begin();
	world_run("rm -r " ROOT "/io.containerd.metadata.v1.bolt " SNAPSHOTTER "/metadata.db && "
		  "touch " ROOT "/io.containerd.metadata.v1.bolt && mkdir " SNAPSHOTTER "/metadata.db");
	s = look();
	CHECK_EQ(s.facts.meta.state, DB_UNREAD);
	CHECK_EQ(s.facts.meta.error, -ENOTDIR);
	CHECK_EQ(s.facts.meta.lock, LOCK_UNKNOWN);
	CHECK(!s.facts.meta.under_lock);
	CHECK_EQ(s.facts.snapshots.state, DB_DAMAGED);
	situation_done(&s);
	world_run("rm -r " ROOT "/io.containerd.metadata.v1.bolt " SNAPSHOTTER " && touch " SNAPSHOTTER);
	s = look();
	CHECK_EQ(s.facts.meta.state, DB_ABSENT);
	CHECK_EQ(s.facts.meta.error, 0);
	CHECK_EQ(s.facts.meta.lock, LOCK_NO_FILE);
	CHECK_EQ(s.facts.snapshots.state, DB_UNREAD);
	situation_done(&s);
	world_run("rm " SNAPSHOTTER "; mkdir " ROOT "/io.containerd.metadata.v1.bolt; : >" META);
	s = look_with((struct situation_options){ .whole_tree = true });
	CHECK_EQ(s.facts.meta.state, DB_EMPTY);
	CHECK_EQ(s.facts.snapshots.state, DB_ABSENT);
	situation_done(&s);
	fault_arm("flock", 1, EIO);
	s = look();
	CHECK(fault_fired());
	CHECK_EQ(s.facts.meta.lock, LOCK_UNKNOWN);
	CHECK(!s.facts.meta.under_lock);
	situation_done(&s);
}

static void test_the_root(void)
{
	static const struct {
		const char *command;
		bool empty, link, error;
	} cases[] = {
		{ "rm -r " ROOT, true, false, false },
		{ "rm -r " ROOT "; ln -s /nowhere/at/all " ROOT, true, true, false },
		{ "rm -r " ROOT "; touch " ROOT, false, false, true },
		{ "mv " ROOT " /var/lib/other; ln -s other " ROOT, false, true, false },
		{ "rm -r " ROOT "/*", true, false, false },
		{ "rm -r " ROOT "/*; mkdir " ROOT "/lost+found " ROOT "/.quarantine", true, false, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_situation struct situation s = SITUATION_NONE;

		begin();
		world_run(cases[i].command);
		s = look();
		CHECK_EQ(s.facts.root.is_empty, cases[i].empty);
		CHECK_EQ(s.facts.root.is_link, cases[i].link);
		CHECK_EQ(s.facts.root.error != 0, cases[i].error);
		CHECK_EQ(s.facts.meta.state, i == 3 ? DB_SOUND : DB_ABSENT);
		if (i < 3)
			CHECK_EQ(s.facts.meta.lock, LOCK_NO_FILE);
		CHECK(!*s.facts.root.stranger);
	}
}

/* Somebody's disk that is not there, or one that comes back there. */
static void test_mounts_that_are_wanted(void)
{
	static const struct {
		const char *command;
		enum facts_answer missing;
		bool lasting;
	} cases[] = {
		{ "echo '/dev/x " ROOT " ext4' >/etc/fstab", ANSWER_YES, false },
		{ "echo '/dev/x " ROOT "/io.containerd.content.v1.content ext4' >/etc/fstab", ANSWER_NO, true },
		{ "ln -s fstab /etc/fstab", ANSWER_UNKNOWN, true },
		{ "echo '/dev/x /var/lib/other ext4' >/etc/fstab", ANSWER_NO, false },
		{ "echo '/dev/x " ROOT " ext4' >/etc/fstab; rm -r " ROOT, ANSWER_YES, false },
		{ "ln -s fstab /etc/fstab; rm -r " ROOT, ANSWER_UNKNOWN, false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_situation struct situation s = SITUATION_NONE;

		begin();
		world_run(cases[i].command);
		s = look();
		CHECK_EQ(s.facts.root.mount_missing, cases[i].missing);
		CHECK_EQ(s.facts.root.lasting_mount, cases[i].lasting);
	}
}

static void test_what_is_mounted(void)
{
	for (int child = 0; child < 2; child++) {
		cleanup_situation struct situation s = SITUATION_NONE;

		world_begin();
		CHECK_EQ(mount("tmpfs", ROOT, "tmpfs", 0, "size=1M,nr_inodes=100"), 0);
		world_run("mkdir " ROOT "/opt " ROOT "/backup");
		if (child)
			CHECK_EQ(mount("tmpfs", ROOT "/opt", "tmpfs", 0, NULL), 0);
		s = look();
		CHECK(s.facts.root.is_mount_point);
		CHECK_EQ(s.facts.root.child_mount, child);
		CHECK_STR(s.facts.root.stranger, "backup");
		CHECK_STR(s.facts.fs.type, "tmpfs");
		CHECK(s.facts.fs.no_space && s.facts.fs.no_inodes);
		CHECK_EQ(s.facts.fs.blocks * s.facts.fs.block_bytes, 1 << 20);
		situation_done(&s);
		CHECK_EQ(mount(NULL, ROOT, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0);
		/* Just enough, and one too few. */
		world_run("printf '[quarantine]\\nmin_free_space = 1M\\nmin_free_inodes = 97\\n' >" CONF);
		s = look();
		CHECK(s.facts.fs.read_only && !s.facts.fs.no_space && !s.facts.fs.no_inodes);
		situation_done(&s);
		world_run("printf '[quarantine]\\nmin_free_space = 1025K\\nmin_free_inodes = 98\\n' >" CONF);
		s = look();
		CHECK(s.facts.fs.no_space && s.facts.fs.no_inodes);
		data_root_done(&s.place);
		CHECK_EQ(umount2(ROOT, MNT_DETACH), 0);
	}
	{
		cleanup_situation struct situation s = SITUATION_NONE;

		/* As btrfs: inodes are not counted. */
		world_begin();
		CHECK_EQ(mount("tmpfs", ROOT, "tmpfs", 0, "nr_inodes=0"), 0);
		s = look();
		CHECK_EQ(s.facts.fs.inodes, 0);
		CHECK(!s.facts.fs.no_inodes);
		data_root_done(&s.place);
		CHECK_EQ(umount2(ROOT, MNT_DETACH), 0);
	}
}

/* What is not known of the time before forbids what may not be done twice. */
static void test_the_history(void)
{
	struct situation s;
	uint64_t cooldown = 6 * 3600;

	begin();
	happened((int)cooldown - 100, "quarantine", "meta-damaged");
	s = look();
	CHECK(s.facts.history.cooling_down);
	CHECK(s.facts.history.cooldown_left_sec <= 100 && s.facts.history.cooldown_left_sec > 60);
	situation_done(&s);
	begin();
	happened((int)cooldown + 1, "quarantine", "meta-damaged");
	s = look();
	CHECK(!s.facts.history.cooling_down);
	situation_done(&s);
	/* The clock was set back since. */
	happened(-1000, "failed", "meta-damaged");
	s = look();
	CHECK(s.facts.history.cooling_down);
	CHECK_EQ(s.facts.history.cooldown_left_sec, cooldown);
	situation_done(&s);
	/* An operator's stop, whatever it is. */
	world_run("ln -s /nowhere " RECORDS_PATH "/hold");
	s = look();
	CHECK(s.facts.history.hold);
	situation_done(&s);

	begin();
	world_run("mkdir " RECORDS_PATH "/history");
	s = look();
	CHECK(s.facts.history.cooling_down && s.facts.history.freed && s.facts.history.restarted);
	CHECK(s.facts.history.tmpmounts && s.facts.history.deferred);
	situation_done(&s);
	world_run("rm -r " RECORDS_PATH "; touch " RECORDS_PATH);
	s = look();
	CHECK(s.facts.history.cooling_down && s.facts.history.freed && s.facts.history.restarted);
	CHECK(s.facts.history.tmpmounts && s.facts.history.deferred);
	situation_done(&s);
	world_run("rm " RECORDS_PATH);
	s = look();
	CHECK(!s.facts.history.cooling_down && !s.facts.history.freed && !s.facts.history.deferred);
	situation_done(&s);
}

/* In this incident, that is since the first of its starts that failed. */
static void test_what_was_tried(void)
{
	static const char *const events[] = { "free-state", "restart", "tmpmounts", "defer" };

	for (size_t i = 0; i < ARRAY_SIZE(events); i++)
		for (int now = 0; now < 2; now++) {
			cleanup_situation struct situation s = SITUATION_NONE;

			begin();
			fail(60, "exit-code");
			happened(now ? 60 : 100, events[i], "x");
			s = look();
			CHECK_EQ(s.facts.history.freed, now && i == 0);
			CHECK_EQ(s.facts.history.restarted, now && i == 1);
			CHECK_EQ(s.facts.history.tmpmounts, now && i == 2);
			CHECK_EQ(s.facts.history.deferred, now && i == 3);
		}
	{
		cleanup_situation struct situation s = SITUATION_NONE;

		begin(); /* no start has failed */
		happened(60, "restart", "x");
		s = look();
		CHECK(!s.facts.history.restarted);
	}
}

static void test_what_could_not_be_deferred(void)
{
	static const struct {
		int fail, kept, defer; /* seconds ago, 0: never */
		const char *rule;
		bool tried;
	} cases[] = {
		{ 60, 50, 0, "700/3", true }, { 60, 50, 55, "700/3", true }, { 60, 50, 40, "700/3", false },
		{ 60, 90, 0, "700/3", false }, { 0, 50, 0, "700/3", false }, { 60, 50, 0, "700", false },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_situation struct situation s = SITUATION_NONE;

		begin();
		if (cases[i].fail)
			fail(cases[i].fail, "timeout");
		happened(cases[i].kept, "kept", cases[i].rule);
		if (cases[i].defer)
			happened(cases[i].defer, "defer", "x");
		s = look();
		CHECK_EQ(s.facts.leftovers.tried_entries, cases[i].tried ? 700 : 0);
		CHECK_EQ(s.facts.leftovers.tried_directories, cases[i].tried ? 3 : 0);
	}
}

static void test_the_ledger(void)
{
	struct situation s;
	struct ledger_entry ready = { .event = LEDGER_READY };
	char fingerprint[FINGERPRINT];

	begin();
	s = look();
	CHECK_EQ(s.facts.ledger.failures, 0);
	CHECK_EQ(s.facts.ledger.changed, ANSWER_UNKNOWN);
	CHECK(!s.facts.ledger.last_failed && !s.facts.cri.up);
	fingerprint_take(&s.config, fingerprint);
	situation_done(&s);
	for (int i = 0; i < 3; i++) {
		static const enum facts_answer want[] = { ANSWER_NO, ANSWER_YES, ANSWER_UNKNOWN };

		begin();
		ready.fingerprint = i == 0 ? fingerprint : i == 1 ? "0123456789abcdef" : "-";
		note(500, (struct ledger_entry){ .event = LEDGER_ATTEMPT });
		note(499, ready);
		fail(20, "exit-code");
		fail(10, "timeout");
		s = look();
		CHECK_EQ(s.facts.ledger.changed, want[i]);
		CHECK_EQ(s.facts.ledger.failures, 2);
		CHECK_EQ(s.facts.ledger.timeouts, 1);
		CHECK(s.facts.ledger.last_failed);
		CHECK_STR(s.facts.ledger.last_result, "timeout");
		CHECK_EQ(s.facts.ledger.failures_needed, 3);
		CHECK_EQ(s.facts.ledger.window_sec, 600);
		situation_done(&s);
	}
	note(5, (struct ledger_entry){ .event = LEDGER_ATTEMPT });
	note(4, ready);
	note(3, (struct ledger_entry){ .event = LEDGER_UNREADY, .unready = LEDGER_DEGRADED });
	s = look();
	CHECK(s.facts.cri.up);
	CHECK_EQ(s.facts.cri.state, CRI_DEGRADED);
	situation_done(&s);
}

/* Counting costs time: in a crash loop, of a root that nothing else speaks against. */
static void test_counting(void)
{
	struct situation s;

	begin();
	world_run("printf '[bloat]\\nentries = 1000\\n' >" CONF);
	world_run("mkdir " ROOT "/opt/; cd " ROOT "/opt && seq 1100 | xargs touch");
	fail(30, "exit-code");
	fail(20, "exit-code");
	s = look();
	CHECK(!s.facts.count.looked);
	situation_done(&s);
	fail(10, "exit-code");
	s = look();
	CHECK(s.facts.count.looked && s.facts.count.bloated);
	CHECK_EQ(s.facts.count.mark, 1000);
	situation_done(&s);
	world_run("rm -r " ROOT "/opt");
	s = look();
	CHECK(s.facts.count.looked && !s.facts.count.bloated && s.facts.count.complete);
	CHECK(s.facts.count.entries > 3 && s.facts.count.entries < 100);
	situation_done(&s);
	world_run("echo old >" META);
	s = look();
	CHECK_EQ(s.facts.meta.state, DB_DAMAGED);
	CHECK(!s.facts.count.looked);
	situation_done(&s);
}

/* What a start of that length may delete, and what it would. */
static void test_leftovers(void)
{
	static const struct {
		const char *timeout;
		uint64_t mark;
	} cases[] = { { "10", 33000 }, { "infinity", 297000 }, { "1min 30s", 297000 } };
	struct situation s;

	begin();
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CHECK_EQ(tap_shell("mkdir -p /etc/systemd/system && printf '[Service]\\nExecStart=/usr/bin/containerd\\n"
				   "TimeoutStartSec=%s\\n' >/etc/systemd/system/" UNIT, cases[i].timeout), 0);
		s = look();
		CHECK_EQ(s.facts.leftovers.mark, cases[i].mark);
		CHECK(s.facts.leftovers.looked && s.facts.leftovers.complete && !s.facts.leftovers.excessive);
		situation_done(&s);
	}
	world_run("printf '[leftovers]\\nusec_per_entry = 1000000\\n' >" CONF);
	world_run("d=" ROOT "/io.containerd.grpc.v1.cri/sandboxes/"
		  "0123456789012345678901234567890123456789012345678901234567890123; mkdir -p $d && cd $d && "
		  "for i in $(seq 300); do mkdir $i; touch $i/1; done");
	s = look();
	CHECK_EQ(s.facts.leftovers.mark, 29); /* 90 s, a third of it, a second each */
	CHECK(s.facts.leftovers.looked && s.facts.leftovers.excessive);
	CHECK_EQ(s.facts.leftovers.directories, 1);
	CHECK(s.facts.leftovers.entries >= 600);
	situation_done(&s);
}

/* Only behind a start that timed out: each start unmounts what it can. */
static void test_tmpmounts_and_shims(void)
{
	static const char *const results[] = { NULL, "exit-code", "timeout" };

	for (size_t i = 0; i < ARRAY_SIZE(results); i++) {
		cleanup_situation struct situation s = SITUATION_NONE;
		bool timed_out = i == 2;

		begin();
		world_run("mkdir -p " ROOT "/tmpmounts/containerd-mount12 " ROOT "/tmpmounts/others");
		CHECK_EQ(mount("none", ROOT "/tmpmounts/containerd-mount12", "tmpfs", 0, NULL), 0);
		CHECK_EQ(mount("none", ROOT "/tmpmounts/others", "tmpfs", 0, NULL), 0);
		if (results[i])
			fail(10, results[i]);
		s = look();
		CHECK_EQ(s.facts.tmpmounts.looked, timed_out);
		CHECK_EQ(s.facts.tmpmounts.own, timed_out);
		CHECK_EQ(s.facts.tmpmounts.others, timed_out);
		CHECK_STR(s.facts.tmpmounts.type, timed_out ? "tmpfs" : "");
		CHECK_EQ(s.facts.shims.looked, timed_out);
		CHECK_EQ(s.facts.shims.allowed_msec, timed_out ? 29700 : 0);
		CHECK_EQ(umount2(ROOT "/tmpmounts/containerd-mount12", 0), 0);
		CHECK_EQ(umount2(ROOT "/tmpmounts/others", 0), 0);
	}
}

/* Bundles without a process behind them: of Kubernetes' they are dead, of others nobody's business. */
static void test_shims_that_are_dead(void)
{
	cleanup_situation struct situation s = SITUATION_NONE;

	begin();
	world_run("rm -r " TASKS "/*; for b in k8s.io/a k8s.io/b moby/c; do mkdir -p " TASKS "/$b; "
		  "printf unix://" STATE "/gone >" TASKS "/$b/address; done");
	fail(10, "timeout");
	s = look();
	CHECK(s.facts.shims.looked);
	CHECK_EQ(s.facts.pods.bundles, 3);
	CHECK_EQ(s.facts.shims.dead, 2);
	CHECK_EQ(s.facts.shims.predicted_msec, 240);
	CHECK_EQ(s.facts.shims.hung, 0);
	CHECK(s.facts.shims.kill_hung);
	CHECK_EQ(s.facts.pods.foreign_tasks, 0);
	CHECK_EQ(s.facts.pods.shims, 0);
}

/* Where to look further is not known, and nothing is looked at. */
static void test_a_configuration_that_is_not_understood(void)
{
	struct situation_options options = { .overrides.config = "/etc/config.toml" };
	static const struct {
		const char *command;
		enum facts_config config;
	} cases[] = {
		{ "echo 'version = [' >/etc/config.toml", FACTS_CONFIG_INVALID },
		{ "echo 'version = 2' >/etc/config.toml", FACTS_CONFIG_SOUND },
	};
	unsigned unknown = 0;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_situation struct situation s = SITUATION_NONE;

		begin();
		world_run(cases[i].command);
		s = look_with(options);
		CHECK_EQ(s.facts.config.config, cases[i].config);
		CHECK_EQ(s.place.root_fd >= 0, cases[i].config == FACTS_CONFIG_SOUND);
		CHECK_EQ(s.facts.pods.looked, cases[i].config == FACTS_CONFIG_SOUND);
		CHECK_EQ(*s.facts.config.config_problem == '\0', cases[i].config == FACTS_CONFIG_SOUND);
	}
	/* Nor is it where it cannot be read. */
	for (int n = 1; n < 30; n++) {
		cleanup_situation struct situation s = SITUATION_NONE;

		fault_arm("openat", n, EIO);
		r = situation_look(&options, NULL, &s);
		if (!fault_fired())
			break;
		if (r < 0) /* no clock */
			continue;
		unknown += s.facts.config.config == FACTS_CONFIG_UNKNOWN;
		CHECK_EQ(s.facts.config.config, s.facts.pods.looked ? FACTS_CONFIG_SOUND : FACTS_CONFIG_UNKNOWN);
	}
	CHECK(unknown > 0);
	{
		cleanup_situation struct situation s = SITUATION_NONE;

		begin();
		world_run("echo '[quarantine]\nautomatic = perhaps' >" CONF);
		s = look();
		CHECK(s.facts.config.policy_invalid && *s.facts.config.policy_problem);
	}
	{
		cleanup_situation struct situation s = SITUATION_NONE;

		begin();
		world_run("printf '[quarantine]\\nautomatic = no\\n' >" CONF);
		world_run("printf 'version = 2\\n[proxy_plugins.x]\\ntype = \"snapshot\"\\naddress = \"/x\"\\n"
			  "[plugins.\"io.containerd.grpc.v1.cri\".containerd]\\nsnapshotter = \"x\"\\n' >/etc/config.toml");
		s = look_with(options);
		CHECK(!s.facts.config.policy_invalid && !s.facts.config.automatic);
		CHECK(s.facts.config.foreign_snapshotter && *s.facts.config.foreign_what);
	}
}

int main(void)
{
	top = realpath(".", NULL);
	if (!top || !world_enter())
		return 0;
	RUN(test_a_node_at_rest);
	RUN(test_a_database_that_somebody_holds);
	RUN(test_databases_that_cannot_be_read);
	RUN(test_the_root);
	RUN(test_mounts_that_are_wanted);
	RUN(test_what_is_mounted);
	RUN(test_the_history);
	RUN(test_what_was_tried);
	RUN(test_what_could_not_be_deferred);
	RUN(test_the_ledger);
	RUN(test_counting);
	RUN(test_leftovers);
	RUN(test_tmpmounts_and_shims);
	RUN(test_shims_that_are_dead);
	RUN(test_a_configuration_that_is_not_understood);
	free(top);
	return tap_done();
}
