/*
 * `finish`: what remains to be done behind a quarantine once containerd runs
 * again. The background unit runs it; it may be run by hand at any time.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recover/aftermath.h"
#include "recover/cli.h"
#include "recover/command.h"
#include "recover/defer.h"
#include "recover/free_state.h"
#include "recover/log.h"
#include "recover/report.h"
#include "recover/sweep.h"
#include "recover/tmpmounts.h"
#include "recover/ticket.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"
#include "scanners/in_place.h"
#include "scanners/dir.h"

enum { PASSES_MAX = 10 };

/* Who runs containers under names of his own may have made one again. Returns a
 * shallow copy of what is still lost: free() its array. */
static int still_lost(const struct config *config, const struct inventory *lost,
		      struct inventory *ret)
{
	cleanup_fd int tasks_fd = in_place_open(config);
	struct inventory still = { .complete = lost->complete };

	if (tasks_fd < 0 && tasks_fd != -ENOENT)
		return tasks_fd;
	still.sandboxes = calloc(lost->sandbox_count + 1, sizeof(*still.sandboxes));
	if (!still.sandboxes)
		return -ENOMEM;
	for (size_t i = 0; i < lost->sandbox_count; i++) {
		if (tasks_fd >= 0 && in_place_has(tasks_fd, &lost->sandboxes[i]) != 0)
			log_info("sandbox %s is containerd's again", log_name(lost->sandboxes[i].id));
		else
			still.sandboxes[still.sandbox_count++] = lost->sandboxes[i];
	}
	*ret = still;
	return 0;
}

static int sweep_ticket(const struct config *config, const struct policy *policy,
			struct ticket *ticket)
{
	cleanup_inventory struct inventory lost = { 0 };
	const struct sweep_options options = {
		.ticket = ticket->id,
		.plugin_msec = (unsigned)policy->plugin_sec * 1000,
		.parallel = (unsigned)policy->plugins_at_once,
	};
	struct sweep_result result = { 0 };
	struct inventory still = { 0 };
	int r = inventory_from_json(json_object_get(ticket->manifest, "lost"), &lost);

	if (r == 0)
		r = stage_begin(&ticket->stages, STAGE_SWEEP);
	if (r == 0)
		r = still_lost(config, &lost, &still);
	if (r < 0)
		return r;
	r = sweep_sandboxes(config, &still, &options, &result);
	free(still.sandboxes);
	log_info("quarantine %s: of %zu lost sandboxes %zu are released, %zu not in full", ticket->id,
		 result.sandboxes, result.released, result.failed);
	/* What is left is left to the next start's run: not done. */
	return r < 0 ? r : stage_done(&ticket->stages, STAGE_SWEEP);
}

/* Without a root of its own there is none to bring them over into. */
static bool wants_salvage(const struct data_root *place, const struct ticket *ticket)
{
	return place->root_fd >= 0 && aftermath_wants_salvage(ticket);
}

static bool wants_sweep(const struct ticket *ticket)
{
	enum ticket_state state = ticket_state(ticket);

	return !ticket->stages.done[STAGE_SWEEP] && !ticket->stages.begun[STAGE_DEFER] &&
	       (state == TICKET_MOVED || state == TICKET_RESTORED || state == TICKET_PURGING);
}

/* A report that misses something is nothing to come back for. */
static void note_for_report(const struct config *config, const struct policy *policy,
			    const struct ticket *ticket)
{
	cleanup_fd int records_fd = dir_open_path(RECORDS_PATH);
	int r = aftermath_user_data(policy, ticket);

	if (r < 0)
		log_warning("quarantine %s: its user data is not listed: %s", ticket->id, strerror(-r));
	if (records_fd >= 0)
		report_note_ready(records_fd, config->unit, ticket->id, ticket->manifest, &ticket->stages);
}

/* A smaller remedy leaves the databases where they are. */
static int keep_evidence(const struct config *config, const struct policy *policy,
			 const struct data_root *place, const struct ticket *ticket)
{
	cleanup_fd int old_root = dir_open_beneath(ticket->fd, "root");
	bool stays = ticket->stages.begun[STAGE_DEFER];

	return aftermath_evidence(config, policy, ticket->id, ticket->manifest,
				  stays ? place->root_fd : old_root);
}

/* Pods wait for the pause image; nothing waits for the others, nor for the sweep. */
static int finish_ticket(const struct config *config, const struct policy *policy,
			 const struct data_root *place, struct ticket *ticket)
{
	cleanup_salvage struct salvage salvage = { 0 };
	bool images = wants_salvage(place, ticket);
	int first_error = 0, r = 0;

	if (ticket_state(ticket) == TICKET_BEGUN || ticket_state(ticket) == TICKET_UNDONE)
		return 0; /* preflight's, which is not to be kept waiting */
	if (ticket->stages.done[STAGE_DEFER])
		r = defer_clean_state(config, ticket->id);
	else if (images)
		r = aftermath_salvage_pause(config, policy, place, ticket, &salvage);
	images = images && r == 0;
	first_error = r;
	r = tmpmounts_detach(ticket);
	first_error = first_error ?: r;
	if (wants_sweep(ticket)) {
		r = sweep_ticket(config, policy, ticket);
		first_error = first_error ?: r;
	}
	if (images) {
		r = aftermath_salvage_rest(config, policy, place, ticket, &salvage);
		first_error = first_error ?: r;
	}
	note_for_report(config, policy, ticket);
	r = keep_evidence(config, policy, place, ticket);
	if (r < 0) /* missed, but nothing to come back for */
		log_warning("quarantine %s: no evidence was kept: %s", ticket->id, strerror(-r));
	return first_error;
}

