#include "recover/notices.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "recover/fate.h"
#include "recover/file.h"
#include "recover/log.h"
#include "recover/triage.h"
#include "scanners/cleanup.h"
#include "scanners/cri.h"
#include "scanners/lock_holder.h"
#include "scanners/metadata.h"
#include "scanners/runc.h"

enum { CRI_MSEC = 2000 };

/* Names in @format's arguments are log_name()'s, which is ASCII. */
static void add(json_t *list, const char *id, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void add(json_t *list, const char *id, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)json_array_append_new(list, json_pack("{s:s, s:o}", "id", id, "text",
						    json_vsprintf(format, args)));
	va_end(args);
}

static void add_stopped(json_t *list, const struct situation *s)
{
	cleanup_free char *text = situation_outage(s);

	if (text)
		add(list, "stopped", "%s", text);
}

static void add_records(json_t *list)
{
	int r = file_check_writable(RECORDS_PATH);

	if (r < 0)
		add(list, "records", RECORDS_UNWRITABLE, RECORDS_PATH, strerror(-r));
}

/* Its root was wiped by hand, say. They hold addresses until none is left. */
static void add_lost(json_t *list, const struct situation *s)
{
	cleanup_known struct known known = { 0 };
	size_t lost = 0;
	const char *why;

	if (!s->facts.pods.looked || known_read(&s->config, &known) < 0)
		return;
	for (size_t i = 0; i < s->inventory.sandbox_count; i++)
		lost += fate_of(&s->inventory.sandboxes[i], &known, time(NULL),
				(int64_t)s->policy.min_age_sec, &why) == FATE_LOST;
	if (lost > 0)
		add(list, "lost-sandboxes", "%zu sandboxes are lost to it and hold processes, links or "
		    "addresses: `containerd-recover sweep` lists them", lost);
}

/* Of one that is up by all that is known: else it is asked in vain, for as long as that takes. */
static void add_cri(json_t *list, const struct situation *s)
{
	cleanup_cri_status struct cri_status status = { 0 };

	if (s->facts.meta.lock != LOCK_BY_UNIT || s->facts.cri.state != CRI_NOTHING_WRONG ||
	    s->config.cri_disabled || cri_status(s->config.address, CRI_MSEC, &status) < 0)
		return;
	if (status.problem)
		add(list, "cri", "kubelet calls this node NotReady, for CRI says: %s",
		    log_name(status.problem));
	add_lost(list, s);
}

/* Looked for by its shim, and by nobody before a container is made. */
static void add_runtime(json_t *list, const struct situation *s)
{
	bool up = s->facts.meta.lock == LOCK_BY_UNIT;
	cleanup_free char *where = NULL;

	if (s->config.cri_disabled ||
	    runc_look(&s->config, up ? (pid_t)s->facts.meta.lock_pid : 0, &where) != 0)
		return;
	if (where[0] == '/' && strcmp(where, s->config.runc) == 0)
		add(list, "runtime", "%s, which the default runtime runs, is not there or no program: no pod can "
		    "be started", log_name(where));
	else
		add(list, "runtime", "%s, which the default runtime runs, is nowhere in containerd's PATH (%s): "
		    "no pod can be started", log_name(s->config.runc), log_name(where));
}

static void add_snapshots(json_t *list, const struct situation *s)
{
	cleanup_metadata_directories struct metadata_directories directories = { 0 };
	cleanup_metadata struct metadata metadata = { 0 };
	size_t named = 0;

	if (s->place.root_fd < 0 || s->facts.meta.state != DB_SOUND || s->facts.snapshots.state == DB_DAMAGED ||
	    metadata_read_root(s->place.root_fd, &metadata) < 0 ||
	    metadata_read_snapshotter(s->place.root_fd, s->config.snapshotter, &directories) < 0)
		return;
	if (directories.count > 0 || directories.finding.state == BOLT_UNREAD ||
	    directories.finding.state == BOLT_DAMAGED)
		return;
	for (size_t i = 0; i < metadata.snapshot_count; i++)
		named += strcmp(metadata.snapshots[i].snapshotter, s->config.snapshotter) == 0;
	if (named > 0)
		add(list, "snapshots", "meta.db names %zu snapshots, and the metadata.db of %s has none: no "
		    "container can be made; put that file back, or `containerd-recover now`", named,
		    log_name(s->config.snapshotter));
}

static void add_holder(json_t *list, const struct situation *s)
{
	char name[PROCESS_NAME];

	if (s->facts.meta.lock != LOCK_BY_OTHER || s->facts.meta.lock_pid == 0)
		return;
	lock_holder_name((pid_t)s->facts.meta.lock_pid, name);
	add(list, "lock-holder", "meta.db is locked by process %u (%s)", s->facts.meta.lock_pid,
	    log_name(name));
}

/* Better known before it is needed. */
static void add_what_would_hold(json_t *list, const struct situation *s)
{
	struct facts damaged = s->facts;
	struct decision decision = triage(&damaged);

	if (decision.rule->kind != RULE_NONE)
		return;
	damaged.meta.state = DB_DAMAGED;
	damaged.meta.under_lock = true;
	damaged.meta.lock = LOCK_FREE;
	decision = triage(&damaged);
	if (decision.rule->kind == RULE_ROOT_CAUSE)
		add(list, "fresh-root-held", "were a fresh data root called for, it would be held back: %s "
		    "(rule %s)", decision.rule->why, decision.rule->id);
}

json_t *notices_gather(const struct situation *s)
{
	json_t *list = json_array();

	if (!list)
		return NULL;
	add_stopped(list, s);
	add_records(list);
	add_holder(list, s);
	add_what_would_hold(list, s);
	add_cri(list, s);
	add_runtime(list, s);
	add_snapshots(list, s);
	return list;
}

void notices_print(const json_t *notices)
{
	const json_t *notice;
	size_t i;

	json_array_foreach(notices, i, notice)
		printf("%s\n", json_string_value(json_object_get(notice, "text")) ?: "");
}
