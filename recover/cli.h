/*
 * The options that commands share. A command names those it takes; any other
 * is an error that names it.
 */
#ifndef RECOVER_CLI_H
#define RECOVER_CLI_H

#include <stdbool.h>

#include "recover/pods.h"
#include "scanners/config.h"

enum cli_format { FORMAT_TEXT, FORMAT_JSON, FORMAT_PROMETHEUS };

enum cli_option {
	CLI_PATHS = 1 << 0,    /* --root, --state, --config, --unit */
	CLI_DRY_RUN = 1 << 1,  /* -n, --dry-run */
	CLI_YES = 1 << 2,      /* -y, --yes: do not ask */
	CLI_FORMAT = 1 << 3,   /* --format=text|json */
	CLI_PROMETHEUS = 1 << 4, /* and --format=prometheus */
	CLI_FORCE = 1 << 5,    /* --force: whatever hold file and cool-down say */
	CLI_FACTS = 1 << 6,    /* --facts=FILE */
	CLI_LAST = 1 << 7,     /* --last */
	CLI_URGENT = 1 << 8,   /* --urgent */
	CLI_MAX_RATE = 1 << 9, /* --max-rate=N */
	CLI_WAIT = 1 << 10,    /* --wait */
	CLI_ARGUMENT = 1 << 11, /* one argument, required */
	CLI_OPTIONAL = 1 << 12, /* one argument at most */
	CLI_FULL = 1 << 13,	/* --full */
	CLI_BUDGET = 1 << 14,	/* --budget=SECONDS */
	CLI_TOP = 1 << 15,	/* --top=N */
	CLI_NCDU = 1 << 16,	/* --ncdu=FILE */
	CLI_LIMIT = 1 << 17, /* --limit=N */
	CLI_POD = 1 << 18,   /* --pod=NAMESPACE/NAME, several times */
	CLI_TO = 1 << 19,    /* --to=PATH */
	CLI_YES_ENDS_GRACE = 1 << 20, /* -y, --yes: end the grace period of the argument */
	CLI_YES_RELEASES = 1 << 21,   /* -y, --yes: act, not only look */
	CLI_FORCE_HOLD = 1 << 22,     /* --force: whatever the hold file says */
	CLI_SYSTEMD = 1 << 23,	      /* --result=WORD, --exit-status=STATUS */
	CLI_HOST_MOUNTS = 1 << 24,    /* --host-mounts */
};

struct cli {
	struct config_overrides paths;
	bool dry_run, yes, force, last, urgent, wait, host_mounts, full, verbose;
	enum cli_format format;
	const char *facts_file, *ncdu_file;
	const char *argument;
	long long max_rate; /* -1: not given */
	unsigned limit;	    /* 0: not given */
	unsigned budget_sec, top; /* 0: not given */
	const char *to;
	const char *result, *exit_status;
	const char *pods[PODS_MAX];
	size_t pod_count;
};

/*
 * Parse @argv for a command that takes @options, and open the log. @about is
 * what its --help begins with, @argument what its argument is called.
 *
 * Returns -1 to go on, or the exit status: the help was printed, or the error.
 * What @ret points to is @argv's.
 */
int cli_parse(int argc, char **argv, unsigned options, const char *about, const char *argument,
	      struct cli *ret);

/*
 * Ask "@question [y/N] " on the terminal. Returns 1 for yes, 0 for no, or
 * -ENOTTY where there is no terminal to ask at.
 */
int cli_ask(const char *question);

#endif
