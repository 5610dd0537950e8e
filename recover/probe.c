/*
 * `probe`, behind every start of containerd: does CRI answer? READY alone does
 * not say so. A start whose CRI does not come is written down as failed; if
 * meta.db is damaged too, containerd is restarted, once, and `preflight` cures it.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "recover/cli.h"
#include "recover/command.h"
#include "recover/decision.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/log.h"
#include "recover/situation.h"
#include "recover/unit.h"
#include "scanners/cleanup.h"
#include "scanners/clock.h"
#include "scanners/cri.h"

enum {
	SLICE_MSEC = 2000,   /* between looks at whether it is still the same start */
	PATIENCE_SEC = 5,    /* before a containerd that does not stop is killed */
	RESTART_SEC = 120,   /* for it to be READY again */
	POLL_MSEC = 100,
};

struct probe {
	struct config config;
	struct policy policy;
	int records_fd;
	char *ledger_name;
	char invocation[LEDGER_WORD]; /* of the start that is watched */
};

static void probe_done(struct probe *probe)
{
	config_done(&probe->config);
	cleanup_close(&probe->records_fd);
	free(probe->ledger_name);
}
#define cleanup_probe __attribute__((cleanup(probe_done)))

/* Returns 1 with the invocation of the start that is READY, 0, or a negative errno. */
static int what_is_up(const struct probe *probe, char ret[LEDGER_WORD])
{
	struct ledger_summary summary = { 0 };
	struct ledger_clock now;
	int r = ledger_clock_now(&now);

	if (r == 0)
		r = ledger_read(probe->records_fd, probe->ledger_name, &now, &probe->policy, &summary);
	if (r < 0 || !summary.up)
		return r;
	memcpy(ret, summary.up_invocation, LEDGER_WORD);
	return 1;
}

/*
 * Ask for as long as the policy says, anew for each new start. Returns 0 if CRI
 * answers, or there is nobody to ask, 1 with what is wrong in @ret, or a
 * negative errno.
 */
static int watch(struct probe *probe, const char **ret)
{
	int64_t deadline = 0, left;

	for (;;) {
		char up[LEDGER_WORD];
		int r = what_is_up(probe, up), asked;

		if (r <= 0)
			return r;
		if (deadline == 0 || strcmp(up, probe->invocation) != 0) {
			memcpy(probe->invocation, up, sizeof(up));
			deadline = clock_msec() + (int64_t)probe->policy.cri_sec * 1000;
		}
		left = deadline - clock_msec();
		asked = left <= 0 ? -ETIMEDOUT :
				    cri_wait_ready(probe->config.address,
						   left < SLICE_MSEC ? (unsigned)left : SLICE_MSEC, NULL);
		if (asked == 0)
			return 0;
		if (asked == -ELIBACC || asked == -ENOMEM)
			return asked;
		/* That it has none is final; that it is slow is not, until the time is over. */
		if (asked != -EOPNOTSUPP && left > 0)
			continue;
		r = what_is_up(probe, up);
		if (r <= 0 || strcmp(up, probe->invocation) == 0) {
			*ret = asked == -EOPNOTSUPP ? LEDGER_DEGRADED : LEDGER_HUNG;
			return r;
		}
	}
}

static int note_unready(const struct probe *probe, const char *what)
{
	const struct ledger_entry entry = {
		.event = LEDGER_UNREADY,
		.invocation = probe->invocation,
		.unready = what,
	};
	struct ledger_clock now;
	int r = ledger_clock_now(&now);

	return r < 0 ? r : ledger_append(probe->records_fd, probe->ledger_name, &now, &entry, true);
}

/* Returns 1 if a restart is called for, 0, or a negative errno. */
static int judge(const struct cli *cli)
{
	const struct situation_options options = { .overrides = cli->paths, .whole_tree = true };
	cleanup_situation struct situation s = SITUATION_NONE;
	struct decision decision;
	int r = situation_look(&options, NULL, &s);

	if (r < 0)
		return r;
	decision = triage(&s.facts);
	decision_log(&s.facts, &decision);
	return (decision.steps & STEP_RESTART) != 0;
}

/* Returns 1 once another start is READY, 0 if none came, or a negative errno. */
static int restart(const struct probe *probe)
{
	const struct timespec pause = { .tv_nsec = POLL_MSEC * 1000000L };
	int64_t deadline = clock_msec() + RESTART_SEC * 1000;
	char up[LEDGER_WORD];
	int r;

	/* First the record, without which it might be tried for ever. */
	r = history_append(probe->records_fd, probe->config.unit, "restart", "-", "unready-damage");
	if (r < 0)
		return r;
	log_warning("restarting %s, whose next start will judge meta.db under its lock",
		    probe->config.unit);
	r = unit_restart(probe->config.unit, PATIENCE_SEC);
	if (r < 0)
		return r;
	while (clock_msec() < deadline) {
		r = what_is_up(probe, up);
		if (r < 0 || (r > 0 && strcmp(up, probe->invocation) != 0))
			return r;
		(void)nanosleep(&pause, NULL);
	}
	return 0;
}

/* Returns 0 once CRI answers or no more can be done, or a negative errno. */
static int see_to_it(struct probe *probe, const struct cli *cli)
{
	const char *what = NULL;
	int r;

	while ((r = watch(probe, &what)) > 0) {
		log_warning("%s is READY, but %s", probe->config.unit,
			    strcmp(what, LEDGER_DEGRADED) == 0 ? "runs without CRI" :
								 "its CRI does not answer");
		r = note_unready(probe, what);
		if (r == 0)
			r = judge(cli);
		if (r > 0)
			r = restart(probe);
		if (r <= 0)
			return r;
	}
	return r;
}

static int read_settings(const struct cli *cli, struct probe *probe)
{
	cleanup_free char *problem = NULL;
	int r = config_read(&cli->paths, &probe->config);

	if (r < 0)
		return r;
	if (policy_read(ETC_PATH, &probe->policy, &problem) < 0)
		log_warning("%s; going on with the defaults", problem ? problem : "the policy cannot be read");
	probe->ledger_name = situation_ledger_name(probe->config.unit);
	probe->records_fd = file_make_dirs(RECORDS_PATH, 0700);
	if (!probe->ledger_name)
		return -ENOMEM;
	return probe->records_fd < 0 ? probe->records_fd : 0;
}

int probe_command(int argc, char **argv)
{
	cleanup_probe struct probe probe = { .records_fd = -EBADF };
	struct cli cli;
	int r;

	r = cli_parse(argc, argv, CLI_PATHS, "Behind containerd's start: ask CRI until it answers.", NULL,
		      &cli);
	if (r >= 0)
		return r;
	r = read_settings(&cli, &probe);
	if (r == 0 && (probe.config.cri_disabled || probe.config.verdict == CONFIG_UNKNOWN ||
		       probe.config.verdict == CONFIG_INVALID))
		return EXIT_OK; /* nobody to ask, or not known where */
	if (r == 0)
		r = see_to_it(&probe, &cli);
	if (r < 0) {
		log_error("cannot watch %s: %s", probe.config.unit ? probe.config.unit : "containerd",
			  cri_error_name(r));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}
