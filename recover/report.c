#include "recover/report.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "recover/ledger.h"
#include "recover/report_store.h"
#include "recover/situation.h"
#include "recover/ticket.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/text.h"

#define FREED "freed"

enum { MANIFEST_MAX = 64 << 20 };

/* All that is known of one incident. */
struct incident {
	struct history_event event; /* its ticket is the incident's id */
	json_t *manifest, *noted, *salvage;
	struct stages stages;
	const char *state; /* "quarantined", …, "purged" */
	bool present;	   /* there is a quarantine to go back to */
	bool pending;	   /* the background work is not through */
	json_int_t restorable_until, purge_at; /* unix time; 0: never, or not known */
	const char *undo; /* the ticket whose restore undoes it */
};

static void incident_done(struct incident *incident)
{
	json_decref(incident->manifest);
	json_decref(incident->noted);
	json_decref(incident->salvage);
}
#define cleanup_incident __attribute__((cleanup(incident_done)))

/* When its purge may begin, at the earliest. */
static void foresee(const struct policy *policy, const struct ticket *ticket, struct incident *i)
{
	enum ticket_state state = ticket_state(ticket);
	enum stage since = state == TICKET_MOVED    ? STAGE_MOVE :
			   state == TICKET_DEFERRED ? STAGE_DEFER :
			   state == TICKET_RESTORED ? STAGE_RESTORE :
						      STAGE_COUNT;

	if (since != STAGE_COUNT)
		i->purge_at = (json_int_t)time(NULL) + (json_int_t)policy->grace_sec -
			      ticket_kept_sec(ticket, since);
	if (state == TICKET_MOVED)
		i->restorable_until = i->purge_at;
	i->undo = i->event.ticket;
}

static int from_ticket(const struct data_root *place, const struct policy *policy,
		       struct incident *i)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	enum ticket_state state;
	int r = ticket_peek(place, i->event.ticket, &ticket);

	if (r < 0)
		return r;
	state = ticket_state(&ticket);
	i->manifest = json_incref(ticket.manifest);
	i->stages = ticket.stages;
	i->state = ticket_state_name(state);
	i->present = true;
	i->pending = !ticket.stages.done[STAGE_SWEEP] && state != TICKET_DEFERRED;
	if (state == TICKET_MOVED && policy->salvage && !ticket.stages.done[STAGE_SALVAGE])
		i->pending = true;
	foresee(policy, &ticket, i);
	return 0;
}

/* A record of freed pods, which `finish` has not come to yet. */
static int from_freed(int records_fd, struct incident *i)
{
	cleanup_fd int freed = dir_open_beneath(records_fd, FREED);
	cleanup_fd int fd = freed < 0 ? freed : dir_open_beneath(freed, i->event.ticket);
	cleanup_free char *text = NULL;
	size_t size;
	int r = fd < 0 ? fd : dir_read_file(fd, "manifest.json", MANIFEST_MAX, &text, &size);

	if (r < 0)
		return r;
	i->manifest = json_loadb(text, size, 0, NULL);
	if (!i->manifest)
		return -EBADMSG;
	(void)stages_peek(fd, "stages", &i->stages); /* none: nothing was begun */
	i->state = "freed";
	i->pending = true;
	return 0;
}

static int from_records(int records_fd, struct incident *i)
{
	cleanup_free char *name = text_print("%s.stages", i->event.ticket);

	i->manifest = report_read_file(records_fd, "", i->event.ticket);
	if (!name || !i->manifest)
		return name ? -ENOENT : -ENOMEM;
	(void)stages_peek(records_fd, name, &i->stages); /* of older versions there are none */
	i->state = i->stages.done[STAGE_PURGE]	 ? "purged" :
		   i->stages.done[STAGE_UNDO]	 ? "undone" :
		   i->stages.begun[STAGE_SWEEP] ? "freed" :
						   "over";
	return 0;
}

static bool is_restore(const struct incident *i)
{
	return strcmp(i->event.event, "restore") == 0;
}

