#include "recover/aftermath.h"

#include <errno.h>
#include <string.h>

#include "recover/evidence.h"
#include "recover/file.h"
#include "recover/log.h"
#include "recover/pods.h"
#include "recover/report_store.h"
#include "recover/situation.h"
#include "recover/userdata.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

bool aftermath_wants_salvage(const struct ticket *ticket)
{
	return ticket_state(ticket) == TICKET_MOVED && !ticket->stages.done[STAGE_SALVAGE];
}

static int record_images(const struct ticket *ticket, const struct salvage *salvage,
			 int (*record)(int records_fd, const char *id, const struct salvage *salvage))
{
	cleanup_fd int records = file_make_dirs(RECORDS_PATH, 0700);

	return records < 0 ? records : record(records, ticket->id, salvage);
}

static int run(const struct config *config, const struct policy *policy,
	       const struct data_root *place, const struct ticket *ticket, bool pause_only,
	       struct salvage *salvage)
{
	const struct salvage_options options = {
		.pause_only = pause_only,
		.budget_msec = (unsigned)policy->salvage_sec * 1000,
		.max_rate = policy->salvage_rate,
		.min_free_bytes = policy->min_free_bytes,
		.archives = IMAGES_PATH,
	};
	cleanup_fd int old_root = dir_open_beneath(ticket->fd, "root");

	if (old_root < 0)
		return old_root;
	return salvage_run(config, old_root, place->root_fd, &options, salvage);
}

int aftermath_salvage_pause(const struct config *config, const struct policy *policy,
			    const struct data_root *place, struct ticket *ticket,
			    struct salvage *ret)
{
	cleanup_salvage struct salvage salvage = { 0 };
	cleanup_fd int old_root = dir_open_beneath(ticket->fd, "root");
	int r;

	if (old_root < 0)
		return old_root;
	r = stage_begin(&ticket->stages, STAGE_SALVAGE);
	if (r == 0)
		r = salvage_list(old_root, config, &salvage);
	/* Whatever comes: what may have to be pulled is known. */
	if (r == 0)
		r = record_images(ticket, &salvage, salvage_record_list);
	stages_fault_point();
	if (r == 0 && policy->salvage)
		r = run(config, policy, place, ticket, true, &salvage);
	if (r < 0)
		return r;
	*ret = salvage;
	salvage = (struct salvage){ 0 };
	return 0;
}

static void sum_up(const struct ticket *ticket, const struct salvage *salvage)
{
	size_t here = 0;

	for (size_t i = 0; i < salvage->count; i++)
		here += salvage->images[i].outcome == SALVAGE_DONE ||
			salvage->images[i].outcome == SALVAGE_PRESENT;
	if (salvage->count == 0)
		log_info("quarantine %s: no image is named in what can be read of its records", ticket->id);
	else if (here == salvage->count)
		log_info("quarantine %s: all of its %zu images are there", ticket->id, here);
	else
		log_info("quarantine %s: of %zu images %zu are there; the others are listed in " RECORDS_PATH
			 "/repull-%s.txt",
			 ticket->id, salvage->count, here, ticket->id);
}

int aftermath_salvage_rest(const struct config *config, const struct policy *policy,
			   const struct data_root *place, struct ticket *ticket,
			   struct salvage *salvage)
{
	int r = 0;

	if (!policy->salvage || policy->salvage_pause_only) {
		for (size_t i = 0; i < salvage->count; i++)
			if (salvage->images[i].outcome == SALVAGE_PENDING)
				salvage->images[i].outcome = SALVAGE_NOT_WANTED;
	} else {
		r = run(config, policy, place, ticket, false, salvage);
	}
	if (r == 0)
		r = record_images(ticket, salvage, salvage_record);
	if (r < 0)
		return r;
	sum_up(ticket, salvage);
	stages_fault_point();
	return stage_done(&ticket->stages, STAGE_SALVAGE);
}

int aftermath_evidence(const struct config *config, const struct policy *policy, const char *id,
		       const json_t *manifest, int root_fd)
{
	cleanup_free char *journal = NULL;
	struct evidence_options options = {
		.directory = EVIDENCE_PATH,
		.why = id,
		.config = config,
		.root_fd = root_fd,
		.facts = json_object_get(manifest, "facts"),
		.decision = json_object_get(manifest, "decision"),
		.manifest = manifest,
		.budget_msec = (unsigned)policy->evidence_sec * 1000,
		.file_bytes_max = policy->evidence_file_max,
		.keep = (unsigned)policy->evidence_keep,
		.max_age_sec = policy->evidence_age_sec,
	};
	int r;

	r = policy->evidence ? evidence_exists(EVIDENCE_PATH, id) : 1;
	if (r != 0)
		return r < 0 ? r : 0;
	/* Without a journal there is still the rest. */
	if (evidence_journal(config->unit, policy, &journal) == 0)
		options.journal = journal;
	return evidence_write(&options, NULL);
}

int aftermath_user_data(const struct policy *policy, const struct ticket *ticket)
{
	cleanup_fd int records = dir_open_path(RECORDS_PATH);
	cleanup_userdata struct userdata data = { 0 };
	json_auto_t *noted = records < 0 ? NULL : report_read(records, ticket->id);
	const char *patterns[PODS_MAX];
	char list[POLICY_LIST];
	int count, r;

	if (!noted)
		return records < 0 ? records : -ENOMEM;
	/* In no other state is there anything of the pods that were lost. */
	if (json_object_get(noted, "user_data") ||
	    (ticket_state(ticket) != TICKET_MOVED && ticket_state(ticket) != TICKET_DEFERRED))
		return 0;
	r = userdata_list(ticket, &data);
	if (r < 0)
		return r;
	memcpy(list, policy->keep_pods, sizeof(list));
	count = pods_split(list, patterns); /* was checked when it was read */
	userdata_select(&data, patterns, count < 0 ? 0 : (size_t)count, false);
	r = userdata_measure(ticket, (unsigned)policy->keep_msec, &data);
	if (r == 0)
		report_note(records, ticket->id, "user_data", userdata_to_json(&data));
	return r;
}
