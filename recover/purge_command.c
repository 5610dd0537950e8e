/*
 * `purge`: deletes quarantined roots whose grace period is over. Which trees it
 * may delete is decided here; how, in recover/purge/.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/param.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "recover/bar.h"
#include "recover/cli.h"
#include "recover/command.h"
#include "recover/defer.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/in_use.h"
#include "recover/log.h"
#include "recover/notify.h"
#include "recover/purge/held.h"
#include "recover/purge/purge.h"
#include "recover/purge_state.h"
#include "recover/report.h"
#include "recover/situation.h"
#include "recover/ticket.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

#define TICKET_NONE { .fd = -EBADF, .stages = { .fd = -EBADF } }

enum { NAP_SEC = 10, SALVAGE_TRIES = 2 };

static volatile sig_atomic_t stop_asked;

static void on_stop(int signal)
{
	(void)signal;
	stop_asked = 1;
}

struct purge_run {
	const struct cli *cli;
	const struct config *config;
	struct data_root *place; /* as of this round: another quarantine changes it */
	struct policy policy;
	bool policy_invalid;
	const char *id; /* of the ticket at work */
	uint64_t expected; /* entries in its root, 0: unknown */
	char **failed;	/* or in use: ids that are not tried again until the next start */
	size_t failed_count;
	bool terminal;
};

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

static bool short_of_room(const struct purge_run *run)
{
	struct statvfs fs;

	if (fstatvfs(run->place->root_fd, &fs) < 0)
		return false;
	return (fs.f_blocks && fs.f_bavail * 100 / fs.f_blocks < run->policy.urgent_free_space) ||
	       (fs.f_files && fs.f_favail * 100 / fs.f_files < run->policy.urgent_free_inodes);
}

/* This one, and now. */
static bool is_asked_for(const struct purge_run *run)
{
	return run->cli->argument && run->cli->yes;
}

/* A salvage that nobody ends must not keep the disk for ever. */
static bool waits_for_salvage(const struct purge_run *run, const struct ticket *ticket)
{
	int64_t most = (int64_t)(run->policy.grace_sec + SALVAGE_TRIES * run->policy.salvage_sec);

	return ticket_state(ticket) == TICKET_MOVED && !is_asked_for(run) && run->policy.salvage &&
	       !ticket->stages.done[STAGE_SALVAGE] && ticket_kept_sec(ticket, STAGE_MOVE) < most;
}

/*
 * What its pods left on the node is known from its manifest alone: that stays
 * until `finish` has given it back. Only the data is deleted before.
 */
static bool waits_for_finish(const struct purge_run *run, const struct ticket *ticket)
{
	const json_t *lost = json_object_get(ticket->manifest, "lost");

	if (ticket->stages.begun[STAGE_DEFER])
		return defer_has_state(run->config, ticket->id);
	return !ticket->stages.done[STAGE_SWEEP] &&
	       json_array_size(json_object_get(lost, "sandboxes")) > 0;
}

/*
 * Seconds until the ticket may be purged: 0 now, -1 never by us.
 */
static int64_t due_in(const struct purge_run *run, const struct ticket *ticket)
{
	const struct stages *s = &ticket->stages;
	enum stage since;
	int64_t left;
	bool salvage = waits_for_salvage(run, ticket);
	bool asked = is_asked_for(run);

	if (ticket_state(ticket) == TICKET_PURGING)
		return s->done[STAGE_PURGE] && waits_for_finish(run, ticket) ? -1 : 0;
	if (run->policy_invalid && !asked)
		return -1; /* how long to keep it is not known */
	switch (ticket_state(ticket)) {
	case TICKET_MOVED:
		if (s->begun[STAGE_RESTORE])
			return -1; /* half of it may be back in place */
		since = STAGE_MOVE;
		break;
	case TICKET_DEFERRED:
		since = STAGE_DEFER;
		break;
	case TICKET_RESTORED:
		since = STAGE_RESTORE;
		break;
	default:
		return -1; /* preflight finishes it or takes it back */
	}
	if (asked || (short_of_room(run) && !salvage))
		return 0;
	left = (int64_t)run->policy.grace_sec - ticket_kept_sec(ticket, since);
	/* When that ends is not known: it is looked at again and again. */
	return MAX(left, salvage ? NAP_SEC : 0);
}

