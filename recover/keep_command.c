/*
 * `keep ID`: copies user data out of a quarantine before it is purged. What
 * there is, is found by recover/userdata.h; how it is copied, recover/keep/.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "recover/cli.h"
#include "recover/command.h"
#include "recover/keep/archive.h"
#include "recover/keep/directory.h"
#include "recover/keep/target.h"
#include "recover/log.h"
#include "recover/quarantine.h"
#include "recover/report_store.h"
#include "recover/situation.h"
#include "recover/stopwatch.h"
#include "recover/userdata.h"
#include "recover/userdata_print.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

#define INDEX "containerd-recover-keep.json"

enum { LOCK_TRIES = 20, PODS_NAMED = 20 };

static volatile sig_atomic_t stop_asked;

static void on_stop(int signal)
{
	(void)signal;
	stop_asked = 1;
}

struct keep {
	const struct cli *cli;
	struct policy policy;
	struct data_root place;
	struct ticket ticket;
	struct userdata data;
	struct keep_target target;
	struct keep_report report;
	double sec; /* that the copying took; negative: it was not done */
};

static void keep_done(struct keep *keep)
{
	keep_target_done(&keep->target);
	userdata_done(&keep->data);
	ticket_done(&keep->ticket);
	data_root_done(&keep->place);
}

/* Why nothing can be kept of it, or NULL. */
static const char *obstacle(const struct keep *keep)
{
	const struct ticket *ticket = &keep->ticket;

	switch (ticket_state(ticket)) {
	case TICKET_BEGUN:
	case TICKET_UNDONE:
		return "its data root was never moved: all of it is in place";
	case TICKET_PURGING:
		return "its purge has begun, so it is no longer whole";
	case TICKET_MOVED:
	case TICKET_DEFERRED:
	case TICKET_RESTORED:
		break;
	}
	if (ticket->stages.begun[STAGE_RESTORE] && !ticket->stages.done[STAGE_RESTORE])
		return "it is being put back";
	if (ticket_state(ticket) == TICKET_MOVED &&
	    quarantine_where(&keep->place, ticket) != OLD_ROOT_ASIDE)
		return "the data root in it is not the one that was put there";
	return NULL;
}

static int open_quarantine(struct keep *keep)
{
	const struct timespec pause = { .tv_nsec = 100000000 };
	const char *id = keep->cli->argument, *why;
	int r = ticket_peek(&keep->place, id, &keep->ticket);

	if (r == -ENOENT)
		tickets_say_unknown(&keep->place, id);
	else if (r < 0)
		log_error("'%s' is no quarantine of ours: %s", log_name(id), ticket_problem(r));
	if (r < 0)
		return r;
	r = ticket_lock_data(&keep->ticket, true);
	for (int i = 0; r == -EBUSY && i < LOCK_TRIES; i++) { /* somebody may just look */
		(void)nanosleep(&pause, NULL);
		r = ticket_lock_data(&keep->ticket, true);
	}
	if (r == -EBUSY)
		why = "it is being purged or put back";
	else
		why = r < 0 ? strerror(-r) : obstacle(keep);
	if (!why)
		return 0;
	log_error("nothing can be kept of quarantine %s: %s", id, why);
	return -EINVAL;
}

static void say_no_pod(const struct userdata *data, const char *pattern)
{
	cleanup_text struct text all = { 0 };
	size_t shown = data->pods.count < PODS_NAMED ? data->pods.count : PODS_NAMED;

	for (size_t i = 0; i < shown; i++)
		(void)(text_add_string(&all, i ? ", " : "") < 0 ||
		       text_add_string(&all, data->pods.items[i]) < 0); /* a shorter list, then */
	log_error("no pod of this quarantine matches '%s'; there are: %s%s", log_name(pattern),
		  all.length ? all.string : "none that is known by name",
		  data->pods.count > shown ? ", and more" : "");
}

