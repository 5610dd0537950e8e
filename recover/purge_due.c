/* `purge`: when a quarantine may be deleted. */
#include "recover/purge_run.h"

#include <errno.h>
#include <sys/param.h>
#include <sys/statvfs.h>

#include "recover/defer.h"

enum { SALVAGE_TRIES = 2 };

static bool short_of_room(const struct purge_run *run)
{
	struct statvfs fs;

	if (fstatvfs(run->place->root_fd, &fs) < 0)
		return false;
	return (fs.f_blocks && fs.f_bavail * 100 / fs.f_blocks < run->policy.urgent_free_space) ||
	       (fs.f_files && fs.f_favail * 100 / fs.f_files < run->policy.urgent_free_inodes);
}

/* This one, and now. */
static bool is_asked_for(const struct purge_run *run)
{
	return run->cli->argument && run->cli->yes;
}

bool purge_waits_for_salvage(const struct purge_run *run, const struct ticket *ticket)
{
	int64_t most = (int64_t)(run->policy.grace_sec + SALVAGE_TRIES * run->policy.salvage_sec);

	return ticket_state(ticket) == TICKET_MOVED && !is_asked_for(run) && run->policy.salvage &&
	       !ticket->stages.done[STAGE_SALVAGE] && ticket_kept_sec(ticket, STAGE_MOVE) < most;
}

bool purge_waits_for_finish(const struct purge_run *run, const struct ticket *ticket)
{
	const json_t *lost = json_object_get(ticket->manifest, "lost");

	if (ticket->stages.begun[STAGE_DEFER])
		return defer_has_state(run->config, ticket->id);
	return !ticket->stages.done[STAGE_SWEEP] &&
	       json_array_size(json_object_get(lost, "sandboxes")) > 0;
}

int64_t purge_due_in(const struct purge_run *run, const struct ticket *ticket)
{
	const struct stages *s = &ticket->stages;
	enum stage since;
	int64_t left;
	bool salvage = purge_waits_for_salvage(run, ticket);
	bool asked = is_asked_for(run);

	if (ticket_state(ticket) == TICKET_PURGING)
		return s->done[STAGE_PURGE] && purge_waits_for_finish(run, ticket) ? -1 : 0;
	if (run->policy_invalid && !asked)
		return -1; /* how long to keep it is not known */
	switch (ticket_state(ticket)) {
	case TICKET_MOVED:
		if (s->begun[STAGE_RESTORE])
			return -1; /* half of it may be back in place */
		since = STAGE_MOVE;
		break;
	case TICKET_DEFERRED:
		since = STAGE_DEFER;
		break;
	case TICKET_RESTORED:
		since = STAGE_RESTORE;
		break;
	default:
		return -1; /* preflight finishes it or takes it back */
	}
	if (asked || (short_of_room(run) && !salvage))
		return 0;
	left = (int64_t)run->policy.grace_sec - ticket_kept_sec(ticket, since);
	/* When that ends is not known: it is looked at again and again. */
	return MAX(left, salvage ? PURGE_NAP_SEC : 0);
}
