#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "recover/facts.h"
#include "recover/triage.h"
#include "scanners/cleanup.h"
#include "tests/unit/tap.h"

/* A node that deserves the most drastic plan twice over; each case takes a reason away. */
static struct facts doomed(void)
{
	struct facts f = { 0 };

	f.config.config = FACTS_CONFIG_SOUND;
	f.config.automatic = true;
	f.ledger.failures = f.ledger.timeouts = f.ledger.failures_needed = 3;
	f.root.mount_missing = ANSWER_NO;
	f.meta.state = DB_DAMAGED;
	f.meta.lock = LOCK_FREE;
	f.meta.under_lock = true;
	f.count.looked = f.count.bloated = true;
	f.pods.looked = f.pods.complete = true;
	return f;
}

static const char *rule_of(const struct facts *f)
{
	return triage(f).rule->id;
}

static void test_damage_needs_no_loop_but_the_lock(void)
{
	struct facts f = doomed();

	CHECK_STR(rule_of(&f), "meta-damaged");
	f.ledger.failures = 0;
	CHECK_STR(rule_of(&f), "meta-damaged");
	CHECK_EQ(triage(&f).steps, STEP_CLEAR | STEP_QUARANTINE | STEP_SWEEP | STEP_PURGE);
	f.meta.under_lock = false;
	CHECK_STR(rule_of(&f), "healthy");
	f.meta.lock = LOCK_BY_UNIT;
	CHECK_STR(rule_of(&f), "healthy");
	f.taken.by_hand = true;
	CHECK_STR(rule_of(&f), "meta-damaged");
}

static void test_bloat_needs_both_reasons(void)
{
	struct facts f = doomed();

	f.meta.state = DB_SOUND;
	CHECK_STR(rule_of(&f), "bloat-loop");
	CHECK(triage(&f).steps & STEP_QUARANTINE);
	f.ledger.failures = 2;
	CHECK_STR(rule_of(&f), "healthy");
	f = doomed();
	f.meta.state = DB_SOUND;
	f.ledger.timeouts = 2; /* the third one exited by itself, for a cause of its own */
	CHECK_STR(rule_of(&f), "unexplained-loop");
	f = doomed();
	f.meta.state = DB_SOUND;
	f.count.bloated = false;
	CHECK_STR(rule_of(&f), "count-ran-out");
	f.count.complete = true;
	CHECK_STR(rule_of(&f), "unexplained-loop");
	f.count.looked = false;
	CHECK_STR(rule_of(&f), "unexplained-loop");
}

/* A start that timed out on one hung and forty dead shims, the data sound. */
static struct facts stuck(void)
{
	struct facts f = doomed();

	f.meta.state = DB_SOUND;
	f.shims.looked = f.shims.complete = f.shims.kill_hung = true;
	f.shims.hung = 1;
	f.shims.dead = 40;
	f.shims.predicted_msec = 4800;
	f.shims.allowed_msec = 1000;
	return f;
}

static void test_shims_come_before_a_fresh_root(void)
{
	struct facts f = stuck();

	CHECK_STR(rule_of(&f), "hung-shims");
	CHECK_EQ(triage(&f).steps, STEP_FREE_STATE | STEP_SWEEP);
	f.shims.hung = 0;
	CHECK_STR(rule_of(&f), "dead-shims");
	CHECK_EQ(triage(&f).steps, STEP_FREE_STATE | STEP_SWEEP);
	f.history.freed = true; /* tried: on to the next rung */
	CHECK_STR(rule_of(&f), "bloat-loop");
	f.shims.hung = 1;
	CHECK_STR(rule_of(&f), "bloat-loop");
	f.ledger.failures = f.ledger.timeouts = f.ledger.failures_needed = 0; /* no loop is asked for */
	CHECK_STR(rule_of(&f), "healthy");
	f = stuck();
	f.shims.kill_hung = false;
	CHECK_STR(rule_of(&f), "dead-shims");
	f.shims.dead = 0;
	CHECK_STR(rule_of(&f), "hung-shims-kept"); /* and no fresh root, which would kill all */
	CHECK_EQ(triage(&f).steps, 0);
	f.shims.hung = 0;
	CHECK(strcmp(rule_of(&f), "hung-shims-kept") != 0);
	f = stuck();
	f.shims.looked = false; /* the last start did not time out */
	CHECK_STR(rule_of(&f), "bloat-loop");
	f = stuck();
	f.meta.state = DB_DAMAGED;
	CHECK_STR(rule_of(&f), "meta-damaged");
	f = stuck();
	f.taken.by_hand = true;
	CHECK_STR(rule_of(&f), "bloat-loop");
}

