#include "recover/incident.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>

#include "recover/clear.h"
#include "recover/decision.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/log.h"
#include "recover/pending.h"
#include "recover/quarantine.h"
#include "recover/report_store.h"
#include "recover/roots.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/metadata.h"

enum { BUSY_TRIES = 20, BUSY_PAUSE_MSEC = 50 };

int incident_lost(const struct inventory *inventory, struct inventory *ret)
{
	struct inventory lost = { .complete = inventory->complete };

	lost.sandboxes = calloc(inventory->sandbox_count + 1, sizeof(*lost.sandboxes));
	if (!lost.sandboxes)
		return -ENOMEM;
	for (size_t i = 0; i < inventory->sandbox_count; i++) {
		const struct sandbox *sandbox = &inventory->sandboxes[i];

		if (sandbox->from_bundle && sandbox->ns && strcmp(sandbox->ns, "k8s.io") == 0)
			lost.sandboxes[lost.sandbox_count++] = *sandbox;
	}
	*ret = lost;
	return 0;
}

struct clearing {
	const struct config *config;
	const struct inventory *lost;
	const struct policy *policy;
	const char *id;
	struct clear_result result;
};

static int do_kill(struct clearing *c)
{
	return clear_kill(c->lost, (unsigned)c->policy->term_grace_msec, &c->result);
}

static int do_bundles(struct clearing *c)
{
	return clear_bundles(c->config, c->lost, c->id, &c->result);
}

static int do_links(struct clearing *c)
{
	return clear_links_down(c->lost, &c->result);
}

static int do_release(struct clearing *c)
{
	return clear_reservations(c->config, c->lost, &c->result);
}

int incident_clear(const struct config *config, const struct inventory *lost,
		   const struct policy *policy, struct ticket *ticket, struct incident_report *report)
{
	static const struct {
		enum stage stage;
		int (*run)(struct clearing *c);
	} parts[] = {
		{ STAGE_KILL, do_kill },
		{ STAGE_BUNDLES, do_bundles },
		{ STAGE_LINKS, do_links },
		{ STAGE_RELEASE, do_release },
	};
	struct clearing clearing = { config, lost, policy, ticket->id, { 0 } };

	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		int r = stage_begin(&ticket->stages, parts[i].stage);

		if (r < 0)
			return r;
		r = parts[i].run(&clearing);
		if (r < 0)
			log_warning("stage %s: %s; the sweep will try again",
				    stage_names[parts[i].stage], strerror(-r));
		r = stage_done(&ticket->stages, parts[i].stage);
		if (r < 0)
			return r;
	}
	report->sandboxes = lost->sandbox_count;
	report->processes = clearing.result.shims_killed + clearing.result.containers_killed;
	report->links = clearing.result.links_down;
	report->addresses = clearing.result.released;
	report->failed = clearing.result.failed;
	return 0;
}

/* Nothing of the node was touched: its records say no more than the journal does. */
static bool only_prepared(const struct ticket *ticket)
{
	static const enum stage acts[] = { STAGE_KILL, STAGE_BUNDLES, STAGE_LINKS,
					   STAGE_RELEASE, STAGE_MOVE, STAGE_DEFER };

	for (size_t i = 0; i < ARRAY_SIZE(acts); i++)
		if (ticket->stages.begun[acts[i]])
			return false;
	return true;
}

int incident_undo(const struct config *config, const struct data_root *place,
		  struct ticket *ticket)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	int begun = stage_begin(&ticket->stages, STAGE_UNDO);
	/* Recorded or not: done twice is as good as once, and containerd starts next. */
	int r = clear_bundles_undo(config, ticket->id);

	if (r == 0)
		r = begun;
	if (r == 0)
		r = stage_done(&ticket->stages, STAGE_UNDO);
	if (r < 0)
		return r;
	log_warning("quarantine %s was begun and not finished; it is taken back", ticket->id);
	r = records_fd < 0 ? records_fd : ticket_retire(place, ticket, records_fd);
	if (r < 0 && only_prepared(ticket)) /* a full disk for records, say */
		r = ticket_retire(place, ticket, -EBADF);
	return r;
}