static bool wants_work(const struct data_root *place, const struct ticket *ticket)
{
	return wants_salvage(place, ticket) || wants_sweep(ticket);
}

static int finish_one(const struct config *config, const struct policy *policy,
		      const struct data_root *place, const char *id, bool *ret_worked)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	int r = ticket_open(place, id, &ticket);

	if (r == -EBUSY)
		log_warning("quarantine %s: another run of containerd-recover has it in hand; what it leaves to "
			    "do is done behind containerd's next start", log_name(id));
	else if (r < 0)
		log_warning("quarantine %s is not looked at: %s", log_name(id), strerror(-r));
	if (r < 0)
		return r;
	*ret_worked |= wants_work(place, &ticket);
	r = finish_ticket(config, policy, place, &ticket);
	if (r == -EXDEV)
		log_warning("quarantine %s: its images are not brought over: the containerd that answers at %s has "
			    "another data root than %s; the rest is done", id, log_name(config->address),
			    log_name(place->root));
	else if (r < 0)
		log_warning("quarantine %s: not all that was to be done behind it is: %s", id, strerror(-r));
	return r;
}

/* Whether there was anything to do, in *@ret_worked. */
static int finish_all(const struct config *config, const struct policy *policy,
		      const struct data_root *place, bool *ret_worked)
{
	cleanup_tickets char **ids = NULL;
	int first_error = 0;
	int r = tickets_list(place, &ids);

	if (r < 0)
		return r;
	for (char **id = ids; *id; id++) {
		r = finish_one(config, policy, place, *id, ret_worked);
		if (r < 0 && r != -EBADMSG && first_error == 0)
			first_error = r;
	}
	return first_error;
}

static int finish_freed(const struct config *config, const struct policy *policy)
{
	cleanup_fd int records_fd = dir_open_path(RECORDS_PATH);

	if (records_fd < 0)
		return records_fd == -ENOENT ? 0 : records_fd;
	return free_state_finish(config, policy, records_fd);
}

static int prune(const struct data_root *place, const struct policy *policy)
{
	cleanup_fd int records_fd = dir_open_path(RECORDS_PATH);

	if (records_fd < 0)
		return records_fd == -ENOENT ? 0 : records_fd;
	return report_prune_old(place, records_fd, policy);
}

/* All of it once, as the node and the policy are now. */
static int finish_once(const struct cli *cli, bool *ret_worked)
{
	cleanup_free char *problem = NULL;
	struct policy policy;
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_config struct config config = { 0 };
	int freed, kept = 0, r = policy_read(ETC_PATH, &policy, &problem);

	if (r < 0)
		log_warning("%s; going on with the defaults", problem ? problem : strerror(-r));
	r = config_read(&cli->paths, &config);
	freed = r < 0 ? r : finish_freed(&config, &policy);
	/* One that is named may be gone: what was lost with its quarantines is not. */
	if (r == 0)
		r = cli->paths.root ? data_root_open_any(config.root, &place) : data_root_open(config.root, &place);
	if (r < 0)
		return r;
	r = finish_all(&config, &policy, &place, ret_worked);
	/* By another root's quarantines it is not known whose records are still needed. */
	if (r == 0 && !cli->paths.root && prune(&place, &policy) < 0)
		log_warning("the records of old incidents could not be deleted");
	/* Whatever an old quarantine still lacks. */
	if (policy.salvage_keep_archive && place.root_fd >= 0)
		kept = salvage_keep_archive(&config, place.root_fd, IMAGES_PATH);
	if (r == 0 && kept < 0)
		r = kept;
	return r < 0 ? r : freed;
}

int finish_command(int argc, char **argv)
{
	bool worked = true;
	struct cli cli;
	int r;

	r = cli_parse(argc, argv, CLI_PATHS, "Bring over images, sweep what lost sandboxes left, keep evidence.",
		      NULL, &cli);
	if (r >= 0)
		return r;
	/*
	 * A start of containerd that comes while we work does not start us again: what
	 * it left to do, the root that it has by now, and what its stop ended early,
	 * are for us.
	 */
	for (int i = 0; i < PASSES_MAX && worked; i++) {
		worked = false;
		r = finish_once(&cli, &worked);
		worked &= r == 0 || r == -ENOTCONN;
	}
	if (r < 0 && r != -EXDEV) /* which was said */
		log_error("not all could be done: %s", strerror(-r));
	return r < 0 ? EXIT_PARTIAL : EXIT_OK;
}
