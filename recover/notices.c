#include "recover/notices.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "recover/fate.h"
#include "recover/log.h"
#include "recover/triage.h"
#include "scanners/cleanup.h"
#include "scanners/cri.h"
#include "scanners/lock_holder.h"
#include "scanners/metadata.h"

enum { CRI_MSEC = 2000 };

/* Its root was wiped by hand, say. They hold addresses until none is left. */
static void print_lost(const struct situation *s)
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
		printf("%zu sandboxes are lost to it and hold processes, links or addresses: "
		       "`containerd-recover sweep` lists them\n", lost);
}

/* Of one that is up by all that is known: else it is asked in vain, for as long as that takes. */
static void print_cri(const struct situation *s)
{
	cleanup_cri_status struct cri_status status = { 0 };

	if (s->facts.meta.lock != LOCK_BY_UNIT || s->facts.cri.state != CRI_NOTHING_WRONG ||
	    s->config.cri_disabled || cri_status(s->config.address, CRI_MSEC, &status) < 0)
		return;
	if (status.problem)
		printf("kubelet calls this node NotReady, for CRI says: %s\n", log_name(status.problem));
	print_lost(s);
}

static void print_snapshots(const struct situation *s)
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
		printf("meta.db names %zu snapshots, and the metadata.db of %s has none: no container can be "
		       "made; put that file back, or `containerd-recover now`\n", named,
		       log_name(s->config.snapshotter));
}

static void print_holder(const struct situation *s)
{
	char name[PROCESS_NAME];

	if (s->facts.meta.lock != LOCK_BY_OTHER || s->facts.meta.lock_pid == 0)
		return;
	lock_holder_name((pid_t)s->facts.meta.lock_pid, name);
	printf("meta.db is locked by process %u (%s)\n", s->facts.meta.lock_pid, log_name(name));
}

/* Better known before it is needed. */
static void print_what_would_hold(const struct situation *s)
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
		printf("were a fresh data root called for, it would be held back: %s (rule %s)\n",
		       decision.rule->why, decision.rule->id);
}

void notices_print(const struct situation *s)
{
	print_holder(s);
	print_what_would_hold(s);
	print_cri(s);
	print_snapshots(s);
}