static void test_a_few_dead_shims_wait_for_a_loop(void)
{
	struct facts f = stuck();

	f.shims.hung = 0;
	f.count.bloated = false;
	f.shims.predicted_msec = 999;
	CHECK_STR(rule_of(&f), "dead-shims");
	f.ledger.timeouts = 2;
	CHECK_STR(rule_of(&f), "unexplained-loop");
	f.shims.predicted_msec = 1000;
	CHECK_STR(rule_of(&f), "dead-shims");
}

/* What speaks against a fresh root alone does not stop the smaller remedy. */
static void test_what_stops_the_freeing_of_the_state_directory(void)
{
	struct facts f;

#define CASE(change, rule_id) \
	do { \
		f = stuck(); \
		change; \
		CHECK_STR(rule_of(&f), rule_id); \
	} while (0)
	CASE(f.history.cooling_down = true, "hung-shims");
	CASE(f.config.foreign_snapshotter = true, "hung-shims");
	CASE(f.pods.foreign_tasks = 1, "hung-shims");
	CASE(f.history.hold = true, "hold");
	CASE(f.config.policy_invalid = true, "policy-invalid");
	CASE(f.config.automatic = false, "not-automatic");
	CASE(f.pods.complete = false, "scan-incomplete");
	CASE(f.meta.lock = LOCK_BY_OTHER, "lock-held");
	CASE(f.fs.no_space = true, "no-space");
#undef CASE
}

static void test_no_cri_needs_damage_to_be_restarted_for(void)
{
	struct facts f = doomed();

	f.ledger.failures = 1;
	f.cri.up = true;
	f.cri.state = CRI_HUNG;
	f.meta.under_lock = false;
	f.meta.lock = LOCK_BY_UNIT;
	CHECK_STR(rule_of(&f), "unready-damage");
	CHECK_EQ(triage(&f).steps, STEP_RESTART);
	f.history.cooling_down = true; /* its start would be held back as well */
	CHECK_STR(rule_of(&f), "cool-down");
	f.history.cooling_down = false;
	f.config.foreign_snapshotter = true;
	CHECK_STR(rule_of(&f), "foreign-snapshotter");
	f.config.foreign_snapshotter = false;
	f.history.restarted = true;
	CHECK_STR(rule_of(&f), "hung-after-ready");
	f.history.restarted = false;
	f.meta.state = DB_SOUND;
	CHECK_STR(rule_of(&f), "hung-after-ready");
	CHECK_EQ(triage(&f).steps, 0);
	f.cri.state = CRI_DEGRADED;
	CHECK_STR(rule_of(&f), "degraded");
	/* Its next start, under the lock. */
	f.cri.up = false;
	f.meta.state = DB_DAMAGED;
	f.meta.lock = LOCK_FREE;
	f.meta.under_lock = true;
	CHECK_STR(rule_of(&f), "meta-damaged");
}

/* Everything that must stop a quarantine, set on a node that deserves one. */
static void vetoed(const struct facts *f, const char *id)
{
	CHECK_STR(rule_of(f), id);
	CHECK_EQ(triage(f).steps, 0);
}

static void test_each_cause_vetoes(void)
{
	struct facts f = doomed();

#define VETO(change, rule_id) \
	do { \
		f = doomed(); \
		change; \
		vetoed(&f, rule_id); \
		f.taken.by_hand = f.taken.force = true; /* no way round a cause */ \
		vetoed(&f, rule_id); \
	} while (0)
	VETO(f.config.config = FACTS_CONFIG_INVALID, "config-invalid");
	VETO(f.config.config = FACTS_CONFIG_UNKNOWN, "config-unknown");
	VETO(f.root.mount_missing = ANSWER_YES, "root-not-mounted");
	VETO(f.root.error = -20, "root-path");
	VETO((f.root.is_link = f.root.is_empty = true), "root-path");
	VETO((f.root.is_link = f.root.is_empty = true, f.root.ino = 2), "root-empty");
	VETO(f.root.error = -5, "root-unreadable");
	VETO(f.fs.error = -5, "root-unreadable");
	VETO((f.meta.state = DB_UNREAD, f.meta.error = -5), "root-unreadable");
	VETO((f.meta.state = DB_UNREAD, f.meta.error = -ELOOP), "meta-link");
	VETO(f.fs.read_only = true, "read-only");
	VETO(f.fs.no_space = true, "no-space");
	VETO(f.fs.no_inodes = true, "no-inodes");
	VETO(f.meta.lock = LOCK_BY_OTHER, "lock-held");
	VETO(f.meta.lock = LOCK_UNKNOWN, "lock-held");
	VETO(f.config.foreign_snapshotter = true, "foreign-snapshotter");
	VETO(f.pods.foreign_tasks = 1, "foreign-tasks");
	VETO(strcpy(f.root.stranger, "backup"), "strangers");
	VETO(f.root.lasting_mount = true, "lasting-mount");
	VETO(f.root.child_mount = true, "child-mount");
	VETO(f.root.is_empty = true, "root-empty");
#undef VETO
}

