/* `purge`: one quarantine, of which is known that it is due. */
#include "recover/purge_run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recover/bar.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/log.h"
#include "recover/notify.h"
#include "recover/purge/held.h"
#include "recover/purge/purge.h"
#include "recover/purge_state.h"
#include "recover/report.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

/* Is <ticket>/@name what the manifest says it is? Returns an fd, or a negative errno. */
static int open_tree(const struct purge_run *run, const struct ticket *ticket, const char *name)
{
	cleanup_fd int fd = dir_open_beneath(ticket->fd, name);
	struct stat st;
	bool old_one;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_ino == run->place->ino)
		return -ESTALE; /* containerd's own root is never purged */
	old_one = st.st_ino == ticket->old_ino;
	if (ticket->stages.begun[STAGE_DEFER]) /* never the root itself */
		return st.st_ino == ticket->fresh_ino ? take_fd(&fd) : -ESTALE;
	if (strcmp(name, "root") == 0 && !ticket->inside &&
	    old_one != !ticket->stages.done[STAGE_RESTORE])
		return -ESTALE;
	if (strcmp(name, "root") == 0 && ticket->inside && st.st_ino != ticket->fresh_ino)
		return -ESTALE;
	return take_fd(&fd);
}

static bool on_progress(const struct purge_progress *progress, void *data)
{
	const struct purge_run *run = data;
	char line[160];

	purge_state_line(progress, line, sizeof(line));
	purge_state_write(run->id, progress);
	notify_status("purging %s: %s", run->id, line);
	if (run->terminal)
		bar_show(progress->entries, progress->expected, line);
	return *run->stop_asked;
}

static void on_left(const char *path, int error, void *data)
{
	const struct purge_run *run = data;

	if (run->terminal)
		bar_clear();
	log_warning("quarantine %s: %s cannot be deleted: %s", run->id, log_name(path),
		    strerror(-error));
}

/* A purge gone on with has fewer left than were counted: how many is not known. */
static uint64_t counted_entries(const struct ticket *ticket)
{
	const struct stages *s = &ticket->stages;
	json_t *facts = json_object_get(ticket->manifest, "facts");
	json_t *count = json_object_get(facts, "count");
	json_int_t entries;

	if (s->begun[STAGE_PURGE] || s->begun[STAGE_DEFER] || s->begun[STAGE_RESTORE] ||
	    !json_is_true(json_object_get(count, "complete")))
		return 0;
	entries = json_integer_value(json_object_get(count, "entries"));
	return entries > 0 ? (uint64_t)entries : 0;
}

static int purge_tree_of(struct purge_run *run, const struct ticket *ticket, const char *name)
{
	cleanup_fd int fd = open_tree(run, ticket, name);
	struct purge_options options = PURGE_OPTIONS_DEFAULT;
	struct purge_progress progress = { 0 };
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	options.max_rate = run->cli->max_rate >= 0 ? (unsigned)run->cli->max_rate :
						     (unsigned)run->policy.max_rate;
	options.max_workers = (unsigned)run->policy.max_workers;
	options.urgent = run->cli->urgent;
	options.urgent_bytes_percent = (unsigned)run->policy.urgent_free_space;
	options.urgent_inodes_percent = (unsigned)run->policy.urgent_free_inodes;
	if (strcmp(name, "root") == 0)
		options.expected = run->expected;
	options.progress = on_progress;
	options.left = on_left;
	options.data = run;
	r = purge_tree(fd, &options, &progress);
	if (run->terminal)
		bar_clear();
	purge_state_write(run->id, &progress);
	/* A second time, once the node is swept: nothing is there. */
	if (progress.entries > 0 || progress.left > 0 || !ticket->stages.done[STAGE_PURGE])
		log_info("quarantine %s: %" PRIu64 " entries deleted in %" PRIu64 ".%03u s, %" PRIu64 " left%s",
			 run->id, progress.entries, progress.elapsed_msec / 1000,
			 (unsigned)(progress.elapsed_msec % 1000), progress.left, r == 1 ? ", stopped" : "");
	return r;
}

/* Deleted is not freed: a process that holds a file open or mapped keeps its space. */
static void report_held(const struct purge_run *run, const struct ticket *ticket)
{
	cleanup_free char *jail = data_root_jail_path(run->place, ticket->inside);
	cleanup_free char *path = NULL;
	struct held held;

	if (!jail || asprintf(&path, "%s/%s", jail, ticket->id) < 0 ||
	    held_scan(path, &held) < 0 || held.files == 0)
		return;
	log_warning("quarantine %s: %" PRIu64 " deleted files with %" PRIu64
		    " bytes are still open or mapped, most of it by process %d; they are free when it ends",
		    ticket->id, held.files, held.bytes, held.pid);
}

static int purge_trees(struct purge_run *run, struct ticket *ticket, struct tree_locks *locks)
{
	int r, r2;

	run->id = ticket->id;
	run->expected = counted_entries(ticket);
	r = open_tree(run, ticket, "root");
	if (r >= 0)
		(void)close(r);
	else if (r != -ENOENT)
		return r;
	/* From here on there is no way back, and restore is told so. */
	if (!ticket->stages.begun[STAGE_PURGE]) {
		r = stage_begin(&ticket->stages, STAGE_PURGE);
		if (r < 0)
			return r;
	}
	r = purge_tree_of(run, ticket, "root");
	r2 = r == 1 ? 0 : purge_tree_of(run, ticket, "interim");
	if (r == 0)
		r = r2;
	tree_locks_done(locks); /* would be reported as held */
	if (r != 1)
		report_held(run, ticket);
	return r;
}

/* The `finish` of containerd's start goes by the data root that its configuration names. */
void purge_note_finish(const struct purge_run *run, const char *id)
{
	const char *root = run->cli->paths.root;

	if (run->cli->wait)
		return;
	if (root)
		log_info("quarantine %s: its data is deleted; its manifest is kept until what its pods left on the "
			 "node is given back by `containerd-recover finish --root=%s`; the same purge deletes it then",
			 id, log_name(root));
	else
		log_info("quarantine %s: its data is deleted; its manifest is kept until what its pods left on the "
			 "node is given back, at containerd's next start or by `containerd-recover finish`", id);
}

/* By another root's quarantines it is not known whose records are still needed. */
static void prune(const struct purge_run *run, int records_fd)
{
	if (run->policy_invalid || run->cli->paths.root)
		return;
	if (report_prune_old(run->place, records_fd, &run->policy) < 0)
		log_warning("the records of old incidents could not be deleted");
}

int purge_ticket(struct purge_run *run, struct ticket *ticket, struct tree_locks *locks)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	int r = records_fd < 0 ? records_fd : purge_trees(run, ticket, locks);

	if (r == 0 && !ticket->stages.done[STAGE_PURGE])
		r = stage_done(&ticket->stages, STAGE_PURGE);
	if (r != 0)
		return r;
	purge_state_remove(run->id);
	if (purge_waits_for_finish(run, ticket)) {
		purge_note_finish(run, ticket->id);
		return 0;
	}
	r = ticket_retire(run->place, ticket, records_fd);
	if (r == 0)
		r = history_append(records_fd, run->config->unit, "purge", ticket->id, "done");
	if (r == 0)
		prune(run, records_fd);
	return r;
}
