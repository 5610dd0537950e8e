#include "recover/cli.h"

#include <bsd/stdlib.h>
#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recover/command.h"
#include "recover/log.h"
#include "scanners/cleanup.h"

enum { OPT_ROOT = 256, OPT_STATE, OPT_CONFIG, OPT_UNIT, OPT_FORMAT, OPT_FORCE, OPT_FACTS, OPT_LAST,
       OPT_URGENT, OPT_MAX_RATE, OPT_WAIT, OPT_FULL, OPT_BUDGET, OPT_TOP, OPT_NCDU, OPT_LIMIT,
       OPT_POD, OPT_TO };

static const struct option_row {
	unsigned belongs; /* 0: every command has it */
	struct option option;
	const char *help;
} rows[] = {
	{ CLI_PATHS, { "root", required_argument, NULL, OPT_ROOT }, "--root=DIR     containerd's data root" },
	{ CLI_PATHS, { "state", required_argument, NULL, OPT_STATE }, "--state=DIR    containerd's state directory" },
	{ CLI_PATHS, { "config", required_argument, NULL, OPT_CONFIG }, "--config=FILE  containerd's configuration" },
	{ CLI_PATHS, { "unit", required_argument, NULL, OPT_UNIT }, "--unit=NAME    systemd unit (containerd.service)" },
	{ CLI_DRY_RUN, { "dry-run", no_argument, NULL, 'n' }, "-n, --dry-run  show what would be done, change nothing" },
	{ CLI_YES, { "yes", no_argument, NULL, 'y' }, "-y, --yes      do not ask" },
	{ CLI_FORCE, { "force", no_argument, NULL, OPT_FORCE }, "--force        override the cool-down and the hold file" },
	{ CLI_FACTS, { "facts", required_argument, NULL, OPT_FACTS }, "--facts=FILE   judge these facts instead of this node (- for stdin)" },
	{ CLI_LAST, { "last", no_argument, NULL, OPT_LAST }, "--last         the report of the last incident" },
	{ CLI_URGENT, { "urgent", no_argument, NULL, OPT_URGENT }, "--urgent       at full speed" },
	{ CLI_MAX_RATE, { "max-rate", required_argument, NULL, OPT_MAX_RATE }, "--max-rate=N   entries per second at most" },
	{ CLI_WAIT, { "wait", no_argument, NULL, OPT_WAIT }, "--wait         wait for the end of the grace period" },
	{ CLI_FULL, { "full", no_argument, NULL, OPT_FULL }, "--full         everything, with its bytes, however long it takes" },
	{ CLI_BUDGET, { "budget", required_argument, NULL, OPT_BUDGET }, "--budget=SEC   seconds to spend" },
	{ CLI_TOP, { "top", required_argument, NULL, OPT_TOP }, "--top=N        how many to list" },
	{ CLI_NCDU, { "ncdu", required_argument, NULL, OPT_NCDU }, "--ncdu=FILE    write the tree for `ncdu -f FILE` instead (- for stdout)" },
	{ CLI_LIMIT, { "limit", required_argument, NULL, OPT_LIMIT }, "--limit=N      sandboxes released at most" },
	{ CLI_POD, { "pod", required_argument, NULL, OPT_POD }, "--pod=NS/NAME  what is this pod's; wildcards; may be given again" },
	{ CLI_TO, { "to", required_argument, NULL, OPT_TO }, "--to=PATH      a new directory, or a new .tar, .tar.zst, .tar.gz" },
	{ CLI_FORMAT, { "format", required_argument, NULL, OPT_FORMAT }, "--format=FMT   text or json" },
	{ 0, { "verbose", no_argument, NULL, 'v' }, "-v, --verbose  say more" },
	{ 0, { "help", no_argument, NULL, 'h' }, "-h, --help     show this help" },
};

static void print_help(const char *name, unsigned options, const char *about, const char *argument)
{
	printf("Usage: containerd-recover %s [OPTION]...%s%s\n%s\n\nOptions:\n", name,
	       argument ? " " : "", argument ? argument : "", about);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!rows[i].belongs || (rows[i].belongs & options))
			printf("  %s%s\n", rows[i].help,
			       rows[i].option.val == OPT_FORMAT && (options & CLI_PROMETHEUS) ?
				       ", or prometheus" :
				       "");
	printf("\nSee containerd-recover(8).\n");
}

static int usage_error(const char *name)
{
	fprintf(stderr, "Try 'containerd-recover %s --help'.\n", name);
	return EXIT_USAGE;
}

static int take_format(const char *text, unsigned options, struct cli *cli)
{
	if (strcmp(text, "text") == 0)
		cli->format = FORMAT_TEXT;
	else if (strcmp(text, "json") == 0)
		cli->format = FORMAT_JSON;
	else if (strcmp(text, "prometheus") == 0 && (options & CLI_PROMETHEUS))
		cli->format = FORMAT_PROMETHEUS;
	else {
		fprintf(stderr, "containerd-recover: --format=%s: give text%s\n", text,
			options & CLI_PROMETHEUS ? ", json or prometheus" : " or json");
		return -EINVAL;
	}
	return 0;
}

static int take_path(const char *option, const char *text, const char **ret)
{
	if (text[0] != '/') {
		fprintf(stderr, "containerd-recover: --%s=%s: give an absolute path\n", option, text);
		return -EINVAL;
	}
	*ret = text;
	return 0;
}

