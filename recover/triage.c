#include "recover/triage.h"

#include <errno.h>

static bool config_invalid(const struct facts *f)
{
	return f->config.config == FACTS_CONFIG_INVALID;
}

static bool config_unknown(const struct facts *f)
{
	return f->config.config == FACTS_CONFIG_UNKNOWN;
}

static bool root_not_mounted(const struct facts *f)
{
	return f->root.mount_missing == ANSWER_YES;
}

/* No disk's fault: a file, or a link to what is not there. */
static bool root_path(const struct facts *f)
{
	return f->root.error == -ENOTDIR || (f->root.is_link && f->root.is_empty && f->root.ino == 0);
}

/* strcmp(3) would be linked. */
static bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

static bool is_no_file(uint32_t state, const char *damage)
{
	return state == DB_DAMAGED && same(damage, "not a file");
}

/* No disk turns a file into a directory: somebody did, and may have the file. */
static bool not_a_file(const struct facts *f)
{
	return !f->taken.by_hand && (is_no_file(f->meta.state, f->meta.damage) ||
				     is_no_file(f->snapshots.state, f->snapshots.damage));
}

static bool meta_link(const struct facts *f)
{
	return f->meta.state == DB_UNREAD && f->meta.error == -ELOOP;
}

static bool root_unreadable(const struct facts *f)
{
	return f->root.error != 0 || f->fs.error != 0 ||
	       (f->meta.state == DB_UNREAD && f->meta.error != 0);
}

static bool read_only(const struct facts *f)
{
	return f->fs.read_only;
}

static bool no_space(const struct facts *f)
{
	return f->fs.no_space;
}

static bool no_inodes(const struct facts *f)
{
	return f->fs.no_inodes;
}

static bool lock_held(const struct facts *f)
{
	return f->meta.lock == LOCK_BY_OTHER || f->meta.lock == LOCK_UNKNOWN;
}

static bool foreign_snapshotter(const struct facts *f)
{
	return f->config.foreign_snapshotter;
}

static bool foreign_tasks(const struct facts *f)
{
	return f->pods.foreign_tasks > 0;
}

/* A person who is told may have given them up; containerd must run to remove them. */
static bool foreign_layers(const struct facts *f)
{
	return f->pods.foreign_layers > 0 && !f->taken.by_hand;
}

static bool strangers(const struct facts *f)
{
	return f->root.stranger[0] != '\0';
}

static bool lasting_mount(const struct facts *f)
{
	return f->root.lasting_mount;
}

static bool child_mount(const struct facts *f)
{
	return f->root.child_mount;
}

static bool root_empty(const struct facts *f)
{
	return f->root.is_empty;
}

static bool containerd_runs(const struct facts *f)
{
	return f->meta.lock == LOCK_BY_UNIT && !f->taken.by_hand;
}

static bool policy_invalid(const struct facts *f)
{
	return f->config.policy_invalid;
}

static bool hold(const struct facts *f)
{
	return f->history.hold && !f->taken.force;
}

static bool cooling_down(const struct facts *f)
{
	return f->history.cooling_down && !f->taken.force;
}

static bool scan_incomplete(const struct facts *f)
{
	return !f->pods.looked || !f->pods.complete || f->root.mount_missing == ANSWER_UNKNOWN;
}

static bool not_automatic(const struct facts *f)
{
	return !f->config.automatic && !f->taken.by_hand;
}

static bool crash_loop(const struct facts *f)
{
	return f->ledger.failures_needed > 0 && f->ledger.failures >= f->ledger.failures_needed;
}

/* Files in the way make a start slow, never wrong: a loop of quick exits has
 * another cause, however many files there are. */
static bool timeout_loop(const struct facts *f)
{
	return crash_loop(f) && f->ledger.timeouts >= f->ledger.failures_needed;
}

/* Read without the lock a page may be half written; such damage is no proof. By
 * hand containerd may still run here: it is judged again once it is stopped. */
static bool meta_damaged(const struct facts *f)
{
	return f->meta.state == DB_DAMAGED &&
	       (f->meta.under_lock || (f->taken.by_hand && f->meta.lock == LOCK_BY_UNIT));
}

static bool bloated_loop(const struct facts *f)
{
	return timeout_loop(f) && f->count.looked && f->count.bloated;
}

/* Only what containerd itself made there, and once: it makes no such mounts while
 * it starts. */
