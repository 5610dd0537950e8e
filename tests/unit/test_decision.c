/* A decision in words: that the lines an engineer acts on say what the facts say. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recover/decision.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"
#include "tests/unit/tap.h"

static const char *tmp;

/* What is said of @facts where @evidence is to be shown: the lines, one by one. */
static char *lines_of(const struct facts *facts, unsigned evidence, const struct rule *vetoed)
{
	const struct rule rule = { .id = "r", .why = "w", .change = "c", .verdict = "v", .evidence = evidence };
	const struct decision decision = { .rule = &rule, .vetoed = vetoed };
	json_auto_t *json = decision_to_json(facts, &decision);
	struct text text = { 0 };
	json_t *line;
	size_t i;

	json_array_foreach(json_object_get(json, "evidence"), i, line) {
		CHECK_EQ(text_add_string(&text, json_string_value(line)), 0);
		CHECK_EQ(text_add_string(&text, "\n"), 0);
	}
	return text.string ?: strdup("");
}

static void check(const struct facts *facts, unsigned evidence, const char *want)
{
	cleanup_free char *got = lines_of(facts, evidence, NULL);

	CHECK_STR(got, want);
}

static void test_configuration_and_policy(void)
{
	struct facts f = { .config = { .unit = "c.service", .config = FACTS_CONFIG_INVALID, .config_problem = "line 3",
				       .automatic = true } };

	check(&f, SHOW_CONFIG, "configuration of c.service: invalid: line 3\n");
	check(&f, SHOW_POLICY, "policy: automatic = yes\n");
	f.config.automatic = false;
	check(&f, SHOW_POLICY, "policy: automatic = no\n");
	f.config.config = FACTS_CONFIG_DEFAULTS;
	*f.config.config_problem = '\0';
	f.config.foreign_snapshotter = true;
	(void)strcpy(f.config.foreign_what, "overlayfs root_path /data");
	check(&f, SHOW_CONFIG, "configuration of c.service: absent (defaults)\ndata outside the root: overlayfs root_path /data\n");
	/* What would stop whatever comes is said, whatever rule it is. */
	f.config.policy_invalid = true;
	(void)strcpy(f.config.policy_problem, "line 9");
	check(&f, 0, "policy not understood, nothing is acted on: line 9\n");
	f.config.policy_invalid = false;
	f.history.hold = true;
	check(&f, 0, "hold file: present\nquarantines kept: 0\n");
}

static void test_ledger_and_history(void)
{
	struct facts f = { .ledger = { .failures = 2, .timeouts = 1, .window_sec = 600, .failures_needed = 3 } };

	check(&f, SHOW_LEDGER, "failed starts: 2 in 10 min, 1 by timeout (3 make a loop)\n");
	(void)strcpy(f.ledger.last_result, "timeout");
	(void)strcpy(f.ledger.last_status, "1");
	f.history.restarted = true;
	check(&f, SHOW_LEDGER, "failed starts: 2 in 10 min, 1 by timeout (3 make a loop); the last start ended with timeout (1)\n");
	f.ledger.last_failed = true;
	f.history.freed = f.history.deferred = f.history.tmpmounts = true;
	check(&f, SHOW_LEDGER,
	      "failed starts: 2 in 10 min, 1 by timeout (3 make a loop); the last start ended with timeout (1)\n"
	      "tried since it began to fail, and did not help: temporary mounts aside, deletions out of the way, "
	      "pods of dead and hung shims ended, containerd restarted\n");
	f.cri.up = true;
	f.history.freed = f.history.deferred = f.history.tmpmounts = false;
	check(&f, SHOW_LEDGER,
	      "failed starts: 2 in 10 min, 1 by timeout (3 make a loop); the last start ended with timeout (1)\n"
	      "containerd is READY by now; if it stays so, its failed starts are forgotten\n"
	      "tried since it began to fail: containerd restarted\n");
	f.history.restarted = false;
	f.history.freed = true;
	check(&f, SHOW_LEDGER,
	      "failed starts: 2 in 10 min, 1 by timeout (3 make a loop); the last start ended with timeout (1)\n"
	      "containerd is READY by now; if it stays so, its failed starts are forgotten\n"
	      "tried since it began to fail: pods of dead and hung shims ended\n");
	f.ledger.last_failed = false;
	check(&f, SHOW_LEDGER, "failed starts: 2 in 10 min, 1 by timeout (3 make a loop); the last start ended with timeout (1)\n");
	f.ledger.last_failed = f.history.restarted = true;
	f.history.freed = false;
	f.cri.state = CRI_HUNG;
	check(&f, SHOW_LEDGER,
	      "failed starts: 2 in 10 min, 1 by timeout (3 make a loop); the last start ended with timeout (1)\n"
	      "tried since it began to fail, and did not help: containerd restarted\n");
	check(&f, SHOW_CRI, "CRI of the running start: READY, and CRI did not answer in time\n");
	f.cri.up = false;
	f.cri.state = CRI_DEGRADED;
	check(&f, SHOW_CRI, "CRI of the last start: READY without CRI\n");
	f.history.cooling_down = true;
	f.history.cooldown_left_sec = 120;
	f.history.quarantines = 2;
	check(&f, SHOW_HISTORY, "cool-down: 2 min left\nquarantines kept: 2\n");
}

