/*
 * `restore ID`: puts a quarantined data root back. The pods that run on the
 * fresh one meanwhile end, as those of the old one did.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/bring_up.h"
#include "recover/cli.h"
#include "recover/command.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/in_use.h"
#include "recover/incident.h"
#include "recover/log.h"
#include "recover/quarantine.h"
#include "recover/report_store.h"
#include "recover/run_lock.h"
#include "recover/situation.h"
#include "recover/stopwatch.h"
#include "recover/unit.h"
#include "scanners/cleanup.h"
#include "scanners/lock_holder.h"

#define TICKET_NONE { .fd = -EBADF, .stages = { .fd = -EBADF } }

enum { LOCK_TRIES = 150, STOP_PATIENCE_SEC = 10 };

/* Why this ticket cannot be restored, or NULL. */
static const char *obstacle(const struct situation *s, const struct ticket *ticket)
{
	switch (ticket_state(ticket)) {
	case TICKET_BEGUN:
	case TICKET_UNDONE:
		return "its data root was never moved; there is nothing to put back";
	case TICKET_DEFERRED:
		return "it holds only what containerd would delete; take what you need from its root/";
	case TICKET_RESTORED:
		return "it is restored already";
	case TICKET_PURGING:
		return "its purge has begun, so it is no longer whole";
	case TICKET_MOVED:
		break;
	}
	if (quarantine_where(&s->place, ticket) == OLD_ROOT_UNKNOWN)
		return "the data root in it is not the one that was put there";
	return NULL;
}

/* A containerd that somebody started on it would keep ours from starting. */
static int check_unused(const struct situation *s, const struct ticket *ticket)
{
	cleanup_tree_user struct tree_user user = { 0 };
	int r = in_use(&s->place, ticket, NULL, &user);
	cleanup_free char *who = r == -EBUSY ? tree_user_print(&user) : NULL;

	if (r == -EBUSY)
		log_error("quarantine %s is in use and cannot be restored: %s", ticket->id, who ?: "");
	else if (r < 0)
		log_error("quarantine %s cannot be looked at: %s", ticket->id, strerror(-r));
	return r;
}

/* Bringing images over may take long; it goes on at containerd's next start. */
static void stop_units(void)
{
	static const char *const units[] = {
		"containerd-recover-finish.service",
		"containerd-recover-purge.service",
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		(void)unit_stop(units[i], STOP_PATIENCE_SEC); /* not installed, or not running */
}

static int open_ticket(const struct situation *s, const char *id, bool lock, struct ticket *ret)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	const char *why;
	int r;

	/* By hand somebody may be at it too; a purge that has begun is waited for in vain. */
	r = lock ? ticket_open(&s->place, id, ret) : ticket_peek(&s->place, id, ret);
	if (r == -EBUSY)
		stop_units(); /* containerd is down: they got to this one since they were looked at */
	for (int i = 0; r == -EBUSY && i < LOCK_TRIES; i++) {
		(void)nanosleep(&pause, NULL);
		r = ticket_open(&s->place, id, ret);
	}
	if (r == -ENOENT)
		tickets_say_unknown(&s->place, id);
	else if (r == -EBUSY)
		log_error("quarantine %s is being purged or swept; wait for that, or systemctl stop "
			  "containerd-recover-purge containerd-recover-finish", id);
	else if (r < 0)
		log_error("quarantine '%s' cannot be opened: %s", log_name(id), ticket_problem(r));
	if (r < 0)
		return r;
	why = obstacle(s, ret);
	r = why ? -EINVAL : ticket_lock_data(ret, false);
	if (r == -EBUSY)
		why = "`containerd-recover keep` copies from it; wait for that, or end it";
	else if (r < 0 && !why)
		why = strerror(-r);
	if (why)
		log_error("quarantine %s cannot be restored: %s", id, why);
	return r < 0 ? r : check_unused(s, ret);
}

