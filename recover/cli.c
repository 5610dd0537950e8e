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
#include "scanners/text.h"

enum { OPT_ROOT = 256, OPT_STATE, OPT_CONFIG, OPT_UNIT, OPT_FORMAT, OPT_FORCE, OPT_FACTS, OPT_LAST,
       OPT_URGENT, OPT_MAX_RATE, OPT_WAIT, OPT_HOST_MOUNTS, OPT_FULL, OPT_BUDGET, OPT_TOP, OPT_NCDU, OPT_LIMIT,
       OPT_POD, OPT_TO, OPT_RESULT, OPT_EXIT_STATUS };

/* "-y" is one letter for three promises. */
#define ANY_YES (CLI_YES | CLI_YES_ENDS_GRACE | CLI_YES_RELEASES)

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
	{ CLI_YES_ENDS_GRACE, { "yes", no_argument, NULL, 'y' }, "-y, --yes      end the grace period of ID" },
	{ CLI_YES_RELEASES, { "yes", no_argument, NULL, 'y' }, "-y, --yes      release it; else nothing is changed" },
	{ CLI_FORCE, { "force", no_argument, NULL, OPT_FORCE }, "--force        override the cool-down and the hold file" },
	{ CLI_FORCE_HOLD, { "force", no_argument, NULL, OPT_FORCE }, "--force        override the hold file" },
	{ CLI_FACTS, { "facts", required_argument, NULL, OPT_FACTS }, "--facts=FILE   judge these facts instead of this node (- for stdin)" },
	{ CLI_LAST, { "last", no_argument, NULL, OPT_LAST }, "--last         the report of the last incident" },
	{ CLI_URGENT, { "urgent", no_argument, NULL, OPT_URGENT }, "--urgent       at full speed" },
	{ CLI_MAX_RATE, { "max-rate", required_argument, NULL, OPT_MAX_RATE }, "--max-rate=N   entries per second at most" },
	{ CLI_WAIT, { "wait", no_argument, NULL, OPT_WAIT }, "--wait         wait for the end of the grace period" },
	{ CLI_HOST_MOUNTS, { "host-mounts", no_argument, NULL, OPT_HOST_MOUNTS }, "--host-mounts  in a unit's sandbox, delete where PID 1 may" },
	{ CLI_FULL, { "full", no_argument, NULL, OPT_FULL }, "--full         everything, with its bytes, however long it takes" },
	{ CLI_BUDGET, { "budget", required_argument, NULL, OPT_BUDGET }, "--budget=SEC   seconds to spend" },
	{ CLI_TOP, { "top", required_argument, NULL, OPT_TOP }, "--top=N        how many to list" },
	{ CLI_NCDU, { "ncdu", required_argument, NULL, OPT_NCDU }, "--ncdu=FILE    write the tree for `ncdu -f FILE` instead (- for stdout)" },
	{ CLI_LIMIT, { "limit", required_argument, NULL, OPT_LIMIT }, "--limit=N      sandboxes released at most" },
	{ CLI_POD, { "pod", required_argument, NULL, OPT_POD }, "--pod=NS/NAME  what is this pod's; wildcards; may be given again" },
	{ CLI_TO, { "to", required_argument, NULL, OPT_TO }, "--to=PATH      a new directory, or a new .tar, .tar.zst, .tar.gz" },
	{ CLI_SYSTEMD, { "result", required_argument, NULL, OPT_RESULT }, "--result=WORD  systemd's Result= of the unit, where the log lacks it" },
	{ CLI_SYSTEMD, { "exit-status", required_argument, NULL, OPT_EXIT_STATUS }, "--exit-status=STATUS  its exit status: 1, 203/EXEC, killed/KILL" },
	{ CLI_FORMAT, { "format", required_argument, NULL, OPT_FORMAT }, "--format=FMT   text or json" },
	{ 0, { "verbose", no_argument, NULL, 'v' }, "-v, --verbose  name each step" },
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

/* @what is counted, 1 of it to @most. */
static int take_number(const char *option, const char *text, const char *what, long long most,
		       long long *ret)
{
	const char *problem;
	long long number = strtonum(text, 1, most, &problem);

	if (problem) {
		fprintf(stderr, "containerd-recover: --%s=%s is %s; give a number of %s, 1 to %lld\n",
			option, text, problem, what, most);
		return -EINVAL;
	}
	*ret = number;
	return 0;
}

static int take_count(const char *option, const char *text, const char *what, unsigned *ret)
{
	long long number;
	int r = take_number(option, text, what, INT_MAX / 1000, &number);

	if (r == 0)
		*ret = (unsigned)number;
	return r;
}