static bool is_there(const struct userdata *data, const char *pattern)
{
	for (size_t i = 0; i < data->pods.count; i++) {
		const char *slash = strchr(data->pods.items[i], '/');
		cleanup_free char *ns = strndup(data->pods.items[i],
						(size_t)(slash - data->pods.items[i]));

		if (pods_match(ns, slash + 1, &pattern, 1))
			return true;
	}
	return false;
}

static int select_data(struct keep *keep)
{
	const struct cli *cli = keep->cli;
	const char *patterns[PODS_MAX];
	char list[POLICY_LIST];
	int count;

	for (size_t i = 0; i < cli->pod_count; i++) {
		if (!is_there(&keep->data, cli->pods[i])) {
			say_no_pod(&keep->data, cli->pods[i]);
			return -ENOENT;
		}
	}
	if (cli->pod_count > 0) {
		userdata_select(&keep->data, cli->pods, cli->pod_count, true);
		return 0;
	}
	memcpy(list, keep->policy.keep_pods, sizeof(list));
	count = pods_split(list, patterns); /* was checked when it was read */
	userdata_select(&keep->data, patterns, count < 0 ? 0 : (size_t)count, false);
	return 0;
}

static int find_data(struct keep *keep)
{
	int r = userdata_list(&keep->ticket, &keep->data);

	if (r == 0)
		r = select_data(keep);
	if (r == -ENOENT)
		return r;
	if (r == 0)
		r = userdata_measure(&keep->ticket, (unsigned)keep->policy.keep_msec, &keep->data);
	if (r < 0) {
		log_error("cannot list the user data: %s", strerror(-r));
		return r;
	}
	if (keep->data.carved)
		log_warning("containerd's records in it are damaged; what could be read of them was used");
	if (keep->data.layers_unknown)
		log_warning("a snapshotter's records cannot be read: writable layers are missing here");
	return 0;
}

/* "default/web/app-<id>/volumes" */
static char *path_of(const struct userdata_item *item)
{
	return text_print("%s/%s%s%s%s%s/%s", item->pod_name ? item->pod_namespace : "_unknown",
			  item->pod_name ?: "", item->pod_name ? "/" : "", item->container_name ?: "",
			  item->container_name ? "-" : "", item->container,
			  item->kind == USERDATA_VOLUMES ? "volumes" : "layer");
}

static json_t *index_json(const struct keep *keep)
{
	json_t *items = userdata_to_json(&keep->data), *item;
	size_t i;

	json_array_foreach(items, i, item) {
		cleanup_free char *path = path_of(&keep->data.items[i]);

		(void)json_object_set_new(item, "kept", json_string(path)); /* none without memory */
	}
	return json_pack("{s:s, s:I, s:o}", "quarantine", keep->ticket.id, "time",
			 (json_int_t)time(NULL), "items", items);
}

static int check_target(struct keep *keep)
{
	uint64_t bytes = 0, entries = 0, room_bytes, room_entries;
	const char *to = keep->cli->to;
	int r = keep_target_open(to, &keep->target);

	if (r == -EEXIST)
		log_error("%s exists, and nothing is ever overwritten; give a new name", to);
	else if (r < 0)
		log_error("%s: its directory cannot be opened: %s%s", to, strerror(-r),
			  r == -ENOENT ? "; make it first" : "");
	if (r < 0)
		return r;
	r = keep_target_is_inside(&keep->target, &keep->place);
	if (r != 0) {
		log_error("%s: %s", to, r < 0 ? strerror(-r) :
			  "that is inside containerd's data root or its quarantines; give another place");
		return r < 0 ? r : -EINVAL;
	}
	for (size_t i = 0; i < keep->data.count; i++) {
		bytes += keep->data.items[i].bytes;
		entries += keep->data.items[i].entries;
	}
	if (keep->target.how & ~(unsigned)ARCHIVE_PLAIN)
		bytes = 0; /* how far it can be compressed is not known */
	r = keep_target_has_room(&keep->target, bytes, entries, keep->policy.min_free_bytes,
				 &room_bytes, &room_entries);
	if (r == 0)
		log_error("%s: there is no room: %" PRIu64 " MiB in %" PRIu64 " files are wanted, %" PRIu64
			  " MiB and %" PRIu64 " files are free (%" PRIu64 " MiB stay reserved)",
			  to, (bytes >> 20) + 1, entries, room_bytes >> 20, room_entries,
			  keep->policy.min_free_bytes >> 20);
	else if (r < 0)
		log_error("%s: %s", to, strerror(-r));
	return r == 1 ? 0 : r < 0 ? r : -ENOSPC;
}

