#include "recover/free_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "recover/aftermath.h"
#include "recover/clear.h"
#include "recover/decision.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/log.h"
#include "recover/pending.h"
#include "recover/remnant.h"
#include "recover/report.h"
#include "recover/report_store.h"
#include "scanners/bundle.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/in_place.h"
#include "scanners/text.h"

#define FREED "freed"
#define MANIFEST "manifest.json"
#define KUBERNETES "k8s.io" /* whose pods kubelet makes anew */

enum { MANIFEST_MAX = 64 << 20, DELETE_MSEC = 5000 };

/* A record, locked while it is worked on. */
struct record {
	int fd;
	struct stages stages;
};

#define RECORD_NONE { .fd = -EBADF, .stages = { .fd = -EBADF } }

static void record_done(struct record *record)
{
	stages_close(&record->stages);
	cleanup_close(&record->fd);
}
#define cleanup_record __attribute__((cleanup(record_done)))

static int enter(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return dir_open_beneath(dirfd, name);
}

static bool is_in_the_way(const struct situation *s, size_t i)
{
	const struct sandbox *sandbox = &s->inventory.sandboxes[i];

	if (!sandbox->ns || strcmp(sandbox->ns, KUBERNETES) != 0)
		return false;
	return s->shims[i] == SHIM_DEAD || (s->shims[i] == SHIM_HUNG && s->policy.kill_hung);
}

/* A shallow copy: free() only @ret->sandboxes. */
static int collect(const struct situation *s, struct inventory *ret, struct free_report *report)
{
	struct inventory lost = { .complete = s->inventory.complete };

	lost.sandboxes = calloc(s->inventory.sandbox_count + 1, sizeof(*lost.sandboxes));
	if (!lost.sandboxes)
		return -ENOMEM;
	for (size_t i = 0; i < s->inventory.sandbox_count; i++) {
		if (!is_in_the_way(s, i))
			continue;
		report->dead += s->shims[i] == SHIM_DEAD;
		report->hung += s->shims[i] == SHIM_HUNG;
		lost.sandboxes[lost.sandbox_count++] = s->inventory.sandboxes[i];
	}
	report->sandboxes = lost.sandbox_count;
	*ret = lost;
	return 0;
}

static int write_manifest(const struct situation *s, const struct decision *decision,
			  const struct inventory *lost, int fd)
{
	json_auto_t *manifest = json_pack("{s:s, s:s, s:s, s:s, s:I, s:o, s:o, s:o}", "kind", "free-state",
					  "unit", s->config.unit, "state", s->config.state, "boot_id",
					  s->clock.boot_id, "looked_msec",
					  (json_int_t)s->clock.boottime_msec, "facts", facts_to_json(&s->facts),
					  "decision", decision_to_json(&s->facts, decision), "lost",
					  inventory_to_json(lost));
	cleanup_free char *text = manifest ? json_dumps(manifest, JSON_INDENT(1)) : NULL;

	return text ? file_replace(fd, MANIFEST, text, strlen(text), 0600) : -ENOMEM;
}

static int record_make(const struct situation *s, const struct decision *decision,
		       const struct inventory *lost, int records_fd, char id[TICKET_ID],
		       struct record *ret)
{
	cleanup_record struct record record = RECORD_NONE;
	cleanup_fd int freed_fd = enter(records_fd, FREED);
	int r = freed_fd < 0 ? freed_fd : ticket_make_id(id);