static int take_rate(const char *text, struct cli *cli)
{
	const char *problem;

	cli->max_rate = strtonum(text, 1, UINT_MAX, &problem);
	if (!problem)
		return 0;
	fprintf(stderr, "containerd-recover: --max-rate=%s is %s; give entries per second\n", text,
		problem);
	return -EINVAL;
}

static int take_number(const char *option, const char *text, unsigned *ret)
{
	const char *problem;
	long long number = strtonum(text, 1, INT_MAX / 1000, &problem);

	if (problem) {
		fprintf(stderr, "containerd-recover: --%s=%s is %s\n", option, text, problem);
		return -EINVAL;
	}
	*ret = (unsigned)number;
	return 0;
}

static int take_pod(const char *text, struct cli *cli)
{
	if (!pods_is_pattern(text)) {
		fprintf(stderr, "containerd-recover: --pod=%s: give NAMESPACE/NAME\n", text);
		return -EINVAL;
	}
	if (cli->pod_count == PODS_MAX) {
		fprintf(stderr, "containerd-recover: more than %d --pod; use wildcards\n", PODS_MAX);
		return -E2BIG;
	}
	cli->pods[cli->pod_count++] = text;
	return 0;
}

static int take_option(int option, unsigned options, struct cli *cli)
{
	switch (option) {
	case OPT_ROOT:
		return take_path("root", optarg, &cli->paths.root);
	case OPT_STATE:
		return take_path("state", optarg, &cli->paths.state);
	case OPT_CONFIG:
		return take_path("config", optarg, &cli->paths.config);
	case OPT_UNIT:
		cli->paths.unit = optarg;
		return 0;
	case OPT_FORMAT:
		return take_format(optarg, options, cli);
	case OPT_FACTS:
		cli->facts_file = optarg;
		return 0;
	case OPT_MAX_RATE:
		return take_rate(optarg, cli);
	case OPT_NCDU:
		cli->ncdu_file = optarg;
		return 0;
	case OPT_BUDGET:
		return take_number("budget", optarg, &cli->budget_sec);
	case OPT_TOP:
		return take_number("top", optarg, &cli->top);
	case OPT_LIMIT:
		return take_number("limit", optarg, &cli->limit);
	case OPT_POD:
		return take_pod(optarg, cli);
	case OPT_TO:
		cli->to = optarg;
		return 0;
	case OPT_FULL:
		cli->full = true;
		return 0;
	case 'n':
		cli->dry_run = true;
		return 0;
	case 'y':
		cli->yes = true;
		return 0;
	case 'v':
		cli->verbose = true;
		return 0;
	case OPT_FORCE:
		cli->force = true;
		return 0;
	case OPT_LAST:
		cli->last = true;
		return 0;
	case OPT_URGENT:
		cli->urgent = true;
		return 0;
	case OPT_WAIT:
		cli->wait = true;
		return 0;
	default:
		return -EINVAL;
	}
}

static int take_arguments(int argc, char **argv, unsigned options, const char *argument,
			  struct cli *cli)
{
	int room = options & (CLI_ARGUMENT | CLI_OPTIONAL) ? 1 : 0;

	if (argc - optind > room) {
		fprintf(stderr, "containerd-recover: %s takes no argument '%s'\n", argv[0],
			argv[optind + room]);
		return -EINVAL;
	}
	if ((options & CLI_ARGUMENT) && optind == argc) {
		fprintf(stderr, "containerd-recover: %s needs one %s%s\n", argv[0], argument,
			strcmp(argument, "ID") == 0 ? "; `containerd-recover status` lists them" : "");
		return -EINVAL;
	}
	cli->argument = argv[optind];
	return 0;
}

int cli_parse(int argc, char **argv, unsigned options, const char *about, const char *argument,
	      struct cli *ret)
{
	struct option longs[ARRAY_SIZE(rows) + 1] = { 0 };
	struct cli cli = { .max_rate = -1 };
	char shorts[8];
	size_t n = 0;
	int option;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!rows[i].belongs || (rows[i].belongs & options))
			longs[n++] = rows[i].option;
	(void)snprintf(shorts, sizeof(shorts), "hv%s%s", options & CLI_DRY_RUN ? "n" : "",
		       options & CLI_YES ? "y" : "");
	optind = 0;
	while ((option = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
		if (option == 'h') {
			print_help(argv[0], options, about, argument);
			return EXIT_OK;
		}
		if (option == '?' || take_option(option, options, &cli) < 0)
			return usage_error(argv[0]);
	}
	if (take_arguments(argc, argv, options, argument, &cli) < 0)
		return usage_error(argv[0]);
	log_open(cli.verbose);
	/* Who sees half of the node takes the other half for gone. */
	if ((options & CLI_PATHS) && !cli.facts_file && geteuid() != 0) {
		log_error("%s needs root", argv[0]);
		return EXIT_FAILED;
	}
	*ret = cli;
	return -1;
}

int cli_ask(const char *question)
{
	char answer[16];

	if (!isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
		return -ENOTTY;
	fprintf(stderr, "%s [y/N] ", question);
	if (!fgets(answer, sizeof(answer), stdin))
		return 0;
	return strcmp(answer, "y\n") == 0 || strcmp(answer, "yes\n") == 0;
}
