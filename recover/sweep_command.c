/*
 * `sweep`: finds what sandboxes left behind that containerd no longer knows, and
 * releases it. A dry run unless told --yes; with containerd up or down.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/cli.h"
#include "recover/command.h"
#include "recover/fate.h"
#include "recover/log.h"
#include "recover/orphan.h"
#include "recover/policy.h"
#include "recover/reservation.h"
#include "recover/run_lock.h"
#include "recover/situation.h"
#include "recover/sweep.h"
#include "recover/sweep_report.h"
#include "scanners/cleanup.h"
#include "scanners/pool.h"
#include "scanners/strangers.h"

enum { EMPTY_LOCK_MSEC = 5000 };

struct look {
	struct config config;
	struct policy policy;
	struct inventory inventory;
	struct known known;
	struct strangers strangers;
	struct pools pools;
	struct orphans_result orphans;
	struct judged *judged;
};

static void look_done(struct look *look)
{
	config_done(&look->config);
	inventory_done(&look->inventory);
	known_done(&look->known);
	strangers_done(&look->strangers);
	pools_done(&look->pools);
	free(look->judged);
}
#define cleanup_look __attribute__((cleanup(look_done)))

static void judge(struct look *look, const struct known *known)
{
	int64_t now = time(NULL);

	for (size_t i = 0; i < look->inventory.sandbox_count; i++) {
		struct judged *judged = &look->judged[i];

		judged->sandbox = &look->inventory.sandboxes[i];
		judged->fate = fate_of(judged->sandbox, known, now,
				       (int64_t)look->policy.min_age_sec, &judged->why);
	}
}

/* On failure @ret_what is what could not be looked at. */
static int take_look(struct look *look, const char **ret_what)
{
	/*
	 * The node first, containerd second: a sandbox that is made in between is
	 * known to containerd without having been seen, not the other way round.
	 */
	int r = inventory_scan(&look->config, 0, &look->inventory);

	*ret_what = "the sandboxes of this node";
	if (r == 0) {
		*ret_what = "what containerd knows";
		r = known_read(&look->config, &look->known);
	}
	if (r == 0) {
		*ret_what = "who else uses CNI here";
		r = strangers_scan(&look->config, &look->inventory, &look->strangers);
	}
	if (r == 0) {
		*ret_what = "the addresses that are free";
		r = pools_scan(&look->config, &look->pools);
	}
	if (r == 0) {
		*ret_what = "what is of no sandbox";
		r = orphans_sweep(&look->config, &look->known, (int64_t)look->policy.min_age_sec, true,
				  &look->orphans);
	}
	if (r < 0)
		return r;
	look->judged = calloc(look->inventory.sandbox_count + 1, sizeof(*look->judged));
	if (!look->judged)
		return -ENOMEM;
	judge(look, &look->known);
	return 0;
}

/* Why nothing may be released, or NULL. */
static const char *veto(const struct look *look, const struct cli *cli)
{
	if (!look->inventory.complete)
		return look->inventory.missed;
	if (look->known.source == KNOWN_NOTHING)
		return look->known.problem;
	if (!cli->force && access(RECORDS_PATH "/hold", F_OK) == 0)
		return "an operator's hold file is in place";
	return NULL;
}

/* The second look: what containerd knows by now is not lost, whatever it was before. */
static int look_again(struct look *look, const struct cli *cli)
{
	cleanup_known struct known again = { 0 };
	int r = known_read(&look->config, &again);
	unsigned left = cli->limit ? cli->limit : UINT_MAX;

	if (r < 0)
		return r;
	for (size_t i = 0; i < look->inventory.sandbox_count; i++) {
		struct judged *judged = &look->judged[i];
		const char *why;

		judged->tried = judged->fate == FATE_LOST && left > 0 &&
				fate_of(judged->sandbox, &again, time(NULL),
					(int64_t)look->policy.min_age_sec, &why) == FATE_LOST;
		left -= judged->tried;
	}
	return 0;
}

/* The sandboxes to release as an inventory, whose strings stay the other's. */
static int collect(const struct look *look, struct inventory *ret)
{
	*ret = (struct inventory){ .complete = true };
	ret->sandboxes = calloc(look->inventory.sandbox_count + 1, sizeof(*ret->sandboxes));
	if (!ret->sandboxes)
		return -ENOMEM;
	for (size_t i = 0; i < look->inventory.sandbox_count; i++)
		if (look->judged[i].tried)
			ret->sandboxes[ret->sandbox_count++] = look->inventory.sandboxes[i];
	return 0;
}