/* Returns whether nobody works on the ticket, waiting for a sweep's seconds. */
static bool is_at_rest(const struct situation *s, const char *id)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	int r = -EBUSY;

	for (int i = 0; r == -EBUSY && i < LOCK_TRIES; i++) {
		cleanup_ticket struct ticket ticket = TICKET_NONE;

		r = ticket_open(&s->place, id, &ticket);
		if (r == -EBUSY)
			(void)nanosleep(&pause, NULL);
	}
	return r != -EBUSY;
}

static void stop_background(const struct situation *s, const char *id)
{
	if (!is_at_rest(s, id))
		stop_units();
}

/* For the report: the manifest lists these pods among those of the quarantine. */
static json_t *done_to_json(const struct inventory *lost, const struct incident_report *report)
{
	json_t *json = incident_report_to_json(report), *pods = json_array();

	for (size_t i = 0; i < lost->sandbox_count; i++) {
		const struct sandbox *sandbox = &lost->sandboxes[i];

		if (sandbox->pod_namespace && sandbox->pod_name)
			(void)json_array_append_new(pods, json_sprintf("%s/%s", sandbox->pod_namespace,
								       sandbox->pod_name));
	}
	if (*report->id)
		(void)json_object_set_new(json, "set_aside", json_string(report->id));
	(void)json_object_set_new(json, "pods", pods); /* less to report, without memory */
	return json;
}

/* What an earlier run left comes first, as for every quarantine. */
static int mend(const struct config *config, struct ticket *ret_begun)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	int r = data_root_open(config->root, &place);

	if (r == 0)
		r = incident_mend(config, &place, ret_begun);
	if (r < 0)
		log_error("an earlier quarantine is neither finished nor taken back: %s", strerror(-r));
	return r;
}

/* Its images are not missed: the root that comes back has its own. */
static int skip_salvage(const struct data_root *place, const char *id)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	int r = ticket_open(place, id, &ticket);

	if (r == 0)
		r = stage_begin(&ticket.stages, STAGE_SALVAGE);
	return r < 0 ? r : stage_done(&ticket.stages, STAGE_SALVAGE);
}

/* The root that stands goes into a quarantine of its own: it can be put back in turn. */
static int set_aside(struct situation *s, struct ticket *begun, struct incident_report *report)
{
	static const struct rule rule = {
		.id = "restore",
		.why = "another quarantine was put back in its place",
		.evidence = SHOW_META | SHOW_PODS,
		.change = "nothing: an operator asked for it",
		.verdict = "quarantine-root",
	};
	const struct decision decision = { .rule = &rule, .steps = STEP_QUARANTINE };
	int r = incident_quarantine(s, &decision, begun->fd >= 0 ? begun : NULL, report);

	if (r == 0 && skip_salvage(&s->place, report->id) < 0)
		log_warning("the images of the root that stood until now will be brought over");
	return r;
}

/* Nothing is in the root that stands: only what still runs of its pods is to be cleared. */
static int clear_only(struct situation *s, struct ticket *ticket, const struct inventory *lost,
		      struct incident_report *report)
{
	int r = incident_note_lost(ticket, lost);

	return r < 0 ? r : incident_clear(&s->config, lost, &s->policy, ticket, report);
}

/* Neither is back: rather the root that stood until now than an empty one. */
static void take_back(const struct data_root *place, const char *aside)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	int r = ticket_open(place, aside, &ticket);

	if (r == 0)
		r = quarantine_restore(place, &ticket);
	if (r < 0)
		log_error("nor can quarantine %s: %s", aside, strerror(-r));
}

