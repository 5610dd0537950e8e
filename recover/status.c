/*
 * `status`: what is kept, what is under way, what was decided last. All of it is
 * gathered as JSON first; text and Prometheus lines are made of that.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "recover/cli.h"
#include "recover/command.h"
#include "recover/file.h"
#include "recover/history.h"
#include "recover/in_use.h"
#include "recover/last_look.h"
#include "recover/log.h"
#include "recover/outage.h"
#include "recover/purge_state.h"
#include "recover/quantity.h"
#include "recover/report.h"
#include "recover/roots.h"
#include "recover/situation.h"
#include "recover/ticket.h"
#include "recover/unit.h"
#include "scanners/cleanup.h"
#include "scanners/dir.h"

struct gathered {
	struct config config;
	struct policy policy;
	struct data_root place;
	struct ledger_summary ledger;
	char *policy_problem;
	int place_error, records_error;
	json_t *last_look; /* NULL: none */
	json_t *outage;	   /* NULL: it was not us who stopped it */
	char active[UNIT_STATE], sub[UNIT_STATE]; /* empty if systemd does not tell */
	bool needs_reload;
};

static json_t *stages_to_json(const struct stages *s)
{
	json_t *json = json_object();

	for (int i = 0; json && i < STAGE_COUNT; i++)
		if (s->begun[i])
			(void)json_object_set_new(json, stage_names[i],
						  s->done[i] ? json_integer(s->msec[i]) :
							       json_string("begun"));
	return json;
}

static json_int_t restorable_sec(const struct ticket *ticket, const struct policy *policy)
{
	int64_t left;

	if (ticket_state(ticket) != TICKET_MOVED)
		return 0;
	left = (int64_t)policy->grace_sec - ticket_kept_sec(ticket, STAGE_MOVE);
	return left > 0 ? left : 0;
}

/* Who works on it, for as long as which it is not purged; NULL: nobody. */
static json_t *user_to_json(const struct data_root *place, const struct ticket *ticket)
{
	cleanup_tree_user struct tree_user user = { 0 };
	bool used = in_use(place, ticket, NULL, &user) == -EBUSY;
	cleanup_free char *who = used ? tree_user_print(&user) : NULL;

	return who ? json_string(who) : NULL;
}