/* A person may give up what another client's stopped containers wrote; automation may not. */
static void test_layers_of_others_are_left_by_itself(void)
{
	struct facts f = doomed();

	f.pods.foreign_layers = 1;
	vetoed(&f, "foreign-layers");
	f.taken.force = true;
	vetoed(&f, "foreign-layers");
	f.taken.by_hand = true;
	CHECK(triage(&f).steps & STEP_QUARANTINE);
	f.pods.foreign_tasks = 1;
	vetoed(&f, "foreign-tasks");
}

/* Who put a directory there may have the file; a person knows, or gives it up. */
static void test_what_is_no_file_is_left_by_itself(void)
{
	struct facts f = doomed();

	strcpy(f.meta.damage, "not a file");
	vetoed(&f, "not-a-file");
	f.taken.force = true;
	vetoed(&f, "not-a-file");
	f.taken.by_hand = true;
	CHECK(triage(&f).steps & STEP_QUARANTINE);
	f = doomed();
	f.meta.state = DB_SOUND;
	f.snapshots.state = DB_DAMAGED;
	f.snapshots.under_lock = true;
	strcpy(f.snapshots.damage, "not a file");
	vetoed(&f, "not-a-file");
	f.snapshots.state = DB_SOUND;
	CHECK(strcmp(triage(&f).rule->id, "not-a-file") != 0);
}

/* A crash loop whose log alone speaks; each case takes one of its conditions away. */
static struct facts logged(void)
{
	struct facts f = doomed();

	f.meta.state = DB_SOUND;
	f.count.bloated = false;
	f.ledger.last_failed = true;
	f.ledger.changed = ANSWER_NO;
	f.log.looked = f.log.in_last = f.log.needs_unchanged = true;
	f.log.verdict = LOG_SAYS_QUARANTINE;
	f.log.starts = f.log.shown_in = 3;
	return f;
}

/* What only a fresh root must not touch is no diagnosis of a damaged database. */
static void test_what_a_fresh_root_would_hurt_hides_no_cure(void)
{
	struct facts f = doomed();

	strcpy(f.root.stranger, "backup");
	vetoed(&f, "strangers");
	if (CHECK(triage(&f).vetoed != NULL))
		CHECK_STR(triage(&f).vetoed->id, "meta-damaged");
	f = logged();
	strcpy(f.root.stranger, "backup");
	f.log.verdict = LOG_SAYS_HANDS_OFF; /* nobody wants a fresh root: what is wrong is that */
	vetoed(&f, "logged-cause");
	f.ledger.failures = 0;
	f.ledger.last_failed = false;
	vetoed(&f, "healthy");
	f.taken.by_hand = true;
	vetoed(&f, "strangers");
}

static void test_each_brake_vetoes_and_names_what_it_stopped(void)
{
	struct facts f;

#define BRAKE(change, rule_id) \
	do { \
		f = doomed(); \
		change; \
		vetoed(&f, rule_id); \
		if (CHECK(triage(&f).vetoed != NULL)) \
			CHECK_STR(triage(&f).vetoed->id, "meta-damaged"); \
		f.meta.state = DB_SOUND; \
		f.ledger.failures = 0; \
		CHECK_STR(rule_of(&f), "healthy"); \
	} while (0)
	BRAKE(f.config.policy_invalid = true, "policy-invalid");
	BRAKE(f.history.hold = true, "hold");
	BRAKE(f.history.cooling_down = true, "cool-down");
	BRAKE(f.pods.complete = false, "scan-incomplete");
	BRAKE(f.pods.looked = false, "scan-incomplete");
	BRAKE(f.root.mount_missing = ANSWER_UNKNOWN, "scan-incomplete");
	BRAKE(f.config.automatic = false, "not-automatic");
#undef BRAKE
}