static void test_the_root(void)
{
	struct facts f = { .config.root = "/r", .root.ino = 7 };

	check(&f, SHOW_ROOT, "data root /r\nfstab and the mount units could not be looked at: whether a mount is missing is not known\n");
	f.root.mount_missing = ANSWER_NO;
	check(&f, SHOW_ROOT, "data root /r\n");
	f.root.is_empty = true;
	check(&f, SHOW_ROOT, "data root /r, empty\n");
	f.root.ino = 0;
	check(&f, SHOW_ROOT, "data root /r, which is not there\n");
	f.root.is_link = true;
	check(&f, SHOW_ROOT, "data root /r, behind a link, which leads nowhere\n");
	f = (struct facts){ .config.root = "/r", .root = { .ino = 7, .is_mount_point = true, .child_mount = true,
							   .lasting_mount = true, .stranger = "backup",
							   .mount_missing = ANSWER_YES, .error = -EIO } };
	check(&f, SHOW_ROOT,
	      "data root /r, a mount point, with a mount point in it\n"
	      "fstab or a mount unit mounts something below it\n"
	      "in it, and not containerd's: backup\n"
	      "fstab or a mount unit wants a mount there that is not\n"
	      "looking at it: Input/output error\n");
}

static void test_the_file_system(void)
{
	struct facts f = { .fs = { .type = "ext4", .block_bytes = 4096, .blocks = 1 << 20, .blocks_free = 1 << 18,
				   .inodes = 1000, .inodes_free = 10 } };

	check(&f, SHOW_FS, "file system: ext4, 1.0 GiB of 4.0 GiB free, 10 of 1,000 inodes free\n");
	f.fs.read_only = true;
	check(&f, SHOW_FS, "file system: ext4, 1.0 GiB of 4.0 GiB free, 10 of 1,000 inodes free, read-only\n");
	f.fs.blocks = 0;
	check(&f, SHOW_FS, "file system: not looked at\n");
	f.fs.error = -EIO;
	check(&f, SHOW_FS, "file system: Input/output error\n");
}

static void test_the_databases(void)
{
	struct facts f = { .meta = { .state = DB_SOUND, .lock = LOCK_FREE } };

	check(&f, SHOW_META, "meta.db: sound (meta and root pages)\n");
	f.meta.whole_tree = true;
	check(&f, SHOW_META, "meta.db: sound (every page)\n");
	f.meta.state = DB_DAMAGED;
	(void)strcpy(f.meta.damage, "checksum error");
	f.meta.page = 5;
	check(&f, SHOW_META, "meta.db: damaged: checksum error, page 5, read without its lock\n");
	f.meta.under_lock = true;
	check(&f, SHOW_META, "meta.db: damaged: checksum error, page 5, read under its lock\n");
	f.meta.state = DB_UNREAD;
	f.meta.error = -EACCES;
	check(&f, SHOW_META, "meta.db: not read: Permission denied\n");
	check(&f, SHOW_LOCK, "lock of meta.db: free\n");
	f.meta.lock = LOCK_BY_OTHER;
	f.meta.lock_pid = 77;
	check(&f, SHOW_LOCK, "lock of meta.db: held by another process\nholder: process 77\n");
	f.meta.lock = LOCK_BY_UNIT;
	check(&f, SHOW_LOCK, "lock of meta.db: held by the unit's containerd\nholder: process 77\n");
	check(&f, SHOW_SNAPSHOTS, "");
	f.snapshots.state = DB_DAMAGED;
	(void)strcpy(f.snapshots.damage, "page type");
	f.snapshots.page = 9;
	check(&f, SHOW_SNAPSHOTS, "the snapshotter's metadata.db: damaged: page type, page 9\n");
}

