#include "recover/bring_up.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "recover/log.h"
#include "recover/outage.h"
#include "recover/stopwatch.h"
#include "recover/unit.h"
#include "scanners/cleanup.h"
#include "scanners/cri.h"
#include "scanners/text.h"

enum { STOP_PATIENCE_SEC = 5, START_BUDGET_SEC = 120, CRI_BUDGET_MSEC = 60000 };

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

static int wait_for_cri(const struct config *config, struct stopwatch *watch)
{
	int r;

	if (config->cri_disabled)
		return 0;
	r = cri_wait_ready(config->address, CRI_BUDGET_MSEC, NULL);
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
	r = unit_start(config->unit, START_BUDGET_SEC);
	if (r < 0) {
		log_error("%s does not start: %s; see containerd-recover plan and journalctl -u %s",
			  config->unit,
			  r == -ETIMEDOUT ? "not READY in two minutes" :
			  r == -EIO	  ? "it failed" :
					    strerror(-r), config->unit);
		return r;
	}
	stopwatch_print(&watch, "start containerd, wait for READY");
	return wait_for_cri(config, &watch);
}