/* The smaller remedy comes before the larger, needs no loop, and no cool-down stops it. */
static void test_deletions_are_deferred_before_a_root_is(void)
{
	struct facts f = doomed();

	f.meta.state = DB_SOUND;
	f.leftovers.looked = f.leftovers.excessive = true;
	CHECK_STR(rule_of(&f), "slow-deletions");
	CHECK_EQ(triage(&f).steps, STEP_DEFER | STEP_PURGE);
	f.ledger.failures = 0;
	f.history.cooling_down = true;
	CHECK_STR(rule_of(&f), "slow-deletions");
	f.history.hold = true;
	vetoed(&f, "hold");
	f.history.hold = false;
	f.fs.read_only = true;
	vetoed(&f, "read-only");
	f.fs.read_only = false;
	f.leftovers.excessive = false;
	CHECK_STR(rule_of(&f), "healthy");
}

/* A disk on which not even counting ends: the smaller remedy comes before a fresh root. */
static void test_uncounted_leftovers_go_once_a_start_timed_out(void)
{
	struct facts f = doomed();

	f.meta.state = DB_SOUND;
	f.ledger.last_failed = true;
	f.leftovers.looked = true;
	f.leftovers.directories = 1;
	CHECK_STR(rule_of(&f), "slow-deletions");
	f.leftovers.complete = true;
	CHECK_STR(rule_of(&f), "bloat-loop");
	f.leftovers.complete = false;
	f.leftovers.directories = 0;
	CHECK_STR(rule_of(&f), "bloat-loop");
	f.leftovers.directories = 1;
	f.ledger.timeouts = f.ledger.failures = 0;
	CHECK_STR(rule_of(&f), "healthy");
}

/* What could not be moved is not tried again in the same incident, and does not stand
 * before the other rungs; what comes on top of it is. */
static void test_leftovers_that_stay_are_tried_once(void)
{
	struct facts f = doomed();

	f.meta.state = DB_SOUND;
	f.ledger.last_failed = true;
	f.leftovers = (typeof(f.leftovers)){ .looked = true, .complete = true, .excessive = true,
					     .directories = 2, .entries = 3000, .mark = 1000 };
	CHECK_STR(rule_of(&f), "slow-deletions");
	f.history.deferred = true; /* and all of it was moved: these are new */
	CHECK_STR(rule_of(&f), "slow-deletions");
	f.leftovers.tried_directories = 2;
	f.leftovers.tried_entries = 3000;
	CHECK_STR(rule_of(&f), "bloat-loop");
	f.leftovers.entries = 2000; /* containerd came on with it */
	CHECK_STR(rule_of(&f), "bloat-loop");
	f.leftovers.entries = 3999; /* a little more is not too much */
	f.leftovers.directories = 3;
	CHECK_STR(rule_of(&f), "bloat-loop");
	f.leftovers.entries = 4000;
	CHECK_STR(rule_of(&f), "slow-deletions");

	/* And where counting does not end. */
	f.leftovers.excessive = f.leftovers.complete = false;
	CHECK_STR(rule_of(&f), "slow-deletions");
	f.leftovers.directories = 2;
	CHECK_STR(rule_of(&f), "bloat-loop");
}