/* What the manifest must hold before the first process is killed. */
static int make_manifest(const struct situation *s, const struct decision *decision,
			 const struct inventory *lost, json_t **ret)
{
	json_t *manifest = json_pack("{s:s, s:s, s:s, s:I, s:o*, s:o*, s:o*}", "unit", s->config.unit,
				     "state", s->config.state, "boot_id", s->clock.boot_id, "looked_msec",
				     (json_int_t)s->clock.boottime_msec, "facts",
				     facts_to_json(&s->facts), "decision",
				     decision_to_json(&s->facts, decision), "lost",
				     inventory_to_json(lost));

	if (!manifest)
		return -ENOMEM;
	if (!json_object_get(manifest, "facts") || !json_object_get(manifest, "decision") ||
	    !json_object_get(manifest, "lost")) {
		json_decref(manifest);
		return -ENOMEM;
	}
	*ret = manifest;
	return 0;
}

static int begin(const struct situation *s, const struct decision *decision,
		 const struct inventory *lost, struct ticket *ret)
{
	json_t *manifest = NULL;
	int r = make_manifest(s, decision, lost, &manifest);

	if (r < 0)
		return r;
	r = ticket_create(&s->place, manifest, ret);
	json_decref(manifest);
	return r;
}

json_t *incident_report_to_json(const struct incident_report *report)
{
	return json_pack("{s:i, s:i, s:i, s:i, s:i}", "sandboxes", (int)report->sandboxes, "processes",
			 (int)report->processes, "links", (int)report->links, "addresses",
			 (int)report->addresses, "failed", (int)report->failed);
}

static void fill_times(const struct ticket *ticket, struct incident_report *report)
{
	memcpy(report->id, ticket->id, sizeof(report->id));
	memcpy(report->msec, ticket->stages.msec, sizeof(report->msec));
}

/* Clear the way and move. What was ended and not made up for counts for the
 * cool-down as a quarantine does: tried at each start, it would end the pods
 * again and again. */
static int clear_and_move(struct situation *s, const struct decision *decision,
			  const struct inventory *lost, struct ticket *ticket, int records_fd,
			  struct incident_report *report)
{
	int r = incident_clear(&s->config, lost, &s->policy, ticket, report);

	if (r == 0)
		r = quarantine_move(&s->place, ticket);
	if (r < 0 && history_append(records_fd, s->config.unit, "failed", ticket->id,
				    decision->rule->id) < 0)
		log_warning("cannot write the history; the same may be tried again");
	return r;
}

/* With the ticket made. */
static int carry_out(struct situation *s, const struct decision *decision,
		     const struct inventory *lost, struct ticket *ticket,
		     struct incident_report *report)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	int r;

	if (records_fd < 0)
		return records_fd;
	/* Where this cannot be written, nor could what the cool-down goes by. */
	r = roots_note(records_fd, s->config.unit, s->place.root);
	if (r == 0)
		r = history_append(records_fd, s->config.unit, "begin", ticket->id, decision->rule->id);
	if (r < 0)
		return r;
	/* Before the move: killed right behind it, the sweep must still come. */
	pending_try_to_mark(records_fd);
	r = clear_and_move(s, decision, lost, ticket, records_fd, report);
	if (r < 0)
		return r;
	/* The root is moved: a history that cannot be written does not undo that. */
	r = history_append(records_fd, s->config.unit, "quarantine", ticket->id, decision->rule->id);
	if (r < 0)
		log_warning("cannot write the history: %s; the cool-down will not hold", strerror(-r));
	fill_times(ticket, report);
	report_note(records_fd, ticket->id, "quarantine", incident_report_to_json(report));
	return 0;
}

int incident_note_lost(struct ticket *ticket, const struct inventory *lost)
{
	json_t *listed = json_object_get(json_object_get(ticket->manifest, "lost"), "sandboxes");
	json_t *more = inventory_to_json(lost);
	cleanup_free char *text = NULL;
	int r = json_array_extend(listed, json_object_get(more, "sandboxes"));

	json_decref(more);
	if (r < 0)
		return -ENOMEM;
	text = json_dumps(ticket->manifest, JSON_INDENT(1));
	return text ? file_replace(ticket->fd, "manifest.json", text, strlen(text), 0600) : -ENOMEM;
}