static void test_counts(void)
{
	struct facts f = { .count = { .entries = 1500, .msec = 20, .mark = 200000 } };

	check(&f, SHOW_COUNT, "entries in the root: not counted\n");
	f.count.looked = true;
	check(&f, SHOW_COUNT, "entries in the root: at least 1,500, counted in 20 ms (200,000 are bloated)\n");
	f.count.complete = true;
	check(&f, SHOW_COUNT, "entries in the root: 1,500, counted in 20 ms (200,000 are bloated)\n");
	f.leftovers.entries = 40000;
	f.leftovers.directories = 2;
	f.leftovers.mark = 297000;
	check(&f, SHOW_LEFTOVERS, "to be deleted inside containerd's start: at least 40,000 entries in 2 directories (297,000 are too many)\n");
	f.leftovers.complete = true;
	f.leftovers.tried_directories = 1;
	f.leftovers.tried_entries = 700;
	check(&f, SHOW_LEFTOVERS, "to be deleted inside containerd's start: 40,000 entries in 2 directories (297,000 are too many)\n"
				  "of these, 700 entries in 1 directories could not be moved and are not tried again\n");
}

static void test_pods_and_shims(void)
{
	struct facts f = { .pods = { .sandboxes = 3, .shims = 2, .bundles = 4, .links = 5, .reservations = 6,
				     .missed = "mounts: EIO" } };

	check(&f, SHOW_PODS, "sandboxes: 3, living shims: 2, bundles: 4, host links: 5, reservations: 6\n"
			     "not all of them could be looked at; mounts: EIO\n");
	f.pods.looked = true;
	check(&f, SHOW_PODS, "sandboxes: 3, living shims: 2, bundles: 4, host links: 5, reservations: 6\n"
			     "not all of them could be looked at; mounts: EIO\n");
	f.pods.complete = true;
	f.pods.foreign_layers = 8;
	f.pods.foreign_tasks = 9;
	(void)strcpy(f.pods.foreign_namespace, "moby");
	check(&f, SHOW_PODS, "sandboxes: 3, living shims: 2, bundles: 4, host links: 5, reservations: 6\n"
			     "writable layers in namespace moby: 8\nliving tasks in namespace moby: 9\n");
	check(&f, SHOW_SHIMS, "shims: not asked\n");
	f.shims.looked = true;
	f.shims.dead = 20;
	f.shims.hung = 1;
	f.shims.predicted_msec = 2400;
	f.shims.allowed_msec = 29700;
	check(&f, SHOW_SHIMS, "shims that are dead: 20, about 2400 ms of the next start (29700 are too many); that do not answer: 1 "
			      "(not all could be judged)\n");
	check(&f, SHOW_TMPMOUNTS, "");
	f.tmpmounts.looked = true;
	f.tmpmounts.own = 2;
	f.tmpmounts.others = 3;
	(void)strcpy(f.tmpmounts.type, "nfs4");
	check(&f, SHOW_TMPMOUNTS, "left mounted in tmpmounts by containerd: 2, first of type nfs4, by others: 3\n");
}

static void test_the_log(void)
{
	struct facts f = { .log = { .rule = "log-x", .class = "class", .what = "that", .line = "a line", .starts = 3,
				    .shown_in = 2 } };

	check(&f, SHOW_LOG, "log of the failed starts: none\n");
	f.log.looked = true;
	check(&f, SHOW_LOG, "log of the failed starts: log-x (class): that, in 2 of 3\nline: a line\n");
	f.log.needs_missing = f.log.needs_unchanged = true;
	check(&f, SHOW_LOG, "log of the failed starts: log-x (class): that, in 2 of 3\nline: a line\n"
			    "the file that it misses: not looked for\n"
			    "containerd and its configuration since it was last READY: not known\n");
	f.log.missing = f.ledger.changed = ANSWER_NO;
	check(&f, SHOW_LOG, "log of the failed starts: log-x (class): that, in 2 of 3\nline: a line\n"
			    "the file that it misses: there by now\n"
			    "containerd and its configuration since it was last READY: unchanged\n");
	f.log.missing = f.ledger.changed = ANSWER_YES;
	check(&f, SHOW_LOG, "log of the failed starts: log-x (class): that, in 2 of 3\nline: a line\n"
			    "the file that it misses: not there\n"
			    "containerd and its configuration since it was last READY: changed\n");
}

