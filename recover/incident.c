#include "recover/incident.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "recover/clear.h"
#include "recover/decision.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/log.h"
#include "recover/quarantine.h"
#include "recover/report_store.h"
#include "scanners/cleanup.h"

#define TICKET_NONE { .fd = -EBADF, .stages = { .fd = -EBADF } }

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

int incident_undo(const struct config *config, const struct data_root *place,
		  struct ticket *ticket)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	int r;

	if (records_fd < 0)
		return records_fd;
	r = stage_begin(&ticket->stages, STAGE_UNDO);
	if (r < 0)
		return r;
	r = clear_bundles_undo(config, ticket->id);
	if (r < 0)
		return r;
	r = stage_done(&ticket->stages, STAGE_UNDO);
	if (r < 0)
		return r;
	log_warning("quarantine %s was begun and not finished; it is taken back", ticket->id);
	return ticket_retire(place, ticket, records_fd);
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

/* For the background units: something is, or is about to be, left to do. */
static void mark_pending(int records_fd)
{
	if (file_replace(records_fd, "pending", "", 0, 0600) < 0)
		log_warning("cannot mark the background work as pending; `containerd-recover finish` does it by hand");
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

/* With the ticket made: clear the way and move. */
static int carry_out(struct situation *s, const struct decision *decision,
		     const struct inventory *lost, struct ticket *ticket,
		     struct incident_report *report)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	int r;

	if (records_fd < 0)
		return records_fd;
	/* Before the move: killed right behind it, the sweep must still come. */
	mark_pending(records_fd);
	r = incident_clear(&s->config, lost, &s->policy, ticket, report);
	if (r == 0)
		r = quarantine_move(&s->place, ticket);
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
		r = incident_lost(&s->inventory, &lost);
		if (r == 0)
			r = begin(s, decision, &lost, &ticket);
		if (r == 0)
			r = carry_out(s, decision, &lost, &ticket, &report);
		free(lost.sandboxes);
	}
	if (r < 0 && ticket.fd >= 0 && quarantine_where(&s->place, &ticket) == OLD_ROOT_STANDS)
		(void)incident_undo(&s->config, &s->place, &ticket); /* else the next run mends it */
	if (r == 0)
		*ret = report;
	return r;
}

/* Returns 1 if the ticket's old root stands and nothing is decided, 0 if it is mended. */
static int mend_one(const struct data_root *place, struct ticket *ticket)
{
	enum quarantine_where where = quarantine_where(place, ticket);

	if (ticket->stages.begun[STAGE_RESTORE] && !ticket->stages.done[STAGE_RESTORE])
		return quarantine_restore(place, ticket);
	if (ticket_state(ticket) != TICKET_BEGUN)
		return 0;
	if (ticket->stages.begun[STAGE_DEFER]) /* what is aside is aside, what is not may stay */
		return stage_done(&ticket->stages, STAGE_DEFER);
	if (where == OLD_ROOT_STANDS)
		return 1;
	if (where == OLD_ROOT_UNKNOWN)
		return -ESTALE;
	log_warning("quarantine %s was interrupted in the middle of its move; finishing it", ticket->id);
	return quarantine_move(place, ticket);
}

/* What a killed run had done but not written down counts for the cool-down and
 * for the background work as well. */
static void book(const struct config *config, const struct ticket *ticket)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);

	if (records_fd < 0)
		return;
	if (!ticket->stages.done[STAGE_SWEEP])
		mark_pending(records_fd);
	if (history_has(records_fd, "quarantine", ticket->id) == 0 &&
	    history_append(records_fd, config->unit, "quarantine", ticket->id, "resumed") < 0)
		log_warning("cannot write the history; the cool-down will not hold");
}

int incident_mend(const struct config *config, const struct data_root *place,
		  struct ticket *ret_begun)
{
	cleanup_tickets char **ids = NULL;
	int first_error = 0, found = 0;
	int r = tickets_list(place, &ids);

	if (r < 0)
		return r;
	for (char **id = ids; *id; id++) {
		cleanup_ticket struct ticket ticket = TICKET_NONE;
		r = ticket_open(place, *id, &ticket);
		if (r == -EBADMSG)
			(void)ticket_discard(place, *id); /* a stranger's stays, and is listed by status */
		if (r == -EBUSY || r == -EBADMSG)
			continue;
		if (r == 0)
			r = mend_one(place, &ticket);
		if (r == 0 && ticket.stages.done[STAGE_MOVE])
			book(config, &ticket);
		if (r == 1 && !found) {
			*ret_begun = ticket;
			ticket = (struct ticket)TICKET_NONE;
			found = 1;
		} else if (r == 1) {
			r = incident_undo(config, place, &ticket);
		}
		if (r < 0 && first_error == 0)
			first_error = r;
	}
	return first_error < 0 && !found ? first_error : found;
}