/* The jail that has @id in it, which says nothing of itself; NULL for want of memory. */
static json_t *foreign_jail(const struct data_root *place, const char *id)
{
	cleanup_fd int beside_fd = data_root_open_jail(place, false, false);
	bool inside = beside_fd < 0 || faccessat(beside_fd, id, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
	cleanup_free char *path = data_root_jail_path(place, inside);

	return path ? json_string(path) : NULL;
}

/* @other_root: of which it is, if that is not containerd's by its configuration. */
static json_t *ticket_to_json(const struct data_root *place, const struct policy *policy,
			      const char *id, const char *other_root)
{
	cleanup_ticket struct ticket ticket = TICKET_NONE;
	cleanup_free char *jail = NULL;
	const json_t *decision, *lost;
	int r = ticket_peek(place, id, &ticket);

	if (r < 0)
		return json_pack("{s:s, s:s, s:s, s:o?}", "id", id, "state", "foreign", "problem", ticket_problem(r),
				 "jail", foreign_jail(place, id));
	jail = data_root_jail_path(place, ticket.inside);
	decision = json_object_get(ticket.manifest, "decision");
	lost = json_object_get(json_object_get(ticket.manifest, "lost"), "sandboxes");
	return json_pack("{s:s, s:s, s:s?, s:I, s:s?, s:s?, s:s?, s:i, s:o, s:o?, s:I, s:o?, s:s?}", "id", id, "state",
			 ticket_state_name(ticket_state(&ticket)), "problem", NULL, "created",
			 (json_int_t)ticket.created_sec, "jail", jail, "rule",
			 json_string_value(json_object_get(decision, "rule")), "why",
			 json_string_value(json_object_get(decision, "why")), "sandboxes_lost",
			 (int)json_array_size(lost), "stages", stages_to_json(&ticket.stages), "purge",
			 purge_state_read(id), "restorable_sec",
			 other_root ? 0 : restorable_sec(&ticket, policy), "in_use",
			 user_to_json(place, &ticket), "other_root", other_root);
}

static json_t *tickets_to_json(const struct data_root *place, const struct policy *policy)
{
	cleanup_tickets char **ids = NULL;
	json_t *list = json_array();

	if (place->root_fd < 0)
		return list;
	if (tickets_list(place, &ids) < 0) {
		cleanup_free char *path = NULL;

		if (data_root_check_jails(place, &path) < 0 && path)
			log_warning("%s is not a directory of root's that nobody else may write to: what is "
				    "in it is not looked at, and nothing can be set aside there", path);
		return list;
	}
	for (char **id = ids; *id; id++)
		(void)json_array_append_new(list, ticket_to_json(place, policy, *id, NULL));
	return list;
}

/* One that containerd's configuration named once. What is gone altogether is no news. */
static void add_other_root(json_t *list, const struct gathered *g, const char *root)
{
	cleanup_data_root struct data_root place = { .parent_fd = -EBADF, .root_fd = -EBADF };
	cleanup_tickets char **ids = NULL;
	json_t *ticket;
	bool lived_in;

	if (data_root_open_any(root, &place) < 0 || tickets_list(&place, &ids) < 0)
		return;
	lived_in = data_root_jails_hold(&place, g->config.root);
	for (char **id = ids; *id; id++) {
		ticket = ticket_to_json(&place, &g->policy, *id, root);
		if (lived_in && ticket)
			(void)json_object_set_new(ticket, "in_use", json_string("containerd's own data root is here"));
		(void)json_array_append_new(list, ticket);
	}
}

static void add_other_roots(json_t *list, const struct gathered *g)
{
	cleanup_fd int records_fd = dir_open_path(RECORDS_PATH);
	json_auto_t *roots = records_fd < 0 ? NULL : roots_read(records_fd);
	const char *unit, *root, *ours = g->place.root ? g->place.root : g->config.root;
	json_t *item;
	size_t i;

	json_array_foreach(roots, i, item)
		if (json_unpack(item, "{s:s, s:s}", "unit", &unit, "root", &root) == 0 &&
		    strcmp(unit, g->config.unit) == 0 && strcmp(root, ours) != 0)
			add_other_root(list, g, root);
}

static void gathered_done(struct gathered *g)
{
	config_done(&g->config);
	data_root_done(&g->place);
	free(g->policy_problem);
	json_decref(g->last_look);
	json_decref(g->outage);
}

/* What the unit is doing, and what was found before its last start. */
static void gather_unit(struct gathered *g)
{
	cleanup_fd int run_fd = dir_open_path(RUN_PATH);

	if (unit_state(g->config.unit, g->active, g->sub) < 0)
		g->active[0] = g->sub[0] = '\0';
	else
		g->needs_reload = unit_needs_reload(g->config.unit) == 1;
	if (run_fd >= 0)
		g->last_look = last_look_read(run_fd, g->config.unit);
	if (strcmp(g->active, "active") != 0 && strcmp(g->active, "activating") != 0)
		g->outage = outage_read(g->config.unit);
	g->records_error = file_check_writable(RECORDS_PATH);
}

static int gather(const struct cli *cli, struct gathered *g)
{
	cleanup_fd int records_fd = open(RECORDS_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_free char *name = NULL;
	struct ledger_clock now;
	int r = config_read(&cli->paths, &g->config);

	if (r < 0)
		return r;
	if (policy_read(ETC_PATH, &g->policy, &g->policy_problem) == 0)
		free(take_ptr(g->policy_problem));
	g->place_error = data_root_open(g->config.root, &g->place);
	name = situation_ledger_name(g->config.unit);
	if (records_fd >= 0 && name && ledger_clock_now(&now) == 0)
		(void)ledger_read(records_fd, name, &now, &g->policy, &g->ledger); /* zeroed */
	return 0;
}

static json_t *brakes_to_json(const struct gathered *g)
{
	cleanup_fd int records_fd = open(RECORDS_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t last = 0, left = 0;
	bool hold = records_fd >= 0 && faccessat(records_fd, "hold", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
	int r = records_fd >= 0 ? history_last_quarantine(records_fd, g->config.unit, &last) : 0;

	if (r > 0)
		left = last + (int64_t)g->policy.cooldown_sec - time(NULL);
	return json_pack("{s:b, s:I, s:I}", "hold", hold, "last_quarantine", (json_int_t)last,
			 "cooldown_left_sec", (json_int_t)(left > 0 ? left : 0));
}

static json_t *quarantines_to_json(const struct gathered *g)
{
	json_t *list = tickets_to_json(&g->place, &g->policy);

	add_other_roots(list, g);
	return list;
}

static json_t *status_to_json(const struct gathered *g)
{
	const struct ledger_summary *l = &g->ledger;

	return json_pack("{s:s, s:s, s:s, s:b, s:b, s:s?, s:O?, s:O?, s:s?, s:s?, s:s, s:s?, s:s?, "
			 "s:{s:i, s:I, s:i, s:b, s:b, s:s, s:s}, s:o*, s:o*}",
			 "unit", g->config.unit, "active", g->active, "sub", g->sub, "runs_preflight",
			 g->config.runs_preflight, "needs_reload", g->needs_reload, "records_problem",
			 g->records_error < 0 ? strerror(-g->records_error) : NULL, "last_look",
			 g->last_look, "stopped_by", g->outage, "root",
			 g->place.root ? g->place.root : g->config.root, "root_problem",
			 g->place_error < 0 ? strerror(-g->place_error) : NULL,
			 "configuration", config_verdict_name(g->config.verdict),
			 "configuration_problem", g->config.problem, "policy_problem", g->policy_problem,
			 "ledger", "starts", (int)l->attempts, "window_sec",
			 (json_int_t)g->policy.window_sec, "failures", (int)l->failures,
			 "last_failed", l->last_failed, "starting", l->in_start, "last_result",
			 l->last_result, "unready", l->up ? l->unready : "", "brakes", brakes_to_json(g), "quarantines",
			 quarantines_to_json(g));
}

static const char *text_of(const json_t *json, const char *key)
{
	const char *text = json_string_value(json_object_get(json, key));

	return text ? text : "";
}

static json_int_t number_of(const json_t *json, const char *key)
{
	return json_integer_value(json_object_get(json, key));
}

static void print_purge(const json_t *purge)
{
	const json_t *low = json_object_get(purge, "eta_low_sec");

	printf("    purge: %s entries deleted, %s freed, %s/s, %s (%s)",
	       quantity_count((uint64_t)number_of(purge, "entries")).text,
	       quantity_bytes((uint64_t)number_of(purge, "bytes")).text,
	       quantity_count((uint64_t)number_of(purge, "rate")).text, text_of(purge, "mode"),
	       text_of(purge, "why"));
	if (json_is_integer(low))
		printf(", %s to %s left", quantity_seconds(json_integer_value(low)).text,
		       quantity_seconds(number_of(purge, "eta_high_sec")).text);
	printf("\n");
}

static void print_quarantine(const json_t *q)
{
	const json_t *purge = json_object_get(q, "purge");
	const json_t *swept = json_object_get(json_object_get(q, "stages"), "sweep");
	const char *other = text_of(q, "other_root");

	if (strcmp(text_of(q, "state"), "foreign") == 0) {
		printf("  %s: not a quarantine of ours, left alone: %s\n", log_name(text_of(q, "id")),
		       text_of(q, "problem"));
		printf("    where: %s/%s; delete it by hand once nothing in it is wanted\n",
		       log_name(text_of(q, "jail")), log_name(text_of(q, "id")));
		return;
	}
	printf("  %s: %s, begun %s ago\n", text_of(q, "id"), text_of(q, "state"),
	       quantity_seconds(time(NULL) - number_of(q, "created")).text);
	printf("    why: %s (rule %s)\n", text_of(q, "why"), text_of(q, "rule"));
	printf("    where: %s/%s\n", log_name(text_of(q, "jail")), text_of(q, "id"));
	if (strcmp(text_of(q, "state"), "deferred") != 0) /* that ends no pod */
		printf("    lost sandboxes: %" JSON_INTEGER_FORMAT ", %s\n", number_of(q, "sandboxes_lost"),
		       json_is_integer(swept) ? "swept" :
		       swept		      ? "being swept" :
						"not swept yet");
	if (number_of(q, "restorable_sec") > 0)
		printf("    can be put back for another %s: containerd-recover restore %s\n",
		       quantity_seconds(number_of(q, "restorable_sec")).text, text_of(q, "id"));
	if (*text_of(q, "in_use"))
		printf("    in use, and not purged while it is: %s\n", text_of(q, "in_use"));
	if (json_is_object(purge))
		print_purge(purge);
	if (*other && !*text_of(q, "in_use"))
		printf("    of a data root that the configuration does not name: nothing is done with it by itself; "
		       "containerd-recover purge --root=%s --yes %s deletes it\n", log_name(other), text_of(q, "id"));
}

/* Where it is not up: what was found before its last start, and what is next. */
static void print_last_look(const json_t *look)
{
	const json_t *evidence = json_object_get(look, "evidence"), *line;
	size_t i;

	printf("before its last start, %s ago: %s (rule %s%s%s%s)\n",
	       quantity_seconds(time(NULL) - number_of(look, "time")).text, text_of(look, "why"),
	       text_of(look, "rule"), *text_of(look, "vetoed") ? ", which holds " : "",
	       text_of(look, "vetoed"), *text_of(look, "vetoed") ? " back" : "");
	json_array_foreach(evidence, i, line)
		printf("  %s\n", log_name(json_string_value(line) ?: ""));
	if (json_array_size(json_object_get(look, "steps")) == 0)
		printf("  nothing was changed; what would change that: %s\n", text_of(look, "change"));
}

static void print_next(const json_t *status)
{
	const char *unit = text_of(status, "unit"), *active = text_of(status, "active");
	const json_t *outage = json_object_get(status, "stopped_by");
	bool understood = strcmp(text_of(status, "configuration"), "unknown") != 0 &&
			  strcmp(text_of(status, "configuration"), "invalid") != 0;
	cleanup_free char *stopped = json_is_object(outage) ? outage_print(unit, outage) : NULL;

	if (stopped) {
		printf("%s\n", stopped);
		return;
	}
	if (strcmp(active, "failed") == 0)
		printf("next: nothing by itself; once it is mended: systemctl reset-failed %s; "
		       "systemctl start %s\n", unit, unit);
	else if (strcmp(active, "inactive") == 0)
		printf("next: nothing by itself; %ssystemctl start %s starts it\n",
		       understood ? "" : "once it is mended, ", unit);
	else if (strcmp(text_of(status, "sub"), "auto-restart") == 0)
		printf("next: systemd starts it again, and the node is judged anew before that\n");
	printf("now: `containerd-recover plan` says what is wrong, and what would be done or would help\n");
}

static void print_unit(const json_t *status)
{
	const char *unit = text_of(status, "unit"), *active = text_of(status, "active");
	const char *unready = text_of(json_object_get(status, "ledger"), "unready");
	const json_t *look = json_object_get(status, "last_look");
	bool up = strcmp(active, "active") == 0;

	if (!json_is_true(json_object_get(status, "runs_preflight")) &&
	    strcmp(text_of(status, "configuration"), "unknown") != 0)
		printf("%s does not run `containerd-recover preflight`: nothing is done by itself "
		       "(is the drop-in installed?)\n", unit);
	else if (json_is_true(json_object_get(status, "needs_reload")))
		printf("systemd has not read the files of %s since they were changed: "
		       "systemctl daemon-reload\n", unit);
	if (*text_of(status, "records_problem"))
		printf(RECORDS_UNWRITABLE "\n", RECORDS_PATH, text_of(status, "records_problem"));
	if (up && *unready)
		printf("it is READY, but %s, and kubelet cannot use it: `containerd-recover plan` says why\n",
		       strcmp(unready, LEDGER_DEGRADED) == 0 ? "without CRI" : "its CRI did not answer");
	/* What was held back is still there to be done, and what keeps CRI away is still so. */
	if (json_is_object(look) && (!up || *unready || *text_of(look, "vetoed")))
		print_last_look(look);
	if (!up)
		print_next(status);
}

static void print_text(const json_t *status)
{
	const json_t *ledger = json_object_get(status, "ledger"), *brakes = json_object_get(status, "brakes");
	const json_t *list = json_object_get(status, "quarantines");
	const json_t *item;
	size_t i;

	printf("%s", text_of(status, "unit"));
	if (*text_of(status, "active"))
		printf(" is %s (%s)", text_of(status, "active"), text_of(status, "sub"));
	printf(", data root %s, configuration %s\n", log_name(text_of(status, "root")),
	       text_of(status, "configuration"));
	if (*text_of(status, "configuration_problem"))
		printf("  %s\n", log_name(text_of(status, "configuration_problem")));
	if (*text_of(status, "policy_problem"))
		printf("policy not understood, nothing is acted on: %s\n",
		       log_name(text_of(status, "policy_problem")));
	if (*text_of(status, "root_problem"))
		printf("  the data root cannot be looked at: %s\n", text_of(status, "root_problem"));
	printf("starts since boot: %" JSON_INTEGER_FORMAT ", failed in the last %s: %" JSON_INTEGER_FORMAT
	       "%s%s%s\n", number_of(ledger, "starts"),
	       quantity_seconds(number_of(ledger, "window_sec")).text, number_of(ledger, "failures"),
	       *text_of(ledger, "last_result") ? ", the last one that ended: " : "",
	       text_of(ledger, "last_result"),
	       json_is_true(json_object_get(ledger, "starting")) ? ", starting now" : "");
	print_unit(status);
	if (json_is_true(json_object_get(brakes, "hold")))
		printf("hold file present: nothing is done by itself (remove %s/hold to end it)\n",
		       RECORDS_PATH);
	if (number_of(brakes, "cooldown_left_sec") > 0)
		printf("cool-down: no second quarantine for another %s\n",
		       quantity_seconds(number_of(brakes, "cooldown_left_sec")).text);
	if (json_array_size(list) == 0)
		printf("no quarantines are kept\n");
	else
		printf("quarantines:\n");
	json_array_foreach(list, i, item)
		print_quarantine(item);
}

static void print_metric(const char *name, const char *help, json_int_t value)
{
	printf("# HELP containerd_recover_%s %s\n# TYPE containerd_recover_%s gauge\n"
	       "containerd_recover_%s %" JSON_INTEGER_FORMAT "\n", name, help, name, name, value);
}

static void print_prometheus(const json_t *status)
{
	const json_t *ledger = json_object_get(status, "ledger"), *brakes = json_object_get(status, "brakes");
	const json_t *list = json_object_get(status, "quarantines");
	json_int_t deleted = 0;
	const json_t *item;
	size_t i;

	json_array_foreach(list, i, item)
		deleted += number_of(json_object_get(item, "purge"), "entries");
	print_metric("failed_starts", "Failed starts of containerd in the crash-loop window",
		     number_of(ledger, "failures"));
	print_metric("quarantines", "Quarantined data roots kept", (json_int_t)json_array_size(list));
	print_metric("purge_entries", "Entries deleted of the roots being purged", deleted);
	print_metric("hold", "1 while an operator's hold file is in place",
		     json_is_true(json_object_get(brakes, "hold")));
	print_metric("last_quarantine_timestamp_seconds", "When the last quarantine was made, 0: never",
		     number_of(brakes, "last_quarantine"));
}

static int print_status(const struct cli *cli)
{
	__attribute__((cleanup(gathered_done))) struct gathered g = {
		.place = { .parent_fd = -EBADF, .root_fd = -EBADF },
	};
	json_t *status;
	int r = gather(cli, &g);

	if (r == 0)
		gather_unit(&g);
	status = r < 0 ? NULL : status_to_json(&g);
	if (!status) {
		log_error("cannot gather the status: %s", strerror(r < 0 ? -r : ENOMEM));
		return EXIT_FAILED;
	}
	if (cli->format == FORMAT_JSON) {
		(void)json_dumpf(status, stdout, JSON_INDENT(1)); /* main() checks stdout */
		printf("\n");
	} else if (cli->format == FORMAT_PROMETHEUS) {
		print_prometheus(status);
	} else {
		print_text(status);
	}
	json_decref(status);
	return EXIT_OK;
}

static void say_no_report(int records_fd, const char *unit, int error)
{
	struct history_event last;

	if (error == 0)
		log_error("nothing was done to this node yet; `containerd-recover plan` says what is wrong now");
	else if (error == -ENOENT && records_fd >= 0 && history_last_action(records_fd, unit, &last) > 0)
		log_error("the last action was %s %s, %s ago (rule %s); more is not known: it %s", last.event,
			  log_name(last.ticket), quantity_seconds(time(NULL) - last.sec).text,
			  log_name(last.rule),
			  strcmp(last.ticket, "-") == 0 ? "leaves no records" : "has no records any more");
	else
		log_error("cannot read the last incident's records: %s", ticket_problem(error));
}

static int print_last(const struct cli *cli)
{
	__attribute__((cleanup(gathered_done))) struct gathered g = {
		.place = { .parent_fd = -EBADF, .root_fd = -EBADF },
	};
	cleanup_fd int records_fd = dir_open_path(RECORDS_PATH);
	json_auto_t *report = NULL;
	int r = gather(cli, &g);

	if (r == 0)
		r = records_fd == -ENOENT ? 0 :
		    records_fd < 0	  ? records_fd :
					    report_last(&g.place, records_fd, g.config.unit, &g.policy, &report);
	if (r <= 0) {
		say_no_report(records_fd, g.config.unit, r);
		return EXIT_FAILED;
	}
	if (cli->format == FORMAT_JSON) {
		(void)json_dumpf(report, stdout, JSON_INDENT(1)); /* main() checks stdout */
		printf("\n");
	} else {
		report_print(report);
	}
	return EXIT_OK;
}

int status_command(int argc, char **argv)
{
	struct cli cli;
	int r = cli_parse(argc, argv, CLI_PATHS | CLI_FORMAT | CLI_PROMETHEUS | CLI_LAST,
			  "Show the quarantines, what is under way, and what was decided last.", NULL, &cli);

	if (r >= 0)
		return r;
	return cli.last ? print_last(&cli) : print_status(&cli);
}
