/*
 * `guard`, started by a run by hand before it stops containerd: nobody can hold
 * SIGKILL, so this one waits beside the run, in a unit of its own that a kill of the
 * run's session does not reach, and starts containerd if the run could not. What had
 * been begun is finished or taken back by that start's preflight.
 */
#include <string.h>

#include "recover/cli.h"
#include "recover/command.h"
#include "recover/log.h"
#include "recover/outage.h"
#include "recover/unit.h"

static int start_in_its_place(const char *unit)
{
	int r;

	log_warning("the run that had stopped %s was killed before it started it again; starting it", unit);
	r = unit_start_no_wait(unit);
	if (r == 0)
		outage_forget(unit);
	return r;
}

int guard_command(int argc, char **argv)
{
	struct cli cli;
	int r;

	r = cli_parse(argc, argv, CLI_ARGUMENT,
		      "Wait for the run that stopped UNIT, and start UNIT if it is killed.", "UNIT", &cli);
	if (r >= 0)
		return r;
	r = outage_wait(cli.argument);
	if (r > 0)
		r = start_in_its_place(cli.argument);
	if (r < 0) {
		log_error("cannot see to it that %s is started: %s", cli.argument, strerror(-r));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}
