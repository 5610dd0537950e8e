/* `evidence`: by hand, what every action leaves behind by itself. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "recover/cli.h"
#include "recover/command.h"
#include "recover/decision.h"
#include "recover/evidence.h"
#include "recover/log.h"
#include "recover/scan.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"

enum { TOP = 100 };

static json_t *summary(const struct situation *s)
{
	const struct scan_options options = {
		.budget_msec = (unsigned)s->policy.evidence_sec * 1000 / 2,
		.top = TOP,
	};
	cleanup_scan struct scan scan = { 0 };

	if (s->facts.root.error ||
	    scan_root(s->place.root_fd, &s->config, s->facts.pods.looked ? &s->inventory : NULL,
		      &options, &scan) < 0)
		return NULL;
	return scan_to_json(&scan, TOP);
}

static int write_archive(const struct situation *s, char **ret_path)
{
	const struct decision decision = triage(&s->facts);
	json_t *facts = facts_to_json(&s->facts);
	json_t *decided = decision_to_json(&s->facts, &decision);
	json_t *scan = summary(s);
	cleanup_free char *journal = NULL;
	const struct evidence_options options = {
		.directory = EVIDENCE_PATH,
		.why = "by-hand",
		.config = &s->config,
		.root_fd = s->facts.root.error ? -EBADF : s->place.root_fd,
		.facts = facts,
		.decision = decided,
		.scan = scan,
		.journal = evidence_journal(s->config.unit, &s->policy, &journal) == 0 ? journal : NULL,
		.inventory = s->facts.pods.looked ? &s->inventory : NULL,
		.budget_msec = (unsigned)s->policy.evidence_sec * 1000,
		.file_bytes_max = s->policy.evidence_file_max,
		.keep = (unsigned)s->policy.evidence_keep,
		.max_age_sec = s->policy.evidence_age_sec,
	};
	int r = evidence_write(&options, ret_path);

	json_decref(facts);
	json_decref(decided);
	json_decref(scan);
	return r;
}

int evidence_command(int argc, char **argv)
{
	cleanup_situation struct situation s = SITUATION_NONE;
	struct situation_options options = { .whole_tree = true };
	cleanup_free char *path = NULL;
	struct cli cli;
	int r;

	r = cli_parse(argc, argv, CLI_PATHS,
		      "Keep what can be seen of this node in an archive, without credentials.", NULL, &cli);
	if (r >= 0)
		return r;
	options.overrides = cli.paths;
	r = situation_look(&options, NULL, &s);
	if (r == 0) {
		/* Collecting takes its time, and containerd's start waits for this lock. */
		cleanup_close(&s.meta_fd);
		s.meta_fd = -EBADF;
		r = write_archive(&s, &path);
	}
	if (r < 0) {
		log_error("no evidence could be kept: %s",
			  r == -ELIBACC ? "libarchive is not installed" : strerror(-r));
		return EXIT_FAILED;
	}
	printf("%s\n", path);
	return EXIT_OK;
}