/* A ticket to be gone on with brings the lost sandboxes it listed: their bundles
 * may be aside already, and then only it knows them. A containerd that ran since
 * may have made others. */
static int lost_of_ticket(const struct situation *s, struct ticket *ticket, struct inventory *ret)
{
	struct inventory since = { 0 };
	int r = incident_lost(&s->inventory, &since);

	if (r == 0 && since.sandbox_count > 0)
		r = incident_note_lost(ticket, &since);
	free(since.sandboxes);
	return r < 0 ? r : inventory_from_json(json_object_get(ticket->manifest, "lost"), ret);
}

static int resume(struct situation *s, const struct decision *decision, struct ticket *ticket,
		  struct incident_report *report)
{
	cleanup_inventory struct inventory lost = { 0 };
	int r = lost_of_ticket(s, ticket, &lost);

	log_info("going on with quarantine %s", ticket->id);
	return r < 0 ? r : carry_out(s, decision, &lost, ticket, report);
}

/* Where nothing can be written down nothing is begun, not even a ticket. */
static int check_records(void)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);

	return records_fd < 0 ? records_fd : file_check_writable(RECORDS_PATH);
}

int incident_quarantine(struct situation *s, const struct decision *decision,
			struct ticket *resumed, struct incident_report *ret)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	struct incident_report report = { 0 };
	struct inventory lost = { 0 };
	int r;

	if (resumed) {
		ticket = *resumed;
		*resumed = (struct ticket)TICKET_NONE;
		r = resume(s, decision, &ticket, &report);
	} else {
		r = check_records();
		if (r == 0)
			r = incident_lost(&s->inventory, &lost);
		if (r == 0)
			r = begin(s, decision, &lost, &ticket);
		if (r == 0)
			r = carry_out(s, decision, &lost, &ticket, &report);
		free(lost.sandboxes);
	}
	if (r < 0 && ticket.fd >= 0) {
		report.aside = quarantine_has_root(&ticket);
		fill_times(&ticket, &report);
		if (quarantine_where(&s->place, &ticket) == OLD_ROOT_STANDS)
			(void)incident_undo(&s->config, &s->place, &ticket); /* else the next run mends it */
	}
	if (r == 0 || report.aside)
		*ret = report;
	return r;
}

/* Neither a root nor a part of one is in it. */
static bool holds_nothing(const struct ticket *ticket)
{
	static const char *const names[] = { "root", "fresh" };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_fd int fd = dir_open_beneath(ticket->fd, names[i]);

		if (fd != -ENOENT && (fd < 0 || dir_is_empty(fd) != 1))
			return false;
	}
	return true;
}

/* Is a containerd at work on the root, one that a hand or another unit started?
 * Returns an fd that keeps it from that, -ENOENT where there is no meta.db, -EBUSY
 * or another negative errno. */
