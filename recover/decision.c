#include "recover/decision.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "recover/log.h"
#include "recover/quantity.h"
#include "scanners/cleanup.h"

/* Receives one line of evidence. */
typedef void evidence_sink(void *data, const char *line);

struct output {
	evidence_sink *sink;
	void *data;
};

static void say(const struct output *out, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void say(const struct output *out, const char *format, ...)
{
	char line[2048];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	out->sink(out->data, line);
}

static void show_config(const struct facts *f, const struct output *out)
{
	static const char *const words[] = { "not readable", "absent (defaults)", "sound", "invalid" };

	say(out, "configuration of %s: %s%s%s", f->config.unit, words[f->config.config & 3],
	    *f->config.config_problem ? ": " : "", f->config.config_problem);
	if (f->config.foreign_snapshotter)
		say(out, "data outside the root: %s", f->config.foreign_what);
}

static void show_policy(const struct facts *f, const struct output *out)
{
	if (f->config.policy_invalid)
		say(out, "policy not understood, nothing is acted on: %s", f->config.policy_problem);
	else
		say(out, "policy: automatic = %s", f->config.automatic ? "yes" : "no");
}

/* By now, that is: a crash loop is over only after a while of it. */
static bool starts_again(const struct facts *f)
{
	return f->cri.up && f->cri.state == CRI_NOTHING_WRONG;
}

/* Of the ladder's lower rungs. */
static void show_tried(const struct facts *f, const struct output *out)
{
	const struct {
		bool tried;
		const char *words;
	} rungs[] = {
		{ f->history.tmpmounts, "temporary mounts aside" },
		{ f->history.deferred, "deletions out of the way" },
		{ f->history.freed, "pods of dead and hung shims ended" },
		{ f->history.restarted, "containerd restarted" },
	};
	char text[160] = "";

	for (size_t i = 0; f->ledger.last_failed && i < ARRAY_SIZE(rungs); i++)
		if (rungs[i].tried)
			(void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s%s",
				       *text ? ", " : "", rungs[i].words);
	if (*text)
		say(out, "tried since it began to fail%s: %s", starts_again(f) ? "" : ", and did not help",
		    text);
}

static void show_ledger(const struct facts *f, const struct output *out)
{
	say(out, "failed starts: %u in %s, %u by timeout (%u make a loop)%s%s%s%s%s", f->ledger.failures,
	    quantity_seconds(f->ledger.window_sec).text, f->ledger.timeouts, f->ledger.failures_needed,
	    *f->ledger.last_result ? "; the last start ended with " : "", f->ledger.last_result,
	    *f->ledger.last_result ? " (" : "", f->ledger.last_status,
	    *f->ledger.last_result ? ")" : "");
	if (f->ledger.last_failed && starts_again(f))
		say(out, "containerd is READY by now; if it stays so, its failed starts are forgotten");
	show_tried(f, out);
}

static void show_history(const struct facts *f, const struct output *out)
{
	if (f->history.hold)
		say(out, "hold file: present");
	if (f->history.cooling_down)
		say(out, "cool-down: %s left", quantity_seconds((int64_t)f->history.cooldown_left_sec).text);
	say(out, "quarantines kept: %u", f->history.quarantines);
}

static void show_root(const struct facts *f, const struct output *out)
{
	say(out, "data root %s%s%s%s%s", log_name(f->config.root), f->root.is_link ? ", behind a link" : "",
	    f->root.is_mount_point ? ", a mount point" : "",
	    !f->root.is_empty ? "" :
	    f->root.ino	      ? ", empty" :
	    f->root.is_link   ? ", which leads nowhere" :
				", which is not there",
	    f->root.child_mount ? ", with a mount point in it" : "");
	if (f->root.lasting_mount)
		say(out, "fstab or a mount unit mounts something below it");
	if (*f->root.stranger)
		say(out, "in it, and not containerd's: %s", f->root.stranger);
	if (f->root.mount_missing == ANSWER_UNKNOWN)
		say(out, "fstab and the mount units could not be looked at: whether a mount is missing is not known");
	if (f->root.mount_missing == ANSWER_YES)
		say(out, "fstab or a mount unit wants a mount there that is not");
	if (f->root.error)
		say(out, "looking at it: %s", strerror(-f->root.error));
}

static void show_fs(const struct facts *f, const struct output *out)
{
	if (f->fs.error || f->fs.blocks == 0) {
		say(out, "file system: %s", f->fs.error ? strerror(-f->fs.error) : "not looked at");
		return;
	}
	say(out, "file system: %s, %s of %s free, %s of %s inodes free%s",
	    *f->fs.type ? f->fs.type : "unknown",
	    quantity_bytes(f->fs.blocks_free * f->fs.block_bytes).text,
	    quantity_bytes(f->fs.blocks * f->fs.block_bytes).text,
	    quantity_count(f->fs.inodes_free).text, quantity_count(f->fs.inodes).text,
	    f->fs.read_only ? ", read-only" : "");
}

static void show_meta(const struct facts *f, const struct output *out)
{
	static const char *const words[] = { "not read", "absent", "empty", "sound", "damaged" };

	if (f->meta.state == DB_DAMAGED)
		say(out, "meta.db: damaged: %s, page %" PRIu64 "%s", f->meta.damage, f->meta.page,
		    f->meta.under_lock ? ", read under its lock" : ", read without its lock");
	else
		say(out, "meta.db: %s%s%s%s", f->meta.state <= DB_DAMAGED ? words[f->meta.state] : "?",
		    f->meta.state != DB_SOUND ? "" :
		    f->meta.whole_tree	      ? " (every page)" :
						" (meta and root pages)",
		    f->meta.error ? ": " : "", f->meta.error ? strerror(-f->meta.error) : "");
}

static void show_lock(const struct facts *f, const struct output *out)
{
	static const char *const words[] = { "not known", "free", "held by the unit's containerd",
					     "held by another process", "no file to lock" };

	say(out, "lock of meta.db: %s", f->meta.lock <= LOCK_NO_FILE ? words[f->meta.lock] : "?");
	if (f->meta.lock_pid)
		say(out, "holder: process %u", f->meta.lock_pid);
}

static void show_count(const struct facts *f, const struct output *out)
{
	if (!f->count.looked)
		say(out, "entries in the root: not counted");
	else
		say(out, "entries in the root: %s%s, counted in %u ms (%s are bloated)",
		    f->count.complete ? "" : "at least ", quantity_count(f->count.entries).text,
		    f->count.msec, quantity_count(f->count.mark).text);
}

static void show_pods(const struct facts *f, const struct output *out)
{
	say(out, "sandboxes: %u, living shims: %u, bundles: %u, host links: %u, reservations: %u",
	    f->pods.sandboxes, f->pods.shims, f->pods.bundles, f->pods.links, f->pods.reservations);
	if (!f->pods.complete)
		say(out, "not all of them could be looked at%s%s", *f->pods.missed ? "; " : "", f->pods.missed);
	if (f->pods.foreign_layers)
		say(out, "writable layers in namespace %s: %u", f->pods.foreign_namespace,
		    f->pods.foreign_layers);
	if (f->pods.foreign_tasks)
		say(out, "living tasks in namespace %s: %u", f->pods.foreign_namespace,
		    f->pods.foreign_tasks);
}

static void show_log(const struct facts *f, const struct output *out)
{
	if (!f->log.looked) {
		say(out, "log of the failed starts: none");
		return;
	}
	say(out, "log of the failed starts: %s (%s)%s%s, in %u of %u", f->log.rule, f->log.class,
	    *f->log.what ? ": " : "", f->log.what, f->log.shown_in, f->log.starts);
	if (*f->log.line)
		say(out, "line: %s", f->log.line);
	if (f->log.needs_missing)
		say(out, "the file that it misses: %s",
		    f->log.missing == ANSWER_YES ? "not there" :
		    f->log.missing == ANSWER_NO	 ? "there by now" :
						   "not looked for");
	if (f->log.needs_unchanged)
		say(out, "containerd and its configuration since it was last READY: %s",
		    f->ledger.changed == ANSWER_NO  ? "unchanged" :
		    f->ledger.changed == ANSWER_YES ? "changed" :
						      "not known");
}

static void show_snapshots(const struct facts *f, const struct output *out)
{
	if (f->snapshots.state == DB_DAMAGED)
		say(out, "the snapshotter's metadata.db: damaged: %s, page %" PRIu64, f->snapshots.damage,
		    f->snapshots.page);
}

static void show_leftovers(const struct facts *f, const struct output *out)
{
	say(out, "to be deleted inside containerd's start: %s%s entries in %u directories "
	    "(%s are too many)", f->leftovers.complete ? "" : "at least ",
	    quantity_count(f->leftovers.entries).text, f->leftovers.directories,
	    quantity_count(f->leftovers.mark).text);
	if (f->leftovers.tried_directories)
		say(out, "of these, %s entries in %u directories could not be moved and are not tried again",
		    quantity_count(f->leftovers.tried_entries).text, f->leftovers.tried_directories);
}

static void show_shims(const struct facts *f, const struct output *out)
{
	if (!f->shims.looked)
		say(out, "shims: not asked");
	else
		say(out, "shims that are dead: %u, about %u ms of the next start (%u are too many); that do "
		    "not answer: %u%s", f->shims.dead, f->shims.predicted_msec, f->shims.allowed_msec,
		    f->shims.hung, f->shims.complete ? "" : " (not all could be judged)");
}

static void show_tmpmounts(const struct facts *f, const struct output *out)
{
	if (f->tmpmounts.looked)
		say(out, "left mounted in tmpmounts by containerd: %u%s%s, by others: %u", f->tmpmounts.own,
		    f->tmpmounts.own ? ", first of type " : "", f->tmpmounts.type, f->tmpmounts.others);
}

static void show_cri(const struct facts *f, const struct output *out)
{
	static const char *const words[] = { "nothing was wrong", "READY without CRI",
					     "READY, and CRI did not answer in time" };

	say(out, "CRI of the %s start: %s", f->cri.up ? "running" : "last",
	    f->cri.state <= CRI_HUNG ? words[f->cri.state] : "?");
}

static const struct {
	unsigned evidence;
	void (*show)(const struct facts *f, const struct output *out);
} shows[] = {
	{ SHOW_CONFIG, show_config }, { SHOW_POLICY, show_policy },   { SHOW_LEDGER, show_ledger },
	{ SHOW_META, show_meta },     { SHOW_LOCK, show_lock },	      { SHOW_COUNT, show_count },
	{ SHOW_ROOT, show_root },     { SHOW_FS, show_fs },	      { SHOW_PODS, show_pods },
	{ SHOW_HISTORY, show_history }, { SHOW_LEFTOVERS, show_leftovers },
	{ SHOW_LOG, show_log },	      { SHOW_SNAPSHOTS, show_snapshots },
	{ SHOW_SHIMS, show_shims },   { SHOW_CRI, show_cri },
	{ SHOW_TMPMOUNTS, show_tmpmounts },
};

static void show_evidence(const struct facts *f, const struct decision *d, const struct output *out)
{
	unsigned evidence = d->rule->evidence | (d->vetoed ? d->vetoed->evidence : 0);

	/* They would stop whatever is found next: a healthy node's owner wants to know. */
	evidence |= (f->config.policy_invalid ? SHOW_POLICY : 0) | (f->history.hold ? SHOW_HISTORY : 0);
	for (size_t i = 0; i < ARRAY_SIZE(shows); i++)
		if (shows[i].evidence & evidence)
			shows[i].show(f, out);
}

static const struct {
	unsigned step;
	const char *name, *words;
} steps[] = {
	{ STEP_TMPMOUNTS, "tmpmounts", "move the stuck temporary mounts aside; unmount them in the background" },
	{ STEP_DEFER, "defer", "move aside what containerd would delete inside its start" },
	{ STEP_FREE_STATE, "free-state", "end the pods of dead and hung shims, move their bundles aside" },
	{ STEP_RESTART, "restart", "restart containerd once; what is found then, under the lock, is cured" },
	{ STEP_CLEAR, "clear", "end the lost pods' processes, take their links down, release their addresses" },
	{ STEP_QUARANTINE, "quarantine", "put a fresh data root in place; the old one is kept aside" },
	{ STEP_SWEEP, "sweep", "in the background: release what the lost pods left" },
	{ STEP_PURGE, "purge", "after the grace period: delete what was set aside, slowly" },
};

static void print_line(void *data, const char *line)
{
	fprintf(data, "  %s\n", log_name(line));
}

/* Where nothing is done a person has to, and there is more to say than fits here. */
static void print_section(FILE *to, const struct facts *f, const struct decision *d)
{
	bool logged = (d->rule->evidence & SHOW_LOG) && f->log.looked && *f->log.rule;

	if (d->steps == 0 && strcmp(d->rule->verdict, "none") != 0)
		fprintf(to, "By hand: " DOCDIR "/TRIAGE.md, section %s%s%s\n", d->rule->id,
			logged ? " and " : "", logged ? f->log.rule : "");
}

void decision_print(FILE *to, const struct facts *facts, const struct decision *d)
{
	struct output out = { print_line, to };

	if (d->vetoed)
		fprintf(to, "Diagnosis: %s (rule %s)\nHeld back: ", d->vetoed->why, d->vetoed->id);
	else
		fprintf(to, "Diagnosis: ");
	fprintf(to, "%s (rule %s, verdict %s)\n", d->rule->why, d->rule->id, d->rule->verdict);
	fprintf(to, "Evidence:\n");
	show_evidence(facts, d, &out);
	if (d->steps == 0) {
		fprintf(to, "Plan: nothing is changed\n");
	} else {
		fprintf(to, "Plan:\n");
		for (size_t i = 0, n = 0; i < ARRAY_SIZE(steps); i++)
			if (d->steps & steps[i].step)
				fprintf(to, "  %zu. %s\n", ++n, steps[i].words);
	}
	fprintf(to, "Would change it: %s\n", d->rule->change);
	print_section(to, facts, d);
}

static void append_line(void *data, const char *line)
{
	/* A line that cannot be appended is missed by the reader alone. */
	(void)json_array_append_new(data, json_string(line));
}

json_t *decision_to_json(const struct facts *facts, const struct decision *d)
{
	json_t *evidence = json_array(), *plan = json_array();
	struct output out = { append_line, evidence };

	if (evidence)
		show_evidence(facts, d, &out);
	for (size_t i = 0; plan && i < ARRAY_SIZE(steps); i++)
		if (d->steps & steps[i].step)
			(void)json_array_append_new(plan, json_string(steps[i].name));
	return json_pack("{s:s, s:s, s:s, s:s, s:s?, s:o, s:o}", "verdict", d->rule->verdict, "rule",
			 d->rule->id, "why", d->rule->why, "change", d->rule->change, "vetoed",
			 d->vetoed ? d->vetoed->id : NULL, "evidence", evidence, "steps", plan);
}

static void append_text(void *data, const char *line)
{
	char *text = data;
	size_t used = strlen(text), room = 1024 - used;

	if (strlen(line) + 3 < room)
		(void)snprintf(text + used, room, "%s%s", used ? "; " : "", line);
}

void decision_log(const struct facts *facts, const struct decision *d)
{
	char text[1024] = "";
	struct output out = { append_text, text };

	show_evidence(facts, d, &out);
	if (d->vetoed)
		log_warning("hands off: %s (rule %s, which held %s back): %s; would change it: %s",
			    d->rule->why, d->rule->id, d->vetoed->id, text, d->rule->change);
	else if (d->rule->kind == RULE_CURE)
		log_warning("%s (rule %s): %s", d->rule->why, d->rule->id, text);
	else if (facts->ledger.last_failed && strcmp(d->rule->verdict, "none") != 0)
		log_warning("%s (rule %s): %s; would change it: %s", d->rule->why, d->rule->id, text,
			    d->rule->change);
	else
		log_info("%s (rule %s): %s", d->rule->why, d->rule->id, text);
}
