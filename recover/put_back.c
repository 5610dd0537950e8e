#include "recover/put_back.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recover/file.h"
#include "recover/history.h"
#include "recover/in_use.h"
#include "recover/log.h"
#include "recover/pending.h"
#include "recover/quarantine.h"
#include "recover/report_store.h"
#include "recover/unit.h"
#include "scanners/cleanup.h"
#include "scanners/lock_holder.h"

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
void put_back_stop_background(void)
{
	static const char *const units[] = {
		"containerd-recover-finish.service",
		"containerd-recover-purge.service",
	};

	for (size_t i = 0; i < ARRAY_SIZE(units); i++)
		(void)unit_stop(units[i], STOP_PATIENCE_SEC); /* not installed, or not running */
}

int put_back_open(const struct situation *s, const char *id, bool lock, struct ticket *ret)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	const char *why;
	int r;

	/* By hand somebody may be at it too; a purge that has begun is waited for in vain. */
	r = lock ? ticket_open(&s->place, id, ret) : ticket_peek(&s->place, id, ret);
	if (r == -EBUSY)
		put_back_stop_background(); /* containerd is down: they got to this one since they were looked at */
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

	if ((r == 0 || report->aside) && skip_salvage(&s->place, report->id) < 0)
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
	/* Rather with a record missing than with a root that has nothing in it. */
	if (r < 0 && report->aside)
		log_warning("quarantine %s has the root that stood, which is not written down in full: %s; "
			    "containerd's next start completes it", report->id, strerror(-r));
	if (r == 0 || report->aside)
		return swap_in(s, ticket, report->id);
	log_error("cannot set aside the data root that stands: %s", strerror(-r));
	(void)quarantine_mend_restore(&s->place, ticket); /* calls it off: nothing has moved */
	return r;
}

void put_back_say_holder(const struct situation *s, const char *when)
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

int put_back(const struct config_overrides *paths, const struct config *config, const char *id,
	     struct incident_report *report)
{
	struct situation_options options = { .overrides = *paths, .by_hand = true, .down = true };
	cleanup_situation struct situation s = SITUATION_NONE;
	cleanup_ticket struct ticket ticket = TICKET_NONE, begun = TICKET_NONE;
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	struct inventory lost = { 0 };
	json_t *done = NULL;
	int r = mend(config, &begun);

	if (r >= 0)
		r = situation_look(&options, NULL, &s);
	if (r == 0)
		r = put_back_open(&s, id, true, &ticket);
	if (r < 0)
		return r;
	if (s.facts.meta.lock != LOCK_FREE && s.facts.meta.lock != LOCK_NO_FILE) {
		put_back_say_holder(&s, "with containerd stopped");
		return -EBUSY;
	}
	/* Before the first pod ends: killed behind that, what is left of them is swept. */
	pending_try_to_mark(records_fd);
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
