/* `record started|stopped`: ExecStartPost and ExecStopPost, for the ledger. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "recover/aftermath.h"
#include "recover/budget.h"
#include "recover/cli.h"
#include "recover/command.h"
#include "recover/file.h"
#include "recover/fingerprint.h"
#include "recover/log.h"
#include "recover/ledger.h"
#include "recover/policy.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"

enum { BUDGET_SEC = 10 }; /* systemd would end containerd together with us */

static int append(const char *unit, const struct ledger_entry *entry, bool sync)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	cleanup_free char *name = situation_ledger_name(unit);
	struct ledger_clock now;
	int r;

	if (records_fd < 0)
		return records_fd;
	if (!name)
		return -ENOMEM;
	r = ledger_clock_now(&now);
	return r < 0 ? r : ledger_append(records_fd, name, &now, entry, sync);
}

/* The background unit, which starts next, does the work where this directory is. */
static void want_archive(void)
{
	cleanup_free char *problem = NULL;
	cleanup_fd int fd = -EBADF;
	struct policy policy;

	if (policy_read(ETC_PATH, &policy, &problem) < 0 || !policy.salvage_keep_archive)
		return;
	fd = file_make_dirs(IMAGES_PATH, 0700);
	if (fd < 0)
		log_warning("%s: %s", IMAGES_PATH, strerror(-fd));
}

int record_command(int argc, char **argv)
{
	struct ledger_entry entry = {
		.invocation = getenv("INVOCATION_ID"),
		.result = getenv("SERVICE_RESULT"),
		.code = getenv("EXIT_CODE"),
		.status = getenv("EXIT_STATUS"),
	};
	cleanup_config struct config config = { 0 };
	char fingerprint[FINGERPRINT];
	struct cli cli;
	bool sync;
	int r;

	budget_set(BUDGET_SEC, "containerd-recover: record ran out of its time budget\n");
	r = cli_parse(argc, argv, CLI_PATHS | CLI_ARGUMENT,
		      "Write into the ledger that containerd is READY, or that it stopped.",
		      "started|stopped", &cli);
	if (r >= 0)
		return r;
	if (strcmp(cli.argument, "started") == 0) {
		entry.event = LEDGER_READY;
		if (config_read(&cli.paths, &config) == 0) {
			fingerprint_take(&config, fingerprint);
			entry.fingerprint = fingerprint;
		}
	} else if (strcmp(cli.argument, "stopped") == 0) {
		entry.event = LEDGER_STOPPED;
	} else {
		fprintf(stderr, "containerd-recover: record '%s': give started or stopped\n", cli.argument);
		return EXIT_USAGE;
	}
	/* A failure is worth the disk's time; a good start is in everybody's way. */
	sync = entry.event == LEDGER_STOPPED && entry.result && strcmp(entry.result, "success") != 0;
	r = append(cli.paths.unit ? cli.paths.unit : "containerd.service", &entry, sync);
	if (r < 0) {
		log_error("cannot write to %s: %s; how this start ended is not known later on", RECORDS_PATH,
			  strerror(-r));
		return EXIT_FAILED;
	}
	if (entry.event == LEDGER_READY)
		want_archive();
	return EXIT_OK;
}