/* What stood before a restore is a quarantine of its own. */
static void foresee_undo(const struct data_root *place, const struct policy *policy, struct incident *i)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	const json_t *done = json_object_get(i->noted, "restore");
	const char *id = json_string_value(json_object_get(done, "set_aside"));

	if (!is_restore(i) || !id || place->root_fd < 0 || ticket_peek(place, id, &ticket) < 0 ||
	    ticket_state(&ticket) != TICKET_MOVED)
		return;
	i->undo = id; /* i->noted's */
	i->restorable_until = (json_int_t)time(NULL) + (json_int_t)policy->grace_sec -
			      ticket_kept_sec(&ticket, STAGE_MOVE);
}

static int gather(const struct data_root *place, int records_fd, const struct policy *policy,
		  struct incident *i)
{
	int r = place->root_fd < 0 ? -ENOENT : from_ticket(place, policy, i);

	if (r == -ENOENT)
		r = from_freed(records_fd, i);
	if (r == -ENOENT)
		r = from_records(records_fd, i);
	if (r < 0)
		return r;
	i->noted = report_read(records_fd, i->event.ticket);
	i->salvage = report_read_file(records_fd, "salvage-", i->event.ticket);
	if (!i->noted)
		return -ENOMEM;
	foresee_undo(place, policy, i);
	return 0;
}

static json_t *why_json(const struct incident *i)
{
	json_t *decision = json_object_get(i->manifest, "decision");

	if (is_restore(i))
		return json_pack("{s:s, s:s}", "rule", "asked", "text", "an operator put it back");
	return json_pack("{s:O*, s:O*, s:O*}", "rule", json_object_get(decision, "rule"), "text",
			 json_object_get(decision, "why"), "evidence",
			 json_object_get(decision, "evidence"));
}

static json_t *pods_of(const json_t *sandboxes)
{
	json_t *pods = json_array();
	const json_t *sandbox;
	size_t n;

	json_array_foreach(sandboxes, n, sandbox) {
		const char *ns = json_string_value(json_object_get(sandbox, "pod_namespace"));
		const char *name = json_string_value(json_object_get(sandbox, "pod_name"));
		cleanup_free char *pod = ns && name ? text_print("%s/%s", ns, name) : NULL;

		if (pod)
			(void)json_array_append_new(pods, json_string(pod));
	}
	return pods;
}

static bool is_there(const json_t *image)
{
	const char *outcome = json_string_value(json_object_get(image, "outcome"));

	return outcome && (strcmp(outcome, "done") == 0 || strcmp(outcome, "present") == 0);
}

/* Those that are there, or those that are not. After a restore all of them are. */
static json_t *images_of(const struct incident *i, bool there)
{
	const json_t *images = json_object_get(i->salvage, "images");
	json_t *list, *image;
	size_t n;

	if (!images || is_restore(i))
		return NULL;
	list = json_array();
	json_array_foreach(images, n, image) {
		const json_t *names = json_object_get(image, "names");

		if (is_there(image) == there)
			(void)json_array_append_new(
				list, json_pack("{s:O*, s:O*, s:O*}", "name", json_array_get(names, 0),
						"outcome", json_object_get(image, "outcome"), "why",
						json_object_get(image, "why")));
	}
	return list;
}

static json_t *lost_json(const struct incident *i)
{
	json_t *sandboxes = json_object_get(json_object_get(i->manifest, "lost"), "sandboxes");
	json_t *done = json_object_get(i->noted, i->event.event);
	json_t *pods = json_incref(json_object_get(done, "pods")) ?: pods_of(sandboxes);

	return json_pack("{s:o, s:O*, s:o*}", "pods", pods, "processes",
			 json_object_get(done, "processes"), "images", images_of(i, false));
}