static int lock_meta(const struct data_root *place)
{
	cleanup_fd int dir_fd = dir_open_beneath(place->root_fd, METADATA_DIR), fd = -EBADF;

	if (dir_fd < 0)
		return dir_fd;
	fd = openat(dir_fd, METADATA_FILE, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return take_fd(&fd);
}

static int move_the_rest(const struct data_root *place, struct ticket *ticket,
			 int (*move)(const struct data_root *place, struct ticket *ticket))
{
	cleanup_fd int lock = lock_meta(place);

	return lock < 0 && lock != -ENOENT ? lock : move(place, ticket);
}

/* Returns 1 if the ticket's old root stands and nothing is decided, 0 if it is mended. */
static int mend_one(const struct config *config, const struct data_root *place,
		    struct ticket *ticket)
{
	enum quarantine_where where = quarantine_where(place, ticket);

	if (ticket->stages.begun[STAGE_RESTORE] && !ticket->stages.done[STAGE_RESTORE])
		return move_the_rest(place, ticket, quarantine_mend_restore);
	if (ticket_state(ticket) == TICKET_UNDONE)
		return incident_undo(config, place, ticket); /* and put it away at last */
	if (ticket_state(ticket) != TICKET_BEGUN)
		return 0;
	if (ticket->stages.begun[STAGE_DEFER]) /* what is aside is aside, what is not may stay */
		return stage_done(&ticket->stages, STAGE_DEFER);
	if (where == OLD_ROOT_STANDS)
		return 1;
	/* Another root is there by now, and this ticket never had one. */
	if (where == OLD_ROOT_UNKNOWN)
		return holds_nothing(ticket) ? incident_undo(config, place, ticket) : -ESTALE;
	log_warning("quarantine %s was interrupted in the middle of its move; finishing it", ticket->id);
	return where == OLD_ROOT_ASIDE ? quarantine_move(place, ticket) :
					 move_the_rest(place, ticket, quarantine_move);
}

/* What a killed run had done but not written down counts for the cool-down and
 * for the background work as well. */
static void book(const struct config *config, const struct ticket *ticket)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);

	if (records_fd < 0)
		return;
	if (!ticket->stages.done[STAGE_SWEEP])
		pending_try_to_mark(records_fd);
	if (history_has(records_fd, "quarantine", ticket->id) == 0 &&
	    history_append(records_fd, config->unit, "quarantine", ticket->id, "resumed") < 0)
		log_warning("cannot write the history; the cool-down will not hold");
}

static bool is_unfinished(const struct data_root *place, const char *id)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;

	return ticket_peek(place, id, &ticket) == 0 &&
	       (ticket_state(&ticket) == TICKET_BEGUN ||
		(ticket.stages.begun[STAGE_RESTORE] && !ticket.stages.done[STAGE_RESTORE]));
}

/* Of what is unfinished nobody has the lock for longer than a look takes. */
static int open_patiently(const struct data_root *place, const char *id, struct ticket *ret)
{
	const struct timespec pause = { .tv_nsec = BUSY_PAUSE_MSEC * 1000000L };
	int r = ticket_open(place, id, ret);

	for (int i = 0; r == -EBUSY && i < BUSY_TRIES && is_unfinished(place, id); i++) {
		(void)nanosleep(&pause, NULL); /* a short pause is as good */
		r = ticket_open(place, id, ret);
	}
	return r;
}

static void name_foreign_jail(const struct data_root *place)
{
	cleanup_free char *path = NULL;

	if (data_root_check_jails(place, &path) < 0 && path)
		log_error("%s is not a directory of root's that nobody else may write to; nothing can be "
			  "set aside until it is moved away", path);
}

int incident_mend(const struct config *config, const struct data_root *place,
		  struct ticket *ret_begun)
{
	cleanup_tickets char **ids = NULL;
	int first_error = 0, found = 0;
	int r = tickets_list(place, &ids);

	if (r < 0) {
		name_foreign_jail(place);
		return r;
	}
	for (char **id = ids; *id; id++) {
		cleanup_ticket struct ticket ticket = TICKET_NONE;

		r = open_patiently(place, *id, &ticket);
		if (r == -EBADMSG)
			(void)ticket_discard(place, *id); /* a stranger's stays, and is listed by status */
		if (r == -EBADMSG || (r == -EBUSY && !is_unfinished(place, *id)))
			continue;
		if (r == 0)
			r = mend_one(config, place, &ticket);
		if (r == 0 && ticket.stages.done[STAGE_MOVE])
			book(config, &ticket);
		if (r == 1 && !found) {
			*ret_begun = ticket;
			ticket = (struct ticket)TICKET_NONE;
			found = 1;
		} else if (r == 1) {
			r = incident_undo(config, place, &ticket);
		}
		if (r < 0)
			log_warning("quarantine %s cannot be mended: %s", log_name(*id), strerror(-r));
		if (r < 0 && first_error == 0)
			first_error = r;
	}
	return first_error < 0 && !found ? first_error : found;
}