/* Facts come from files, too: `plan --facts`. */
static void test_what_no_fact_can_be(void)
{
	struct facts f = { .meta = { .state = 99, .lock = 99 }, .cri.state = 99, .config = { .unit = "u", .config = 99 } };

	check(&f, SHOW_META | SHOW_LOCK | SHOW_CRI | SHOW_CONFIG,
	      "configuration of u: invalid\nmeta.db: ?\nlock of meta.db: ?\nCRI of the last start: ?\n");
}

static char *printed(const struct facts *facts, const struct decision *decision)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);

	decision_print(to, facts, decision);
	CHECK_EQ(fclose(to), 0);
	return text;
}

static const struct rule cure = { .id = "meta-damaged", .kind = RULE_CURE, .why = "it is damaged", .change = "a sound one",
				  .verdict = "quarantine-root", .evidence = SHOW_META,
				  .steps = STEP_CLEAR | STEP_QUARANTINE | STEP_SWEEP | STEP_PURGE };
static const struct rule brake = { .id = "held", .kind = RULE_BRAKE, .why = "it is held", .change = "nobody",
				   .verdict = "hands-off:held", .evidence = SHOW_LOCK | SHOW_LOG };
static const struct rule healthy = { .id = "healthy", .kind = RULE_NONE, .why = "all is well", .change = "a fault",
				     .verdict = "none" };

static void test_what_is_printed(void)
{
	struct facts f = { .meta.state = DB_SOUND };
	struct decision d = { .rule = &cure, .steps = cure.steps };
	cleanup_free char *act = printed(&f, &d), *held = NULL, *logged = NULL, *none = NULL;

	CHECK_STR(act, "Diagnosis: it is damaged (rule meta-damaged, verdict quarantine-root)\n"
		       "Evidence:\n"
		       "  meta.db: sound (meta and root pages)\n"
		       "Plan:\n"
		       "  1. end the lost pods' processes, take their links down, release their addresses\n"
		       "  2. put a fresh data root in place; the old one is kept aside\n"
		       "  3. in the background: release what the lost pods left\n"
		       "  4. after the grace period: delete what was set aside, slowly\n"
		       "Would change it: a sound one\n");
	/* Of what is held back, too, it is said on what evidence. */
	d = (struct decision){ .rule = &brake, .vetoed = &cure };
	held = printed(&f, &d);
	CHECK_STR(held, "Diagnosis: it is damaged (rule meta-damaged)\n"
			"Held back: it is held (rule held, verdict hands-off:held)\n"
			"Evidence:\n"
			"  meta.db: sound (meta and root pages)\n"
			"  lock of meta.db: not known\n"
			"  log of the failed starts: none\n"
			"Plan: nothing is changed\n"
			"Would change it: nobody\n"
			"By hand: " DOCDIR "/TRIAGE.md, section held\n");
	f.log.looked = true;
	(void)strcpy(f.log.rule, "log-x");
	(void)strcpy(f.log.line, "a\033[2Jline");
	logged = printed(&f, &d);
	CHECK(strstr(logged, "section held and log-x\n") != NULL);
	CHECK(strstr(logged, "line: a") != NULL && strchr(logged, '\033') == NULL);
	d = (struct decision){ .rule = &healthy };
	none = printed(&f, &d);
	CHECK(strstr(none, "Plan: nothing is changed\n") != NULL);
	CHECK(strstr(none, "By hand") == NULL);
}