static json_t *kept_json(const struct incident *i)
{
	return json_pack("{s:o*, s:O*, s:O*, s:O*}", "images", images_of(i, true), "user_data",
			 is_restore(i) ? NULL : json_object_get(i->noted, "user_data"), "copies",
			 json_object_get(i->noted, "copies"), "leftovers",
			 json_object_get(i->manifest, "leftovers"));
}

/* When the first stage began, and when the last one before containerd's start was done. */
static void span(const struct stages *s, int64_t *ret_begin, int64_t *ret_end)
{
	static const enum stage acts[] = { STAGE_KILL, STAGE_BUNDLES, STAGE_LINKS, STAGE_RELEASE,
					   STAGE_MOVE, STAGE_DEFER,   STAGE_RESTORE };

	*ret_begin = *ret_end = 0;
	for (size_t n = 0; n < ARRAY_SIZE(acts); n++) {
		int64_t begun = s->begun_msec[acts[n]];

		if (!s->begun[acts[n]])
			continue;
		if (*ret_begin == 0 || begun < *ret_begin)
			*ret_begin = begun;
		if (s->done[acts[n]] && begun + s->msec[acts[n]] > *ret_end)
			*ret_end = begun + s->msec[acts[n]];
	}
}

static void set_msec(json_t *json, const char *name, int64_t msec)
{
	if (msec >= 0)
		(void)json_object_set_new(json, name, json_integer((json_int_t)msec));
}

/* In the order in which they come, in milliseconds; "begun" is one that is not done. */
static json_t *stages_json(const struct incident *i)
{
	const json_t *looked = json_object_get(i->manifest, "looked_msec");
	const json_t *ready = json_object_get(i->noted, "ready_msec");
	bool restored = is_restore(i);
	json_t *json = json_object();
	int64_t begin, end;

	span(&i->stages, &begin, &end);
	if (looked && !restored && begin > 0)
		set_msec(json, "detect", begin - json_integer_value(looked));
	for (int n = 0; n < STAGE_COUNT; n++) {
		if (restored && n < STAGE_RESTORE && n != STAGE_SWEEP)
			continue; /* the quarantine's, long ago */
		if (i->stages.done[n])
			set_msec(json, stage_names[n], i->stages.msec[n]);
		else if (i->stages.begun[n])
			(void)json_object_set_new(json, stage_names[n], json_string("begun"));
		if (n == STAGE_MOVE && ready && !restored)
			set_msec(json, "ready", json_integer_value(ready) - end);
	}
	return json;
}

static json_t *next_json(const struct incident *i)
{
	const char *id = i->event.ticket;
	/* What a restore put back is in place; what it set aside is kept. */
	const char *aside = is_restore(i) ? i->undo : id;
	cleanup_free char *restore = text_print("containerd-recover restore %s", aside ?: ""),
			  *keep = text_print("containerd-recover keep %s --to /path/to/copy", aside ?: ""),
			  *repull = text_print(RECORDS_PATH "/repull-%s.txt", id);
	bool whole = i->present && !i->stages.begun[STAGE_PURGE];
	json_t *missing = images_of(i, false);
	json_t *json = json_pack("{s:I, s:I, s:s*, s:s*, s:s*}", "restorable_until",
				 i->restorable_until, "purge_at", i->purge_at, "restore",
				 i->restorable_until ? restore : NULL, "keep", whole && aside ? keep : NULL,
				 "repull", json_array_size(missing) > 0 ? repull : NULL);

	json_decref(missing);
	return json;
}

static json_t *compose(const struct incident *i, const char *unit)
{
	json_t *root = json_object_get(json_object_get(i->manifest, "root"), "path");

	return json_pack("{s:s, s:s, s:s, s:b, s:I, s:s, s:O*, s:o, s:O*, s:o, s:o, s:o, s:o}", "id",
			 i->event.ticket, "event", i->event.event, "state", i->state, "pending",
			 i->pending, "time", (json_int_t)i->event.sec, "unit", unit, "root", root,
			 "why", why_json(i), "done", json_object_get(i->noted, i->event.event),
			 "lost", lost_json(i), "kept", kept_json(i), "stages", stages_json(i),
			 "next", next_json(i));
}

