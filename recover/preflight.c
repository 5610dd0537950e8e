/*
 * `preflight`, which runs before every start of containerd. Its fast path, on a
 * healthy node, writes a line into the ledger and reads a few small files. It
 * always exits with 0: whatever goes wrong in here, containerd is started.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/budget.h"
#include "recover/cli.h"
#include "recover/command.h"
#include "recover/decision.h"
#include "recover/defer.h"
#include "recover/file.h"
#include "recover/free_state.h"
#include "recover/incident.h"
#include "recover/last_look.h"
#include "recover/log.h"
#include "recover/outage.h"
#include "recover/quarantine.h"
#include "recover/run_lock.h"
#include "recover/situation.h"
#include "recover/tmpmounts.h"
#include "scanners/bolt.h"
#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/dir.h"
#include "scanners/deletions.h"
#include "scanners/metadata.h"

enum { MANY_LEFTOVERS = 1000, GLANCE_MSEC = 50, START_PERCENT = 75 };

static unsigned elapsed_msec(int64_t since)
{
	return (unsigned)(clock_msec() - since);
}

/*
 * The policy's time from @since on, but never so much of the unit's start that
 * none is left for containerd: it would be ended with us, again and again.
 */
static void limit_time(const struct policy *policy, const struct config *config, int64_t since)
{
	static const char text[] =
		"containerd-recover: preflight ran out of its time budget; containerd starts as it is\n";
	unsigned sec = (unsigned)policy->budget_sec, spent = elapsed_msec(since) / 1000;
	unsigned share = config ? config->timeout_start_sec * START_PERCENT / 100 : 0;

	if (config && config->timeout_start_sec && share < sec)
		sec = share;
	budget_set(sec > spent ? sec - spent : 1, text);
}

/*
 * Writes the attempt down, and tells how the starts before it ended. Returns 0, or
 * a negative errno, logged: then whether they failed is not known, or not for long.
 */
static int use_ledger(const struct config *config, struct ledger_summary *ret)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	cleanup_free char *name = situation_ledger_name(config->unit);
	const struct ledger_entry attempt = {
		.event = LEDGER_ATTEMPT,
		.invocation = getenv("INVOCATION_ID"),
	};
	struct ledger_clock now;
	struct policy policy;
	int r = records_fd < 0 ? records_fd : !name ? -ENOMEM : ledger_clock_now(&now);

	*ret = (struct ledger_summary){ 0 };
	policy_init(&policy);
	if (r == 0)
		r = ledger_read(records_fd, name, &now, &policy, ret);
	if (r == 0)
		r = ledger_append(records_fd, name, &now, &attempt, false);
	if (r < 0)
		log_warning("cannot write to " RECORDS_UNWRITABLE, RECORDS_PATH, strerror(-r));
	return r;
}

static bool looks_sound(const struct data_root *place, const char *dir, const char *file)
{
	cleanup_fd int fd = openat(place->root_fd, dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct bolt_finding finding;

	if (fd < 0)
		return errno == ENOENT;
	bolt_peek_at(fd, file, &finding);
	return finding.state == BOLT_SOUND || finding.state == BOLT_ABSENT ||
	       finding.state == BOLT_EMPTY;
}

static bool databases_look_sound(const struct config *config, const struct data_root *place)
{
	cleanup_free char *snapshots = NULL;

	if (asprintf(&snapshots, METADATA_SNAPSHOTTER_DIR "%s", config->snapshotter) < 0) {
		snapshots = NULL;
		return false;
	}
	return looks_sound(place, METADATA_DIR, METADATA_FILE) &&
	       looks_sound(place, snapshots, METADATA_SNAPSHOTTER_FILE);
}

static bool has_tickets(const struct data_root *place)
{
	cleanup_tickets char **ids = NULL;

	return tickets_list(place, &ids) != 0;
}

/* A first look at what the start would delete: enough of it to be counted with care? */
static bool has_leftovers(const struct config *config, const struct data_root *place)
{
	cleanup_fd int state_fd = dir_open_path(config->state);
	cleanup_deletions struct deletions leftovers = { 0 };

	return deletions_scan(place->root_fd, state_fd, NULL, MANY_LEFTOVERS, GLANCE_MSEC,
			      &leftovers) == 0 &&
	       (leftovers.entries >= MANY_LEFTOVERS || !leftovers.complete);
}

/* Nothing that calls for a closer look? Must cost next to nothing. */
static bool all_quiet(const struct config *config, const struct ledger_summary *ledger)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	int r;

	if (ledger->last_failed || config->verdict == CONFIG_INVALID ||
	    config->verdict == CONFIG_UNKNOWN)
		return false;
	r = data_root_open(config->root, &place);
	if (r < 0)
		return false;
	return databases_look_sound(config, &place) && !has_tickets(&place) && !has_leftovers(config, &place);
}

/* Returns 1 with an unfinished ticket, 0, or a negative errno. */
static int mend(const struct config *config, struct ticket *ret_begun)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	int r = data_root_open(config->root, &place);

	if (r == -ENOENT) {
		r = quarantine_finish_rename(config->root);
		if (r <= 0)
			return r == -ENOENT ? 0 : r;
		log_warning("an interrupted quarantine had left no data root; it is in place again");
		r = data_root_open(config->root, &place);
	}
	return r < 0 ? r : incident_mend(config, &place, ret_begun);
}

