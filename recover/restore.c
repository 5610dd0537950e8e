/*
 * `restore ID`: puts a quarantined data root back. The pods that run on the
 * fresh one meanwhile end, as those of the old one did.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/bring_up.h"
#include "recover/cli.h"
#include "recover/command.h"
#include "recover/log.h"
#include "recover/put_back.h"
#include "recover/run_lock.h"
#include "recover/stopwatch.h"
#include "scanners/cleanup.h"

enum { LOCK_TRIES = 150 };

/* Returns whether nobody works on the ticket, waiting for a sweep's seconds. */
static bool is_at_rest(const struct situation *s, const char *id)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	int r = -EBUSY;

	for (int i = 0; r == -EBUSY && i < LOCK_TRIES; i++) {
		cleanup_ticket struct ticket ticket = TICKET_NONE;

		r = ticket_open(&s->place, id, &ticket);
		if (r == -EBUSY)
			(void)nanosleep(&pause, NULL);
	}
	return r != -EBUSY;
}

static void stop_background(const struct situation *s, const char *id)
{
	if (!is_at_rest(s, id))
		put_back_stop_background();
}

static void print_plan(const struct situation *s, const struct ticket *ticket)
{
	const json_t *lost = json_object_get(json_object_get(ticket->manifest, "lost"), "sandboxes");
	const json_t *decision = json_object_get(ticket->manifest, "decision");
	const char *why = json_string_value(json_object_get(decision, "why"));

	printf("Quarantine %s of %s will be put back:\n", ticket->id,
	       log_name(s->place.root));
	if (why)
		printf("  it was set aside because: %s; containerd finds it as it was\n", log_name(why));
	printf("  its images, containers and volumes return as they were\n");
	printf("  its %zu sandboxes do not: their processes ended; kubelet makes them anew\n",
	       json_array_size(lost));
	printf("  the %u sandboxes that run now end\n", s->facts.pods.sandboxes);
	printf("  the data root that stands now becomes a quarantine of its own, and can be put back in turn\n");
}

/* Looks only. Returns -1 to go on, or an exit status. */
static int check(const struct cli *cli, struct situation *s)
{
	struct situation_options options = { .overrides = cli->paths, .by_hand = true };
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	int r = situation_look(&options, NULL, s);

	if (r < 0) {
		log_error("cannot look at the node: %s", strerror(-r));
		return EXIT_FAILED;
	}
	if (s->facts.config.config == FACTS_CONFIG_INVALID ||
	    s->facts.config.config == FACTS_CONFIG_UNKNOWN) {
		log_error("the data root is not known: %s", s->facts.config.config_problem);
		return EXIT_FAILED;
	}
	if (s->place.root_fd < 0) {
		log_error("the data root %s, in whose place it would be put, cannot be opened: %s%s",
			  log_name(s->facts.config.root), strerror(s->facts.root.error ? -s->facts.root.error : ENOENT),
			  s->facts.root.error ? "" : "; make that directory");
		return EXIT_FAILED;
	}
	if (put_back_open(s, cli->argument, false, &ticket) < 0)
		return EXIT_FAILED;
	print_plan(s, &ticket);
	if (run_check_records() < 0)
		return EXIT_FAILED;
	if (s->facts.meta.lock == LOCK_BY_OTHER && s->facts.meta.lock_pid != 0) {
		put_back_say_holder(s, "as it is now");
		return EXIT_HANDS_OFF;
	}
	if (run_check_apart(&s->inventory) < 0 || run_check_state(&cli->paths, &s->config, &s->inventory) < 0)
		return EXIT_HANDS_OFF;
	/* Nobody may wait for a person's answer; all is looked at again. */
	cleanup_close(&s->meta_fd);
	s->meta_fd = -EBADF;
	if (cli->dry_run)
		return EXIT_OK;
	if (cli->yes)
		return -1;
	r = cli_ask("Go on?");
	if (r == -ENOTTY) {
		log_error("there is no terminal to ask at; give --yes to go on, or --dry-run to only look");
		return EXIT_USAGE;
	}
	return r == 1 ? -1 : EXIT_DECLINED;
}

int restore_command(int argc, char **argv)
{
	cleanup_situation struct situation s = SITUATION_NONE;
	struct incident_report report = { 0 };
	cleanup_fd int lock = -EBADF, mark = -EBADF;
	struct stopwatch whole, watch;
	struct cli cli;
	int r, up;

	r = cli_parse(argc, argv, CLI_PATHS | CLI_DRY_RUN | CLI_YES | CLI_ARGUMENT,
		      "Put a quarantined data root back, as long as its purge has not begun.", "ID", &cli);
	if (r >= 0)
		return r;
	r = check(&cli, &s);
	if (r >= 0)
		return r;
	lock = run_lock_patiently();
	if (lock < 0)
		return EXIT_FAILED;
	stopwatch_start(&whole);
	printf("Restoring:\n");
	stop_background(&s, cli.argument);
	if (bring_down(&s.config, "restore", &mark) < 0) {
		(void)bring_up(&s.config, &lock, &mark); /* a stop that still waits is called off */
		return EXIT_FAILED;
	}
	stopwatch_start(&watch);
	r = put_back(&cli.paths, &s.config, cli.argument, &report);
	if (r == 0)
		stopwatch_print(&watch, "put the old data root back");
	up = bring_up(&s.config, &lock, &mark);
	if (up < 0 && r == 0 && *report.id)
		log_error("the root that stood until now is quarantine %s: `containerd-recover restore %s` "
			  "puts it back", report.id, report.id);
	if (up < 0 || r < 0)
		return EXIT_FAILED;
	stopwatch_print_sec("in all", stopwatch_sec(&whole));
	return EXIT_OK;
}