/* Returns 1 with @ret the boot time of READY behind the incident, 0, or a negative errno. */
static int find_ready(int records_fd, const char *unit, const json_t *manifest,
		      const struct stages *stages, int64_t *ret)
{
	const char *boot_id = json_string_value(json_object_get(manifest, "boot_id"));
	cleanup_free char *ledger = situation_ledger_name(unit);
	int64_t begin, end;

	span(stages, &begin, &end);
	if (!boot_id || !ledger || end == 0)
		return 0;
	return ledger_first_ready(records_fd, ledger, boot_id, end, ret);
}

void report_note_ready(int records_fd, const char *unit, const char *id, const json_t *manifest,
		       const struct stages *stages)
{
	json_auto_t *noted = report_read(records_fd, id);
	int64_t msec;

	if (noted && !json_object_get(noted, "ready_msec") &&
	    find_ready(records_fd, unit, manifest, stages, &msec) > 0)
		report_note(records_fd, id, "ready_msec", json_integer((json_int_t)msec));
}

/* Until `finish` has noted it. */
static void add_ready(int records_fd, const char *unit, struct incident *i)
{
	int64_t msec;

	if (!json_object_get(i->noted, "ready_msec") &&
	    find_ready(records_fd, unit, i->manifest, &i->stages, &msec) > 0)
		(void)json_object_set_new(i->noted, "ready_msec", json_integer((json_int_t)msec));
}

static int add_freed(int records_fd, struct text_list *live)
{
	cleanup_fd int fd = dir_open_beneath(records_fd, FREED);
	cleanup_dir DIR *stream = NULL;
	const char *name;
	int r = fd < 0 ? fd : dir_stream(fd, &stream);

	while (r >= 0 && (r = dir_next(stream, &name, NULL)) > 0)
		r = text_list_add(live, name);
	return r == -ENOENT ? 0 : r;
}

int report_prune_old(const struct data_root *place, int records_fd, const struct policy *policy)
{
	cleanup_text_list struct text_list live = { 0 };
	cleanup_tickets char **ids = NULL;
	int r = tickets_list(place, &ids);

	for (char **id = ids; r >= 0 && *id; id++)
		r = text_list_add(&live, *id);
	if (r >= 0)
		r = add_freed(records_fd, &live);
	if (r < 0)
		return r;
	return report_prune(records_fd, &live, policy->report_keep, policy->report_age_sec);
}

/* A run that is under way, or was killed, is in no history yet. */
static int newest_ticket(const struct data_root *place, struct history_event *event)
{
	cleanup_tickets char **ids = NULL;
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	int n = place->root_fd < 0 ? 0 : tickets_list(place, &ids);

	while (n-- > 0) {
		if (ticket_peek(place, ids[n], &ticket) < 0)
			continue;
		if (ticket.created_sec <= event->sec || strcmp(ids[n], event->ticket) == 0)
			return 0;
		*event = (struct history_event){ .sec = ticket.created_sec };
		(void)snprintf(event->ticket, sizeof(event->ticket), "%s", ids[n]);
		(void)snprintf(event->event, sizeof(event->event), "%s",
			       ticket.stages.begun[STAGE_DEFER] ? "defer" : "quarantine");
		return 1;
	}
	return 0;
}

int report_last(const struct data_root *place, int records_fd, const char *unit,
		const struct policy *policy, json_t **ret)
{
	cleanup_incident struct incident i = { .stages = { .fd = -EBADF } };
	int r = history_last_action(records_fd, unit, &i.event);
	json_t *report;

	if (r >= 0 && newest_ticket(place, &i.event) > 0)
		r = 1;
	if (r <= 0)
		return r;
	r = gather(place, records_fd, policy, &i);
	if (r < 0)
		return r;
	add_ready(records_fd, unit, &i);
	report = compose(&i, unit);
	if (!report)
		return -ENOMEM;
	*ret = report;
	return 1;
}