static bool stuck_tmpmounts(const struct facts *f)
{
	return f->tmpmounts.looked && f->tmpmounts.own > 0 && f->tmpmounts.others == 0 &&
	       !f->history.tmpmounts && f->meta.state != DB_DAMAGED && !f->taken.by_hand;
}

/* containerd waits for shims while it starts: only a start that timed out may
 * have done so in vain. Damage is another's to cure. */
static bool shims_in_the_way(const struct facts *f)
{
	return f->shims.looked && f->meta.state != DB_DAMAGED && !f->taken.by_hand;
}

static bool hung_shims(const struct facts *f)
{
	return shims_in_the_way(f) && f->shims.hung > 0 && f->shims.kill_hung && !f->history.freed;
}

static bool dead_shims(const struct facts *f)
{
	return shims_in_the_way(f) && f->shims.dead > 0 && !f->history.freed &&
	       (timeout_loop(f) || f->shims.predicted_msec >= f->shims.allowed_msec);
}

static bool hung_shims_kept(const struct facts *f)
{
	return shims_in_the_way(f) && f->shims.hung > 0 && !f->shims.kill_hung;
}

/* Up, of no use to kubelet, and damaged: its next start, which does not come by
 * itself, will prove it under the lock. */
static bool unready_damage(const struct facts *f)
{
	return f->cri.up && f->cri.state != CRI_NOTHING_WRONG && f->meta.state == DB_DAMAGED &&
	       !f->history.restarted && !f->taken.by_hand;
}

static bool degraded(const struct facts *f)
{
	return f->cri.state == CRI_DEGRADED;
}

static bool hung_after_ready(const struct facts *f)
{
	return f->cri.state == CRI_HUNG;
}

static bool asked(const struct facts *f)
{
	return f->taken.by_hand;
}

static bool count_ran_out(const struct facts *f)
{
	return timeout_loop(f) && f->count.looked && !f->count.bloated && !f->count.complete;
}

/* What ended starts before the one that is up, and useful, has an end. */
static bool is_up_again(const struct facts *f)
{
	return f->cri.up && f->cri.state == CRI_NOTHING_WRONG;
}

static bool up_again(const struct facts *f)
{
	return crash_loop(f) && is_up_again(f);
}

static bool unexplained_loop(const struct facts *f)
{
	return crash_loop(f);
}

static bool always(const struct facts *f)
{
	(void)f;
	return true;
}

/* More than could be counted in time are too many once a start has timed out: it
 * had no more time than that, or the disk is slow for it, too. What could not be
 * moved in this incident is not tried again: only what came on top of it counts. */
static bool slow_deletions(const struct facts *f)
{
	bool timed_out = f->ledger.last_failed && f->ledger.timeouts > 0;
	uint64_t tried = f->leftovers.tried_entries;

	if (!f->leftovers.looked)
		return false;
	if (f->leftovers.excessive && (tried == 0 || f->leftovers.entries >= f->leftovers.mark + tried))
		return true;
	return timed_out && !f->leftovers.complete &&
	       f->leftovers.directories > f->leftovers.tried_directories;
}

static bool log_says(const struct facts *f, uint32_t verdict)
{
	return f->ledger.last_failed && f->log.looked && f->log.in_last && f->log.verdict == verdict;
}

/* A dying disk reads as damage: what we find on it is no proof. */
static bool log_failing_disk(const struct facts *f)
{
	return log_says(f, LOG_SAYS_HANDS_OFF) && same(f->log.class, "io-error");
}

static bool log_hands_off(const struct facts *f)
{
	return log_says(f, LOG_SAYS_HANDS_OFF) && !is_up_again(f);
}

/* Of every failed start, and only where no check of ours is the better judge. */
static bool log_quarantine(const struct facts *f)
{
	if (!log_says(f, LOG_SAYS_QUARANTINE) || f->log.needs_check || !crash_loop(f))
		return false;
	if (f->log.needs_unchanged && f->ledger.changed != ANSWER_NO)
		return false;
	if (f->log.needs_missing && f->log.missing != ANSWER_YES)
		return false;
	return f->log.shown_in == f->log.starts && f->log.starts >= f->ledger.failures_needed;
}

static bool snapshots_damaged(const struct facts *f)
{
	return f->snapshots.state == DB_DAMAGED && f->snapshots.under_lock;
}

/* What a brake holds back: everything, or only the last rung of the ladder. */
#define ANY_STEP (~0U)