/* @aside is where the root that stood until now is, "" if it stands: nothing was in it. */
static int swap_in(const struct situation *s, struct ticket *ticket, const char *aside)
{
	cleanup_data_root struct data_root now = { .parent_fd = -EBADF, .root_fd = -EBADF };
	int r = data_root_open(s->place.root, &now);

	if (r < 0)
		return r;
	r = quarantine_restore(&now, ticket);
	if (r == 0)
		return 0;
	log_error("cannot put the data root back: %s", strerror(-r));
	/* Not to be gone on with at some later start, under new pods. */
	if (quarantine_mend_restore(&now, ticket) == 0 && ticket_state(ticket) == TICKET_RESTORED)
		return 0;
	if (*aside && quarantine_where(&now, ticket) == OLD_ROOT_ASIDE)
		take_back(&now, aside);
	return r;
}

static int clear_and_swap(struct situation *s, struct ticket *ticket, struct ticket *begun,
			  const struct inventory *lost, struct incident_report *report)
{
	bool unused = begun->fd < 0 && quarantine_root_is_unused(&s->place);
	int r = stage_begin(&ticket->stages, STAGE_RESTORE);

	if (r == 0)
		r = unused ? clear_only(s, ticket, lost, report) : set_aside(s, begun, report);
	if (r == 0)
		return swap_in(s, ticket, report->id);
	log_error("cannot set aside the data root that stands: %s", strerror(-r));
	(void)quarantine_mend_restore(&s->place, ticket); /* calls it off: nothing has moved */
	return r;
}

static void say_holder(const struct situation *s, const char *when)
{
	char name[PROCESS_NAME];

	if (s->facts.meta.lock_pid == 0) {
		log_error("%s, the lock of meta.db cannot be had, so nothing is put back", when);
		return;
	}
	lock_holder_name((pid_t)s->facts.meta.lock_pid, name);
	log_error("%s, process %u (%s) has meta.db locked, so nothing is put back; end it first", when,
		  s->facts.meta.lock_pid, log_name(name));
}

static int put_back(const struct cli *cli, const struct config *config, const char *id,
		    struct incident_report *report)
{
	struct situation_options options = { .overrides = cli->paths, .by_hand = true, .down = true };
	cleanup_situation struct situation s = SITUATION_NONE;
	cleanup_ticket struct ticket ticket = TICKET_NONE, begun = TICKET_NONE;
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	struct inventory lost = { 0 };
	json_t *done = NULL;
	int r = mend(config, &begun);

	if (r >= 0)
		r = situation_look(&options, NULL, &s);
	if (r == 0)
		r = open_ticket(&s, id, true, &ticket);
	if (r < 0)
		return r;
	if (s.facts.meta.lock != LOCK_FREE && s.facts.meta.lock != LOCK_NO_FILE) {
		say_holder(&s, "with containerd stopped");
		return -EBUSY;
	}
	/* Before the first pod ends: killed behind that, what is left of them is swept. */
	if (records_fd < 0 || file_replace(records_fd, "pending", "", 0, 0600) < 0)
		log_warning("cannot mark the background work as pending; `containerd-recover finish` does it by hand");
	r = incident_lost(&s.inventory, &lost);
	if (r == 0)
		r = clear_and_swap(&s, &ticket, &begun, &lost, report);
	if (r == 0)
		done = done_to_json(&lost, report);
	free(lost.sandboxes);
	if (r < 0)
		return r;
	if (records_fd < 0 ||
	    history_append(records_fd, s.config.unit, "restore", id, "asked") < 0)
		log_warning("cannot write the history");
	report_note(records_fd, id, "restore", done);
	return 0;
}

static void print_plan(const struct situation *s, const struct ticket *ticket)
{
	const json_t *lost = json_object_get(json_object_get(ticket->manifest, "lost"), "sandboxes");
	const json_t *decision = json_object_get(ticket->manifest, "decision");
	const char *why = json_string_value(json_object_get(decision, "why"));

	printf("Quarantine %s of %s will be put back:\n", ticket->id,
	       log_name(s->place.root));
	if (why)
		printf("  it was set aside because: %s; containerd finds it as it was\n", log_name(why));
	printf("  its images, containers and volumes return as they were\n");
	printf("  its %zu sandboxes do not: their processes ended; kubelet makes them anew\n",
	       json_array_size(lost));
	printf("  the %u sandboxes that run now end\n", s->facts.pods.sandboxes);
	printf("  the data root that stands now becomes a quarantine of its own, and can be put back in turn\n");
}