static int copy_item(struct keep *keep, const struct userdata_item *item,
		     const struct keep_sink *sink, void *to)
{
	cleanup_fd int fd = userdata_open(&keep->ticket, item);
	cleanup_free char *path = path_of(item);

	if (!path)
		return -ENOMEM;
	if (fd < 0) {
		keep_left(&keep->report, item->path, strerror(-fd));
		return 0;
	}
	return keep_tree(fd, path, item->overlay, sink, to, &keep->report);
}

static int copy_all(struct keep *keep, const struct keep_sink *sink, void *to)
{
	json_auto_t *index = index_json(keep);
	cleanup_free char *text = index ? json_dumps(index, JSON_INDENT(1)) : NULL;
	int r = text ? sink->note(to, INDEX, text, strlen(text)) : -ENOMEM;

	for (size_t i = 0; i < keep->data.count && r == 0; i++)
		r = copy_item(keep, &keep->data.items[i], sink, to);
	return r;
}

static int copy_to_archive(struct keep *keep)
{
	struct keep_archive *to = NULL;
	int r = keep_archive_new(keep->target.fd, keep->target.how, &keep->report, &to);

	if (r == 0)
		r = copy_all(keep, &keep_archive_sink, to);
	if (r == 0)
		r = keep_archive_finish(to);
	keep_archive_free(to);
	return r;
}

static int copy_to_directory(struct keep *keep)
{
	struct keep_directory *to =
		keep_directory_new(keep->target.fd, keep->target.links_fd, &keep->report);
	int r = to ? copy_all(keep, &keep_directory_sink, to) : -ENOMEM;

	if (r == 0)
		r = keep_directory_finish(to);
	keep_directory_free(to);
	return r;
}

static const char *words_for(int error)
{
	switch (error) {
	case -ECANCELED:
		return "stopped";
	case -ELIBACC:
		return "libarchive is not installed; give a directory";
	case -ENOTSUP:
		return "libarchive does not know this compression; give a .tar or a directory";
	case -EBUSY:
		return "another run is writing there";
	case -EPERM:
		return "not permitted, or something of somebody else's is at the temporary name";
	default:
		return strerror(-error);
	}
}

static int copy(struct keep *keep)
{
	struct stopwatch watch;
	int r, left;

	stopwatch_start(&watch);
	r = keep_target_begin(&keep->target);
	if (r < 0) {
		log_error("%s cannot be made: %s", keep->cli->to, words_for(r));
		return r;
	}
	r = keep->target.archive ? copy_to_archive(keep) : copy_to_directory(keep);
	if (r == 0)
		r = keep_target_commit(&keep->target);
	left = keep_target_abandon(&keep->target);
	if (r < 0)
		log_error("%s is not made: %s; nothing is left of it, and the quarantine is as it was",
			  keep->cli->to, words_for(r));
	if (left < 0)
		log_warning("%s could not be removed: %s", keep->target.temporary, strerror(-left));
	keep->sec = stopwatch_sec(&watch);
	return r;
}

static void print(const struct keep *keep, bool done)
{
	const struct keep_report *report = &keep->report;
	json_t *json;

	if (keep->cli->format == FORMAT_JSON) {
		json = index_json(keep);
		(void)json_object_update_new(
			json, json_pack("{s:s?, s:b, s:I, s:I, s:I, s:i}", "to", keep->cli->to, "done", done,
					"entries", (json_int_t)report->entries, "bytes",
					(json_int_t)report->bytes, "left", (json_int_t)report->left, "msec",
					(int)(keep->sec * 1000)));
		(void)json_dumpf(json, stdout, JSON_INDENT(1)); /* main() checks stdout */
		printf("\n");
		json_decref(json);
		return;
	}
	if (!done) {
		printf("User data of quarantine %s%s\n", keep->ticket.id,
		       keep->data.count ? ":" : ": none");
		userdata_print(&keep->data, "  ");
		return;
	}
	printf("%s: %" PRIu64 " entries, %" PRIu64 " MiB of content, in %.2f s\n", keep->cli->to,
	       report->entries, report->bytes >> 20, keep->sec);
	if (report->left > 0)
		printf("%" PRIu64 " of them not in full: see above\n", report->left);
}