/* Is <ticket>/@name what the manifest says it is? Returns an fd, or a negative errno. */
static int open_tree(const struct purge_run *run, const struct ticket *ticket, const char *name)
{
	cleanup_fd int fd = dir_open_beneath(ticket->fd, name);
	struct stat st;
	bool old_one;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_ino == run->place->ino)
		return -ESTALE; /* containerd's own root is never purged */
	old_one = st.st_ino == ticket->old_ino;
	if (ticket->stages.begun[STAGE_DEFER]) /* never the root itself */
		return st.st_ino == ticket->fresh_ino ? take_fd(&fd) : -ESTALE;
	if (strcmp(name, "root") == 0 && !ticket->inside &&
	    old_one != !ticket->stages.done[STAGE_RESTORE])
		return -ESTALE;
	if (strcmp(name, "root") == 0 && ticket->inside && st.st_ino != ticket->fresh_ino)
		return -ESTALE;
	return take_fd(&fd);
}

static bool on_progress(const struct purge_progress *progress, void *data)
{
	const struct purge_run *run = data;
	char line[160];

	purge_state_line(progress, line, sizeof(line));
	purge_state_write(run->id, progress);
	notify_status("purging %s: %s", run->id, line);
	if (run->terminal)
		bar_show(progress->entries, progress->expected, line);
	return stop_asked;
}

static void on_left(const char *path, int error, void *data)
{
	const struct purge_run *run = data;

	if (run->terminal)
		bar_clear();
	log_warning("quarantine %s: %s cannot be deleted: %s", run->id, log_name(path),
		    strerror(-error));
}

/* A purge gone on with has fewer left than were counted: how many is not known. */
static uint64_t counted_entries(const struct ticket *ticket)
{
	const struct stages *s = &ticket->stages;
	json_t *facts = json_object_get(ticket->manifest, "facts");
	json_t *count = json_object_get(facts, "count");
	json_int_t entries;

	if (s->begun[STAGE_PURGE] || s->begun[STAGE_DEFER] || s->begun[STAGE_RESTORE] ||
	    !json_is_true(json_object_get(count, "complete")))
		return 0;
	entries = json_integer_value(json_object_get(count, "entries"));
	return entries > 0 ? (uint64_t)entries : 0;
}

static int purge_tree_of(struct purge_run *run, const struct ticket *ticket, const char *name)
{
	cleanup_fd int fd = open_tree(run, ticket, name);
	struct purge_options options = PURGE_OPTIONS_DEFAULT;
	struct purge_progress progress = { 0 };
	int r;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	options.max_rate = run->cli->max_rate >= 0 ? (unsigned)run->cli->max_rate :
						     (unsigned)run->policy.max_rate;
	options.max_workers = (unsigned)run->policy.max_workers;
	options.urgent = run->cli->urgent;
	options.urgent_bytes_percent = (unsigned)run->policy.urgent_free_space;
	options.urgent_inodes_percent = (unsigned)run->policy.urgent_free_inodes;
	if (strcmp(name, "root") == 0)
		options.expected = run->expected;
	options.progress = on_progress;
	options.left = on_left;
	options.data = run;
	r = purge_tree(fd, &options, &progress);
	if (run->terminal)
		bar_clear();
	purge_state_write(run->id, &progress);
	/* A second time, once the node is swept: nothing is there. */
	if (progress.entries > 0 || progress.left > 0 || !ticket->stages.done[STAGE_PURGE])
		log_info("quarantine %s: %" PRIu64 " entries deleted in %" PRIu64 ".%03u s, %" PRIu64 " left%s",
			 run->id, progress.entries, progress.elapsed_msec / 1000,
			 (unsigned)(progress.elapsed_msec % 1000), progress.left, r == 1 ? ", stopped" : "");
	return r;
}

