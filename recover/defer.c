#include "recover/defer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "recover/decision.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/log.h"
#include "recover/pending.h"
#include "recover/roots.h"
#include "recover/purge/purge.h"
#include "recover/report_store.h"
#include "recover/unmount.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"
#include "scanners/mounts.h"
#include "scanners/text.h"

static int state_aside(const char *ticket, char **ret)
{
	if (asprintf(ret, ".containerd-recover-deferred-%s", ticket) < 0) {
		*ret = NULL;
		return -ENOMEM;
	}
	return 0;
}

static int enter(int dirfd, const char *name)
{
	if (mkdirat(dirfd, name, 0700) < 0 && errno != EEXIST)
		return -errno;
	return dir_open_beneath(dirfd, name);
}

/* <aside>/<plugin>/<group>, made on the way. */
static int enter_place(int aside_fd, const struct deletion *item)
{
	cleanup_fd int plugin_fd = enter(aside_fd, item->plugin);

	return plugin_fd < 0 ? plugin_fd : enter(plugin_fd, item->group);
}

static int open_place(int base_fd, const struct deletion *item)
{
	cleanup_fd int plugin_fd = dir_open_beneath(base_fd, item->plugin);

	return plugin_fd < 0 ? plugin_fd : dir_open_beneath(plugin_fd, item->group);
}

static int move_aside(int base_fd, int aside_fd, const struct deletion *item)
{
	cleanup_fd int from_fd = open_place(base_fd, item);
	cleanup_fd int to_fd = enter_place(aside_fd, item);
	struct stat st;

	if (from_fd < 0 || to_fd < 0)
		return from_fd < 0 ? from_fd : to_fd;
	if (fstatat(from_fd, item->id, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (st.st_ino != item->ino)
		return -ESTALE; /* another one by that name by now */
	if (renameat2(from_fd, item->id, to_fd, item->id, RENAME_NOREPLACE) < 0)
		return -errno;
	log_debug("%s/%s set aside", item->group, log_name(item->id));
	return fsync(to_fd) < 0 || fsync(from_fd) < 0 ? -errno : 0;
}

static void move_all(struct situation *s, int state_fd, int root_aside, int state_aside_fd,
		     struct defer_report *report)
{
	for (size_t i = 0; i < s->leftovers.count; i++) {
		const struct deletion *item = &s->leftovers.items[i];
		int r = item->in_state ? move_aside(state_fd, state_aside_fd, item) :
					 move_aside(s->place.root_fd, root_aside, item);

		if (r == 0) {
			report->moved++;
			report->entries += item->entries;
		} else {
			report->kept++;
			report->kept_entries += item->entries;
			log_warning("%s/%s/%s stays where it is: %s", item->plugin,
				    log_name(item->group), log_name(item->id), strerror(-r));
		}
	}
}

static json_t *leftovers_to_json(const struct deletions *leftovers)
{
	json_t *list = json_array();

	for (size_t i = 0; list && i < leftovers->count; i++) {
		const struct deletion *item = &leftovers->items[i];

		(void)json_array_append_new(
			list, json_pack("{s:s, s:s, s:s, s:b, s:I, s:b}", "plugin", item->plugin, "group",
					item->group, "id", item->id, "in_state", item->in_state, "entries",
					(json_int_t)item->entries, "volumes", item->has_volumes));
	}
	return list;
}

static int begin(struct situation *s, const struct decision *decision, struct ticket *ret)
{
	json_t *manifest = json_pack("{s:s, s:s, s:s, s:s, s:I, s:o*, s:o*, s:o*}", "kind", "defer", "unit",
				     s->config.unit, "state", s->config.state, "boot_id",
				     s->clock.boot_id, "looked_msec",
				     (json_int_t)s->clock.boottime_msec, "facts",
				     facts_to_json(&s->facts), "decision",
				     decision_to_json(&s->facts, decision), "leftovers",
				     leftovers_to_json(&s->leftovers));
	int r = manifest ? ticket_create(&s->place, manifest, ret) : -ENOMEM;

	json_decref(manifest);
	return r;
}

static void note_kept(int records_fd, const struct situation *s, const char *ticket, uint64_t entries,
		      size_t directories)
{
	cleanup_free char *text = text_print("%" PRIu64 "/%zu", entries, directories);

	if (records_fd < 0 || !text || history_append(records_fd, s->config.unit, "kept", ticket, text) < 0)
		log_warning("cannot write the history; the same may be tried again");
}

static int set_aside(struct situation *s, const struct decision *decision, int records_fd,
		     struct defer_report *ret)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	cleanup_fd int state_fd = dir_open_path(s->config.state);
	cleanup_fd int root_aside = -EBADF, state_aside_fd = -EBADF;
	cleanup_free char *aside = NULL;
	struct defer_report report = { 0 };
	/* Before the move: killed behind it, the purge must still come. And before the
	 * ticket: where this cannot be written, none is left behind at each start. */
	int r = pending_mark(records_fd);

	if (r == 0)
		r = roots_note(records_fd, s->config.unit, s->place.root);
	if (r == 0)
		r = begin(s, decision, &ticket);
	if (r == 0) /* a purge that saw no ticket may have taken it away, which is rare */
		(void)pending_mark(records_fd);
	if (r == 0)
		r = stage_begin(&ticket.stages, STAGE_DEFER);
	if (r == 0)
		r = state_aside(ticket.id, &aside);
	if (r != 0)
		return r;
	root_aside = dir_open_beneath(ticket.fd, "root");
	if (root_aside < 0)
		return root_aside;
	if (state_fd >= 0)
		state_aside_fd = enter(state_fd, aside);
	memcpy(report.id, ticket.id, sizeof(report.id));
	move_all(s, state_fd, root_aside, state_aside_fd, &report);
	r = stage_done(&ticket.stages, STAGE_DEFER);
	if (r < 0)
		return r;
	if (history_append(records_fd, s->config.unit, "defer", ticket.id, decision->rule->id) < 0)
		log_warning("cannot write the history");
	report_note(records_fd, ticket.id, "defer",
		    json_pack("{s:i, s:I, s:i}", "directories", (int)report.moved, "entries",
			      (json_int_t)report.entries, "failed", (int)report.kept));
	if (report.kept)
		note_kept(records_fd, s, ticket.id, report.kept_entries, report.kept);
	*ret = report;
	return report.moved || !report.kept ? 0 : -EIO;
}

int defer_leftovers(struct situation *s, const struct decision *decision, struct defer_report *ret)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	struct defer_report report = { 0 };
	int r = set_aside(s, decision, records_fd, &report);

	/* Before the first move: all of it. */
	if (r < 0 && report.moved + report.kept == 0)
		note_kept(records_fd, s, "-", s->leftovers.entries, s->leftovers.count);
	if (r == 0)
		*ret = report;
	return r;
}

