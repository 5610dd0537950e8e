/* `scan`: what is wrong here, and what makes the root so big. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recover/bar.h"
#include "recover/cli.h"
#include "recover/command.h"
#include "recover/decision.h"
#include "recover/log.h"
#include "recover/notices.h"
#include "recover/quantity.h"
#include "recover/scan.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"

enum {
	BUDGET_SEC = 10,
	TOP = 10,
};

/* On a terminal: how far it is, if the whole is known, else how many so far. */
static bool show_progress(uint64_t entries, void *data)
{
	const uint64_t *total = data;
	char text[64];

	(void)snprintf(text, sizeof(text), "%s entries", quantity_count(entries).text);
	bar_show(entries, *total, text);
	return false;
}

/* The used inodes are the root's alone only if the file system is. */
static uint64_t known_total(const struct facts *facts)
{
	if (!facts->root.is_mount_point || facts->fs.inodes <= facts->fs.inodes_free)
		return 0;
	return facts->fs.inodes - facts->fs.inodes_free;
}

/* @scan: NULL if there is no root. */
static int print_json(const struct situation *s, const struct decision *decision,
		      const struct scan *scan, size_t top)
{
	json_t *json = json_pack("{s:s, s:o*, s:o*, s:o*, s:o?}", "root", s->facts.config.root, "facts",
				 facts_to_json(&s->facts), "decision",
				 decision_to_json(&s->facts, decision), "notices", notices_gather(s), "scan",
				 scan ? scan_to_json(scan, top) : NULL);
	int r = json ? json_dumpf(json, stdout, JSON_INDENT(1)) : -1;

	json_decref(json);
	printf("\n");
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

static int export(const struct situation *s, const char *path)
{
	cleanup_file FILE *file = NULL;
	int r;

	if (strcmp(path, "-") != 0) {
		file = fopen(path, "wxe");
		if (!file) {
			log_error("%s: %s", path, strerror(errno));
			return EXIT_FAILED;
		}
	}
	r = scan_export(s->place.root_fd, s->facts.config.root, file ?: stdout);
	if (r < 0)
		log_error("cannot export the tree: %s", strerror(-r));
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

static int look(const struct cli *cli, struct situation *ret)
{
	const struct situation_options options = {
		.overrides = cli->paths,
		.whole_tree = true,
	};
	int r = situation_look(&options, NULL, ret);

	if (r < 0) {
		log_error("cannot look at the node: %s", strerror(-r));
		return EXIT_FAILED;
	}
	/* A scan takes its time, and containerd's start waits for this lock. */
	cleanup_close(&ret->meta_fd);
	ret->meta_fd = -EBADF;
	return EXIT_OK;
}

static void say_diagnosis(const struct situation *s, const struct decision *decision)
{
	json_auto_t *notices = notices_gather(s);

	situation_print(s);
	notices_print(notices);
	decision_print(stdout, &s->facts, decision);
	(void)fflush(stdout);
}

/* Without a root that can be read there is a diagnosis all the same. */
static int say_no_root(const struct situation *s, const struct decision *decision, enum cli_format format)
{
	const char *why = *s->facts.config.config_problem ? s->facts.config.config_problem :
							    strerror(-(s->facts.root.error ?: -ENOENT));

	if (format == FORMAT_JSON)
		(void)print_json(s, decision, NULL, 0); /* main() checks stdout */
	log_error("nothing is counted: %s: %s", log_name(s->facts.config.root), log_name(why));
	return EXIT_FAILED;
}

static int scan_tree(const struct situation *s, const struct cli *cli, struct scan *ret)
{
	uint64_t total = known_total(&s->facts);
	bool terminal = isatty(STDERR_FILENO);
	const struct scan_options options = {
		.budget_msec = cli->full ? 0 : (unsigned)(cli->budget_sec ?: BUDGET_SEC) * 1000,
		.full = cli->full,
		.top = cli->top ?: TOP,
		.progress = terminal ? show_progress : NULL,
		.data = &total,
	};
	int r = scan_root(s->place.root_fd, &s->config, s->facts.pods.looked ? &s->inventory : NULL,
			  &options, ret);

	if (terminal)
		bar_clear();
	return r;
}

int scan_command(int argc, char **argv)
{
	cleanup_situation struct situation s = SITUATION_NONE;
	cleanup_scan struct scan scan = { 0 };
	struct decision decision;
	struct cli cli;
	int r;

	r = cli_parse(argc, argv, CLI_PATHS | CLI_FORMAT | CLI_FULL | CLI_BUDGET | CLI_TOP | CLI_NCDU,
		      "Say what is wrong here and what makes containerd's data root so big.", NULL, &cli);
	if (r >= 0)
		return r;
	r = look(&cli, &s);
	if (r != EXIT_OK)
		return r;
	decision = triage(&s.facts);
	if (cli.format == FORMAT_TEXT && !cli.ncdu_file)
		say_diagnosis(&s, &decision);
	if (s.place.root_fd < 0)
		return say_no_root(&s, &decision, cli.ncdu_file ? FORMAT_TEXT : cli.format);
	if (cli.ncdu_file)
		return export(&s, cli.ncdu_file);
	r = scan_tree(&s, &cli, &scan);
	if (r < 0) {
		log_error("%s: %s", log_name(s.facts.config.root), strerror(-r));
		return EXIT_FAILED;
	}
	if (cli.format == FORMAT_JSON)
		return print_json(&s, &decision, &scan, cli.top ?: TOP);
	printf("\n");
	scan_print(stdout, &scan, s.facts.config.root, s.policy.bloat_entries, cli.top ?: TOP);
	return EXIT_OK;
}