/* Deleted is not freed: a process that holds a file open or mapped keeps its space. */
static void report_held(const struct purge_run *run, const struct ticket *ticket)
{
	cleanup_free char *jail = data_root_jail_path(run->place, ticket->inside);
	cleanup_free char *path = NULL;
	struct held held;

	if (!jail || asprintf(&path, "%s/%s", jail, ticket->id) < 0 ||
	    held_scan(path, &held) < 0 || held.files == 0)
		return;
	log_warning("quarantine %s: %" PRIu64 " deleted files with %" PRIu64
		    " bytes are still open or mapped, most of it by process %d; they are free when it ends",
		    ticket->id, held.files, held.bytes, held.pid);
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

/* Lets go of @locks once nothing is left to be locked. Returns 1 if it was stopped. */
static int purge_trees(struct purge_run *run, struct ticket *ticket, struct tree_locks *locks)
{
	int r, r2;

	run->id = ticket->id;
	run->expected = counted_entries(ticket);
	r = open_tree(run, ticket, "root");
	if (r >= 0)
		(void)close(r);
	else if (r != -ENOENT)
		return r;
	/* From here on there is no way back, and restore is told so. */
	if (!ticket->stages.begun[STAGE_PURGE]) {
		r = stage_begin(&ticket->stages, STAGE_PURGE);
		if (r < 0)
			return r;
	}
	r = purge_tree_of(run, ticket, "root");
	r2 = r == 1 ? 0 : purge_tree_of(run, ticket, "interim");
	if (r == 0)
		r = r2;
	tree_locks_done(locks); /* would be reported as held */
	if (r != 1)
		report_held(run, ticket);
	return r;
}

/* The `finish` of containerd's start goes by the data root that its configuration names. */
static void note_finish(const struct purge_run *run, const char *id)
{
	const char *root = run->cli->paths.root;

	if (run->cli->wait)
		return;
	if (root)
		log_info("quarantine %s: its data is deleted; its manifest is kept until what its pods left on the "
			 "node is given back by `containerd-recover finish --root=%s`; the same purge deletes it then",
			 id, log_name(root));
	else
		log_info("quarantine %s: its data is deleted; its manifest is kept until what its pods left on the "
			 "node is given back, at containerd's next start or by `containerd-recover finish`", id);
}

/* By another root's quarantines it is not known whose records are still needed. */
static void prune(const struct purge_run *run, int records_fd)
{
	if (run->policy_invalid || run->cli->paths.root)
		return;
	if (report_prune_old(run->place, records_fd, &run->policy) < 0)
		log_warning("the records of old incidents could not be deleted");
}

static int purge_ticket(struct purge_run *run, struct ticket *ticket, struct tree_locks *locks)
{
	cleanup_fd int records_fd = file_make_dirs(RECORDS_PATH, 0700);
	int r = records_fd < 0 ? records_fd : purge_trees(run, ticket, locks);

	if (r == 0 && !ticket->stages.done[STAGE_PURGE])
		r = stage_done(&ticket->stages, STAGE_PURGE);
	if (r != 0)
		return r;
	purge_state_remove(run->id);
	if (waits_for_finish(run, ticket)) {
		note_finish(run, ticket->id);
		return 0;
	}
	r = ticket_retire(run->place, ticket, records_fd);
	if (r == 0)
		r = history_append(records_fd, run->config->unit, "purge", ticket->id, "done");
	if (r == 0)
		prune(run, records_fd);
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
		       waits_for_salvage(run, ticket) ? ", if its images are brought over by then" : "");
	else
		printf("%s (%s): not purged\n", ticket->id, ticket_state_name(ticket_state(ticket)));
}

static void wait_for_another(struct round *round)
{
	round->waiting++;
	if (round->next < 0 || round->next > NAP_SEC)
		round->next = NAP_SEC;
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
	else if (error == -EROFS) /* of the disk, or of our unit's own sandbox */
		log_warning("quarantine %s is not purged: %s can only be read here; if it is containerd-recover-purge.service "
			    "that says so, name it in its ReadWritePaths= (systemctl edit)",
			    log_name(id), jail ? log_name(jail) : "its directory");
	else
		log_warning("quarantine %s is not purged, it cannot be opened: %s", log_name(id), strerror(-error));
}

static void one_ticket(struct purge_run *run, const char *id, struct round *round)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	int r = run->cli->dry_run ? ticket_peek(run->place, id, &ticket) :
				    ticket_open(run->place, id, &ticket);
	int64_t due = r < 0 ? -1 : due_in(run, &ticket);

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
		if (due > 0 && waits_for_salvage(run, &ticket))
			note_salvage(run, id, round);
		if (ticket.stages.done[STAGE_PURGE])
			note_finish(run, id);
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

	return named ? data_root_open_any(config->root, ret) : data_root_open(config->root, ret);
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
	struct timespec pause = { .tv_sec = round->next < NAP_SEC ? round->next : NAP_SEC };

	notify_status("quarantines that wait: %u; the next purge is due in %" PRId64 " s", round->waiting,
		      round->next);
	(void)nanosleep(&pause, NULL); /* a signal ends it, as it should */
}

/* The background units are started as long as there is something to do. */
static void unmark_pending(const struct data_root *place)
{
	cleanup_tickets char **ids = NULL;

	/* A directory that is not empty has freed pods for `finish`. */
	if (tickets_list(place, &ids) == 0 &&
	    (rmdir(RECORDS_PATH "/freed") == 0 || errno == ENOENT))
		(void)unlink(RECORDS_PATH "/pending");
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
	struct purge_run run = { .cli = &cli, .config = &config, .place = &place };
	int r;

	r = cli_parse(argc, argv,
		      CLI_PATHS | CLI_DRY_RUN | CLI_URGENT | CLI_MAX_RATE | CLI_WAIT |
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