static void defer(struct situation *s, const struct decision *decision)
{
	struct defer_report report = { 0 };
	int r = defer_leftovers(s, decision, &report);

	if (r < 0)
		log_error("cannot move the leftovers aside: %s; containerd deletes them itself",
			  strerror(-r));
	else
		log_warning("%zu directories with %" PRIu64 " entries that containerd would delete "
			    "inside its start are set aside as %s; nothing it keeps is touched",
			    report.moved, report.entries, report.id);
}

static void move_tmpmounts(struct situation *s, const struct decision *decision)
{
	char id[TICKET_ID];
	int r = tmpmounts_set_aside(s, decision, id);

	if (r < 0)
		log_error("cannot move the temporary mounts aside: %s; containerd starts with them",
			  strerror(-r));
	else
		log_warning("%u temporary mounts that containerd could not unmount are set aside as %s; "
			    "nothing else is touched", s->facts.tmpmounts.own, id);
}

static void free_shims(struct situation *s, const struct decision *decision)
{
	struct free_report report = { 0 };
	int r = free_state(s, decision, &report);

	if (r < 0)
		log_error("cannot free the state directory: %s; containerd starts with it as it is",
			  strerror(-r));
	else
		log_warning("%zu pods of dead shims and %zu of hung ones are ended, %zu bundles moved "
			    "aside (%s); kubelet makes these pods anew, nothing else is touched",
			    report.dead, report.hung, report.bundles, report.id);
}

static void act(struct situation *s, const struct decision *decision, struct ticket *begun,
		int64_t since)
{
	struct incident_report report = { 0 };
	int r = incident_quarantine(s, decision, begun->fd >= 0 ? begun : NULL, &report);

	if (r < 0) {
		log_error("cannot quarantine the data root: %s; containerd starts with %s", strerror(-r),
			  report.aside ? "a fresh one, and its next start completes this" : "the old one");
		return;
	}
	log_warning("the data root %s is quarantined as %s: %zu sandboxes lost, %zu processes ended, "
		    "%zu links down, %zu addresses released, in %u ms; "
		    "`containerd-recover restore %s` puts it back, `containerd-recover status` tells more",
		    log_name(s->place.root), report.id, report.sandboxes, report.processes, report.links,
		    report.addresses, elapsed_msec(since), report.id);
}

static void note(const struct situation *s, const struct decision *decision)
{
	cleanup_fd int run_fd = file_make_dirs(RUN_PATH, 0700);

	if (run_fd >= 0)
		last_look_write(run_fd, s->config.unit, &s->facts, decision);
}

static void forget(const char *unit)
{
	cleanup_fd int run_fd = dir_open_path(RUN_PATH);

	if (run_fd >= 0)
		last_look_forget(run_fd, unit);
}

/* @failed: the last start did, or how it ended is not known. */
static void look_closer(struct config *config, bool failed, int64_t since)
{
	cleanup_situation struct situation s = SITUATION_NONE;
	cleanup_ticket struct ticket begun = TICKET_NONE;
	struct situation_options options = { .down = true, .whole_tree = failed };
	struct decision decision;
	int mended = 0, r;

	if (config->verdict == CONFIG_SOUND || config->verdict == CONFIG_DEFAULTS)
		mended = mend(config, &begun);
	r = situation_look(&options, config, &s);
	if (r < 0) {
		log_error("cannot look at the node: %s", strerror(-r));
		return;
	}
	limit_time(&s.policy, &s.config, since);
	decision = triage(&s.facts);
	decision_log(&s.facts, &decision);
	note(&s, &decision);
	if (decision.steps & STEP_QUARANTINE) {
		if (mended < 0)
			log_error("an earlier quarantine is neither finished nor taken back (%s), "
				  "so no other one is begun", strerror(-mended));
		else
			act(&s, &decision, &begun, since);
		return;
	}
	if (decision.steps & STEP_TMPMOUNTS)
		move_tmpmounts(&s, &decision);
	if (decision.steps & STEP_DEFER)
		defer(&s, &decision);
	if (decision.steps & STEP_FREE_STATE)
		free_shims(&s, &decision);
	if (begun.fd >= 0) {
		r = incident_undo(&s.config, &s.place, &begun);
		if (r < 0)
			log_warning("an unfinished quarantine cannot be taken back: %s", strerror(-r));
	}
}

static int lock_unless_by_hand(void)
{
	int fd = run_lock();

	if (fd == -EBUSY)
		log_debug("another run has the lock; leaving all to it");
	else if (fd < 0)
		log_warning("cannot take the lock: %s; doing nothing", strerror(-fd));
	return fd;
}

int preflight_command(int argc, char **argv)
{
	cleanup_config struct config config = { 0 };
	cleanup_fd int lock = -EBADF;
	struct ledger_summary ledger;
	int64_t since = clock_msec();
	struct policy policy;
	struct cli cli;
	bool counted;
	int r;

	policy_init(&policy);
	limit_time(&policy, NULL, since);
	r = cli_parse(argc, argv, CLI_PATHS,
		      "Before containerd starts: note it, cure a crash loop. Always exits with 0.",
		      NULL, &cli);
	if (r >= 0)
		return EXIT_OK;
	r = config_read(&cli.paths, &config);
	if (r < 0)
		return EXIT_OK;
	limit_time(&policy, &config, since);
	outage_forget(config.unit);
	counted = use_ledger(&config, &ledger) == 0;
	if (counted && all_quiet(&config, &ledger)) {
		log_debug("the last start did not fail, and the databases of %s look sound", config.root);
		forget(config.unit);
		return EXIT_OK;
	}
	lock = lock_unless_by_hand();
	if (lock >= 0)
		look_closer(&config, !counted || ledger.last_failed, since);
	return EXIT_OK;
}
