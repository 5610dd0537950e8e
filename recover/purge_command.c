/*
 * `purge`: deletes quarantined roots whose grace period is over: rounds over all
 * of them, as long as it is wanted.
 */
#include "recover/purge_run.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/command.h"
#include "recover/log.h"
#include "recover/notify.h"
#include "recover/pending.h"
#include "recover/roots.h"
#include "recover/situation.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

static volatile sig_atomic_t stop_asked;

static void on_stop(int signal)
{
	(void)signal;
	stop_asked = 1;
}

static bool has_failed(const struct purge_run *run, const char *id)
{
	for (size_t i = 0; i < run->failed_count; i++)
		if (strcmp(run->failed[i], id) == 0)
			return true;
	return false;
}

/* What could not be deleted was named: trying every few seconds would only name it again. */
static void remember_failed(struct purge_run *run, const char *id)
{
	char **grown = reallocarray(run->failed, run->failed_count + 1, sizeof(*grown));

	if (!grown)
		return;
	run->failed = grown;
	grown[run->failed_count] = strdup(id);
	run->failed_count += grown[run->failed_count] != NULL;
}

/* Returns -EBUSY, having said by whom, where somebody works on it. */
static int lock_trees(const struct purge_run *run, const struct ticket *ticket,
		      struct tree_locks *locks)
{
	cleanup_tree_user struct tree_user user = { 0 };
	int r = in_use(run->place, ticket, locks, &user);
	cleanup_free char *who = r == -EBUSY ? tree_user_print(&user) : NULL;

	if (r == -EBUSY)
		log_warning("quarantine %s is in use and is not purged: %s; the next run tries again",
			    ticket->id, who ?: "");
	return r;
}

struct round {
	bool listed; /* the quarantines are known */
	int count;   /* of them */
	int64_t next; /* seconds to the next one due, -1: none */
	unsigned waiting, purged, failed, used;
	unsigned copied; /* of those waiting: `keep` is at work … */
	unsigned busy;	 /* … or another run of this program, … */
	unsigned salvage; /* … or their images are still to be brought over */
};

static void describe(const struct purge_run *run, const struct ticket *ticket, int64_t due)
{
	cleanup_tree_user struct tree_user user = { 0 };
	bool used = due >= 0 && in_use(run->place, ticket, NULL, &user) == -EBUSY;
	cleanup_free char *who = used ? tree_user_print(&user) : NULL;

	if (used)
		printf("%s (%s): not purged while it is in use: %s\n", ticket->id,
		       ticket_state_name(ticket_state(ticket)), who ?: "");
	else if (due == 0)
		printf("%s (%s): would be purged now\n", ticket->id, ticket_state_name(ticket_state(ticket)));
	else if (due > 0)
		printf("%s (%s): would be purged in %" PRId64 " s%s\n", ticket->id,
		       ticket_state_name(ticket_state(ticket)), due,
		       purge_waits_for_salvage(run, ticket) ? ", if its images are brought over by then" : "");
	else
		printf("%s (%s): not purged\n", ticket->id, ticket_state_name(ticket_state(ticket)));
}

static void wait_for_another(struct round *round)
{
	round->waiting++;
	if (round->next < 0 || round->next > PURGE_NAP_SEC)
		round->next = PURGE_NAP_SEC;
}

/* `finish` has it in hand, or another purge. */
static void wait_for_run(const struct purge_run *run, const char *id, struct round *round)
{
	wait_for_another(round);
	round->busy++;
	if (!run->cli->wait)
		log_warning("quarantine %s is not purged now: another run of containerd-recover has it in hand "
			    "(`containerd-recover status` shows what is done)", id);
}

static void note_salvage(const struct purge_run *run, const char *id, struct round *round)
{
	round->salvage++;
	if (!run->cli->wait)
		log_info("quarantine %s is kept until its images are brought over; "
			 "`containerd-recover purge --yes %s` does not wait for it", id, id);
}

/* Somebody copies from it: that comes first, and ends by itself. */
static void wait_for_keep(const struct purge_run *run, const char *id, struct round *round)
{
	wait_for_another(round);
	round->copied++;
	if (!run->cli->wait)
		log_warning("quarantine %s is not purged while `containerd-recover keep` copies from it", id);
}

/* Returns 0 where it is purged, or is not to be: @round has it. */
static int purge_unless_used(struct purge_run *run, struct ticket *ticket, struct round *round)
{
	/* Held to the end: nobody begins to work on what is being deleted. */
	cleanup_tree_locks struct tree_locks locks = { 0 };
	int r = lock_trees(run, ticket, &locks);

	if (r == -EBUSY) {
		round->used++;
		remember_failed(run, ticket->id);
		return 0;
	}
	if (r == 0)
		r = purge_ticket(run, ticket, &locks);
	round->purged += r == 0;
	return r == 1 ? 0 : r; /* stopped: neither */
}