	if (r == 0 && mkdirat(freed_fd, id, 0700) < 0)
		r = -errno;
	if (r < 0)
		return r;
	record.fd = dir_open_beneath(freed_fd, id);
	if (record.fd < 0)
		return record.fd;
	if (flock(record.fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	r = write_manifest(s, decision, lost, record.fd);
	if (r == 0)
		r = stages_open(record.fd, true, &record.stages);
	if (r == 0 && (fsync(freed_fd) < 0 || fsync(records_fd) < 0))
		r = -errno;
	if (r < 0)
		return r;
	*ret = record;
	record = (struct record)RECORD_NONE;
	return 0;
}

static int carry_out(struct situation *s, const struct inventory *lost, const char *id,
		     struct stages *stages, struct clear_result *result)
{
	int r = stage_begin(stages, STAGE_KILL);

	if (r < 0)
		return r;
	if (clear_kill(lost, (unsigned)s->policy.term_grace_msec, result) < 0)
		log_warning("not every process could be ended");
	r = stage_done(stages, STAGE_KILL);
	if (r == 0)
		r = stage_begin(stages, STAGE_BUNDLES);
	if (r < 0)
		return r;
	(void)clear_bundles(&s->config, lost, id, result); /* said what failed; containerd removes it */
	return stage_done(stages, STAGE_BUNDLES);
}

static int act(struct situation *s, const struct decision *decision, const struct inventory *lost,
	       struct free_report *report)
{
	cleanup_record struct record record = RECORD_NONE;
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	struct clear_result result = { 0 };
	int r = records_fd < 0 ? records_fd :
				 record_make(s, decision, lost, records_fd, report->id, &record);

	if (r < 0)
		return r;
	/* Before anything is moved: killed right behind it, `finish` must still come. */
	pending_try_to_mark(records_fd);
	r = carry_out(s, lost, report->id, &record.stages, &result);
	/* Tried, whatever came of it: what did not help is not tried twice in a row. */
	if (history_append(records_fd, s->config.unit, "free-state", report->id, decision->rule->id) < 0)
		log_warning("cannot write the history; the same may be tried again");
	report->processes = result.shims_killed + result.containers_killed;
	report->bundles = result.bundles_moved;
	report->failed = result.failed;
	report_note(records_fd, report->id, "free-state",
		    json_pack("{s:i, s:i, s:i, s:i, s:i}", "dead", (int)report->dead, "hung",
			      (int)report->hung, "processes", (int)report->processes, "bundles",
			      (int)report->bundles, "failed", (int)report->failed));
	return r;
}

int free_state(struct situation *s, const struct decision *decision, struct free_report *ret)
{
	struct free_report report = { 0 };
	struct inventory lost = { 0 };
	int r = s->shims ? collect(s, &lost, &report) : -ENODATA;

	if (r == 0)
		r = act(s, decision, &lost, &report);
	free(lost.sandboxes); /* the strings are the situation's */
	if (r == 0)
		*ret = report;
	return r;
}

static int read_manifest(int fd, json_t **ret, struct inventory *ret_lost)
{
	cleanup_free char *text = NULL;
	json_auto_t *manifest = NULL;
	size_t size;
	int r = dir_read_file(fd, MANIFEST, MANIFEST_MAX, &text, &size);

	if (r < 0)
		return r;
	manifest = json_loadb(text, size, 0, NULL);
	r = manifest ? inventory_from_json(json_object_get(manifest, "lost"), ret_lost) : -EBADMSG;
	if (r == 0)
		*ret = json_incref(manifest);
	return r;
}

static int remove_one(const struct remnants *remnants, int tasks_fd, const struct sandbox *sandbox)
{
	int r = tasks_fd < 0 ? 0 : in_place_has(tasks_fd, sandbox);

	if (r > 0)
		log_info("sandbox %s is containerd's again", log_name(sandbox->id));
	return r != 0 ? r : remnants_remove(remnants, sandbox);
}

static int remove_all(const struct config *config, const struct inventory *lost, const char *id)
{
	cleanup_mounts struct mounts mounts = { 0 };
	const struct remnants remnants = {
		.config = config,
		.ticket = id,
		.mounts = &mounts,
		.delete_msec = DELETE_MSEC,
		.tasks_only = true,
	};
	cleanup_fd int tasks_fd = in_place_open(config);
	int first = mounts_scan(&mounts);

	if (first == 0 && tasks_fd < 0 && tasks_fd != -ENOENT)
		first = tasks_fd;
	if (first < 0)
		return first;
	for (size_t i = 0; i < lost->sandbox_count; i++) {
		int r = remove_one(&remnants, tasks_fd, &lost->sandboxes[i]);

		if (r < 0 && first == 0)
			first = r;
	}
	return first < 0 ? first : remnants_end(config, id);
}

/* The records are kept where those of ended quarantines are; the manifest goes last. */
static int retire(int records_fd, int freed_fd, const char *id, struct record *record)
{
	cleanup_free char *name = text_print("%s.json", id), *stages = text_print("%s.stages", id);

	if (!name || !stages)
		return -ENOMEM;
	if ((renameat(record->fd, "stages", records_fd, stages) < 0 && errno != ENOENT) ||
	    renameat(record->fd, MANIFEST, records_fd, name) < 0 ||
	    unlinkat(freed_fd, id, AT_REMOVEDIR) < 0)
		return -errno;
	return 0;
}

/* Missed, it is nothing to come back for. */
static void keep_evidence(const struct config *config, const struct policy *policy, const char *id,
			  const json_t *manifest)
{
	cleanup_fd int root_fd = dir_open_path(config->root);
	int r = aftermath_evidence(config, policy, id, manifest, root_fd);

	if (r < 0)
		log_warning("freed pods %s: no evidence was kept: %s", log_name(id), strerror(-r));
}

static int finish_one(const struct config *config, const struct policy *policy, int records_fd,
		      int freed_fd, const char *id)
{
	cleanup_record struct record record = RECORD_NONE;
	cleanup_inventory struct inventory lost = { 0 };
	json_auto_t *manifest = NULL;
	int r;

	record.fd = dir_open_beneath(freed_fd, id);
	if (record.fd < 0)
		return record.fd;
	if (flock(record.fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : -errno; /* whoever has it is at work */
	r = read_manifest(record.fd, &manifest, &lost);
	/* Killed before the manifest was whole: nothing was done yet. Or behind its retirement. */
	if (r == -ENOENT) {
		(void)unlinkat(record.fd, "stages", 0);
		(void)unlinkat(record.fd, ".manifest.json.new", 0);
		return unlinkat(freed_fd, id, AT_REMOVEDIR) < 0 ? -errno : 0;
	}
	if (r == 0)
		r = stages_open(record.fd, true, &record.stages);
	if (r == 0)
		report_note_ready(records_fd, config->unit, id, manifest, &record.stages);
	if (r == 0)
		r = stage_begin(&record.stages, STAGE_SWEEP);
	if (r == 0)
		r = remove_all(config, &lost, id);
	if (r == 0)
		r = stage_done(&record.stages, STAGE_SWEEP);
	if (r < 0)
		return r;
	keep_evidence(config, policy, id, manifest);
	return retire(records_fd, freed_fd, id, &record);
}

int free_state_finish(const struct config *config, const struct policy *policy, int records_fd)
{
	cleanup_fd int freed_fd = dir_open_beneath(records_fd, FREED);
	cleanup_dir DIR *stream = NULL;
	const char *id;
	int first, r;

	if (freed_fd < 0)
		return freed_fd == -ENOENT ? 0 : freed_fd;
	first = dir_stream(freed_fd, &stream);
	if (first < 0)
		return first;
	while ((r = dir_next(stream, &id, NULL)) > 0) {
		r = finish_one(config, policy, records_fd, freed_fd, id);
		if (r < 0)
			log_warning("freed pods %s: %s", log_name(id), strerror(-r));
		if (r < 0 && first == 0)
			first = r;
	}
	return first < 0 ? first : r;
}