static void test_as_json(void)
{
	static const struct {
		unsigned steps;
		const char *names;
	} cases[] = {
		{ 0, "[]" },
		{ STEP_CLEAR | STEP_QUARANTINE | STEP_SWEEP | STEP_PURGE, "[\"clear\", \"quarantine\", \"sweep\", \"purge\"]" },
		{ STEP_TMPMOUNTS, "[\"tmpmounts\"]" },
		{ STEP_DEFER, "[\"defer\"]" },
		{ STEP_FREE_STATE | STEP_RESTART, "[\"free-state\", \"restart\"]" },
		{ STEP_RESTART, "[\"restart\"]" },
		{ STEP_SWEEP, "[\"sweep\"]" },
		{ STEP_CLEAR | STEP_QUARANTINE, "[\"clear\", \"quarantine\"]" },
	};
	const struct facts f = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct decision d = { .rule = &brake, .vetoed = i == 0 ? &cure : NULL, .steps = cases[i].steps };
		json_auto_t *json = decision_to_json(&f, &d);
		cleanup_free char *steps = json_dumps(json_object_get(json, "steps"), 0);

		CHECK_STR(steps, cases[i].names);
		CHECK_STR(json_string_value(json_object_get(json, "vetoed")), i == 0 ? "meta-damaged" : NULL);
		CHECK_STR(json_string_value(json_object_get(json, "verdict")), "hands-off:held");
		CHECK_STR(json_string_value(json_object_get(json, "change")), "nobody");
	}
}

/* What decision_log() writes. */
static char *logged(const struct facts *facts, const struct decision *decision)
{
	cleanup_free char *path = text_print("%s/log", tmp);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), saved = dup(2);
	char *text = NULL;

	CHECK_EQ(dup2(fd, 2), 2);
	decision_log(facts, decision);
	CHECK_EQ(dup2(saved, 2), 2);
	(void)close(fd);
	(void)close(saved);
	CHECK_EQ(dir_read_path(path, 1 << 20, &text, NULL), 0);
	return text;
}

/* With what would change it, where somebody has to. */
static void test_what_is_logged(void)
{
	struct facts f = { .meta.state = DB_SOUND };
	struct decision d = { .rule = &cure, .steps = cure.steps };
	cleanup_free char *act = logged(&f, &d), *held = NULL, *cause = NULL, *none = NULL, *up = NULL, *again = NULL,
			  *much = NULL;

	CHECK(strstr(act, "it is damaged (rule meta-damaged): meta.db: sound (meta and root pages)\n") != NULL);
	d = (struct decision){ .rule = &brake, .vetoed = &cure };
	held = logged(&f, &d);
	CHECK(strstr(held, "hands off: it is held (rule held, which held meta-damaged back): meta.db: sound (meta and root pages); "
			   "lock of meta.db: not known; log of the failed starts: none; would change it: nobody\n") != NULL);
	d = (struct decision){ .rule = &brake };
	none = logged(&f, &d);
	CHECK(strstr(none, "would change it") == NULL);
	f.ledger.last_failed = true;
	cause = logged(&f, &d);
	CHECK(strstr(cause, "; would change it: nobody\n") != NULL);
	d = (struct decision){ .rule = &cure, .steps = cure.steps };
	again = logged(&f, &d);
	CHECK(strstr(again, "would change it") == NULL);
	d = (struct decision){ .rule = &healthy };
	up = logged(&f, &d);
	CHECK(strstr(up, "would change it") == NULL);
	/* A line that has no room is left out, not the rest. */
	f.log.looked = true;
	memset(f.log.line, 'x', sizeof(f.log.line) - 1);
	d = (struct decision){ .rule = &brake, .vetoed = &cure };
	much = logged(&f, &d);
	CHECK(strstr(much, "xxx") == NULL);
	CHECK(strstr(much, "lock of meta.db: not known; log of the failed starts: ") != NULL);
}

int main(void)
{
	tmp = tap_tmpdir(NULL);
	RUN(test_configuration_and_policy);
	RUN(test_ledger_and_history);
	RUN(test_the_root);
	RUN(test_the_file_system);
	RUN(test_the_databases);
	RUN(test_counts);
	RUN(test_pods_and_shims);
	RUN(test_the_log);
	RUN(test_what_no_fact_can_be);
	RUN(test_what_is_printed);
	RUN(test_as_json);
	RUN(test_what_is_logged);
	return tap_done();
}