/* Looks only. Returns -1 to go on, or an exit status. */
static int check(const struct cli *cli, struct situation *s)
{
	struct situation_options options = { .overrides = cli->paths, .by_hand = true };
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	int r = situation_look(&options, NULL, s);

	if (r < 0) {
		log_error("cannot look at the node: %s", strerror(-r));
		return EXIT_FAILED;
	}
	if (s->facts.config.config == FACTS_CONFIG_INVALID ||
	    s->facts.config.config == FACTS_CONFIG_UNKNOWN) {
		log_error("the data root is not known: %s", s->facts.config.config_problem);
		return EXIT_FAILED;
	}
	if (s->place.root_fd < 0) {
		log_error("the data root %s, in whose place it would be put, cannot be opened: %s%s",
			  log_name(s->facts.config.root), strerror(s->facts.root.error ? -s->facts.root.error : ENOENT),
			  s->facts.root.error ? "" : "; make that directory");
		return EXIT_FAILED;
	}
	if (open_ticket(s, cli->argument, false, &ticket) < 0)
		return EXIT_FAILED;
	print_plan(s, &ticket);
	if (run_check_records() < 0)
		return EXIT_FAILED;
	if (s->facts.meta.lock == LOCK_BY_OTHER && s->facts.meta.lock_pid != 0) {
		say_holder(s, "as it is now");
		return EXIT_HANDS_OFF;
	}
	if (run_check_apart(&s->inventory) < 0 || run_check_state(&cli->paths, &s->config, &s->inventory) < 0)
		return EXIT_HANDS_OFF;
	/* Nobody may wait for a person's answer; all is looked at again. */
	cleanup_close(&s->meta_fd);
	s->meta_fd = -EBADF;
	if (cli->dry_run)
		return EXIT_OK;
	if (cli->yes)
		return -1;
	r = cli_ask("Go on?");
	if (r == -ENOTTY) {
		log_error("there is no terminal to ask at; give --yes to go on, or --dry-run to only look");
		return EXIT_USAGE;
	}
	return r == 1 ? -1 : EXIT_DECLINED;
}

int restore_command(int argc, char **argv)
{
	cleanup_situation struct situation s = SITUATION_NONE;
	struct incident_report report = { 0 };
	cleanup_fd int lock = -EBADF, mark = -EBADF;
	struct stopwatch whole, watch;
	struct cli cli;
	int r, up;

	r = cli_parse(argc, argv, CLI_PATHS | CLI_DRY_RUN | CLI_YES | CLI_ARGUMENT,
		      "Put a quarantined data root back, as long as its purge has not begun.", "ID", &cli);
	if (r >= 0)
		return r;
	r = check(&cli, &s);
	if (r >= 0)
		return r;
	lock = run_lock_patiently();
	if (lock < 0)
		return EXIT_FAILED;
	stopwatch_start(&whole);
	printf("Restoring:\n");
	stop_background(&s, cli.argument);
	if (bring_down(&s.config, "restore", &mark) < 0) {
		(void)bring_up(&s.config, &lock, &mark); /* a stop that still waits is called off */
		return EXIT_FAILED;
	}
	stopwatch_start(&watch);
	r = put_back(&cli, &s.config, cli.argument, &report);
	if (r == 0)
		stopwatch_print(&watch, "put the old data root back");
	up = bring_up(&s.config, &lock, &mark);
	if (up < 0 && r == 0 && *report.id)
		log_error("the root that stood until now is quarantine %s: `containerd-recover restore %s` "
			  "puts it back", report.id, report.id);
	if (up < 0 || r < 0)
		return EXIT_FAILED;
	stopwatch_print_sec("in all", stopwatch_sec(&whole));
	return EXIT_OK;
}