/* For the report of the incident; a copy is one without it, too. */
static void note_copy(const struct keep *keep)
{
	cleanup_fd int records_fd = dir_open_path(RECORDS_PATH);
	json_auto_t *noted = records_fd < 0 ? NULL : report_read(records_fd, keep->ticket.id);
	json_t *copies = json_incref(json_object_get(noted, "copies")) ?: json_array();
	cleanup_free char *path = realpath(keep->cli->to, NULL);

	(void)json_array_append_new(copies, json_pack("{s:s, s:I, s:I}", "to", path ?: keep->cli->to,
						      "time", (json_int_t)time(NULL), "left",
						      (json_int_t)keep->report.left));
	if (noted)
		report_note(records_fd, keep->ticket.id, "copies", copies);
	else
		json_decref(copies);
}

static void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	const struct sigaction stop = { .sa_handler = on_stop }, ignore = { .sa_handler = SIG_IGN };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		(void)sigaction(signals[i], &stop, NULL);
	(void)sigaction(SIGPIPE, &ignore, NULL);
}

static int run(struct keep *keep)
{
	bool text = keep->cli->format == FORMAT_TEXT;

	if (open_quarantine(keep) < 0 || find_data(keep) < 0)
		return EXIT_FAILED;
	if (text || keep->cli->dry_run)
		print(keep, false);
	if (keep->cli->to && check_target(keep) < 0)
		return EXIT_FAILED;
	if (keep->cli->dry_run)
		return EXIT_OK;
	if (keep->data.count == 0) {
		log_error("there is nothing to keep%s", keep->cli->pod_count ? " of these pods" : "");
		return EXIT_FAILED;
	}
	(void)fflush(stdout);
	catch_signals();
	if (copy(keep) < 0)
		return EXIT_FAILED;
	note_copy(keep);
	print(keep, true);
	return keep->report.left ? EXIT_PARTIAL : EXIT_OK;
}

int keep_command(int argc, char **argv)
{
	__attribute__((cleanup(keep_done))) struct keep keep = {
		.place = { .parent_fd = -EBADF, .root_fd = -EBADF },
		.ticket = TICKET_NONE,
		.target = KEEP_TARGET_NONE,
		.report = { .stop = &stop_asked },
	};
	cleanup_config struct config config = { 0 };
	cleanup_free char *problem = NULL;
	struct cli cli;
	int r;

	r = cli_parse(argc, argv,
		      CLI_PATHS | CLI_DRY_RUN | CLI_FORMAT | CLI_POD | CLI_TO | CLI_ARGUMENT,
		      "Copy user data out of a quarantine: all volumes, or all of some pods.", "ID", &cli);
	if (r >= 0)
		return r;
	keep.cli = &cli;
	if (!cli.to && !cli.dry_run) {
		fprintf(stderr, "containerd-recover: give --to, or --dry-run to list only\n"
				"Try 'containerd-recover keep --help'.\n");
		return EXIT_USAGE;
	}
	if (policy_read(ETC_PATH, &keep.policy, &problem) < 0)
		log_warning("%s; going on with the defaults", problem ?: "the policy cannot be read");
	r = config_read(&cli.paths, &config);
	if (r == 0)
		r = data_root_open(config.root, &keep.place);
	if (r < 0) {
		log_error("cannot open the data root %s: %s", log_name(config.root ?: ""), strerror(-r));
		return EXIT_FAILED;
	}
	return run(&keep);
}
