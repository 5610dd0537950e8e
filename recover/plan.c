/* `plan`: facts to decision, of this node or of a file, and nothing else. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "recover/cli.h"
#include "recover/command.h"
#include "recover/decision.h"
#include "recover/log.h"
#include "recover/notices.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"

#define WANTED "give the output of `containerd-recover plan --format=json`, or a quarantine's manifest.json"

static int read_facts(const char *name, struct facts *ret)
{
	cleanup_free char *problem = NULL;
	json_error_t error;
	json_t *json = strcmp(name, "-") == 0 ? json_loadf(stdin, 0, &error) :
						json_load_file(name, 0, &error);
	json_t *facts;
	int r;

	if (!json) {
		if (error.line < 0) /* not read at all, which the text says */
			log_error("%s", error.text);
		else
			log_error("%s is not JSON: line %d: %s; " WANTED, name, error.line, error.text);
		return -EINVAL;
	}
	facts = json_object_get(json, "facts"); /* of a manifest or of our own output */
	r = facts_from_json(facts ? facts : json, ret, &problem);
	if (r < 0)
		log_error("%s does not have the facts of a node: %s; " WANTED, name,
			  problem ? problem : strerror(-r));
	json_decref(json);
	return r;
}

static int look(const struct cli *cli, struct facts *ret, json_t **ret_notices)
{
	struct situation_options options = {
		.overrides = cli->paths,
		.whole_tree = true,
		.count_always = true,
	};
	cleanup_situation struct situation s = SITUATION_NONE;
	int r = situation_look(&options, NULL, &s);

	if (r < 0) {
		log_error("cannot look at the node: %s", strerror(-r));
		return r;
	}
	if (cli->format == FORMAT_TEXT)
		situation_print(&s);
	*ret_notices = notices_gather(&s);
	*ret = s.facts;
	return 0;
}

/* @notices: NULL where no node was looked at. */
static int print_json(const struct facts *facts, const struct decision *decision, json_t *notices)
{
	json_t *json = json_pack("{s:o*, s:o*, s:O*}", "facts", facts_to_json(facts), "decision",
				 decision_to_json(facts, decision), "notices", notices);
	int r = json ? json_dumpf(json, stdout, JSON_INDENT(1)) : -1;

	json_decref(json);
	printf("\n");
	return r < 0 ? EXIT_FAILED : EXIT_OK;
}

int plan_command(int argc, char **argv)
{
	json_auto_t *notices = NULL;
	struct decision decision;
	struct facts facts;
	struct cli cli;
	int r;

	r = cli_parse(argc, argv, CLI_PATHS | CLI_FORMAT | CLI_FACTS,
		      "Show what would be decided, on what evidence; change nothing.", NULL, &cli);
	if (r >= 0)
		return r;
	r = cli.facts_file ? read_facts(cli.facts_file, &facts) : look(&cli, &facts, &notices);
	if (r < 0)
		return EXIT_FAILED;
	decision = triage(&facts);
	if (cli.format == FORMAT_JSON)
		return print_json(&facts, &decision, notices);
	notices_print(notices);
	decision_print(stdout, &facts, &decision);
	return EXIT_OK;
}
