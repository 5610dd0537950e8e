/*
 * `now`: recover now, by hand. Shows the plan, asks, stops containerd, judges
 * again under the lock, acts, starts containerd and waits for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recover/bring_up.h"
#include "recover/cli.h"
#include "recover/command.h"
#include "recover/decision.h"
#include "recover/defer.h"
#include "recover/incident.h"
#include "recover/log.h"
#include "recover/run_lock.h"
#include "recover/situation.h"
#include "recover/stopwatch.h"
#include "scanners/cleanup.h"

/* Looks and decides. Returns 0, or a negative errno which was logged. */
static int judge(const struct cli *cli, bool down, struct situation *ret_situation,
		 struct decision *ret_decision)
{
	struct situation_options options = {
		.overrides = cli->paths,
		.by_hand = true,
		.force = cli->force,
		.down = down,
		.whole_tree = true,
		.count_always = !down,
	};
	int r = situation_look(&options, NULL, ret_situation);

	if (r < 0) {
		log_error("cannot look at the node: %s", strerror(-r));
		return r;
	}
	*ret_decision = triage(&ret_situation->facts);
	return 0;
}

static void print_loss(const struct situation *s)
{
	const struct facts *facts = &s->facts;

	printf("What it costs: %u sandboxes end and are made anew by kubelet; images are %s\n",
	       facts->pods.sandboxes,
	       !s->policy.salvage ? "pulled again" :
	       s->policy.salvage_pause_only ? "pulled again, but for the pause image" :
	       "brought over in the background, those that are damaged pulled again");
	if (facts->pods.foreign_layers)
		printf("What another client's containers wrote goes too: %u layers in namespace %s, and maybe more\n",
		       facts->pods.foreign_layers, facts->pods.foreign_namespace);
}

/* Returns 0 to go on, or an exit status. */
static int ask(const struct cli *cli)
{
	int r;

	if (cli->yes)
		return 0;
	r = cli_ask("Go on?");
	if (r == -ENOTTY) {
		log_error("there is no terminal to ask at; give --yes to go on, or --dry-run to only look");
		return EXIT_USAGE;
	}
	return r == 1 ? 0 : EXIT_DECLINED;
}

static void print_report(const struct incident_report *report)
{
	static const struct {
		enum stage stage;
		const char *words;
	} shown[] = {
		{ STAGE_KILL, "end the lost pods' processes" },
		{ STAGE_BUNDLES, "move their bundles aside" },
		{ STAGE_LINKS, "take their links down" },
		{ STAGE_RELEASE, "release their addresses" },
		{ STAGE_MOVE, "put a fresh data root in place" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(shown); i++)
		stopwatch_print_sec(shown[i].words, report->msec[shown[i].stage] / 1000.0);
}

/* Rung 1 is enough: images, containers and pods stay. */
static int defer(struct situation *s, const struct decision *decision)
{
	struct defer_report report = { 0 };
	int r = defer_leftovers(s, decision, &report);

	if (r < 0)
		log_error("cannot move the leftovers aside: %s", strerror(-r));
	else
		printf("  %zu directories with %" PRIu64 " entries set aside as %s\n", report.moved,
		       report.entries, report.id);
	return r;
}

/* With containerd down: what an earlier run left comes first, then a fresh look. @before: the first look. */
static int recover(const struct cli *cli, const struct config *config, const struct facts *before,
		   struct incident_report *report)
{
	cleanup_situation struct situation s = SITUATION_NONE;
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_ticket struct ticket begun = TICKET_NONE;
	struct decision decision;
	int r = data_root_open(config->root, &place);

	if (r == 0)
		r = incident_mend(config, &place, &begun);
	if (r < 0 && place.root_fd >= 0) {
		log_error("an earlier quarantine is neither finished nor taken back: %s", strerror(-r));
		return r;
	}
	r = judge(cli, true, &s, &decision);
	if (r < 0)
		return r;
	if (!(decision.steps & (STEP_QUARANTINE | STEP_DEFER))) {
		printf("With containerd stopped the node looks different; nothing was changed.\n");
		decision_print(stdout, &s.facts, &decision);
		return -ECANCELED;
	}
	if (decision.steps & STEP_DEFER)
		return defer(&s, &decision);
	/* Near enough for how long the purge will take, and not worth an outage. */
	if (!s.facts.count.looked)
		s.facts.count = before->count;
	r = incident_quarantine(&s, &decision, begun.fd >= 0 ? &begun : NULL, report);
	if (r < 0)
		log_error("cannot quarantine the data root: %s; %s", strerror(-r),
			  report->aside ? "it is moved, and the next start of containerd completes this"
					: "the old one stays");
	return r;
}

static int act(const struct cli *cli, const struct config *config, const struct facts *before, int *lock)
{
	struct incident_report report = { 0 };
	cleanup_fd int mark = -EBADF;
	struct stopwatch whole;
	int r, up;

	stopwatch_start(&whole);
	printf("Recovering:\n");
	r = bring_down(config, "now", &mark);
	if (r < 0) {
		(void)bring_up(config, lock, &mark); /* a stop that still waits is called off */
		return EXIT_FAILED;
	}
	r = recover(cli, config, before, &report);
	if (r == 0 && *report.id)
		print_report(&report);
	up = bring_up(config, lock, &mark);
	if (r == -ECANCELED)
		return EXIT_HANDS_OFF;
	if (r < 0)
		return EXIT_FAILED;
	stopwatch_print_sec("in all", stopwatch_sec(&whole));
	if (*report.id)
		printf("The old data root is quarantine %s; `containerd-recover restore %s` puts it back "
	       "until its purge begins.\n", report.id, report.id);
	if (up < 0)
		return EXIT_FAILED;
	return report.failed ? EXIT_PARTIAL : EXIT_OK;
}

static void print_outage(const struct situation *s)
{
	cleanup_free char *text = situation_outage(s);

	if (text)
		printf("%s\n", text);
}

int now_command(int argc, char **argv)
{
	cleanup_situation struct situation s = SITUATION_NONE;
	cleanup_fd int lock = -EBADF;
	struct decision decision;
	struct cli cli;
	int r;

	r = cli_parse(argc, argv, CLI_PATHS | CLI_DRY_RUN | CLI_YES | CLI_FORCE,
		      "Recover now: show the plan, ask, act, wait until containerd is back.", NULL, &cli);
	if (r >= 0)
		return r;
	if (judge(&cli, false, &s, &decision) < 0)
		return EXIT_FAILED;
	/* Nobody may wait for a person's answer: neither containerd for meta.db's lock,
	 * nor preflight for ours. All is judged again once containerd is down. */
	cleanup_close(&s.meta_fd);
	s.meta_fd = -EBADF;
	print_outage(&s);
	decision_print(stdout, &s.facts, &decision);
	if (!(decision.steps & (STEP_QUARANTINE | STEP_DEFER)))
		return EXIT_HANDS_OFF;
	if (decision.steps & STEP_QUARANTINE)
		print_loss(&s);
	if (run_check_records() < 0)
		return EXIT_FAILED;
	/* Whatever is planned: once containerd is down it may be a fresh root. */
	if (run_check_apart(&s.inventory) < 0 || run_check_state(&cli.paths, &s.config, &s.inventory) < 0)
		return EXIT_HANDS_OFF;
	if (cli.dry_run)
		return EXIT_OK;
	r = ask(&cli);
	if (r != 0)
		return r;
	lock = run_lock_patiently();
	if (lock < 0)
		return EXIT_FAILED;
	return act(&cli, &s.config, &s.facts, &lock);
}