/* Before the shims and before deletions, for containerd comes to it first. */
static void test_stuck_tmpmounts_are_moved_once(void)
{
	struct facts f = doomed();

	f.meta.state = DB_SOUND;
	f.ledger.failures = 1;
	f.shims.looked = f.shims.complete = f.shims.kill_hung = true;
	f.shims.hung = 1;
	f.leftovers.looked = f.leftovers.excessive = true;
	f.tmpmounts.looked = true;
	f.tmpmounts.own = 1;
	CHECK_STR(rule_of(&f), "stuck-tmpmounts");
	CHECK(triage(&f).steps & STEP_TMPMOUNTS);
	CHECK(!(triage(&f).steps & (STEP_CLEAR | STEP_QUARANTINE | STEP_FREE_STATE)));
	f.history.cooling_down = true;
	CHECK_STR(rule_of(&f), "stuck-tmpmounts");
	f.config.automatic = false;
	CHECK_STR(rule_of(&f), "not-automatic");
	f.config.automatic = true;
	f.meta.lock = LOCK_BY_OTHER;
	CHECK_STR(rule_of(&f), "lock-held");
	f.meta.lock = LOCK_FREE;
	f.meta.state = DB_DAMAGED;
	CHECK(strcmp(rule_of(&f), "stuck-tmpmounts") != 0);
	f.meta.state = DB_SOUND;
	f.leftovers.excessive = false;
	f.tmpmounts.others = 1; /* somebody else's is not moved */
	CHECK_STR(rule_of(&f), "hung-shims");
	f.tmpmounts.others = 0;
	f.history.tmpmounts = true; /* it did not help */
	CHECK_STR(rule_of(&f), "hung-shims");
	f.history.tmpmounts = false;
	f.tmpmounts.own = 0;
	CHECK_STR(rule_of(&f), "hung-shims");
}

static void test_the_log_alone_needs_a_loop_of_one_kind(void)
{
	struct facts f = logged();

	CHECK_STR(rule_of(&f), "logged-damage");
#define NOT_WITH(change) \
	do { \
		f = logged(); \
		change; \
		CHECK_EQ(triage(&f).steps, 0); \
	} while (0)
	NOT_WITH(f.ledger.failures = 2);
	NOT_WITH(f.ledger.last_failed = false);
	NOT_WITH(f.ledger.changed = ANSWER_UNKNOWN);
	NOT_WITH(f.ledger.changed = ANSWER_YES);
	NOT_WITH(f.log.in_last = false);
	NOT_WITH(f.log.shown_in = 2);
	NOT_WITH(f.log.starts = f.log.shown_in = 2);
	NOT_WITH(f.log.needs_check = true); /* ours says sound, and outranks the log */
	NOT_WITH(f.log.needs_missing = true); /* it was not looked for */
	NOT_WITH(f.log.needs_missing = true; f.log.missing = ANSWER_NO);
	NOT_WITH(f.log.verdict = LOG_SAYS_PARTIAL);
	NOT_WITH(f.log.looked = false);
#undef NOT_WITH
	f = logged();
	f.log.needs_unchanged = false;
	f.ledger.changed = ANSWER_YES;
	CHECK_STR(rule_of(&f), "logged-damage");
	f.log.needs_missing = true;
	f.log.missing = ANSWER_YES;
	CHECK_STR(rule_of(&f), "logged-damage");
}

static void test_a_cause_in_the_log_stops_a_guess_but_not_a_proof(void)
{
	struct facts f = logged();

	f.log.verdict = LOG_SAYS_HANDS_OFF;
	f.count.bloated = true;
	vetoed(&f, "logged-cause");
	f.meta.state = DB_DAMAGED;
	CHECK_STR(rule_of(&f), "meta-damaged");
	(void)snprintf(f.log.class, sizeof(f.log.class), "io-error");
	vetoed(&f, "failing-disk");
	(void)snprintf(f.log.class, sizeof(f.log.class), "io-error-like");
	CHECK_STR(rule_of(&f), "meta-damaged");
	f.ledger.last_failed = false; /* what it said is over */
	(void)snprintf(f.log.class, sizeof(f.log.class), "io-error");
	CHECK_STR(rule_of(&f), "meta-damaged");
}

static void test_a_loop_that_has_ended_is_none(void)
{
	struct facts f = logged();

	f.log.looked = false;
	f.count.complete = true;
	CHECK_STR(rule_of(&f), "unexplained-loop");
	f.cri.up = true;
	f.meta.lock = LOCK_BY_UNIT;
	CHECK_STR(rule_of(&f), "up-again");
	f.cri.state = CRI_HUNG; /* of no use to anybody yet */
	CHECK_STR(rule_of(&f), "hung-after-ready");
	f.cri.state = CRI_NOTHING_WRONG;
	f.log.looked = true;
	f.log.verdict = LOG_SAYS_HANDS_OFF; /* that cause is gone */
	CHECK_STR(rule_of(&f), "up-again");
	f.taken.by_hand = true;
	CHECK_STR(rule_of(&f), "asked");
	f.cri.up = false;
	vetoed(&f, "logged-cause");
}