static int take_text(const char *option, const char *text, const char *what, const char **ret)
{
	if (!*text) {
		fprintf(stderr, "containerd-recover: --%s is empty; give %s\n", option, what);
		return -EINVAL;
	}
	*ret = text;
	return 0;
}

static int take_unit(const char *text, struct cli *cli)
{
	if (!text_is_single_name(text)) {
		fprintf(stderr, "containerd-recover: --unit=%s: give a unit's name, such as containerd.service\n",
			text);
		return -EINVAL;
	}
	cli->paths.unit = text;
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
		return take_unit(optarg, cli);
	case OPT_FORMAT:
		return take_format(optarg, options, cli);
	case OPT_FACTS:
		return take_text("facts", optarg, "a file, or - for standard input", &cli->facts_file);
	case OPT_MAX_RATE:
		return take_number("max-rate", optarg, "entries a second", UINT_MAX, &cli->max_rate);
	case OPT_NCDU:
		return take_text("ncdu", optarg, "a file, or - for standard output", &cli->ncdu_file);
	case OPT_BUDGET:
		return take_count("budget", optarg, "seconds", &cli->budget_sec);
	case OPT_TOP:
		return take_count("top", optarg, "rows", &cli->top);
	case OPT_LIMIT:
		return take_count("limit", optarg, "sandboxes", &cli->limit);
	case OPT_POD:
		return take_pod(optarg, cli);
	case OPT_TO:
		return take_text("to", optarg, "a path where there is nothing yet", &cli->to);
	case OPT_RESULT:
		return take_text("result", optarg, "systemd's Result=, such as exit-code", &cli->result);
	case OPT_EXIT_STATUS:
		return take_text("exit-status", optarg, "a status, such as 1 or 203/EXEC", &cli->exit_status);
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
	case OPT_HOST_MOUNTS:
		cli->host_mounts = true;
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
		fprintf(stderr, "containerd-recover: %s needs an argument: %s%s\n", argv[0], argument,
			strcmp(argument, "ID") == 0 ? "; `containerd-recover status` lists them" : "");
		return -EINVAL;
	}
	cli->argument = argv[optind];
	return 0;
}

/* What would be ignored otherwise, and the person take for done. */
static int check_together(const struct cli *cli, unsigned options)
{
	const struct config_overrides *paths = &cli->paths;
	const struct {
		bool wrong;
		const char *words;
	} pairs[] = {
		{ cli->full && cli->budget_sec, "--full takes as long as it takes; leave --budget out" },
		{ cli->ncdu_file && cli->format == FORMAT_JSON, "--ncdu has a format of its own; leave --format out" },
		{ cli->last && cli->format == FORMAT_PROMETHEUS, "--last is not for --format=prometheus; give text or json" },
		{ cli->urgent && cli->max_rate > 0, "--urgent is at full speed; leave --max-rate out" },
		{ cli->facts_file && (paths->root || paths->state || paths->config || paths->unit),
		  "--facts has all that is judged; leave --root, --state, --config and --unit out" },
		{ (options & CLI_YES_ENDS_GRACE) && cli->yes && !cli->argument,
		  "--yes ends the grace period of one quarantine; give its ID, which `containerd-recover status` has" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		if (!pairs[i].wrong)
			continue;
		fprintf(stderr, "containerd-recover: %s\n", pairs[i].words);
		return -EINVAL;
	}
	return 0;
}

int cli_parse(int argc, char **argv, unsigned options, const char *about, const char *argument,
	      struct cli *ret)
{
	struct option longs[ARRAY_SIZE(rows) + 1] = { 0 };
	struct cli cli = { .max_rate = -1 };
	static char program[] = "containerd-recover"; /* stays in @argv where this ends early */
	char *name = argv[0], shorts[8];
	size_t n = 0;
	int option;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		if (!rows[i].belongs || (rows[i].belongs & options))
			longs[n++] = rows[i].option;
	(void)snprintf(shorts, sizeof(shorts), "hv%s%s", options & CLI_DRY_RUN ? "n" : "",
		       options & ANY_YES ? "y" : "");
	optind = 0;
	argv[0] = program; /* for getopt's own messages */
	while ((option = getopt_long(argc, argv, shorts, longs, NULL)) >= 0) {
		if (option == 'h') {
			print_help(name, options, about, argument);
			return EXIT_OK;
		}
		if (option == '?' || take_option(option, options, &cli) < 0)
			return usage_error(name);
	}
	argv[0] = name;
	if (take_arguments(argc, argv, options, argument, &cli) < 0 || check_together(&cli, options) < 0)
		return usage_error(name);
	log_open(cli.verbose);
	/* Who sees half of the node takes the other half for gone. */
	if ((options & CLI_PATHS) && !cli.facts_file && geteuid() != 0) {
		log_error("%s needs root", name);
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