int defer_clean_state(const struct config *config, const char *ticket)
{
	cleanup_fd int state_fd = dir_open_path(config->state);
	cleanup_mounts struct mounts mounts = { 0 };
	cleanup_free char *aside = NULL, *path = NULL;
	const struct purge_options options = PURGE_OPTIONS_DEFAULT;
	struct purge_progress progress = { 0 };
	cleanup_fd int aside_fd = -EBADF;
	int r = state_fd < 0 ? state_fd : state_aside(ticket, &aside);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	aside_fd = dir_open_beneath(state_fd, aside);
	if (aside_fd < 0)
		return aside_fd == -ENOENT ? 0 : aside_fd;
	path = text_print("%s/%s", config->state, aside);
	if (!path)
		return -ENOMEM;
	r = mounts_scan(&mounts);
	/* What containerd would have unmounted itself. */
	if (r == 0)
		r = unmount_below(&mounts, path);
	if (r < 0)
		return r;
	r = purge_tree(aside_fd, &options, &progress);
	if (r == 0 && unlinkat(state_fd, aside, AT_REMOVEDIR) < 0)
		r = -errno;
	return r;
}

bool defer_has_state(const struct config *config, const char *ticket)
{
	cleanup_fd int state_fd = dir_open_path(config->state);
	cleanup_free char *aside = NULL;

	if (state_fd == -ENOENT)
		return false;
	return state_fd < 0 || state_aside(ticket, &aside) < 0 ||
	       faccessat(state_fd, aside, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}