static int release(struct look *look, const struct inventory *lost)
{
	cleanup_free int *results = calloc(lost->sandbox_count + 1, sizeof(*results));
	const struct sweep_options options = {
		.plugin_msec = (unsigned)look->policy.plugin_sec * 1000,
		.parallel = (unsigned)look->policy.plugins_at_once,
		.defer = look->known.source != KNOWN_CRI,
		.results = results,
	};
	struct reservation_result empty = { 0 };
	struct sweep_result result = { 0 };
	size_t next = 0;
	int first, r;

	if (!results)
		return -ENOMEM;
	first = sweep_sandboxes(&look->config, lost, &options, &result);
	r = orphans_sweep(&look->config, &look->known, (int64_t)look->policy.min_age_sec, false,
			  &look->orphans);
	/* Deleting takes its time, which containerd's start must not wait for. */
	if (r == 0 && look->known.source == KNOWN_CRI)
		r = orphans_purge(&look->config);
	first = first < 0 ? first : r;
	for (size_t i = 0; i < look->inventory.sandbox_count; i++)
		if (look->judged[i].tried)
			look->judged[i].result = results[next++];
	r = reservations_release_empty(&look->inventory, EMPTY_LOCK_MSEC, &empty);
	return first < 0 ? first : r;
}

/* Returns an exit status. */
static int act(struct look *look, const struct cli *cli)
{
	cleanup_fd int lock = -EBADF;
	struct inventory lost = { 0 };
	const char *reason = veto(look, cli);
	int r;

	if (reason) {
		log_error("nothing is released: %s%s%s", reason, look->inventory.complete ? "" : " cannot be read: ",
			  look->inventory.complete ? "" : strerror(-look->inventory.missed_error));
		return EXIT_HANDS_OFF;
	}
	lock = run_lock();
	if (lock < 0) {
		log_error("nothing is released: %s",
			  lock == -EBUSY ? "another run of ours is under way" : strerror(-lock));
		return EXIT_HANDS_OFF;
	}
	r = look_again(look, cli);
	if (r == 0)
		r = collect(look, &lost);
	if (r < 0) {
		log_error("nothing is released: %s", strerror(-r));
		return EXIT_FAILED;
	}
	r = release(look, &lost);
	free(lost.sandboxes); /* the strings are the look's */
	pools_done(&look->pools);
	if (pools_scan(&look->config, &look->pools) < 0)
		log_warning("cannot count the free addresses");
	return r < 0 ? EXIT_PARTIAL : EXIT_OK;
}

static int report(const struct look *look, const struct cli *cli, bool acted)
{
	const struct sweep_report report = {
		.inventory = &look->inventory,
		.known = &look->known,
		.judged = look->judged,
		.strangers = &look->strangers,
		.pools = &look->pools,
		.orphans = look->orphans,
		.acted = acted,
	};

	return sweep_report_print(&report, cli->format);
}

static int read_settings(const struct cli *cli, struct look *look)
{
	cleanup_free char *problem = NULL;
	int r = policy_read(ETC_PATH, &look->policy, &problem);

	if (r < 0) {
		log_error("%s", problem ? problem : strerror(-r));
		return r;
	}
	r = config_read(&cli->paths, &look->config);
	if (r < 0) {
		log_error("cannot read containerd's configuration: %s", strerror(-r));
		return r;
	}
	if (look->config.verdict == CONFIG_UNKNOWN || look->config.verdict == CONFIG_INVALID) {
		log_error("containerd's configuration: %s",
			  look->config.problem ? look->config.problem : "not understood");
		return -EINVAL;
	}
	return 0;
}

int sweep_command(int argc, char **argv)
{
	cleanup_look struct look look = { 0 };
	const char *what;
	struct cli cli;
	int status, r;

	status = cli_parse(argc, argv,
			   CLI_PATHS | CLI_DRY_RUN | CLI_YES_RELEASES | CLI_FORCE_HOLD | CLI_LIMIT |
				   CLI_FORMAT | CLI_PROMETHEUS,
			   "Find what lost pod sandboxes left behind; with --yes, release it.", NULL,
			   &cli);
	if (status >= 0)
		return status;
	if (read_settings(&cli, &look) < 0)
		return EXIT_HANDS_OFF;
	r = take_look(&look, &what);
	if (r < 0) {
		log_error("cannot look at %s: %s", what, strerror(-r));
		return EXIT_FAILED;
	}
	status = EXIT_OK;
	if (cli.yes && !cli.dry_run)
		status = act(&look, &cli);
	else if (look.known.source == KNOWN_NOTHING)
		log_warning("what is lost cannot be told: %s", look.known.problem);
	if (report(&look, &cli, cli.yes && !cli.dry_run && status != EXIT_HANDS_OFF) < 0)
		return EXIT_FAILED;
	return status;
}
