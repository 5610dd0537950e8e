#include "recover/bring_up.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/param.h>

#include "recover/log.h"
#include "recover/outage.h"
#include "recover/stopwatch.h"
#include "recover/unit.h"
#include "scanners/cleanup.h"
#include "scanners/cri.h"
#include "scanners/text.h"

enum {
	STOP_PATIENCE_SEC = 5,
	START_BUDGET_SEC = 120,
	CRI_BUDGET_SEC = 60,
	/* Longer than a containerd takes that is well; then it is said what is waited for. */
	SILENT_SEC = 5,
	SAY_EVERY_SEC = 30,
};

/* A session that is lost in between must not leave the node without containerd. */
static void hold_signals(bool hold)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGTERM, SIGPIPE, SIGQUIT, SIGTSTP };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)signal(signals[i], hold ? SIG_IGN : SIG_DFL);
}

/* Nobody can hold SIGKILL. Without a guard, which may not be installed, `status` still tells. */
static int guard(const struct config *config, const char *command)
{
	cleanup_free char *name = text_print("containerd-recover-guard@%s.service", config->unit);
	int mark = outage_begin(config->unit, command);
	int r = mark < 0 ? mark : name ? unit_start_anew(name) : -ENOMEM;

	if (r < 0)
		log_warning("nothing starts %s if this run is killed by SIGKILL: %s (is "
			    "containerd-recover-guard@.service installed?)", config->unit, strerror(-r));
	return mark;
}

int bring_down(const struct config *config, const char *command, int *ret_mark)
{
	struct stopwatch watch;
	int r;

	hold_signals(true);
	*ret_mark = guard(config, command);
	stopwatch_start(&watch);
	r = unit_stop(config->unit, STOP_PATIENCE_SEC);
	if (r < 0) {
		log_error("cannot stop %s: %s", config->unit, strerror(-r));
		return r;
	}
	stopwatch_print(&watch, "stop containerd");
	return 0;
}

static void say_waiting(const struct config *config, unsigned waited_sec)
{
	char active[UNIT_STATE], sub[UNIT_STATE];
	bool known = unit_state(config->unit, active, sub) == 0;

	log_info("waiting for %s to be READY, %u s by now, up to %d s: it is %s%s%s; Ctrl-C ends the waiting "
		 "and nothing else", config->unit, waited_sec, START_BUDGET_SEC, known ? active : "not known",
		 known ? ", " : "", known ? sub : "");
}

/* The start is asked for once: another would make systemd forget that it gave up. */
static int wait_for_unit(const struct config *config)
{
	unsigned waited = SILENT_SEC;
	int r = unit_start(config->unit, SILENT_SEC);

	while (r == -ETIMEDOUT && waited < START_BUDGET_SEC) {
		unsigned next = MIN((unsigned)SAY_EVERY_SEC, START_BUDGET_SEC - waited);

		say_waiting(config, waited);
		r = unit_wait_active(config->unit, next);
		waited += next;
	}
	if (r < 0)
		log_error("%s does not start: %s; see containerd-recover plan and journalctl -u %s",
			  config->unit,
			  r == -ETIMEDOUT ? "not READY in two minutes, and nobody waits any longer" :
			  r == -EIO	  ? "it failed, and systemd has given it up" :
					    strerror(-r), config->unit);
	return r;
}

static int ask_cri(const struct config *config)
{
	int r = cri_wait_ready(config->address, SILENT_SEC * 1000, NULL);

	if (r == 0 || r == -ELIBACC || r == -EOPNOTSUPP)
		return r;
	log_info("waiting for CRI to answer, up to %d s: %s; Ctrl-C ends the waiting and nothing else",
		 CRI_BUDGET_SEC, cri_error_name(r));
	return cri_wait_ready(config->address, (CRI_BUDGET_SEC - SILENT_SEC) * 1000, NULL);
}

static int wait_for_cri(const struct config *config, struct stopwatch *watch)
{
	int r;

	if (config->cri_disabled)
		return 0;
	r = ask_cri(config);
	if (r == -ELIBACC) {
		log_info("CRI is not asked: libcurl is not installed");
		return 0;
	}
	if (r < 0) {
		log_error("%s is up, but CRI does not answer: %s", config->unit, cri_error_name(r));
		return r;
	}
	stopwatch_print(watch, "wait for CRI");
	return 0;
}

int bring_up(const struct config *config, int *lock, int *mark)
{
	struct stopwatch watch;
	int r;

	stopwatch_start(&watch);
	cleanup_close(lock);
	*lock = -EBADF;
	/* What fails here fails below as well, and then the guard tries once more. */
	if (unit_start_no_wait(config->unit) == 0)
		outage_end(config->unit, mark);
	hold_signals(false);
	r = wait_for_unit(config);
	if (r < 0)
		return r;
	stopwatch_print(&watch, "start containerd, wait for READY");
	return wait_for_cri(config, &watch);
}