static void say_unopened(const struct data_root *place, const char *id, int error)
{
	cleanup_free char *jail = data_root_jail_path(place, place->is_mount_point);

	if (error == -EBADMSG)
		log_warning("%s is no quarantine of ours and is left alone: %s", log_name(id), ticket_problem(error));
	else if (error == -EROFS) /* of the disk, or of a sandbox */
		log_warning("quarantine %s is not purged: %s can only be read here; if that is a unit's sandbox, name it in "
			    "its ReadWritePaths= (systemctl edit)",
			    log_name(id), jail ? log_name(jail) : "its directory");
	else
		log_warning("quarantine %s is not purged, it cannot be opened: %s", log_name(id), strerror(-error));
}

static void one_ticket(struct purge_run *run, const char *id, struct round *round)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	int r = run->cli->dry_run ? ticket_peek(run->place, id, &ticket) :
				    ticket_open(run->place, id, &ticket);
	int64_t due = r < 0 ? -1 : purge_due_in(run, &ticket);

	if (r == -EBUSY) {
		wait_for_run(run, id, round);
		return;
	}
	if (r < 0) {
		say_unopened(run->place, id, r);
		round->failed++;
		remember_failed(run, id);
		return;
	}
	if (run->cli->dry_run) {
		describe(run, &ticket, due);
		return;
	}
	if (due != 0) {
		if (due > 0 && (round->next < 0 || due < round->next))
			round->next = due;
		round->waiting += due > 0;
		if (due > 0 && purge_waits_for_salvage(run, &ticket))
			note_salvage(run, id, round);
		if (ticket.stages.done[STAGE_PURGE])
			purge_note_finish(run, id);
		return;
	}
	r = ticket_lock_data(&ticket, false);
	if (r == -EBUSY) {
		wait_for_keep(run, id, round);
		return;
	}
	if (r == 0)
		r = purge_unless_used(run, &ticket, round);
	run->id = NULL; /* was the ticket's */
	if (r == 0)
		return;
	log_warning("quarantine %s is not purged in full: %s", id, strerror(-r));
	round->failed++;
	remember_failed(run, id);
}

/* One quarantine that is asked for, of a root that is named: that may be gone. */
static int open_place(const struct cli *cli, const struct config *config, struct data_root *ret)
{
	bool named = cli->paths.root && cli->argument;
	int r = named ? data_root_open_any(config->root, ret) : data_root_open(config->root, ret);

	if (r == 0 && cli->host_mounts)
		(void)data_root_use_host_mounts(ret); /* deleting would tell */
	return r;
}

static struct round one_round(struct purge_run *run)
{
	struct round round = { .next = -1 };
	cleanup_tickets char **ids = NULL;
	int n;

	data_root_done(run->place);
	n = open_place(run->cli, run->config, run->place);
	if (n == 0)
		n = tickets_list(run->place, &ids);
	if (n < 0) {
		log_error("cannot list the quarantines: %s", strerror(-n));
		round.failed++;
		return round;
	}
	round.listed = true;
	round.count = n;
	for (char **id = ids; id && *id && !stop_asked; id++)
		if ((!run->cli->argument || strcmp(run->cli->argument, *id) == 0) &&
		    !has_failed(run, *id))
			one_ticket(run, *id, &round);
	return round;
}

static void wait_a_while(const struct round *round)
{
	struct timespec pause = { .tv_sec = round->next < PURGE_NAP_SEC ? round->next : PURGE_NAP_SEC };

	notify_status("quarantines that wait: %u; the next purge is due in %" PRId64 " s", round->waiting,
		      round->next);
	(void)nanosleep(&pause, NULL); /* a signal ends it, as it should */
}

static bool is_kept(const struct data_root *place)
{
	cleanup_tickets char **ids = NULL;

	return tickets_list(place, &ids) != 0;
}

/* Their work goes on once containerd has that root again. */
static bool is_kept_elsewhere(int records_fd)
{
	json_auto_t *roots = roots_read(records_fd);
	const json_t *item;
	bool kept = false;
	size_t i;

	json_array_foreach(roots, i, item) {
		const char *root = json_string_value(json_object_get(item, "root"));
		cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };

		kept |= root && data_root_open_any(root, &place) == 0 && is_kept(&place);
	}
	return kept;
}

/* A directory "freed" that is not empty has freed pods for `finish`. */
static bool is_something_left(const struct data_root *place, int records_fd)
{
	return is_kept(place) || is_kept_elsewhere(records_fd) ||
	       (unlinkat(records_fd, "freed", AT_REMOVEDIR) < 0 && errno != ENOENT);
}

/*
 * The background units are started as long as there is something to do. Whoever begins
 * something marks it behind its ticket: what came since the first look is seen by the other.
 */
static void unmark_pending(const struct data_root *place)
{
	cleanup_fd int records_fd = dir_open_path(RECORDS_PATH);

	if (records_fd < 0 || is_something_left(place, records_fd) ||
	    unlinkat(records_fd, PENDING_NAME, 0) < 0 || !is_something_left(place, records_fd))
		return;
	pending_try_to_mark(records_fd);
}