static void test_a_damaged_snapshotter_counts_under_the_lock(void)
{
	struct facts f = doomed();

	f.meta.state = DB_SOUND;
	f.ledger.failures = 0;
	f.snapshots.state = DB_DAMAGED;
	CHECK_STR(rule_of(&f), "healthy");
	f.snapshots.under_lock = true;
	CHECK_STR(rule_of(&f), "snapshots-damaged");
}

static void test_an_operator_may_ask_and_may_force(void)
{
	struct facts f = doomed();

	f.meta.state = DB_SOUND;
	f.ledger.failures = 0;
	f.config.automatic = false;
	f.taken.by_hand = true;
	CHECK_STR(rule_of(&f), "asked");
	f.history.hold = f.history.cooling_down = true;
	CHECK_STR(rule_of(&f), "hold");
	f.taken.force = true;
	CHECK_STR(rule_of(&f), "asked");
	f.pods.complete = false;
	CHECK_STR(rule_of(&f), "scan-incomplete");
}

/* Every rule is reachable, or it is dead weight. */
static void test_ids_are_unique_and_the_last_rule_matches_always(void)
{
	struct facts nothing = { 0 };

	for (size_t i = 0; i < triage_rule_count; i++) {
		for (size_t j = 0; j < i; j++)
			CHECK(strcmp(triage_rules[i].id, triage_rules[j].id) != 0);
		CHECK(!triage_rules[i].steps ==
		      (triage_rules[i].kind == RULE_CAUSE ||
				       triage_rules[i].kind == RULE_ROOT_CAUSE || triage_rules[i].kind == RULE_NONE));
	}
	CHECK(triage_rules[triage_rule_count - 1].matches(&nothing));
	for (size_t i = 0; i < triage_rule_count; i++) {
		const struct rule *rule = &triage_rules[i];

		if (!CHECK(rule->why && rule->change && rule->verdict && !strchr(rule->verdict, ' ')))
			printf("# %s\n", rule->id);
	}
}

static void test_facts_survive_json(void)
{
	struct facts f = doomed(), back;
	json_t *json;
	cleanup_free char *problem = NULL;

	(void)strcpy(f.config.root, "/var/lib/containerd");
	f.root.ino = 1234567890123;
	f.fs.error = -5;
	json = facts_to_json(&f);
	CHECK_EQ(facts_from_json(json, &back, &problem), 0);
	CHECK(memcmp(&f, &back, sizeof(f)) == 0);

	json_object_set_new(json_object_get(json, "meta"), "state", json_string("odd"));
	CHECK_EQ(facts_from_json(json, &back, &problem), -22);
	CHECK_STR(problem, "meta.state is not of its type");
	json_object_del(json_object_get(json, "meta"), "state");
	free(problem);
	CHECK_EQ(facts_from_json(json, &back, &problem), -22);
	CHECK_STR(problem, "meta.state is missing");
	json_decref(json);
}

int main(void)
{
	RUN(test_damage_needs_no_loop_but_the_lock);
	RUN(test_bloat_needs_both_reasons);
	RUN(test_shims_come_before_a_fresh_root);
	RUN(test_a_few_dead_shims_wait_for_a_loop);
	RUN(test_what_stops_the_freeing_of_the_state_directory);
	RUN(test_no_cri_needs_damage_to_be_restarted_for);
	RUN(test_each_cause_vetoes);
	RUN(test_uncounted_leftovers_go_once_a_start_timed_out);
	RUN(test_leftovers_that_stay_are_tried_once);
	RUN(test_layers_of_others_are_left_by_itself);
	RUN(test_what_is_no_file_is_left_by_itself);
	RUN(test_what_a_fresh_root_would_hurt_hides_no_cure);
	RUN(test_each_brake_vetoes_and_names_what_it_stopped);
	RUN(test_deletions_are_deferred_before_a_root_is);
	RUN(test_stuck_tmpmounts_are_moved_once);
	RUN(test_the_log_alone_needs_a_loop_of_one_kind);
	RUN(test_a_cause_in_the_log_stops_a_guess_but_not_a_proof);
	RUN(test_a_loop_that_has_ended_is_none);
	RUN(test_a_damaged_snapshotter_counts_under_the_lock);
	RUN(test_an_operator_may_ask_and_may_force);
	RUN(test_ids_are_unique_and_the_last_rule_matches_always);
	RUN(test_facts_survive_json);
	return tap_done();
}