#define FRESH_ROOT (STEP_CLEAR | STEP_QUARANTINE | STEP_SWEEP | STEP_PURGE)

const struct rule triage_rules[] = {
	/* Causes outside the data root: a fresh one would not help, or would hurt. */
	{ "config-invalid", RULE_CAUSE, config_invalid, 0, SHOW_CONFIG | SHOW_LEDGER,
	  "containerd's configuration is one it refuses",
	  "a configuration that containerd accepts", "hands-off:config" },
	{ "config-unknown", RULE_CAUSE, config_unknown, 0, SHOW_CONFIG,
	  "containerd's configuration cannot be read, so its data root is not known",
	  "a readable configuration, or --root and --state", "hands-off:config-unknown" },
	{ "root-not-mounted", RULE_CAUSE, root_not_mounted, 0, SHOW_ROOT,
	  "a file system is meant to be mounted at the data root and is not",
	  "the mount", "hands-off:not-mounted" },
	{ "root-path", RULE_CAUSE, root_path, 0, SHOW_ROOT,
	  "where the data root should be stands a file, or a link that leads nowhere",
	  "a directory there, or what the link leads to", "hands-off:root-path" },
	{ "not-a-file", RULE_CAUSE, not_a_file, 0, SHOW_META | SHOW_SNAPSHOTS,
	  "where meta.db or the snapshotter's metadata.db should be stands something else: a directory, say",
	  "that file put back in its place, or `containerd-recover now`", "hands-off:not-a-file" },
	{ "meta-link", RULE_CAUSE, meta_link, 0, SHOW_META,
	  "meta.db is a symbolic link, which is never followed: what it leads to cannot be judged",
	  "the file itself in its place", "hands-off:meta-link" },
	{ "root-unreadable", RULE_CAUSE, root_unreadable, 0, SHOW_ROOT | SHOW_FS | SHOW_META,
	  "the data root cannot be read; the disk or its mount is the cause",
	  "a data root that can be read; dmesg says what ails the disk", "hands-off:io-error" },
	{ "read-only", RULE_CAUSE, read_only, 0, SHOW_FS,
	  "the data root's file system is read-only",
	  "a writable file system; dmesg says why it is not", "hands-off:read-only" },
	{ "no-space", RULE_CAUSE, no_space, 0, SHOW_FS,
	  "the data root's file system is full; moving the root frees nothing",
	  "free space; `containerd-recover scan` shows what is large", "hands-off:no-space" },
	{ "no-inodes", RULE_CAUSE, no_inodes, 0, SHOW_FS,
	  "the data root's file system has no inodes left; moving the root frees none",
	  "free inodes; `containerd-recover scan` shows where they are", "hands-off:no-inodes" },
	{ "lock-held", RULE_CAUSE, lock_held, 0, SHOW_LOCK,
	  "another process holds meta.db, or it cannot be told whether one does",
	  "the end of that process", "hands-off:lock-held" },
	{ "failing-disk", RULE_CAUSE, log_failing_disk, 0, SHOW_LOG | SHOW_FS,
	  "the log of the last start says that the disk fails; what is read from it proves nothing",
	  "a disk without errors", "hands-off:io-error" },
	{ "foreign-snapshotter", RULE_ROOT_CAUSE, foreign_snapshotter, 0, SHOW_CONFIG,
	  "snapshots live outside the data root, and a fresh root would not match them",
	  "a snapshotter that keeps its data below the root", "hands-off:foreign-snapshotter" },
	{ "foreign-tasks", RULE_ROOT_CAUSE, foreign_tasks, 0, SHOW_PODS,
	  "another client's containers run on this containerd",
	  "the end of those containers", "hands-off:foreign-tasks" },
	{ "foreign-layers", RULE_ROOT_CAUSE, foreign_layers, 0, SHOW_PODS,
	  "another client's containers, stopped ones too, have their data in this data root",
	  "their removal, or `containerd-recover now`", "hands-off:foreign-layers" },
	{ "strangers", RULE_ROOT_CAUSE, strangers, 0, SHOW_ROOT,
	  "the data root holds what is not containerd's; a fresh root would take it away, and the purge delete it",
	  "a data root with nothing else in it", "hands-off:strangers" },
	{ "lasting-mount", RULE_ROOT_CAUSE, lasting_mount, 0, SHOW_ROOT,
	  "fstab or a mount unit mounts something below the data root; it would come back over a fresh one",
	  "that mount's absence from fstab and units", "hands-off:lasting-mount" },
	{ "child-mount", RULE_CAUSE, child_mount, 0, SHOW_ROOT,
	  "the data root is a mount point and so is a directory in it; they cannot be moved as one",
	  "that mount's absence", "hands-off:child-mount" },
	{ "root-empty", RULE_CAUSE, root_empty, 0, SHOW_ROOT,
	  "the data root is empty or not there: nothing is to be cured, or its disk is missing",
	  "data in the root: its disk mounted, or what was moved away put back", "hands-off:root-empty" },

	/* Brakes, which count only where a rule further down would act. */
	{ "running", RULE_BRAKE, containerd_runs, ANY_STEP & ~STEP_RESTART, SHOW_LOCK,
	  "containerd runs", "containerd stopped, or `containerd-recover now`", "hands-off:running" },
	{ "policy-invalid", RULE_BRAKE, policy_invalid, ANY_STEP, SHOW_POLICY,
	  "the policy file is not understood, so the administrator's will is not known",
	  "a policy file without errors", "hands-off:policy" },
	{ "hold", RULE_BRAKE, hold, ANY_STEP, SHOW_HISTORY,
	  "an operator's hold file is in place",
	  "the hold file's removal, or `containerd-recover now --force`", "hands-off:hold" },
	{ "cool-down", RULE_BRAKE, cooling_down, STEP_QUARANTINE | STEP_RESTART, SHOW_HISTORY,
	  "a quarantine was made a short while ago; a second one in a row does not help",
	  "the end of the cool-down, or `containerd-recover now --force`", "hands-off:cool-down" },
	{ "scan-incomplete", RULE_BRAKE, scan_incomplete,
	  STEP_QUARANTINE | STEP_FREE_STATE | STEP_RESTART,
	  SHOW_PODS | SHOW_ROOT,
	  "the node could not be looked at in full",
	  "a scan that sees all", "hands-off:scan-incomplete" },
	{ "not-automatic", RULE_BRAKE, not_automatic, ANY_STEP, SHOW_POLICY,
	  "the policy does not let containerd's start be acted on",
	  "[quarantine] automatic = yes, or `containerd-recover now`", "hands-off:not-automatic" },

	/* Positive evidence. */
	{ "unready-damage", RULE_CURE, unready_damage, STEP_RESTART, SHOW_CRI | SHOW_META,
	  "containerd is READY without CRI that answers, and its meta.db is damaged",
	  "CRI that answers, or a sound meta.db", "quarantine-root" },
	{ "meta-damaged", RULE_CURE, meta_damaged, FRESH_ROOT, SHOW_META | SHOW_LEDGER,
	  "meta.db is damaged, read by ourselves under its lock",
	  "a sound meta.db", "quarantine-root" },
	{ "snapshots-damaged", RULE_CURE, snapshots_damaged, FRESH_ROOT, SHOW_SNAPSHOTS | SHOW_LEDGER,
	  "the snapshotter's metadata.db is damaged; it and meta.db are of use only together",
	  "a sound metadata.db", "quarantine-root" },
	{ "stuck-tmpmounts", RULE_CURE, stuck_tmpmounts, STEP_TMPMOUNTS | STEP_SWEEP | STEP_PURGE,
	  SHOW_TMPMOUNTS | SHOW_LEDGER,
	  "containerd ran out of time to start, and could not unmount its old temporary mounts",
	  "a start that unmounts them", "partial:tmpmounts" },
	{ "slow-deletions", RULE_CURE, slow_deletions, STEP_DEFER | STEP_PURGE,
	  SHOW_LEFTOVERS | SHOW_LEDGER,
	  "containerd would delete so much inside its start that the start takes too long",
	  "fewer leftovers, or a longer TimeoutStartSec", "partial:defer-deletions" },
	{ "hung-shims", RULE_CURE, hung_shims, STEP_FREE_STATE | STEP_SWEEP, SHOW_LEDGER | SHOW_SHIMS,
	  "containerd ran out of time to start, and shims that it asks then do not answer",
	  "shims that answer, or [clear] kill_hung = no", "partial:free-state" },
	{ "dead-shims", RULE_CURE, dead_shims, STEP_FREE_STATE | STEP_SWEEP, SHOW_LEDGER | SHOW_SHIMS,
	  "containerd ran out of time to start, and spends it on the bundles of dead shims",
	  "fewer dead shims, or a longer TimeoutStartSec=", "partial:free-state" },
	{ "hung-shims-kept", RULE_CAUSE, hung_shims_kept, 0, SHOW_LEDGER | SHOW_SHIMS,
	  "shims do not answer and hold containerd's start up; the policy does not let them be killed",
	  "[clear] kill_hung = yes, or the end of those shims", "hands-off:hung-shims" },
	{ "logged-cause", RULE_CAUSE, log_hands_off, 0, SHOW_LOG | SHOW_LEDGER,
	  "the log of the last start names a cause that a fresh root does not cure",
	  "the end of the cause that the log names", "hands-off:log" },
	{ "logged-damage", RULE_CURE, log_quarantine, FRESH_ROOT, SHOW_LOG | SHOW_LEDGER | SHOW_META,
	  "every failed start ends with an error that a fresh data root cures",
	  "one start that ends otherwise, or a changed containerd or configuration",
	  "quarantine-root" },
	{ "bloat-loop", RULE_CURE, bloated_loop, FRESH_ROOT, SHOW_LEDGER | SHOW_COUNT,
	  "containerd runs out of time to start again and again on a bloated data root",
	  "fewer starts that time out, or fewer files in the root", "quarantine-root" },
	{ "asked", RULE_CURE, asked, FRESH_ROOT, SHOW_META | SHOW_PODS,
	  "an operator asks for a fresh data root",
	  "not asking", "quarantine-root" },

	/* Nothing to act on. */
	{ "degraded", RULE_NONE, degraded, 0, SHOW_CRI | SHOW_META,
	  "containerd was READY without CRI, for no damage that was found",
	  "damage in meta.db; the log names the plugin that failed", "undecided" },
	{ "hung-after-ready", RULE_NONE, hung_after_ready, 0, SHOW_CRI | SHOW_META,
	  "containerd was READY and CRI did not answer in time, for no damage that was found",
	  "damage in meta.db, or a longer [crash-loop] cri_timeout", "undecided" },
	{ "up-again", RULE_NONE, up_again, 0, SHOW_LEDGER | SHOW_META | SHOW_LOG,
	  "containerd failed to start again and again, and is READY by now",
	  "another start that fails", "none" },
	{ "count-ran-out", RULE_NONE, count_ran_out, 0, SHOW_LEDGER | SHOW_COUNT,
	  "containerd fails to start again and again; whether the root is bloated could not be told in time",
	  "a longer [bloat] probe, or `containerd-recover now`", "undecided" },
	{ "unexplained-loop", RULE_NONE, unexplained_loop, 0, SHOW_LEDGER | SHOW_COUNT | SHOW_META | SHOW_LOG,
	  "containerd fails to start again and again for no cause that was found",
	  "evidence of a cause; `containerd-recover now` if a fresh root is wanted", "undecided" },
	{ "healthy", RULE_NONE, always, 0, SHOW_LEDGER | SHOW_META,
	  "nothing is wrong that was looked for",
	  "damage in meta.db, or a crash loop on a bloated root", "none" },
};
const size_t triage_rule_count = sizeof(triage_rules) / sizeof(triage_rules[0]);

/* The first rule that matches. Of the brakes only those on @braked steps count;
 * what speaks against a fresh root alone counts where that is what is wanted. */
static const struct rule *first_match(const struct facts *facts, unsigned braked, bool fresh_root)
{
	const struct rule *rule = triage_rules;

	while ((rule->kind == RULE_BRAKE && !(rule->steps & braked)) ||
	       (rule->kind == RULE_ROOT_CAUSE && !fresh_root) || !rule->matches(facts))
		rule++;
	return rule;
}

struct decision triage(const struct facts *facts)
{
	const struct rule *cure = first_match(facts, 0, false), *wanted = cure, *rule;
	bool fresh_root = cure->steps & (STEP_QUARANTINE | STEP_RESTART);
	struct decision decision;

	if (fresh_root)
		wanted = first_match(facts, 0, true);
	rule = wanted->steps ? first_match(facts, wanted->steps, fresh_root) : wanted;
	decision = (struct decision){
		.rule = rule,
		.vetoed = rule != cure && cure->steps ? cure : NULL,
		.steps = rule->kind == RULE_CURE ? rule->steps : 0,
	};
	return decision;
}