static int run_all(struct purge_run *run)
{
	unsigned failed = 0, purged = 0, used = 0, in_grace;
	struct round round;

	for (;;) {
		round = one_round(run);
		failed += round.failed;
		purged += round.purged;
		used += round.used;
		if (stop_asked || !run->cli->wait || round.waiting == 0)
			break;
		wait_a_while(&round);
	}
	if (!run->cli->dry_run && round.listed && !run->cli->paths.root)
		unmark_pending(run->place);
	in_grace = round.waiting - round.copied - round.busy - round.salvage;
	if (run->cli->argument && round.waiting > 0 && !run->cli->wait) {
		if (in_grace)
			log_error("quarantine %s is kept for another %" PRId64 " s; --yes purges it now",
				  run->cli->argument, round.next);
		return EXIT_HANDS_OFF;
	}
	/* The background unit has --wait, and is started at every start of containerd. */
	if (!run->cli->wait && round.listed && round.count == 0 && purged == 0)
		log_info("no quarantines are kept: there is nothing to purge");
	if (!run->cli->wait && in_grace)
		log_info("quarantines still in their grace period: %u, the next one for %" PRId64 " s",
			 in_grace, round.next);
	if (failed)
		return purged ? EXIT_PARTIAL : EXIT_FAILED;
	if (used || (round.busy && !run->cli->wait))
		return purged ? EXIT_PARTIAL : EXIT_HANDS_OFF;
	return EXIT_OK;
}

/* By id, or by the path that status shows. Anything else is refused. @ret_id is what the
 * argument then points to. */
static int resolve_argument(const struct data_root *place, struct cli *cli, char **ret_id)
{
	cleanup_tickets char **ids = NULL;
	const char *slash = strrchr(cli->argument, '/');
	cleanup_free char *real = slash ? realpath(cli->argument, NULL) : NULL;

	if (tickets_list(place, &ids) < 0)
		return -EIO;
	for (char **id = ids; *id; id++) {
		cleanup_free char *beside = data_root_jail_path(place, false);
		cleanup_free char *inside = data_root_jail_path(place, true);
		bool in_jail = !slash;

		if (real && beside && inside) {
			size_t n = strlen(real) - strlen(strrchr(real, '/'));

			in_jail = (strncmp(real, beside, n) == 0 && strlen(beside) == n) ||
				  (strncmp(real, inside, n) == 0 && strlen(inside) == n);
		}
		if (in_jail && strcmp(slash ? (real ? strrchr(real, '/') + 1 : "") : cli->argument, *id) == 0) {
			cli->argument = *ret_id = strdup(*id);
			return *ret_id ? 0 : -ENOMEM;
		}
	}
	return -ENOENT;
}

/* Has containerd been told to use a quarantined root where it is? Also while it is down. */
static bool is_lived_in(const struct cli *cli, const struct data_root *place)
{
	struct config_overrides paths = cli->paths;
	cleanup_config struct config config = { 0 };
	bool held;

	paths.root = NULL;
	held = cli->paths.root && config_read(&paths, &config) == 0 && data_root_jails_hold(place, config.root);
	if (held)
		log_error("containerd's own data root %s is in a quarantine of %s: nothing is purged there",
			  log_name(config.root), log_name(place->root));
	return held;
}

static void catch_signals(void)
{
	const struct sigaction action = { .sa_handler = on_stop };

	(void)sigaction(SIGINT, &action, NULL);
	(void)sigaction(SIGTERM, &action, NULL);
}

int purge_command(int argc, char **argv)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_config struct config config = { 0 };
	cleanup_free char *problem = NULL, *id = NULL;
	struct cli cli;
	struct purge_run run = { .cli = &cli, .config = &config, .place = &place, .stop_asked = &stop_asked };
	int r;

	r = cli_parse(argc, argv,
		      CLI_PATHS | CLI_DRY_RUN | CLI_URGENT | CLI_MAX_RATE | CLI_WAIT | CLI_HOST_MOUNTS |
			      CLI_YES_ENDS_GRACE | CLI_OPTIONAL,
		      "Delete quarantined data roots whose grace period is over.", "[ID]", &cli);
	if (r >= 0)
		return r;
	notify_ready();
	r = policy_read(ETC_PATH, &run.policy, &problem);
	if (r < 0)
		log_warning("%s; only what is being purged is gone on with",
			    problem ? problem : strerror(-r));
	run.policy_invalid = r < 0;
	r = config_read(&cli.paths, &config);
	if (r == 0)
		r = open_place(&cli, &config, &place);
	if (r == 0 && is_lived_in(&cli, &place))
		return EXIT_HANDS_OFF;
	if (r == 0 && cli.argument) {
		r = resolve_argument(&place, &cli, &id);
		if (r == -ENOENT) {
			tickets_say_unknown(&place, cli.argument);
			return EXIT_FAILED;
		}
	}
	if (r < 0) {
		log_error("cannot open the data root %s: %s", log_name(config.root ?: ""), strerror(-r));
		return EXIT_FAILED;
	}
	run.terminal = isatty(STDERR_FILENO);
	catch_signals();
	r = run_all(&run);
	while (run.failed_count > 0)
		free(run.failed[--run.failed_count]);
	free(run.failed);
	return r;
}
